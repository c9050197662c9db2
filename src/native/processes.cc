#include "processes.h"

#include <cinttypes>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "arguments.h"
#include "memory.h"
#include "proc_file.h"
#include "task.h"

namespace d4c {

namespace {

constexpr size_t kNameBytes = 15;
constexpr size_t kMaxParents = 1024;

struct Stat {
  std::string name;
  pid_t parent;
  pid_t group;
  pid_t session;
  int terminal;
  uint64_t start_ticks;
};

bool readStat(pid_t pid, Stat* stat) {
  char text[2048];
  if (readProcFile(pid, "stat", text, sizeof text) == 0) return false;
  // A name may hold any character, also `)`: it ends at the last one.
  char* begin = std::strchr(text, '(');
  char* end = std::strrchr(text, ')');
  if (begin == nullptr || end == nullptr || end < begin) return false;
  stat->name.assign(begin + 1, end);
  return std::sscanf(end + 1, " %*c %d %d %d %d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d %" SCNu64,
                     &stat->parent, &stat->group, &stat->session, &stat->terminal, &stat->start_ticks) == 5;
}

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
  // A session whose leader has ended has lost its terminal.
  return readStat(own.session, &leader) ? ofTerminal(leader.terminal) : Interactive::kNo;
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

/// All but executable and arguments.
bool readBasics(pid_t tid, Process* process) {
  const auto ids = readIds(tid);
  Stat stat;
  if (!ids || !readStat(ids->pid, &stat)) return false;
  process->pid = ids->pid;
  process->parent = ids->parent;
  process->uid = ids->uid;
  process->gid = ids->gid;
  process->euid = ids->euid;
  process->egid = ids->egid;
  process->name = stat.name;
  process->group = stat.group;
  process->session = stat.session;
  process->start_ticks = stat.start_ticks;
  process->terminal = stat.terminal;
  process->interactive = interactiveOf(process->pid, stat);
  process->working_directory = readProcLink(tid, "cwd");
  return true;
}

}  // namespace

std::string nameOfProgram(const std::string& path) { return path.substr(path.rfind('/') + 1).substr(0, kNameBytes); }

pid_t processOf(pid_t tid) {
  const auto ids = readIds(tid);
  return ids ? ids->pid : 0;
}

uint64_t startOf(pid_t pid) {
  Stat stat;
  return readStat(pid, &stat) ? stat.start_ticks : 0;
}

bool readProcess(pid_t tid, Process* process) {
  if (!readBasics(tid, process)) return false;
  process->executable = readProcLink(tid, "exe");
  process->args = runningArguments(process->pid, &process->args_truncated);
  return true;
}

bool readExecutingProcess(pid_t tid, const std::string& path, CallFiles* files, Process* process) {
  if (!readBasics(tid, process)) return false;
  process->executable = path;
  process->name = nameOfProgram(path);
  process->args = newArguments(tid, files, &process->args_truncated);
  return true;
}

Interactive readInteractive(pid_t tid) {
  const pid_t pid = processOf(tid);
  Stat stat;
  return pid != 0 && readStat(pid, &stat) ? interactiveOf(pid, stat) : Interactive::kUnknown;
}

bool Parents::read(pid_t pid, Process* process) {
  Stat stat;
  // Numbers are used again: only with the same start it is the same process. With another name it has executed
  // something else.
  const bool is_there = readStat(pid, &stat);
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    const auto found = kept_.find(pid);
    if (!is_there) {
      if (found == kept_.end()) return false;
      *process = found->second;
      return true;
    }
    if (found != kept_.end() && found->second.start_ticks == stat.start_ticks &&
        found->second.name == stat.name) {
      *process = found->second;
      process->parent = stat.parent;
      process->group = stat.group;
      process->session = stat.session;
      process->terminal = stat.terminal;
      return true;
    }
  }
  // One that is ending has no executable any more.
  if (!readProcess(pid, process) || process->executable.empty()) return false;
  // Without its arguments it is not whole.
  if (mayReadMemory()) keep(*process);
  return true;
}

void Parents::keep(const Process& process) {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (kept_.size() >= kMaxParents) kept_.clear();
  kept_[process.pid] = process;
}

void Parents::forget(pid_t tid) {
  const std::lock_guard<std::mutex> lock(mutex_);
  kept_.erase(tid);
}

}  // namespace d4c
