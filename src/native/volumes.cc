#include "volumes.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <set>

#include "in_container.h"
#include "proc_file.h"

namespace d4c {

namespace {

/// Filesystems whose files are on this machine, so that looking at one waits for nobody.
const std::set<std::string_view> kLocal = {"bcachefs", "btrfs",    "cgroup",  "cgroup2", "devtmpfs", "erofs",    "exfat", "ext2",
                                           "ext3",     "ext4",     "f2fs",    "iso9660", "jfs",      "nilfs2",   "ntfs3", "overlay",
                                           "hugetlbfs", "ramfs",   "reiserfs", "squashfs", "tmpfs",  "udf",      "vfat",  "xfs",
                                           "zfs"};
/// The kernel's own, in which no program can be and nothing is created.
const std::set<std::string_view> kOfKernel = {"binfmt_misc", "bpf",        "configfs", "debugfs", "devpts",    "efivarfs",
                                              "fusectl",     "mqueue",     "nsfs",     "proc",    "pstore",
                                              "rpc_pipefs",  "securityfs", "selinuxfs", "sysfs",  "tracefs"};
/// Of these there is one superblock for the whole machine, wherever it is mounted.
const std::set<std::string_view> kOfMachine = {"cgroup", "cgroup2", "devtmpfs"};

/// Devices that every program opens, and none can be executed from.
constexpr const char* kDevices[] = {"null", "zero", "full", "random", "urandom", "tty"};

bool endsWith(std::string_view text, std::string_view end) {
  return text.size() >= end.size() && text.substr(text.size() - end.size()) == end;
}

/// The name of the plug-in in `.../pods/<uid>/volumes/<plug-in>/<volume>`; empty when the path is no such one. Only the
/// first `pods` counts: below its own volume a container may give folders any name.
std::string_view pluginIn(std::string_view path) {
  constexpr std::string_view kPods = "/pods/";
  constexpr std::string_view kVolumes = "/volumes/";
  const size_t pods = path.find(kPods);
  if (pods == std::string_view::npos) return {};
  path.remove_prefix(pods + kPods.size());
  path.remove_prefix(std::min(path.find('/'), path.size()));
  if (path.substr(0, kVolumes.size()) != kVolumes) return {};
  path.remove_prefix(kVolumes.size());
  return path.substr(0, path.find('/'));
}

bool isOfFiles(std::string_view path) {
  const std::string_view plugin = pluginIn(path);
  return plugin == "kubernetes.io~configmap" || plugin == "kubernetes.io~secret" ||
         plugin == "kubernetes.io~downward-api" || plugin == "kubernetes.io~projected";
}

bool isOfPod(const Mount& mount) {
  const bool is_shared_memory = endsWith(mount.mount_point, "/shm") && !endsWith(mount.mount_point, "/dev/shm");
  return mount.type == "tmpfs" && (is_shared_memory || pluginIn(mount.mount_point) == "kubernetes.io~empty-dir" ||
                                   mount.mount_point.find("/volume-subpaths/") != std::string::npos);
}

bool isBelow(const std::string& path, const std::string& folder) {
  return path.size() > folder.size() && path.compare(0, folder.size(), folder) == 0 &&
         (folder.back() == '/' || path[folder.size()] == '/');
}

}  // namespace

HostMounts::HostMounts(std::string_view mountinfo) {
  for (const Mount& mount : mountsOf(mountinfo, SIZE_MAX)) {
    Device& device = devices_[mount.device];
    device.is_of_pod = device.is_of_pod && isOfPod(mount);
    device.is_of_files = device.is_of_files || isOfFiles(mount.mount_point);
  }
}

HostMounts HostMounts::read() {
  return HostMounts(readWhole(Descriptor(open("/proc/self/mountinfo", O_RDONLY | O_CLOEXEC))));
}

WatchBy HostMounts::wayOf(const Mount& mount) const {
  if (kOfKernel.count(mount.type)) return WatchBy::kNothing;
  if (kLocal.count(mount.type) == 0) return WatchBy::kRefused;
  const auto device = devices_.find(mount.device);
  const bool is_own = (device == devices_.end() || device->second.is_of_pod) && kOfMachine.count(mount.type) == 0;
  return is_own ? WatchBy::kFilesystem : WatchBy::kMount;
}

MountKind HostMounts::kindOf(const Mount& mount) const {
  const auto device = devices_.find(mount.device);
  const bool is_of_files = isOfFiles(mount.root) || (device != devices_.end() && device->second.is_of_files);
  return is_of_files ? MountKind::kVolumeFile : MountKind::kVolume;
}

std::vector<Mount> mountsWithin(std::vector<Mount> table, dev_t overlay) {
  std::vector<std::string> tops;
  for (const Mount& mount : table) {
    if (mount.device == overlay) tops.push_back(mount.mount_point);
  }
  const auto isOutside = [&](const Mount& mount) {
    return std::none_of(tops.begin(), tops.end(), [&](const std::string& top) {
      return mount.mount_point == top || isBelow(mount.mount_point, top);
    });
  };
  table.erase(std::remove_if(table.begin(), table.end(), isOutside), table.end());
  return table;
}

std::vector<FoundVolume> watchVolumes(const Root& root, const Group* foreign, int directory, const std::vector<Mount>& mounts,
                                      Watch watch, const Refuse& refuse, bool* is_whole) {
  std::vector<FoundVolume> changeable;
  const HostMounts host = HostMounts::read();
  // SAFETY: where they could not be read, each filesystem would look like one that only the container has, and be marked as a whole:
  // also the host's own.
  if (host.isEmpty()) {
    *is_whole = false;
    return changeable;
  }
  std::vector<const Mount*> refused;
  for (const Mount& mount : mounts) {
    if (mount.device == root.place.device) continue;
    const WatchBy way = host.wayOf(mount);
    if (way == WatchBy::kNothing) continue;
    if (way == WatchBy::kRefused) {
      refused.push_back(&mount);
      if (watch != Watch::kNothing) refuse(mount, "a filesystem of type " + mount.type);
      continue;
    }
    // KERNEL: 5.12. The way to a mount point is in the kernel's caches, as a rule. Where it leads through a filesystem
    // that was refused, nothing else is tried.
    errno = 0;
    Descriptor at = openBelow(directory, mount.mount_point, true);
    const auto leadsThrough = [&](const Mount* other) { return isBelow(mount.mount_point, other->mount_point); };
    const bool is_uncached = !at && errno == EAGAIN && std::none_of(refused.begin(), refused.end(), leadsThrough);
    if (is_uncached) {
      at = openBelow(directory, mount.mount_point, false);
    }
    if (!at && errno == ENAMETOOLONG && watch != Watch::kNothing) refuse(mount, "its path is too long");
    // It is gone, or another mount hides it.
    if (!at || mountIdOf(at.get()) != mount.id) {
      if (isOutOfDescriptors(errno)) *is_whole = false;
      continue;
    }
    const bool holds_programs = mount.type != "cgroup" && mount.type != "cgroup2";
    const Watch wanted = !holds_programs && watch == Watch::kExec ? Watch::kNothing : watch;
    // KERNEL: another container's group may have a mark on the filesystem, and one of this container's on the mount could keep
    // it from being closed (group.h).
    const bool is_foreign = mount.type == "overlay" && way == WatchBy::kMount;
    const Group* const group = is_foreign ? foreign : root.group.get();
    const int error = group == nullptr ? EMFILE : group->watchVolume(at.get(), way == WatchBy::kFilesystem, wanted);
    if (error != 0) refuse(mount, std::string("fanotify_mark: ") + std::strerror(error));
    if (error == 0 && wanted == Watch::kExecAndOpen && mount.type == "tmpfs" && mount.mount_point == "/dev") {
      for (const char* name : kDevices) root.group->ignoreDevice(at.get(), name);
    }
    // A device that hides a file, as runtimes mount it over `/proc/keys`, is no file that could be changed.
    struct stat mounted {};
    const bool has_files = fstat(at.get(), &mounted) == 0 && (S_ISDIR(mounted.st_mode) || S_ISREG(mounted.st_mode));
    if (mount.is_read_only || !holds_programs || !has_files) continue;
    changeable.push_back({mount, host.kindOf(mount), is_uncached, way == WatchBy::kFilesystem});
  }
  return changeable;
}

}  // namespace d4c
