#include "processes.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "arguments.h"
#include "clock_steps.h"
#include "in_container.h"
#include "memory.h"
#include "proc_file.h"
#include "proc_stat.h"
#include "task.h"

namespace d4c {

namespace {

constexpr size_t kTaskNameBytes = 15;
constexpr size_t kMaxParents = 1024;
constexpr size_t kMaxParentsBytes = size_t{4} << 20;

/// The number after the field's name, and the next one.
bool readField(const char* status, const char* field, uint32_t* first, uint32_t* second) {
  const char* at = std::strstr(status, field);
  if (at == nullptr) return false;
  char* end = nullptr;
  *first = static_cast<uint32_t>(std::strtoul(at + std::strlen(field), &end, 10));
  if (second != nullptr) *second = static_cast<uint32_t>(std::strtoul(end, nullptr, 10));
  return true;
}

Interactive ofTerminal(int terminal) {
  const int major = (terminal >> 8) & 0xfff;
  return (major >= 136 && major <= 143) || major == 4 ? Interactive::kYes : Interactive::kNo;
}

Interactive interactiveOf(pid_t pid, const Stat& own) {
  if (own.session == pid) return ofTerminal(own.terminal);
  Stat leader;
  if (own.session == 0) return Interactive::kUnknown;
  if (readStatOften(own.session, &leader)) return ofTerminal(leader.terminal);
  // A session whose leader has ended has lost its terminal.
  return isOutOfDescriptors(errno) ? Interactive::kUnknown : Interactive::kNo;
}

std::optional<TaskIds> readIds(pid_t tid) {
  if (const auto ids = readTaskIds(tid)) return ids;
  char status[4096];
  uint32_t pid = 0;
  uint32_t parent = 0;
  TaskIds ids{};
  if (readProcFile(tid, "status", status, sizeof status) == 0) return std::nullopt;
  if (!readField(status, "\nTgid:", &pid, nullptr) || !readField(status, "\nPPid:", &parent, nullptr)) return std::nullopt;
  readField(status, "\nUid:", &ids.uid, &ids.euid);
  readField(status, "\nGid:", &ids.gid, &ids.egid);
  ids.pid = static_cast<pid_t>(pid);
  ids.parent = static_cast<pid_t>(parent);
  return ids;
}

/// What the task runs, under the name by which it was executed also when that was deleted.
std::string executableOf(pid_t tid) {
  std::string path = readProcLink(tid, "exe");
  if (withoutDeleted(path).size() == path.size()) return path;
  const Descriptor file = openProc(tid, "exe", O_PATH);
  std::string name;
  return file && readPathAsSeenBy(tid, file.get(), &name) ? name : path;
}

/// Where the task works, under the name that the folder had also when that was deleted.
std::string folderOf(pid_t tid) {
  std::string path = readProcLink(tid, "cwd");
  const size_t size = withoutDeleted(path).size();
  if (size == path.size()) return path;
  char link[32];
  std::snprintf(link, sizeof link, "/proc/%d/cwd", tid);
  struct statx folder {};
  // SAFETY: it can be on a filesystem whose server never answers.
  const bool is_read = statx(AT_FDCWD, link, AT_STATX_DONT_SYNC, STATX_NLINK, &folder) == 0;
  if (is_read && folder.stx_nlink == 0) path.resize(size);
  return path;
}

void takeOwner(const TaskIds& ids, Process* process) {
  process->uid = ids.uid;
  process->gid = ids.gid;
  process->euid = ids.euid;
  process->egid = ids.egid;
}

bool readAround(pid_t tid, const std::optional<TaskIds>& ids, Process* process) {
  Stat stat;
  if (!ids || !readStat(ids->pid, &stat)) return false;
  process->pid = ids->pid;
  process->parent = ids->parent;
  takeOwner(*ids, process);
  process->name = stat.name;
  process->group = stat.group;
  process->session = stat.session;
  process->start_ticks = stat.start_ticks;
  process->terminal = stat.terminal;
  process->interactive = interactiveOf(process->pid, stat);
  process->working_directory = folderOf(tid);
  return true;
}

}  // namespace

size_t bytesOf(const Process& process) {
  size_t bytes = process.executable.size() + process.working_directory.size();
  for (const std::string& argument : process.args) bytes += sizeof argument + argument.size();
  return bytes;
}

std::string nameOfProgram(const std::string& path) { return path.substr(path.rfind('/') + 1).substr(0, kTaskNameBytes); }

pid_t processOf(pid_t tid) {
  const auto ids = readIds(tid);
  return ids ? ids->pid : 0;
}

uint64_t startOf(pid_t pid) {
  Stat stat;
  return readStat(pid, &stat) ? stat.start_ticks : 0;
}

bool readAround(pid_t tid, Process* process) { return readAround(tid, readIds(tid), process); }

void readOwner(pid_t pid, Process* process) {
  if (const auto ids = readIds(pid)) takeOwner(*ids, process);
}

bool readProcess(pid_t tid, Process* process) {
  if (!readAround(tid, process)) return false;
  process->executable = executableOf(tid);
  process->args = runningArguments(process->pid, &process->args_truncated);
  return true;
}

bool readExecutingProcess(pid_t tid, const std::optional<TaskIds>& ids, const std::string& path, const BlockedCall& call,
                          Process* process) {
  if (!readAround(tid, ids ? ids : readIds(tid), process)) return false;
  process->executable = path;
  process->name = nameOfProgram(path);
  process->args = newArguments(tid, call, &process->args_truncated);
  return true;
}

Interactive readInteractive(pid_t tid) {
  const pid_t pid = processOf(tid);
  Stat stat;
  return pid != 0 && readStat(pid, &stat) ? interactiveOf(pid, stat) : Interactive::kUnknown;
}

bool Parents::read(pid_t pid, Process* process, bool* is_guess) {
  Stat stat;
  const bool is_there = readStatOften(pid, &stat);
  const auto note = [is_guess](bool is_one) {
    if (is_one && is_guess != nullptr) *is_guess = true;
  };
  const bool is_unread = !is_there && isOutOfDescriptors(errno);
  note(is_unread);
  std::shared_ptr<const Process> known;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (const auto found = kept_.find(pid); found != kept_.end()) known = found->second;
  }
  // Numbers are used again: only with the same start it is the same process.
  if (known != nullptr && is_there && known->start_ticks != stat.start_ticks) known.reset();
  // What it runs can be read without a descriptor, too.
  if (known != nullptr && is_unread && readProcLink(pid, "exe") != known->executable) known.reset();
  // With another name it has executed something else, or is called by a link's name. One that is ending has no executable
  // any more.
  const bool is_same = known != nullptr && (!is_there || known->name == stat.name);
  errno = 0;
  if (!is_same && is_there && readProcess(pid, process) && !process->executable.empty()) {
    // Without its arguments it is not whole. Every exec makes what was kept be forgotten, so that those of the same file are
    // its own, also where it is called by another name, such as an applet's.
    if (mayReadMemory() && !isOutOfDescriptors(errno)) {
      keep(std::make_shared<const Process>(*process));
    } else if (known != nullptr && known->executable == process->executable) {
      process->args = known->args;
      process->args_truncated = known->args_truncated;
    }
    return true;
  }
  note(!is_same && is_there && isOutOfDescriptors(errno));
  if (known == nullptr) return false;
  *process = *known;
  if (!is_there) return true;
  process->parent = stat.parent;
  process->group = stat.group;
  process->session = stat.session;
  process->terminal = stat.terminal;
  // It may have begun a session, and the leader of its session may have lost its terminal, without an exec.
  process->interactive = interactiveOf(pid, stat);
  return true;
}

