// An opened file by numbers that one cheap call gives.
#pragma once

#include <cstdint>

namespace d4c {

struct Opened {
  uint64_t inode = 0;
  /// Of the mount through which it was opened, in the mount namespace of the task that opened it. Never used again for
  /// another mount. 0 when the kernel does not tell. KERNEL: 6.8
  uint64_t mount = 0;
  /// When it was made, in nanoseconds since 1970; of a file that was copied up, when that was. 0 when it is not told.
  int64_t birth_ns = 0;
  /// Whether the mount is of this file alone. KERNEL: 5.8
  bool is_mount_root = false;
};

Opened opened(int file);

}  // namespace d4c
