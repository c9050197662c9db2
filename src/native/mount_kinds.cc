#include "mount_kinds.h"

#include <linux/magic.h>
#include <sys/vfs.h>

#include <cerrno>

#include "descriptor.h"
#include "mounts.h"
#include "volumes.h"

namespace d4c {

namespace {

constexpr size_t kMaxKinds = 4096;

MountKind findOut(int file, pid_t tid, dev_t overlay) {
  // SAFETY: the event holds the file open, so that its mount's number is of this mount.
  const auto mount = mountOf(file, tid);
  if (mount) return mount->device == overlay ? MountKind::kRoot : HostMounts::read().kindOf(*mount);
  // It is mounted in no place that the task can see.
  struct statfs filesystem {};
  const bool is_overlay = fstatfs(file, &filesystem) == 0 && filesystem.f_type == OVERLAYFS_SUPER_MAGIC;
  return is_overlay ? MountKind::kRoot : MountKind::kVolume;
}

}  // namespace

MountKind MountKinds::of(int file, const Opened& opened, pid_t tid, dev_t overlay) {
  MountKind kind = MountKind::kRoot;
  bool is_known = false;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    const auto found = known_.find(opened.mount);
    is_known = opened.mount != 0 && found != known_.end();
    if (is_known) kind = found->second;
  }
  if (!is_known) {
    errno = 0;
    kind = findOut(file, tid, overlay);
    // A guess, since nothing could be read: it holds for this time alone.
    const bool is_guess = isOutOfDescriptors(errno);
    const std::lock_guard<std::mutex> lock(mutex_);
    if (known_.size() >= kMaxKinds) known_.clear();
    if (opened.mount != 0 && !is_guess) known_[opened.mount] = kind;
  }
  return kind == MountKind::kVolume && opened.is_mount_root ? MountKind::kVolumeFile : kind;
}

}  // namespace d4c
