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
  if (envelope.isExec()) {
    fstat(envelope.file(), &event.file);
    event.mount = one->root.kinds.of(envelope.file(), envelope.opened(), event.tid, one->root.place.device);
    readExecutingProcess(event.tid, one->ids, one->path, one->call, &event.process);
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
  // Before the answer: who is read may end right after, and may keep this thread, which only the deadline of the event ends.
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
  bool is_late = false;
  event.verdict = answer(&envelope, event.verdict, &is_late);
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
