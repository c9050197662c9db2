// Whether an opened file lies on its container's root filesystem or on a volume, and on which kind.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <mutex>
#include <unordered_map>

#include "opened.h"
#include "table.h"

namespace d4c {

/// Of one root filesystem. Any thread may call. What a mount is never changes, so it is found out once.
class MountKinds {
 public:
  /// Of a regular file that the task has opened. `overlay` is the root filesystem's device. A mount of one file, and what
  /// the kubelet makes of configMaps, secrets, downwardAPI and projections, is `kVolumeFile`. Other mounts of the root
  /// filesystem itself are the root filesystem.
  MountKind of(int file, const Opened& opened, pid_t tid, dev_t overlay);

 private:
  std::mutex mutex_;
  /// By `Opened::mount`.
  std::unordered_map<uint64_t, MountKind> known_;
};

}  // namespace d4c
