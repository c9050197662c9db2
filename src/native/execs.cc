#include "execs.h"

#include <elf.h>
#include <limits.h>
#include <signal.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <iterator>

#include "proc_file.h"

namespace d4c {

namespace {

/// Compilers put the program headers and the loader's name at the beginning of the file.
constexpr size_t kHeadBytes = 1024;
/// Tasks that are remembered before those that have ended are forgotten.
constexpr size_t kMaxTasks = 4096;
/// What is remembered of programs before that.
constexpr size_t kMaxBytes = size_t{1} << 20;
/// From the first event of an exec to its last one.
constexpr std::chrono::seconds kLongestExec(2);
/// The second event of an exec follows the first one's answer at once.
constexpr std::chrono::milliseconds kOpenFollows(5);

/// What the beginning of a file tells of how the kernel runs it.
struct Head {
  /// The loader that it names; empty when it names none, or not where it can be found cheaply.
  std::string loader{};
  /// The kernel may open a further file to run it. Also of what is not known.
  bool wants_interpreter = true;
  /// Others may name it as their loader: it is loaded anywhere, and by itself.
  bool may_load = false;
};

/// Programs of other machines are run by an interpreter (binfmt_misc).
bool isOfThisMachine(unsigned machine) {
#if defined(__x86_64__)
  return machine == EM_X86_64 || machine == EM_386;
#elif defined(__aarch64__)
  return machine == EM_AARCH64 || machine == EM_ARM;
#else
  return false;
#endif
}

template <typename Header, typename Segment>
Head headIn(const char* head, size_t size) {
  Header header;
  if (size < sizeof header) return {};
  std::memcpy(&header, head, sizeof header);
  if (header.e_phentsize != sizeof(Segment)) return {};
  bool is_dynamic = false;
  for (size_t i = 0; i < header.e_phnum; ++i) {
    const uint64_t at = uint64_t{header.e_phoff} + i * sizeof(Segment);
    Segment segment;
    if (at > size || size - at < sizeof segment) return {};
    std::memcpy(&segment, head + at, sizeof segment);
    is_dynamic |= segment.p_type == PT_DYNAMIC;
    if (segment.p_type != PT_INTERP) continue;
    if (segment.p_offset > size || size - segment.p_offset < segment.p_filesz) return {};
    return {std::string(head + segment.p_offset, strnlen(head + segment.p_offset, segment.p_filesz))};
  }
  if (!isOfThisMachine(header.e_machine)) return {};
  return {{}, false, is_dynamic && header.e_type == ET_DYN};
}

Head headOf(int file) {
  char head[kHeadBytes];
  // SAFETY: reads through the event's descriptor. Nothing is opened, so no permission event can arise.
  const ssize_t size = pread(file, head, sizeof head, 0);
  if (size < EI_NIDENT || std::memcmp(head, ELFMAG, SELFMAG) != 0) return {};
  return head[EI_CLASS] == ELFCLASS64 ? headIn<Elf64_Ehdr, Elf64_Phdr>(head, static_cast<size_t>(size))
                                      : headIn<Elf32_Ehdr, Elf32_Phdr>(head, static_cast<size_t>(size));
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
  return {task.awaits_open, task.unread_program || (task.program != nullptr && isLoader(task.program->name))};
}

Execs::Execs() : room_(kMaxTasks), room_bytes_(kMaxBytes) {}

Execs::Begun Execs::begin(pid_t tid, int file, const Opened& opened, bool opens_follow, const OverlayPlace& place) {
  Task task;
  Head head = headOf(file);
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
    Task& known = tasks_[tid];
    begun.is_unannounced = head.may_load && !known.wants_interpreter;
    expected = std::move(known.loader);
    task.program = std::move(known.program);
    task.unread_program = std::move(known.unread_program);
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
    task = has_ended ? tasks_.erase(task) : std::next(task);
  }
  room_ = std::max(kMaxTasks, 2 * tasks_.size());
  countBytes();
  if (bytes_ > kMaxBytes / 2) {
    for (auto& [tid, task] : tasks_) {
      if (task.program == nullptr) continue;
      Process program = *task.program;
      program.args = {};
      program.args_truncated = true;
      program.working_directory = {};
      task.program = std::make_shared<const Process>(std::move(program));
    }
    countBytes();
  }
  room_bytes_ = std::max(kMaxBytes, 2 * bytes_);
}

void Execs::countBytes() {
  bytes_ = 0;
  for (const auto& [tid, task] : tasks_) bytes_ += task.program != nullptr ? bytesOf(*task.program) : 0;
}

void Execs::attend() {
  const std::lock_guard<std::mutex> lock(mutex_);
  attended_since_ = std::chrono::steady_clock::now();
}

bool Execs::isAttended() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return attended_since_ == std::chrono::steady_clock::time_point::min() ||
         std::chrono::steady_clock::now() - attended_since_ > kLongestExec;
}

void Execs::runs(pid_t tid, std::shared_ptr<const Process> program) {
  const std::lock_guard<std::mutex> lock(mutex_);
  bytes_ += bytesOf(*program);
  if (bytes_ > room_bytes_) makeRoom();
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
    bytes_ += bytesOf(program);
    task->program = std::make_shared<const Process>(std::move(program));
  }
  task->unread_program.reset();
}

void Execs::settle(pid_t tid) {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (const auto found = tasks_.find(tid); found != tasks_.end()) readProgram(tid, &found->second);
}

std::shared_ptr<const Process> Execs::lastProgram(pid_t tid) {
  const std::lock_guard<std::mutex> lock(mutex_);
  const auto found = tasks_.find(tid);
  if (found == tasks_.end()) return nullptr;
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
