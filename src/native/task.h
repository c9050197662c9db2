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
};
std::optional<TaskIds> readTaskIds(pid_t tid);

}  // namespace d4c
