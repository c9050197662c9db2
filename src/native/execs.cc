#include "execs.h"

#include <elf.h>
#include <limits.h>

#include <cstring>

#include "proc_file.h"

namespace d4c {

namespace {

/// Compilers put the program headers and the loader's name at the beginning of the file.
constexpr size_t kHeadBytes = 1024;
/// Tasks that are remembered.
constexpr size_t kMaxTasks = 4096;
/// The second event of an exec follows the first one's answer at once.
constexpr std::chrono::milliseconds kOpenFollows(5);

template <typename Header, typename Segment>
std::string loaderIn(const char* head, size_t size) {
  Header header;
  if (size < sizeof header) return {};
  std::memcpy(&header, head, sizeof header);
  if (header.e_phentsize != sizeof(Segment)) return {};
  for (size_t i = 0; i < header.e_phnum; ++i) {
    const uint64_t at = uint64_t{header.e_phoff} + i * sizeof(Segment);
    Segment segment;
    if (at > size || size - at < sizeof segment) return {};
    std::memcpy(&segment, head + at, sizeof segment);
    if (segment.p_type != PT_INTERP) continue;
    if (segment.p_offset > size || size - segment.p_offset < segment.p_filesz) return {};
    return std::string(head + segment.p_offset, strnlen(head + segment.p_offset, segment.p_filesz));
  }
  return {};
}

/// The loader that the program names; empty when it names none, or not where it can be found cheaply.
std::string loaderOf(int file) {
  char head[kHeadBytes];
  // SAFETY: reads through the event's descriptor. Nothing is opened, so no permission event can arise.
  const ssize_t size = pread(file, head, sizeof head, 0);
  if (size < EI_NIDENT || std::memcmp(head, ELFMAG, SELFMAG) != 0) return {};
  return head[EI_CLASS] == ELFCLASS64 ? loaderIn<Elf64_Ehdr, Elf64_Phdr>(head, static_cast<size_t>(size))
                                      : loaderIn<Elf32_Ehdr, Elf32_Phdr>(head, static_cast<size_t>(size));
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
  return {task.awaits_open, task.unread_program || (task.program && isLoader(task.program->name))};
}

bool Execs::begin(pid_t tid, int file, const Opened& opened, bool opens_follow, const OverlayPlace& place) {
  Task task;
  task.executed = opened;
  task.awaits_open = opens_follow;
  task.since = std::chrono::steady_clock::now();
  task.loader = loaderOf(file);
  std::string expected;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    // Tasks that end between two events are forgotten all together.
    if (tasks_.size() >= kMaxTasks) tasks_.clear();
    Task& known = tasks_[tid];
    expected = std::move(known.loader);
    task.program = std::move(known.program);
    task.unread_program = std::move(known.unread_program);
    known = std::move(task);
  }
  if (expected.empty()) return false;
  // By inode, since the name leads through symlinks. A task that lies about its loader has it executed.
  const Descriptor loader = openInContainer(place, expected);
  struct stat named {};
  return loader && fstat(loader.get(), &named) == 0 && named.st_ino == opened.inode && named.st_dev == deviceOf(file);
}

void Execs::runs(pid_t tid, Process program) {
  const std::lock_guard<std::mutex> lock(mutex_);
  const auto found = tasks_.find(tid);
  if (found == tasks_.end()) return;
  found->second.unread_program.reset();
  found->second.program = std::move(program);
}

void Execs::runs(pid_t tid, Descriptor program) {
  const std::lock_guard<std::mutex> lock(mutex_);
  const auto found = tasks_.find(tid);
  if (found != tasks_.end()) found->second.unread_program = std::move(program);
}

void Execs::readProgram(pid_t tid, Task* task) {
  if (!task->unread_program) return;
  Process program;
  program.pid = tid;
  if (readPath(task->unread_program.get(), &program.executable)) {
    program.name = nameOfProgram(program.executable);
    task->program = std::move(program);
  }
  task->unread_program.reset();
}

void Execs::settle(pid_t tid) {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (const auto found = tasks_.find(tid); found != tasks_.end()) readProgram(tid, &found->second);
}

std::optional<Process> Execs::lastProgram(pid_t tid) {
  const std::lock_guard<std::mutex> lock(mutex_);
  const auto found = tasks_.find(tid);
  if (found == tasks_.end()) return std::nullopt;
  readProgram(tid, &found->second);
  return found->second.program;
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