void Parents::keep(std::shared_ptr<const Process> process) {
  const std::lock_guard<std::mutex> lock(mutex_);
  bytes_ += bytesOf(*process);
  if (kept_.size() >= kMaxParents || bytes_ > kMaxParentsBytes) {
    kept_.clear();
    bytes_ = bytesOf(*process);
  }
  const pid_t pid = process->pid;
  kept_[pid] = std::move(process);
}

void Parents::forked(pid_t pid, std::chrono::steady_clock::time_point at) {
  const auto age = std::chrono::steady_clock::now() - at;
  const std::lock_guard<std::mutex> lock(mutex_);
  const auto found = kept_.find(pid);
  // When it was started is known to a tick, and the word of it is a moment younger.
  if (found != kept_.end() && ageNsOf(found->second->start_ticks) > std::chrono::nanoseconds(age).count() + 2 * tickNs()) kept_.erase(found);
}

pid_t Parents::forget(pid_t tid) {
  // Mostly it is the first thread of its process, which is known far more cheaply than of which process it is.
  const bool is_first = syscall(SYS_tgkill, tid, tid, 0) == 0 || errno == EPERM;
  const pid_t pid = is_first ? tid : processOf(tid);
  const std::lock_guard<std::mutex> lock(mutex_);
  kept_.erase(pid);
  return pid;
}

}  // namespace d4c
