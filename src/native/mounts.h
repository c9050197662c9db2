// The mount table: which overlays are mounted, and when that changes.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
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

/// One line of a mount table.
struct Mount {
  /// Used again when the mount is gone.
  uint64_t id = 0;
  dev_t device = 0;
  /// What of the filesystem is mounted.
  std::string root;
  std::string mount_point;
  std::string type;
  bool is_read_only = false;
};

/// At most `max` mounts of a mountinfo text, in its order.
std::vector<Mount> mountsOf(std::string_view mountinfo, size_t max);

/// The number in mount tables of the mount through which the file was opened, also with O_PATH; 0 when it cannot be read.
uint64_t mountIdOf(int file);

/// The mount through which the task has opened the file, by its mount table; nothing when that is gone or does not list it.
std::optional<Mount> mountOf(int file, pid_t tid);

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
