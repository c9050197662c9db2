// The part of the judge that answers what a rule has decided, and reports it.

#include <sys/stat.h>

#include <optional>

#include "judge.h"
#include "priority.h"
#include "proc_stat.h"

namespace d4c {

void Judge::noteBinding(const Container& container, const Binding& binding, KernelEvent* event) {
  event->key = container.key;
  event->generation = binding.generation;
  event->context = binding.context;
  event->names = binding.names;
  if (const auto cgroup = container.cgroup()) event->cgroup = cgroup->path;
}

KernelEvent Judge::eventOf(const Container& container, const Binding& binding, EventKind kind, pid_t tid) {
  KernelEvent event;
  event.time_us = nowUs();
  event.kind = kind;
  event.tid = tid;
  noteBinding(container, binding, &event);
  return event;
}

/// Holds the second question of an exec whose first one may be answered now: it is allowed by the rules, and told, and nothing else
/// follows from it. None where it is not certain that there will be a second one.
SecondQuestion::Held Judge::holdSecond(const Case& one, Verdict verdict, dev_t device) {
  const bool is_plain = verdict == Verdict::kAllow && one.reason == Reason::kNone;
  const uint64_t opens_since = one.root.opensSince();
  const bool opens_follow = device == one.root.place.device && opens_since != 0;
  // Without a deadline nobody would find this thread if the task keeps it.
  if (!is_plain || !opens_follow || !one.desk->answers_ahead || settings_.deadline_ms == 0) return {};
  return second_question_.hold(one.envelope.tid(), std::chrono::milliseconds(settings_.deadline_ms), opens_since);
}

/// Answers before anything is read of the task, whose second question is held.
Verdict Judge::answerAhead(Case* one, bool* is_late) {
  const Verdict verdict = answer(&one->envelope, Verdict::kAllow, is_late);
  // Nobody waits for this thread any more. The watchdog is to find it nevertheless when the task keeps it, unless it has already.
  if (!*is_late) {
    one->desk->turn.begin(one->root.shared_from_this(), nullptr, 0, false);
    one->desk->turn.fallBackTo(verdict);
  }
  return verdict;
}

void Judge::conclude(Case* one, Verdict verdict, uint8_t operations, bool takes_back) {
  Envelope& envelope = one->envelope;
  // Facts for the document take many times as long as a verdict. A program that comes to run takes many times as long as they.
  std::optional<TakesTurns> ordinary;
  if (!envelope.isExec() || verdict == Verdict::kDeny) ordinary.emplace();
  const OneLook look;
  const EventKind kind = envelope.isExec() ? EventKind::kExec : EventKind::kOpen;
  KernelEvent event = eventOf(one->container, one->binding, kind, envelope.tid());
  event.operations = envelope.isExec() ? uint8_t{0} : operations;
  event.verdict = enforces(one->table) ? verdict : Verdict::kAllow;
  event.fired = one->desk->scratch.fired;
  event.mount = one->mount;
  SecondQuestion::Held second;
  bool is_late = false;
  if (envelope.isExec()) {
    fstat(envelope.file(), &event.file);
    event.mount = one->root.kinds.of(envelope.file(), envelope.opened(), event.tid, one->root.place.device);
    second = holdSecond(*one, verdict, event.file.st_dev);
    if (second) event.verdict = answerAhead(one, &is_late);
    readExecutingProcess(event.tid, one->ids, one->path, one->call, &event.process);
    // Else they may be those of a program that the task runs by now.
    const bool is_in_time = !second || (!is_late && second.isInTime(one->root.opensSince()));
    if (!is_in_time) event.process.args.clear();
    event.process.args_truncated |= !is_in_time;
  } else {
    event.file = one->file;
    readProcess(event.tid, &event.process);
  }
  if (takes_back && event.verdict == Verdict::kDeny) {
    const bool is_removed = one->mount == MountKind::kRoot ? removeCreated(one->root.place, one->path, one->file)
                                                           : removeCreatedBy(event.tid, one->path, one->file);
    event.rolled_back = is_removed ? KernelEvent::RolledBack::kYes : KernelEvent::RolledBack::kNo;
    if (!is_removed) reports_->fail(Failure::kRollbackFailed, one->path);
  }
  // Before the last answer: who is read may end right after, and may keep this thread, which only the deadline of the event ends.
  event.has_parent = event.process.parent != 0 && parents_.read(event.process.parent, &event.parent);
  event.leaders = lineage_.of(event.process, event.has_parent ? &event.parent : nullptr);
  const bool is_denied = event.verdict == Verdict::kDeny;
  std::shared_ptr<const Process> program;
  if (envelope.isExec() && !is_denied) {
    program = std::make_shared<const Process>(event.process);
    one->container.execs.runs(event.tid, program);
    // It may end right after the answer.
    if (settings_.tells_ends) noteBegin(event);
  }
  if (second) {
    one->desk->turn.claim();
    one->desk->turn.end();
    second.giveBack();
  } else {
    event.verdict = answer(&envelope, event.verdict, &is_late);
  }
  event.outcome = event.verdict == Verdict::kDeny ? Outcome::kPrevented : Outcome::kDetected;
  if (is_late) event.decided_by = KernelEvent::DecidedBy::kDeadline;
  if (program != nullptr) parents_.keep(std::move(program));
  event.path = std::move(one->path);
  if (one->reason == Reason::kNone) return reports_->add(std::move(event));
  // File rules bar the exec, beside what process rules say of it.
  if (!event.fired.empty()) reports_->add(KernelEvent(event));
  event.kind = envelope.isExec() ? EventKind::kExec : EventKind::kLoad;
  event.operations = one->came_by;
  event.reason = one->reason;
  event.fired = std::move(one->barring);
  reports_->add(std::move(event));
}

}  // namespace d4c
