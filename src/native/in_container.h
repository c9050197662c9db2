// Files of a container, reached from the host's mount of its root filesystem and never opened: a descriptor
// with O_PATH raises no permission event.
#pragma once

#include <sys/stat.h>

#include <string>

#include "descriptor.h"

namespace d4c {

/// Where an overlay is mounted, and which one it is.
struct OverlayPlace {
  std::string mount_point;
  dev_t device;
};

/// The mount point with O_PATH, or nothing when another filesystem is there by now. It pins the mount, so it is
/// not kept: a runtime that unmounts meanwhile would find it busy.
Descriptor openOverlay(const OverlayPlace& place);

/// What `path` names in the container's root filesystem, with O_PATH. Symlinks are followed within it.
Descriptor openInContainer(const OverlayPlace& place, const std::string& path);

/// Removes the file at `path` if it is still this one and still empty: takes a refused creation back.
bool removeCreated(const OverlayPlace& place, const std::string& path, const struct stat& created);

}  // namespace d4c
