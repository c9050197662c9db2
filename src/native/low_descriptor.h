// The order in which the kernel lets go of fanotify groups when this process dies.
//
// KERNEL: a task that waits for the answer of a permission group keeps every other group that has a mark on the same file, its
// directory, mount or filesystem from being let go of, as the notification group of a backing filesystem. When a process dies,
// one thread closes its descriptors, the highest number first, and each group waits until nobody keeps it. Were a notification
// group let go of before the permission group in which a task waits, both would wait for ever, and whoever opens such a file
// after them.
// So notification groups have the lowest numbers of the process, and permission groups higher ones. (task_work runs last in,
// first out since 4.3.)
#pragma once

#include "descriptor.h"

namespace d4c {

/// Reserves numbers for notification groups. Before the first group of any kind; further calls do nothing.
void reserveLowNumbers();

/// The group under a number above all reserved ones. Empty with `errno` set when there is none; the group is closed then.
Descriptor aboveLowNumbers(Descriptor group);

/// A descriptor under a reserved number, which is reserved again when it is closed. As many as there are numbers: 32.
class LowDescriptor {
 public:
  LowDescriptor() = default;
  /// Empty with `errno` set (EMFILE) when no number is left.
  explicit LowDescriptor(Descriptor descriptor);
  LowDescriptor(LowDescriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  LowDescriptor& operator=(LowDescriptor&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~LowDescriptor();

  int get() const { return fd_; }
  explicit operator bool() const { return fd_ >= 0; }

 private:
  int fd_ = -1;
};

}  // namespace d4c
