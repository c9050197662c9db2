// Files of a container, reached from the host's mount of its root filesystem and never opened: a descriptor
// with O_PATH raises no permission event.
#pragma once

#include <sys/stat.h>
#include <sys/types.h>

#include <atomic>
#include <string>

#include "descriptor.h"

namespace d4c {

/// Where an overlay is mounted, and which one it is.
struct OverlayPlace {
  std::string mount_point;
  dev_t device;
  /// Which may have it as its root directory: the host may unmount it while a container has it. 0: none is known.
  mutable std::atomic<pid_t> process{0};
};

/// Its root directory with O_PATH, or nothing when another filesystem is there by now. It pins the mount, so it is
/// not kept: a runtime that unmounts meanwhile would find it busy.
Descriptor openOverlay(const OverlayPlace& place);

/// What `path` names in the container's root filesystem, with O_PATH. Symlinks are followed within it.
Descriptor openInContainer(const OverlayPlace& place, const std::string& path);

/// What `path` names below `directory` (O_PATH), with O_PATH. Leads neither out of it nor through a symlink. `cached`: only
/// by what the kernel has in its caches, so that no filesystem can make it wait; else nothing and EAGAIN.
Descriptor openBelow(int directory, const std::string& path, bool cached);

/// Removes the file at `path` if it is still this one and still empty: takes a refused creation back.
bool removeCreated(const OverlayPlace& place, const std::string& path, const struct stat& created);

/// The same for a file on a volume, as the task that created it sees it.
bool removeCreatedBy(pid_t tid, const std::string& path, const struct stat& created);

/// What `path` names as the task sees it, with O_PATH. `cached`: waits for no filesystem, or fails with EAGAIN.
Descriptor openAsSeenBy(pid_t tid, const std::string& path, bool cached = true);

/// The path of the file that the task has opened or runs, as the task sees it; of one whose name was deleted, by that name.
/// Waits for no filesystem. False when it cannot be read.
bool readPathAsSeenBy(pid_t tid, int file, std::string* path);

/// Takes the execute bits of the file (O_PATH) back, if nobody has changed it since. Opens nothing.
bool takeExecuteBitsBack(int file, const struct stat& as_seen);

}  // namespace d4c
