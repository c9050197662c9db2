#include "execs.h"

#include <signal.h>

#include <algorithm>
#include <cerrno>
#include <iterator>

#include "clock_steps.h"
#include "proc_file.h"
#include "program_head.h"

namespace d4c {

namespace {

/// Tasks that are remembered before those that have ended are forgotten.
constexpr size_t kMaxTasks = 4096;
/// What is remembered of programs before that.
constexpr size_t kMaxExecBytes = size_t{1} << 20;
/// What is taken for a task, roughly, beside what is remembered of its program.
constexpr size_t kTaskBytes = 512;
/// Where there is no room, those that have ended are looked for again.
constexpr std::chrono::seconds kRoomPause(1);
/// From the first event of an exec to its last one.
constexpr std::chrono::seconds kLongestExecKept(2);
/// The second event of an exec follows the first one's answer at once.
constexpr std::chrono::milliseconds kOpenFollows(5);

Process withoutArguments(const Process& program) {
  Process less = program;
  less.args = {};
  less.args_truncated = true;
  less.working_directory = {};
  return less;
}

dev_t deviceOf(int file) {
  struct stat found {};
  return fstat(file, &found) == 0 ? found.st_dev : 0;
}

}  // namespace

bool isLoader(const std::string& name) { return name.rfind("ld-", 0) == 0 || name.rfind("ld.so", 0) == 0; }

Execs::Expected Execs::expectedOf(pid_t tid) const {
  const std::lock_guard<std::mutex> lock(mutex_);
  const auto found = tasks_.find(tid);
  if (found == tasks_.end()) return {};
  const Task& task = found->second;
  const bool is_loader = task.program != nullptr && isLoader(task.program->name);
  return {task.awaits_open, task.unread_program || task.may_run_loader || is_loader};
}

Execs::Execs(std::shared_ptr<Account> account)
    : tasks_purse_(account), programs_purse_(std::move(account)), room_(kMaxTasks), room_bytes_(kMaxExecBytes) {}

Execs::Task& Execs::taskAt(pid_t tid) {
  const auto [found, is_new] = tasks_.try_emplace(tid);
  if (is_new) tasks_purse_.takeAnyway(kTaskBytes);
  return found->second;
}

Execs::Begun Execs::begin(pid_t tid, pid_t process, int file, const Opened& opened, bool opens_follow, const OverlayPlace& place) {
  Task task;
  ProgramHead head = headOf(file);
  task.process = process;
  task.executed = opened;
  task.awaits_open = opens_follow;
  task.since = std::chrono::steady_clock::now();
  task.loader = std::move(head.loader);
  task.wants_interpreter = head.wants_interpreter;
  std::string expected;
  Begun begun;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (tasks_.size() >= room_) makeRoom();
    Task& known = taskAt(tid);
    begun.is_unannounced = head.may_load && !known.wants_interpreter;
    expected = std::move(known.loader);
    task.program = std::move(known.program);
    task.unread_program = std::move(known.unread_program);
    task.may_run_loader = known.may_run_loader && !isOther(known, startOf(tid));
    known = std::move(task);
  }
  if (expected.empty()) return begun;
  // By inode, since the name leads through symlinks. A task that lies about its loader has it executed.
  const Descriptor loader = openInContainer(place, expected);
  struct stat named {};
  begun.is_loader = loader && fstat(loader.get(), &named) == 0 && named.st_ino == opened.inode && named.st_dev == deviceOf(file);
  return begun;
}

/// Those that live may be in the middle of an exec: forgetting one would make its loader look unannounced. With what
/// arguments they run can be read as long as they live.
void Execs::makeRoom() {
  for (auto task = tasks_.begin(); task != tasks_.end();) {
    const bool has_ended = kill(task->first, 0) != 0 && errno == ESRCH;
    if (has_ended) forget(&task->second);
    task = has_ended ? tasks_.erase(task) : std::next(task);
  }
  tasks_purse_.give(tasks_purse_.bytes() - tasks_.size() * kTaskBytes);
  room_ = std::max(kMaxTasks, 2 * tasks_.size());
  if (programs_purse_.bytes() > kMaxExecBytes / 2) {
    for (auto& [tid, task] : tasks_) {
      if (task.program == nullptr) continue;
      programs_purse_.give(bytesOf(*task.program));
      task.program = std::make_shared<const Process>(withoutArguments(*task.program));
      programs_purse_.takeAnyway(bytesOf(*task.program));
    }
  }
  room_bytes_ = std::max(kMaxExecBytes, 2 * programs_purse_.bytes());
  made_room_at_ = std::chrono::steady_clock::now();
}

void Execs::forget(Task* task) {
  if (task->program != nullptr) programs_purse_.give(bytesOf(*task->program));
  task->program.reset();
}

void Execs::remember(pid_t tid, std::shared_ptr<const Process> program) {
  const Task& task = taskAt(tid);
  if (task.process != 0 && task.process != tid) {
    Task& first = taskAt(task.process);
    first.since = task.since;
    first.may_run_loader |= isLoader(program->name);
    keep(task.process, program);
  }
  keep(tid, std::move(program));
}

