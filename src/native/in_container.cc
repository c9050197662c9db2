#include "in_container.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <sys/syscall.h>
#include <sys/vfs.h>

namespace d4c {

namespace {

bool isSame(const struct stat& a, const struct stat& b) { return a.st_ino == b.st_ino && a.st_dev == b.st_dev; }

Descriptor openIn(int root, const std::string& path) {
  open_how how{};
  how.flags = O_PATH | O_CLOEXEC;
  how.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS;
  return Descriptor(static_cast<int>(syscall(SYS_openat2, root, path.c_str(), &how, sizeof how)));
}

}  // namespace

Descriptor openOverlay(const OverlayPlace& place) {
  Descriptor root(open(place.mount_point.c_str(), O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  struct stat found {};
  struct statfs filesystem {};
  // KERNEL: mount IDs and paths are reused, so only the descriptor says what was opened.
  const bool is_overlay = root && fstat(root.get(), &found) == 0 && fstatfs(root.get(), &filesystem) == 0 &&
                          filesystem.f_type == OVERLAYFS_SUPER_MAGIC && found.st_dev == place.device;
  return is_overlay ? std::move(root) : Descriptor();
}

Descriptor openInContainer(const OverlayPlace& place, const std::string& path) {
  const Descriptor root = openOverlay(place);
  return root ? openIn(root.get(), path) : Descriptor();
}

bool removeCreated(const OverlayPlace& place, const std::string& path, const struct stat& created) {
  const Descriptor root = openOverlay(place);
  const size_t slash = path.rfind('/');
  if (!root || slash == std::string::npos) return false;
  const std::string name = path.substr(slash + 1);
  const Descriptor folder = openIn(root.get(), path.substr(0, slash + 1));
  struct stat now {};
  if (!folder || fstatat(folder.get(), name.c_str(), &now, AT_SYMLINK_NOFOLLOW) != 0) return false;
  return isSame(now, created) && now.st_size == 0 && unlinkat(folder.get(), name.c_str(), 0) == 0;
}

}  // namespace d4c
