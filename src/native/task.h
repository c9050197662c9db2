// What the kernel tells of a task without /proc. For a task that has just been forked this is several times cheaper,
// since each first look below /proc/<tid> makes directory entries that its end has to take away again.
//
// KERNEL: PIDFD_THREAD 6.9, PIDFD_GET_INFO 6.13. Without them there is nothing to give.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>

namespace d4c {

struct TaskIds {
  pid_t pid;
  pid_t parent;
  uint32_t uid;
  uint32_t gid;
  uint32_t euid;
  uint32_t egid;
  /// The number of its cgroup in the unified hierarchy, which no other one ever has; 0 when it is not told.
  uint64_t cgroup = 0;
};
/// Nothing when the task is gone, or the kernel does not tell it.
std::optional<TaskIds> readTaskIds(pid_t tid);

}  // namespace d4c