void Execs::keep(pid_t tid, std::shared_ptr<const Process> program) {
  if (const auto known = tasks_.find(tid); known != tasks_.end()) forget(&known->second);
  const size_t bytes = bytesOf(*program);
  if (programs_purse_.bytes() + bytes > room_bytes_) makeRoom();
  bool is_taken = programs_purse_.take(bytes);
  if (!is_taken && std::chrono::steady_clock::now() - made_room_at_ > kRoomPause) {
    makeRoom();
    is_taken = programs_purse_.take(bytes);
  }
  // It may have been killed by now.
  const auto found = tasks_.find(tid);
  if (found == tasks_.end()) {
    if (is_taken) programs_purse_.give(bytes);
    return;
  }
  if (!is_taken) {
    // Its name is needed: a loader is known by that.
    programs_purse_.forgot("what programs run with which arguments");
    Process less = withoutArguments(*program);
    less.executable = {};
    programs_purse_.takeAnyway(bytesOf(less));
    program = std::make_shared<const Process>(std::move(less));
  }
  found->second.program = std::move(program);
}

void Execs::attend() {
  const std::lock_guard<std::mutex> lock(mutex_);
  attended_since_ = std::chrono::steady_clock::now();
}

bool Execs::isAttended() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return attended_since_ == std::chrono::steady_clock::time_point::min() ||
         std::chrono::steady_clock::now() - attended_since_ > kLongestExecKept;
}

void Execs::runs(pid_t tid, std::shared_ptr<const Process> program) {
  const std::lock_guard<std::mutex> lock(mutex_);
  const auto found = tasks_.find(tid);
  if (found == tasks_.end()) return;
  found->second.unread_program.reset();
  remember(tid, std::move(program));
}

void Execs::runs(pid_t tid, Descriptor program) {
  const std::lock_guard<std::mutex> lock(mutex_);
  const auto found = tasks_.find(tid);
  if (found == tasks_.end()) return;
  found->second.unread_program = std::move(program);
  if (found->second.process != tid) readProgram(tid);
}

void Execs::readProgram(pid_t tid) {
  const auto found = tasks_.find(tid);
  if (found == tasks_.end() || !found->second.unread_program) return;
  const Descriptor file = std::move(found->second.unread_program);
  Process program;
  program.pid = tid;
  if (!readPathAsSeenBy(tid, file.get(), &program.executable)) return;
  program.name = nameOfProgram(program.executable);
  remember(tid, std::make_shared<const Process>(std::move(program)));
}

bool Execs::hasExecuted(pid_t tid) const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return tasks_.count(tid) != 0;
}

void Execs::settle(pid_t tid) {
  const std::lock_guard<std::mutex> lock(mutex_);
  readProgram(tid);
}

void Execs::forked(pid_t pid, std::chrono::steady_clock::time_point at) {
  const std::lock_guard<std::mutex> lock(mutex_);
  const auto found = tasks_.find(pid);
  if (found == tasks_.end() || found->second.since > at) return;
  forget(&found->second);
  tasks_.erase(found);
  tasks_purse_.give(kTaskBytes);
}

/// Whether a task that was started then has not executed what is remembered. What was done within a tick before is taken for its own.
bool Execs::isOther(const Task& task, uint64_t start_ticks) {
  const std::chrono::nanoseconds since_exec = std::chrono::steady_clock::now() - task.since;
  return start_ticks != 0 && ageNsOf(start_ticks) < since_exec.count();
}

bool Execs::mayRunLoader(pid_t tid) {
  const auto program = lastProgram(tid);
  const std::lock_guard<std::mutex> lock(mutex_);
  const auto found = tasks_.find(tid);
  if (found == tasks_.end()) return false;
  const bool has_executed_one = found->second.may_run_loader || (program != nullptr && isLoader(program->name));
  return has_executed_one && !isOther(found->second, startOf(tid));
}

std::shared_ptr<const Process> Execs::lastProgram(pid_t tid, uint64_t start_ticks) {
  const std::lock_guard<std::mutex> lock(mutex_);
  readProgram(tid);
  const auto found = tasks_.find(tid);
  return found == tasks_.end() || isOther(found->second, start_ticks) ? nullptr : found->second.program;
}

bool Execs::isOpenOfExec(pid_t tid, const Opened& opened) {
  const std::lock_guard<std::mutex> lock(mutex_);
  const auto found = tasks_.find(tid);
  if (found == tasks_.end() || !found->second.awaits_open) return false;
  Task& task = found->second;
  task.awaits_open = false;
  // The time keeps a task that was killed in between from lending its number to another one.
  return task.executed.inode == opened.inode && task.executed.mount == opened.mount &&
         std::chrono::steady_clock::now() - task.since < kOpenFollows;
}

}  // namespace d4c
