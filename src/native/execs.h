// What the kernel opens for one execve, so that each exec is reported once and decided cheaply.
//
// Executing a dynamic program raises four events of one task: the program is opened for execution, then opened; then
// its loader (ld.so) is, twice as well. The loader is decided like any program, but it is no exec of its own to report.
// The plain open of what was just opened for execution only reads, which need not be found out again. Executing a script
// is two real execs, of the script and of its interpreter.
//
// KERNEL: whichever thread executes a program has the number of its process afterwards, and the other threads are gone.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>

#include "budget.h"
#include "in_container.h"
#include "opened.h"
#include "processes.h"

namespace d4c {

/// Whether a program of this name runs the one that it is given.
bool isLoader(const std::string& name);

/// Any thread may call: the events of one task may come to different readers.
class Execs {
 public:
  /// What is remembered is taken from the account.
  explicit Execs(std::shared_ptr<Account> account);

  struct Begun {
    /// The file is the loader that the last program of the task named, in the container's root filesystem.
    bool is_loader = false;
    /// The file may be a loader, and no program of the task that would have one opened was told before. Whether it is run
    /// itself, or for a program that raises no event, its task knows (`kernel_stack.h`).
    bool is_unannounced = false;
  };
  /// Takes in that the task, of this process, opens this file for execution, before it is answered. `file` is the event's descriptor;
  /// `opens_follow` says whether plain opens are watched, too.
  Begun begin(pid_t tid, pid_t process, int file, const Opened& opened, bool opens_follow, const OverlayPlace& place);

  /// From now on every exec is told; one that is under way may have begun before.
  void attend();
  /// Whether every exec that is under way was told from its beginning.
  bool isAttended() const;

  /// What an open of the task may be besides an open; most are nothing else.
  struct Expected {
    bool is_of_exec = false;
    bool is_of_loader = false;
  };
  Expected expectedOf(pid_t tid) const;

  /// Whether the task's plain open of this file is the second half of what `begin` took in. True once for each.
  bool isOpenOfExec(pid_t tid, const Opened& opened);

  /// Remembers what the task runs from now on: it may have ended when somebody asks who it was. To be called before the
  /// answer, since the task may do something right after.
  void runs(pid_t tid, std::shared_ptr<const Process> program);
  /// As `runs`, of a file whose path is read when somebody asks or `settle` is called, so that the task need not wait for it,
  /// unless it is about to have another number.
  void runs(pid_t tid, Descriptor program);
  void settle(pid_t tid);
  /// Whether the task, or one that had its number, was seen to execute something.
  bool hasExecuted(pid_t tid) const;
  /// The number is that of a process that was forked then: what was remembered of an earlier one is not its.
  void forked(pid_t pid, std::chrono::steady_clock::time_point at);
  /// Whether the task may run a loader that was executed as a program.
  bool mayRunLoader(pid_t tid);
  /// What was remembered of the task last; null when nothing was. `start_ticks`: when the task was started that has the number now,
  /// where that is known, so that what an earlier one ran is not told.
  std::shared_ptr<const Process> lastProgram(pid_t tid, uint64_t start_ticks = 0);

 private:
  struct Task {
    /// 0 when it is not known.
    pid_t process = 0;
    std::string loader;
    /// The kernel may open a further file to run what the task opened last.
    bool wants_interpreter = false;
    Opened executed;
    bool awaits_open = false;
    std::chrono::steady_clock::time_point since;
    std::shared_ptr<const Process> program;
    Descriptor unread_program;
    /// Another thread of the process has executed a loader. Which of several execs has come off nobody tells, so that this stays.
    bool may_run_loader = false;
  };
  static bool isOther(const Task& task, uint64_t start_ticks);
  // Under the lock.
  Task& taskAt(pid_t tid);
  void readProgram(pid_t tid);
  void remember(pid_t tid, std::shared_ptr<const Process> program);
  void keep(pid_t tid, std::shared_ptr<const Process> program);
  void forget(Task* task);
  void makeRoom();

  mutable std::mutex mutex_;
  std::unordered_map<pid_t, Task> tasks_;
  Purse tasks_purse_;
  Purse programs_purse_;
  /// How many tasks there may be, and how much of their programs, before room is made.
  size_t room_;
  size_t room_bytes_;
  std::chrono::steady_clock::time_point made_room_at_{};
  std::chrono::steady_clock::time_point attended_since_ = std::chrono::steady_clock::time_point::min();
};

}  // namespace d4c
