// What a task that is blocked in a system call asked for: the call's number and registers, from
// /proc/<tid>/syscall, and what they say of an open or an exec.
#pragma once

#include <sys/types.h>

#include <array>
#include <cstdint>
#include <optional>

#include "descriptor.h"

namespace d4c {

struct BlockedCall {
  enum class Rest : uint8_t {
    kBlocked,
    /// It has not come to rest yet: ask again. KERNEL: an event can be read before its opener sleeps.
    kRunning,
    /// It is in no call: a kernel worker, a core dump.
    kNoCall,
    /// Its registers may not be read: SYS_PTRACE is missing, or it is gone.
    kUnreadable,
  };
  Rest rest = Rest::kUnreadable;
  long number = -1;
  std::array<uint64_t, 6> arguments{};
};

/// Keeps /proc/<tid>/syscall open for the tasks that opened something last: reading it again costs a third of opening
/// it. Of one thread. The descriptor of a task that has ended gives nothing, also when its number is used again.
class CallFiles {
 public:
  /// As `readProcFile`.
  size_t read(pid_t tid, char* into, size_t capacity);
  /// Gives the descriptors back.
  void clear() { entries_ = {}; }

 private:
  struct Entry {
    pid_t tid = 0;
    Descriptor file;
  };
  std::array<Entry, 64> entries_;
};

/// For how long a task that is on its way to rest is looked at: once and at once again, or half a millisecond.
enum class Patience : uint8_t { kShort, kLong };

/// The call in which the task is blocked.
BlockedCall blockedCall(pid_t tid, CallFiles* files, Patience patience = Patience::kLong);

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
  BlockedCall::Rest rest = BlockedCall::Rest::kUnreadable;

  bool readsOnly() const { return !writes && !creates && !temporary; }
};

/// Of an uncertain intent, the flags are the best guess: they are good for a report and not for a verdict.
OpenIntent openIntent(pid_t tid, CallFiles* files, Patience patience = Patience::kLong);

/// Where the argument vector of an exec begins in the memory of its task, and the bytes of a pointer there.
struct ExecArguments {
  uint64_t vector;
  int pointer_bytes;
};
std::optional<ExecArguments> execArguments(const BlockedCall& call);

}  // namespace d4c
