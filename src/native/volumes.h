// The volumes of a container: every mount of its mount table that is not its root filesystem. Which of them are watched
// and how, and what kind of volume an opened file lies on.
//
//   a filesystem that only the container has   its superblock: also seen through later mounts of it
//   a filesystem that the host has, too        the container's mount of it: the host and others are not slowed
//   cgroups                                    the container's mount, for opens alone: nothing can be executed there
//   proc, sysfs, devpts, mqueue and the like   not at all: they hold no programs, and nothing is created there
//   filesystems of a network or a process      not at all: to look at a file is to ask a server, which may never answer,
//                                              and then the verdicts of all containers would wait for it
#pragma once

#include <sys/types.h>

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "container.h"
#include "group.h"
#include "mounts.h"
#include "table.h"

namespace d4c {

/// How events of a mount come to the container's group.
enum class WatchBy : uint8_t { kNothing, kMount, kFilesystem, kRefused };

/// What the host has mounted, to tell what of a container's mounts is shared with it. Never changes.
class HostMounts {
 public:
  /// Of a mountinfo text.
  explicit HostMounts(std::string_view mountinfo);
  /// As this process sees them now.
  static HostMounts read();

  /// Whether they could not be read: there is always some.
  bool isEmpty() const { return devices_.empty(); }
  WatchBy wayOf(const Mount& mount) const;
  /// `kVolumeFile` for what the kubelet makes of a configMap, a secret, downwardAPI or a projection, else `kVolume`.
  MountKind kindOf(const Mount& mount) const;

 private:
  struct Device {
    /// The host has it only on behalf of one pod: an emptyDir in memory, the pod's /dev/shm.
    bool is_of_pod = true;
    bool is_of_files = false;
  };
  std::map<dev_t, Device> devices_;
};

/// What of a container's mount table is looked at. A container can make more mounts than anybody can watch.
constexpr size_t kMaxVolumes = 512;

/// Which of a mount table are those of the container on the overlay: all where the overlay is the root, and before that,
/// while the runtime sets the container up, the mounts of it and those below.
std::vector<Mount> mountsWithin(std::vector<Mount> table, dev_t overlay);

/// Tells of a mount that is not watched, and why.
using Refuse = std::function<void(const Mount&, const std::string& why)>;

/// A mount through which files can be changed.
struct FoundVolume {
  Mount mount;
  MountKind kind;
  /// The kernel's caches do not have the way to it, as below `/sys`, and it leads through no filesystem that was refused.
  bool is_uncached = false;
  /// Nobody else has the filesystem.
  bool is_own = false;
};

/// Makes `watch` of the volumes among `mounts` come to the root's group, and of those that are overlays of others to the group
/// `foreign` (null when there is none). `directory` is the root directory (O_PATH) that
/// the mount points start from. Raises no permission event, and waits for no filesystem. Gives those through which files can be
/// changed. `is_whole` becomes false when there was no descriptor to look at all of them.
std::vector<FoundVolume> watchVolumes(const Root& root, const Group* foreign, int directory, const std::vector<Mount>& mounts,
                                      Watch watch, const Refuse& refuse, bool* is_whole);

}  // namespace d4c
