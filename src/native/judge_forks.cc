// The part of the judge that hears of forks.

#include "judge.h"
#include "memory.h"
#include "proc_stat.h"

namespace d4c {

std::shared_ptr<const std::string> Judge::judgeFork(Container& container, pid_t parent, pid_t child, Clock::time_point at,
                                                    std::shared_ptr<const std::string> inherited, Desk* desk) {
  parents_.forked(child, at);
  container.execs.forked(child, at);
  const std::shared_ptr<const Binding> binding = container.binding();
  if (binding->table == nullptr || !(binding->table->operations() & kFork)) return nullptr;
  // There is one thread for the forks of all containers, and none of them may keep it.
  const MemoryRule no_memory(false);
  const OneLook look;
  Process forking;
  const bool has_parent = parents_.read(parent, &forking);
  // One that has ended is known by what it executed last. Until it executes something, a child runs what its parent does.
  if (!has_parent) {
    if (const auto program = container.execs.lastProgram(parent)) {
      forking = *program;
    } else if (inherited != nullptr && !container.execs.hasExecuted(parent)) {
      forking.executable = *inherited;
    }
    forking.pid = parent;
  }
  if (inherited == nullptr || *inherited != forking.executable) inherited = std::make_shared<std::string>(forking.executable);
  if (inherited->empty()) inherited.reset();
  const Table& table = *binding->table;
  Scratch& scratch = desk->scratch;
  table.lookIfKnown(Section::kProcess, forking.executable, &scratch);
  if (!table.mayFire(Section::kProcess, kFork, scratch)) return inherited;
  Question question{Section::kProcess, kFork};
  question.interactive = forking.interactive;
  table.decide(question, &scratch);
  if (scratch.fired.empty()) return inherited;
  KernelEvent event = eventOf(container, *binding, EventKind::kFork, child);
  event.time_us = usOf(at);
  event.path = forking.executable;
  event.fired = scratch.fired;
  event.has_parent = true;
  event.parent = std::move(forking);
  // It may have executed something by now.
  event.process = event.parent;
  event.process.start_ticks = has_parent ? startOf(child) : 0;
  // As whom may have changed since the parent was looked at first.
  if (has_parent) readOwner(parent, &event.process);
  if (!has_parent) readAround(child, &event.process);
  event.process.pid = child;
  event.process.parent = parent;
  event.leaders = lineage_.of(event.process, &event.parent);
  if (settings_.tells_ends) noteBegin(event);
  reports_->add(std::move(event));
  return inherited;
}

void Judge::noteBegin(const KernelEvent& event) {
  std::vector<Fired> logged;
  for (Fired fired : event.fired) {
    if (!(fired.actions & kLog)) continue;
    fired.actions = kLog;
    logged.push_back(fired);
  }
  if (logged.empty() || event.process.pid == 0) return;
  auto begin = std::make_shared<KernelEvent>(event);
  begin->fired = std::move(logged);
  hooks_.began(std::move(begin));
}

}  // namespace d4c
