#include "in_container.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <sys/syscall.h>
#include <sys/vfs.h>

#include <cerrno>

#include "opened.h"
#include "proc_file.h"

namespace d4c {

namespace {

/// The kernel's caches do not answer while a folder on the way is renamed.
constexpr int kPathTries = 4;

/// KERNEL: mount IDs, paths and numbers of processes are reused, so only the descriptor says what was opened.
bool isOverlay(const Descriptor& at, dev_t device) {
  struct stat found {};
  struct statfs filesystem {};
  return at && fstat(at.get(), &found) == 0 && fstatfs(at.get(), &filesystem) == 0 &&
         filesystem.f_type == OVERLAYFS_SUPER_MAGIC && found.st_dev == device;
}

Descriptor openRootOf(pid_t tid) { return openProc(tid, "root", O_PATH | O_DIRECTORY); }

bool isSame(const struct stat& a, const struct stat& b) { return a.st_ino == b.st_ino && a.st_dev == b.st_dev; }

Descriptor openIn(int root, const std::string& path) {
  open_how how{};
  how.flags = O_PATH | O_CLOEXEC;
  how.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS;
  return Descriptor(static_cast<int>(syscall(SYS_openat2, root, path.c_str(), &how, sizeof how)));
}

bool removeFrom(const Descriptor& folder, const std::string& name, const struct stat& created) {
  struct stat now {};
  if (!folder || fstatat(folder.get(), name.c_str(), &now, AT_SYMLINK_NOFOLLOW) != 0) return false;
  return isSame(now, created) && now.st_size == 0 && unlinkat(folder.get(), name.c_str(), 0) == 0;
}

}  // namespace

Descriptor openOverlay(const OverlayPlace& place) {
  Descriptor root(open(place.mount_point.c_str(), O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (isOverlay(root, place.device)) return root;
  const int error = root ? ESTALE : errno;
  if (const pid_t process = place.process; process != 0) {
    root = openRootOf(process);
    if (isOverlay(root, place.device)) return root;
  }
  errno = error;
  return Descriptor();
}

Descriptor openInContainer(const OverlayPlace& place, const std::string& path) {
  const Descriptor root = openOverlay(place);
  return root ? openIn(root.get(), path) : Descriptor();
}

Descriptor openBelow(int directory, const std::string& path, bool cached) {
  open_how how{};
  how.flags = O_PATH | O_CLOEXEC;
  how.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_SYMLINKS | (cached ? RESOLVE_CACHED : 0);
  return Descriptor(static_cast<int>(syscall(SYS_openat2, directory, path.c_str(), &how, sizeof how)));
}

bool removeCreated(const OverlayPlace& place, const std::string& path, const struct stat& created) {
  const Descriptor root = openOverlay(place);
  const size_t slash = path.rfind('/');
  if (!root || slash == std::string::npos) return false;
  return removeFrom(openIn(root.get(), path.substr(0, slash + 1)), path.substr(slash + 1), created);
}

Descriptor openAsSeenBy(pid_t tid, const std::string& path, bool cached) {
  const Descriptor root = openRootOf(tid);
  return root ? openBelow(root.get(), path, cached) : Descriptor();
}

bool removeCreatedBy(pid_t tid, const std::string& path, const struct stat& created) {
  const size_t slash = path.rfind('/');
  if (slash == std::string::npos) return false;
  return removeFrom(openAsSeenBy(tid, path.substr(0, slash + 1)), path.substr(slash + 1), created);
}

bool readPathAsSeenBy(pid_t tid, int file, std::string* path) {
  if (!readLinkedPath(file, path)) return false;
  const size_t size = withoutDeleted(*path).size();
  if (size == path->size()) return true;
  const Opened wanted = opened(file);
  Descriptor named;
  for (int i = 0; i < kPathTries && !named; ++i) {
    named = openAsSeenBy(tid, *path);
    if (!named && errno != EAGAIN) break;
  }
  const Opened found = named ? opened(named.get()) : Opened();
  const bool is_called_so = named && found.inode == wanted.inode && found.mount == wanted.mount;
  if (!is_called_so) path->resize(size);
  return true;
}

bool takeExecuteBitsBack(int file, const struct stat& as_seen) {
  struct stat now {};
  if (fstat(file, &now) != 0) return false;
  const bool is_as_seen = now.st_mode == as_seen.st_mode && now.st_ctim.tv_sec == as_seen.st_ctim.tv_sec &&
                          now.st_ctim.tv_nsec == as_seen.st_ctim.tv_nsec;
  if (!is_as_seen) return false;
  const mode_t mode = now.st_mode & 07777 & ~mode_t{0111};
  // KERNEL: 6.6. The number is the same on every architecture.
  constexpr long kFchmodat2 = 452;
  if (syscall(kFchmodat2, file, "", mode, AT_EMPTY_PATH) == 0) return true;
  // SAFETY: the link is followed and not opened.
  return errno == ENOSYS && chmod(linkOf(file).c_str(), mode) == 0;
}

}  // namespace d4c
