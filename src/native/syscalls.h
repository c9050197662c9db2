// What a task that is blocked in a system call asked for: the call's number and registers, from
// /proc/<tid>/syscall, and what they say of an open or an exec.
#pragma once

#include <sys/types.h>

#include <array>
#include <cstdint>
#include <optional>

namespace d4c {

struct BlockedCall {
  long number;
  std::array<uint64_t, 6> arguments;
};

/// The call in which the task is blocked. Nothing when it is in none (a kernel worker, a core dump), when its
/// registers may not be read (SYS_PTRACE is missing), or when it did not come to rest within 20 ms.
/// KERNEL: an event can be read before its opener sleeps; the file then says `running`.
std::optional<BlockedCall> blockedCall(pid_t tid);

/// How a file is being opened. What could not be decoded is taken as creating and writing.
struct OpenIntent {
  bool writes = true;
  bool creates = true;
  /// The open creates the file or fails.
  bool exclusive = false;
  /// The file has no name yet.
  bool temporary = false;
  /// Whether the flags are those that the kernel uses. Flags in user memory may have been changed since.
  bool certain = false;
  /// Whether the task's registers could be read.
  bool was_read = false;

  bool readsOnly() const { return !writes && !creates && !temporary; }
};

/// Of an uncertain intent, the flags are the best guess: they are good for a report and not for a verdict.
OpenIntent openIntent(pid_t tid);

/// Where the argument vector of the exec in which the task is blocked begins in its memory, and the bytes of a
/// pointer there.
struct ExecArguments {
  uint64_t vector;
  int pointer_bytes;
};
std::optional<ExecArguments> execArguments(pid_t tid);

}  // namespace d4c
