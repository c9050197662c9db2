// What /proc tells of a process, for the reports. Nothing here opens a file of a container.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "syscalls.h"
#include "table.h"
#include "task.h"

namespace d4c {

/// Of a user or a group: nobody has this number, so it was not read.
constexpr uint32_t kNoId = UINT32_MAX;

struct Process {
  pid_t pid = 0;
  pid_t parent = 0;
  pid_t group = 0;
  pid_t session = 0;
  uint64_t start_ticks = 0;
  /// Of its session, as /proc writes the number; 0 without one.
  int terminal = 0;
  std::string name;
  std::string executable;
  std::vector<std::string> args;
  bool args_truncated = false;
  std::string working_directory;
  uint32_t uid = kNoId;
  uint32_t gid = kNoId;
  uint32_t euid = kNoId;
  uint32_t egid = kNoId;
  Interactive interactive = Interactive::kUnknown;
  /// Where its arguments lie in its memory, when that was asked for.
  uint64_t arguments_at = 0;
};

/// What its texts take, roughly: up to some 32 KiB, since whoever executes a program chooses its arguments and where it runs.
size_t bytesOf(const Process& process);

/// What the kernel calls a task that executes the file.
std::string nameOfProgram(const std::string& path);

/// The thread group of a task; 0 when it is gone.
pid_t processOf(pid_t tid);

/// When the process was started, as `Process::start_ticks`; 0 when it is gone.
uint64_t startOf(pid_t pid);

/// False when the process is gone. The arguments are those of the program that runs.
bool readProcess(pid_t tid, Process* process);

/// All but executable and arguments, which are left as they are. False when the process is gone.
bool readAround(pid_t tid, Process* process);

/// As whom the process acts now. What is there stays when it is gone.
void readOwner(pid_t pid, Process* process);

/// As `readProcess`, of a task that is blocked in the call by which it executes the file at `path`: name, executable and
/// arguments are those of the new program. `ids` is what is known of it already.
bool readExecutingProcess(pid_t tid, const std::optional<TaskIds>& ids, const std::string& path, const BlockedCall& call, Process* process);

/// Whether the task's session leader has a controlling terminal: major number 136 to 143, or 4.
Interactive readInteractive(pid_t tid);

/// Parents, which are asked for with each of their children. A process is kept until it executes something else.
class Parents {
 public:
  /// As `readProcess`, from what is kept if the process is the same or has ended. `is_guess` is set where nobody could look
  /// for want of a descriptor: it may be there when false is given, and another one than what is. Any thread.
  bool read(pid_t pid, Process* process, bool* is_guess = nullptr);
  /// What the process has become by an exec that was allowed.
  void keep(std::shared_ptr<const Process> process);
  /// The number is that of a process that was forked then: what was kept of an earlier one is not its.
  void forked(pid_t pid, std::chrono::steady_clock::time_point at);
  /// The task executes another program. Gives its process; 0 when it is gone.
  pid_t forget(pid_t tid);

 private:
  std::mutex mutex_;
  std::unordered_map<pid_t, std::shared_ptr<const Process>> kept_;
  /// Of all that came since it was empty.
  size_t bytes_ = 0;
};

}  // namespace d4c
