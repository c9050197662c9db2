// What the kernel tells of a task without /proc. For a task that has just been forked this is several times cheaper,
// since each first look below /proc/<tid> makes directory entries that its end has to take away again.
//
// KERNEL: PIDFD_THREAD 6.9, namespaces of a pidfd 6.11, PIDFD_GET_INFO 6.13. Without them every function gives nothing.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>

#include "descriptor.h"

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

/// A pid namespace. As long as the object lives its number belongs to no other.
class PidSpace {
 public:
  /// That of the task.
  static std::optional<PidSpace> of(pid_t tid);
  bool operator==(const PidSpace& other) const { return number_ == other.number_; }

 private:
  PidSpace(Descriptor space, ino_t number) : space_(std::move(space)), number_(number) {}
  Descriptor space_;
  ino_t number_;
};

}  // namespace d4c
