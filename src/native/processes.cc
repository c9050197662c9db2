#include "processes.h"

#include <cinttypes>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "arguments.h"
#include "proc_file.h"

namespace d4c {

namespace {

constexpr size_t kNameBytes = 15;

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

/// All but executable and arguments.
bool readBasics(pid_t tid, Process* process) {
  char status[4096];
  if (readProcFile(tid, "status", status, sizeof status) == 0) return false;
  uint32_t pid = 0;
  if (!readField(status, "\nTgid:", &pid, nullptr)) return false;
  readField(status, "\nUid:", &process->uid, &process->euid);
  readField(status, "\nGid:", &process->gid, &process->egid);
  process->pid = static_cast<pid_t>(pid);
  Stat stat;
  if (!readStat(process->pid, &stat)) return false;
  process->name = stat.name;
  process->parent = stat.parent;
  process->group = stat.group;
  process->session = stat.session;
  process->start_ticks = stat.start_ticks;
  process->interactive = interactiveOf(process->pid, stat);
  process->working_directory = readProcLink(tid, "cwd");
  return true;
}

}  // namespace

pid_t processOf(pid_t tid) {
  char status[4096];
  uint32_t pid = 0;
  if (readProcFile(tid, "status", status, sizeof status) == 0) return 0;
  return readField(status, "\nTgid:", &pid, nullptr) ? static_cast<pid_t>(pid) : 0;
}

bool readProcess(pid_t tid, Process* process) {
  if (!readBasics(tid, process)) return false;
  process->executable = readProcLink(tid, "exe");
  process->args = runningArguments(process->pid, &process->args_truncated);
  return true;
}

bool readExecutingProcess(pid_t tid, const std::string& path, Process* process) {
  if (!readBasics(tid, process)) return false;
  process->executable = path;
  process->name = path.substr(path.rfind('/') + 1).substr(0, kNameBytes);
  process->args = newArguments(tid, &process->args_truncated);
  return true;
}

Interactive readInteractive(pid_t tid) {
  const pid_t pid = processOf(tid);
  Stat stat;
  return pid != 0 && readStat(pid, &stat) ? interactiveOf(pid, stat) : Interactive::kUnknown;
}

}  // namespace d4c
