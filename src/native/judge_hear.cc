// The part of the judge that hears of what nobody was asked about, on a kernel without permission events.
//
// An exec is told when it is under way, and the facts of its process are read as they are then: it may have ended. A file is told
// of when whoever had it open for writing closes it. That a file was created, linked, renamed, deleted or made executable is
// told by the filesystem (judge_changes.cc), as on every kernel.

#include <sys/fanotify.h>
#include <sys/stat.h>

#include "creations.h"
#include "judge.h"
#include "memory.h"
#include "priority.h"
#include "proc_file.h"
#include "running.h"

namespace d4c {

namespace {

/// From the moment an exec is told until its task runs the new program.
constexpr std::chrono::milliseconds kLongestExecHeard(20);

/// Whether nothing but its number is left of the task.
bool hasEnded(pid_t tid) { return readProcLink(tid, "ns/mnt").empty(); }

}  // namespace

bool Judge::hear(Heard* heard, Desk* desk) {
  Root& root = *heard->root;
  const MemoryRule rule(root.keeps == 0);
  if (heard->tid == 0) {
    reports_->fail(Failure::kContainerUnknown, "a task outside of this pid namespace did something in a container");
    return true;
  }
  if ((heard->mask & FAN_OPEN_EXEC) && !hearExec(root, heard, desk)) return false;
  // It may be looked at again for the other one.
  heard->mask &= ~uint64_t{FAN_OPEN_EXEC};
  return !(heard->mask & FAN_CLOSE_WRITE) || hearClose(root, heard, desk);
}

/// The container whose task executes something, or null for a task of the host.
std::shared_ptr<Container> Judge::executorOf(Root& root, pid_t tid) {
  if (auto container = containerOf(root, tid, true)) return container;
  if (!hasEnded(tid)) return nullptr;
  const auto all = root.containers();
  for (const auto& container : *all) {
    if (container->execs.lastProgram(tid) != nullptr) return container;
  }
  // Nobody can tell by its cgroup any more that the container runs.
  if (root.isSetUp()) root.may_run = true;
  return all->front();
}

/// Finds out whose exec it is; null when it is of the host.
std::shared_ptr<Container> Judge::beginExec(Root& root, Heard* heard) {
  const pid_t tid = heard->tid;
  auto container = executorOf(root, tid);
  if (container == nullptr) return nullptr;
  const pid_t process = parents_.forget(tid);
  const Opened found = opened(heard->file.get());
  if (const auto last = container->execs.lastProgram(tid)) heard->last_arguments = last->arguments_at;
  heard->is_loader = container->execs.begin(tid, process, heard->file.get(), found, false, root.place).is_loader;
  if (pid_t none = 0; container->pid.load() == none) container->pid.compare_exchange_strong(none, processOf(tid));
  if (found.mount != 0 && !container->hasMount(found.mount)) {
    noteEntry(tid);
    if (hooks_.cover(root, tid)) container->rememberMount(found.mount);
  }
  return container;
}

/// Reads who executes the file at `path`, as far as that is possible. False while the exec is under way.
bool Judge::readExecutor(Heard* heard, const std::string& path, Process* process) {
  const bool may_come = !heard->is_loader && !heard->is_last_look && Clock::now() - heard->since < kLongestExecHeard;
  // One that fails is never over.
  const bool is_under_way = !heard->is_loader && isUnderWay(heard->tid, heard->file.get(), path, heard->last_arguments);
  if (is_under_way && may_come && heard->process.pid != 0) return false;
  const bool is_read = readProcess(heard->tid, process);
  const bool has_arguments = is_read && !is_under_way && !process->args.empty();
  if (!has_arguments) process->args.clear();
  // KERNEL: its memory is there a moment before its arguments are.
  if (is_read && may_come && !has_arguments && mayReadMemory() && !hasEnded(heard->tid)) {
    heard->process = std::move(*process);
    return false;
  }
  if (!is_read) *process = std::move(heard->process);
  // Its interpreter is told of next, and is the same exec.
  if (!isScript(heard->file.get())) process->arguments_at = runningOf(heard->tid).arguments_at;
  if (!has_arguments) reports_->fail(Failure::kProcessUnread, path);
  return true;
}

/// False while it is under way.
bool Judge::hearExec(Root& root, Heard* heard, Desk* desk) {
  if (heard->container == nullptr) heard->container = beginExec(root, heard);
  if (heard->container == nullptr) return true;
  Container& container = *heard->container;
  const pid_t tid = heard->tid;
  const int file = heard->file.get();
  const std::shared_ptr<const Binding> binding = container.binding();
  const bool is_kept = !binding->is_published;
  // A loader is told of for itself only where it is not to be executed at all.
  if ((!is_kept && binding->table == nullptr) || (is_kept && heard->is_loader)) return true;
  KernelEvent event;
  event.kind = EventKind::kExec;
  event.is_heard = true;
  event.tid = tid;
  event.time_us = heard->time_us;
  readPathOf(tid, file, &event.path);
  Process& process = event.process;
  const Opened found = opened(file);
  // What is kept may have to be told.
  const bool is_told = is_kept || concernsExec(*binding->table, event.path, desk) || concernsOrigin(*binding->table, root, found);
  if (is_told && !readExecutor(heard, event.path, &process)) return false;
  // Nobody waits for what follows, and a container could have much of it done.
  const TakesTurns ordinary;
  if (process.pid == 0) process.pid = tid;
  process.executable = event.path;
  process.name = nameOfProgram(event.path);
  const auto program = heard->is_loader ? nullptr : std::make_shared<const Process>(process);
  if (program != nullptr) container.execs.runs(tid, program);
  if (!is_kept && (binding->table->operations() & (kFork | (settings_.tells_ends ? kExec : 0)))) {
    if (const pid_t pid = processOf(tid); pid != 0) hooks_.member(pid, container.key);
  }
  if (!is_told) return true;
  fstat(file, &event.file);
  event.mount = root.kinds.of(file, found, tid, root.place.device);
  if (event.mount == MountKind::kRoot && !heard->is_loader) event.operations = cameBy(root, event.path, file, found.birth_ns);
  event.has_parent = process.parent != 0 && parents_.read(process.parent, &event.parent);
  event.leaders = lineage_.of(process, event.has_parent ? &event.parent : nullptr);
  if (program != nullptr && !process.args.empty()) parents_.keep(program);
  if (!is_kept || !keep(container, event)) tellExec(container, std::move(event), heard->is_loader, desk);
  return true;
}

/// A file that was open for writing was closed. Whoever has created it by that open has not changed what was there. False while it
/// is not known who has created it.
bool Judge::hearClose(Root& root, Heard* heard, Desk* desk) {
  const TakesTurns ordinary;
  const int file = heard->file.get();
  Change change{ChangeKind::kModification, heard->tid, {}};
  if (fstat(file, &change.file) != 0 || !S_ISREG(change.file.st_mode) || change.file.st_nlink == 0) return true;
  if (!readPathOf(heard->tid, file, &change.path)) return true;
  change.mount = root.kinds.of(file, opened(file), heard->tid, root.place.device);
  const dev_t device = change.file.st_dev;
  Creations* const creations = root.creations.load(std::memory_order_acquire);
  if (creations != nullptr && (change.mount == MountKind::kRoot || device == creations->device())) {
    if (creations->madeBy(heard->tid, change.file.st_ino)) return true;
  } else if (change.mount != MountKind::kRoot) {
    // Another thread reads who creates files there.
    const bool may_come = !heard->is_last_look && Clock::now() - heard->since < kLongestExecHeard;
    if (may_come && !hooks_.has_told(device, &heard->last_change)) {
      // It may have ended by then.
      if (heard->process.pid == 0) readProcess(heard->tid, &heard->process);
      return false;
    }
    const auto files = hooks_.files_of(device);
    if (files != nullptr && files->takeMade(heard->tid, change.file.st_ino)) return true;
  }
  if (heard->process.pid != 0) change.process = std::move(heard->process);
  change.has_file = true;
  change.time_us = heard->time_us;
  change.operations = change.isExecutable() ? kModifyFile | kModifyExecutable : kModifyFile;
  judgeChange(root, change, true, desk);
  return true;
}

}  // namespace d4c
