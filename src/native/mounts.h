// The mount table: which overlays are mounted, and when that changes.
#pragma once

#include <sys/types.h>

#include <string>
#include <string_view>
#include <vector>

#include "descriptor.h"

namespace d4c {

struct OverlayMount {
  std::string mount_point;
  dev_t device = 0;
  /// Empty for an overlay that cannot be written to.
  std::string upper_dir;
  /// Those of the image, highest first.
  std::vector<std::string> layers;
};

/// The overlays of a mountinfo text that are mounted whole (not a folder of one).
std::vector<OverlayMount> overlaysOf(std::string_view mountinfo);

/// The superblock of an opened file, by the mount table of the task that opened it; 0 when that is gone.
dev_t superblockOf(int file, pid_t tid);

/// Owns a descriptor of /proc/self/mountinfo. The namespace of this process must be one in which container root
/// filesystems appear.
class MountTable {
 public:
  bool open();
  /// To be polled for POLLPRI: the table changed.
  int descriptor() const { return file_.get(); }
  /// The table as it is now.
  std::string read() const;

 private:
  Descriptor file_;
};

}  // namespace d4c
