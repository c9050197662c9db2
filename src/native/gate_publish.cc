// The part of the gate that takes in what decides for a container, and what follows from that.

#include <cerrno>

#include "clock_steps.h"
#include "gate.h"
#include "proc_file.h"
#include "processes.h"

namespace d4c {

void Gate::publish(uint64_t key, std::shared_ptr<const Table> table, uint64_t generation,
                   std::shared_ptr<const std::string> context, std::shared_ptr<const RuleNames> names) {
  Known known;
  {
    const std::shared_lock<std::shared_mutex> lock(mutex_);
    const auto found = known_.find(key);
    if (found == known_.end()) return;
    known = found->second;
  }
  // Also for rules about modifying: what an open has created it does not modify.
  if (table != nullptr && table->operations() & kOpenOperations) watchCreations(*known.root);
  if (table != nullptr && table->operations() & (kFork | (settings_.tells_ends ? kExec : 0))) forks_.listen();
  if (table != nullptr && table->operations() & kChangeOperations && changes_.cover(known.root)) known.root->tells_changes = true;
  // Before the marks go: what is executed without them is not seen, also when another table comes later.
  if (table == nullptr) known.root->may_run = true;
  // From the first table on execs are told; where something may run already, one may be under way.
  const auto before = known.container->binding();
  if (table != nullptr && before->table == nullptr && (before->is_published || known.root->may_run)) known.container->execs.attend();
  // What waits has it done when it is judged.
  if (known.root->may_run && judge_.wantsNoMemfd(*known.container, table.get())) forbidMemfd(*known.root, *known.container);
  auto waited = known.container->publish(
      std::make_shared<Binding>(Binding{true, std::move(table), generation, std::move(context), std::move(names)}));
  followMembers(*known.container);
  watch(*known.root);
  spaces_.refresh(*known.root);
  // The readers judge: a task can keep whoever does, and who publishes must not be kept.
  if (!settings_.can_refuse) note({known.root, known.container, 0});
  for (Envelope& envelope : waited) putOff(*known.root, known.container, std::move(envelope));
}

/// Processes that run already may fork, too. Once for each container, when both its rules and its cgroup are known.
void Gate::followMembers(Container& container) {
  const auto table = container.binding()->table;
  const auto cgroup = container.cgroup();
  if (table == nullptr || !(table->operations() & kFork) || cgroup == nullptr || cgroup->path.empty()) return;
  if (!container.has_followed.exchange(true)) forks_.noteAll(container.key, *cgroup);
}

/// Once for each container, and again where something was missing for it.
void Gate::forbidMemfd(const Root& root, Container& container) {
  const pid_t pid = container.pid.load(std::memory_order_relaxed);
  if (pid == 0) return;
  MemfdNoexec before = container.memfd_noexec;
  if (before != MemfdNoexec::kNotAsked && before != MemfdNoexec::kDelayed) return;
  // Whoever comes meanwhile goes on.
  if (!container.memfd_noexec.compare_exchange_strong(before, MemfdNoexec::kFailed)) return;
  std::string fault;
  const auto is_right = [&] {
    const auto cgroup = container.cgroup();
    const auto cgroups = readCgroups(pid);
    if (!cgroups) return false;
    errno = ESRCH;
    return isMember(cgroup == nullptr ? Cgroup() : *cgroup, root.place.device, *cgroups, pid);
  };
  container.memfd_noexec = d4c::forbidMemfd(pid, is_right, options_.host_root, &fault);
  if (!fault.empty()) reports_.fail(Failure::kMemfdNotForbidden, fault);
}

std::string Gate::adopt(uint64_t key, pid_t pid) {
  Known known;
  {
    const std::shared_lock<std::shared_mutex> lock(mutex_);
    const auto found = known_.find(key);
    if (found == known_.end()) return {};
    known = found->second;
  }
  const Cgroup cgroup = judge_.cgroupOf(readCgroups(pid).value_or(""));
  // Its number may have become another process's since it was found, before or after that was read.
  if (cgroup.path.empty() || !livesOn(pid, known.root->place.device)) return {};
  // A directory that seems to be younger than a process on it was made before the clock was set back, of which nobody told.
  if (const uint64_t started = startOf(pid)) known.root->upper.mayHoldSince(clockNsAt(started));
  known.container->seat(cgroup);
  known.container->pid.store(pid, std::memory_order_relaxed);
  if (judge_.wantsNoMemfd(*known.container, known.container->binding()->table.get())) forbidMemfd(*known.root, *known.container);
  followMembers(*known.container);
  spaces_.cover(*known.root, pid, Spaces::Owner::kMember);
  return cgroup.path;
}

/// What it does from now on is decided as for a container that ran before.
void Gate::takeMissed(Root& root, pid_t pid) {
  root.may_run = true;
  const auto container = root.containers()->front();
  const std::string path = readProcLink(pid, "exe");
  reports_.fail(Failure::kFirstProgramMissed, "`" + root.place.mount_point + "`: `" + path + "`");
  const std::string cgroup = adopt(container->key, pid);
  watch(root);
  reports_.add(Report(FirstExec{container->key, pid, cgroup, path}));
}

}  // namespace d4c
