// The part of the judge that tells of what was heard (judge_hear.cc), at once or when the container's first table has come.

#include <utility>

#include "drift.h"
#include "judge.h"

namespace d4c {

bool Judge::concernsExec(const Table& table, const std::string& path, Desk* desk) {
  if (!(table.operations() & kExec)) return false;
  Scratch& scratch = desk->scratch;
  table.lookIfKnown(Section::kProcess, path, &scratch);
  return table.mayFire(Section::kProcess, kExec, scratch);
}

bool Judge::concernsOrigin(const Table& table, const Root& root, const Opened& file) {
  return (table.blockedOperations() & kOnExecutables) != 0 && root.upper.mayHold(file.birth_ns);
}

/// By what operation a program of the root filesystem came to be that is not of the image; 0 when it is.
uint8_t Judge::cameBy(Root& root, const std::string& path, int file, int64_t birth_ns) {
  if (path.empty() || !root.upper.mayHold(birth_ns)) return 0;
  Origin origin = originOf(root.upper, path, file, birth_ns, std::nullopt);
  if (origin == Origin::kAsk) {
    bool is_certain = true;
    const bool is_unchanged = isUnchanged(root.upper, path, &is_certain);
    if (!is_certain) reports_->fail(Failure::kDriftUncompared, path);
    origin = originOf(root.upper, path, file, birth_ns, is_unchanged && is_certain);
  }
  if (origin == Origin::kImage) return 0;
  return origin == Origin::kModified ? kModifyExecutable : kCreateExecutable;
}

/// `event.operations`: by what the program came to be, where it is not of the image.
void Judge::tellExec(Container& container, KernelEvent event, bool is_loader, Desk* desk) {
  const std::shared_ptr<const Binding> binding = container.binding();
  if (binding->table == nullptr) return;
  const Table& table = *binding->table;
  const uint8_t came_by = std::exchange(event.operations, uint8_t{0});
  noteBinding(container, *binding, &event);
  Scratch& scratch = desk->scratch;
  if (concernsExec(table, event.path, desk)) {
    Question question{Section::kProcess, kExec};
    question.interactive = event.process.interactive;
    const Verdict verdict = table.decide(question, &scratch);
    if (!scratch.fired.empty() && !(is_loader && verdict == Verdict::kAllow)) {
      countUnenforced(table, verdict, event.path);
      event.fired = scratch.fired;
      if (settings_.tells_ends) noteBegin(event);
      reports_->add(KernelEvent(event));
    }
  }
  if (came_by == 0 || !(table.blockedOperations() & kOnExecutables)) return;
  table.look(Section::kFile, event.path, &scratch);
  Question question{Section::kFile, came_by, event.mount};
  question.is_exact = true;
  if (table.decide(question, &scratch) == Verdict::kAllow) return;
  countUnenforced(table, Verdict::kDeny, event.path);
  event.operations = came_by;
  event.reason = Reason::kDrift;
  event.fired = scratch.fired;
  reports_->add(std::move(event));
}

/// Keeps what was heard until it is known which rules decide. False when it is by now.
bool Judge::keep(Container& container, const Kept& what) {
  const auto* const event = std::get_if<KernelEvent>(&what);
  const Process* const process = event != nullptr ? &event->process : &*std::get<Change>(what).process;
  FirstExec first{container.key, process->pid, {}, process->executable};
  if (const auto cgroup = container.cgroup()) first.cgroup = cgroup->path;
  switch (container.keep(what)) {
    case Container::Wait::kFirst:
      reports_->add(Report(std::move(first)));
      return true;
    case Container::Wait::kFurther:
      return true;
    case Container::Wait::kPublished:
      return false;
    case Container::Wait::kInVain:
      reports_->fail(Failure::kContainerUnknown, pathOf(what));
      return true;
  }
  return true;
}

void Judge::judgeKept(Root& root, Container& container, Desk* desk) {
  for (Kept& kept : container.takeKept()) {
    if (auto* const event = std::get_if<KernelEvent>(&kept)) {
      tellExec(container, std::move(*event), false, desk);
    } else {
      judgeChange(root, std::get<Change>(kept), true, desk);
    }
  }
}

void Judge::countUnenforced(const Table& table, Verdict verdict, const std::string& path) {
  const bool is_asked_for = settings_.asks_to_enforce && table.enforces() && verdict == Verdict::kDeny;
  if (is_asked_for && !settings_.can_refuse) reports_->fail(Failure::kNotEnforceable, path);
}

}  // namespace d4c
