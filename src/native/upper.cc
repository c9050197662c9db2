#include "upper.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <memory>

namespace d4c {

namespace {

/// A creation's event comes right before its open is decided; what is older has lost its event.
constexpr std::chrono::seconds kClaimLives(10);
constexpr size_t kMaxClaims = 4096;
/// A container that makes more files than this is asked about again, at the cost of a wrong guess.
constexpr size_t kMaxKnown = 200000;

Descriptor openAt(int at, const char* path, uint64_t flags) {
  open_how how{};
  how.flags = flags | O_CLOEXEC;
  how.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS;
  return Descriptor(static_cast<int>(syscall(SYS_openat2, at, path, &how, sizeof how)));
}

std::string seenFrom(const std::string& host_root, const std::string& path) {
  return (host_root == "/" ? "" : host_root) + path;
}

std::string parentOf(const std::string& path) { return path.substr(0, path.rfind('/')); }

}  // namespace

Upper::Upper(const std::string& upper_path, const std::string& host_root, const std::vector<std::string>& layer_paths)
    : directory(seenFrom(host_root, upper_path)), layers([&] {
        std::vector<std::string> seen;
        for (const std::string& path : layer_paths) {
          // Runtimes shorten a long list by paths that are relative to the folder of all layers, of which the upper
          // directory is `<layer>/fs` or `<layer>/diff`.
          const bool is_relative = path.front() != '/';
          seen.push_back(seenFrom(host_root, is_relative ? parentOf(parentOf(upper_path)) + "/" + path : path));
        }
        return seen;
      }()) {}

Descriptor Upper::openIn(const std::string& directory, const std::string& path) {
  const Descriptor root(open(directory.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  return root ? openAt(root.get(), path.c_str(), O_PATH | O_NOFOLLOW) : Descriptor();
}

Descriptor Upper::openInImage(const std::string& path) const {
  for (const std::string& layer : layers) {
    Descriptor file = openIn(layer, path);
    struct stat found {};
    if (!file || fstat(file.get(), &found) != 0) continue;
    // A layer that deletes the name hides what lower ones have.
    return isWhiteout(found) ? Descriptor() : std::move(file);
  }
  return Descriptor();
}

void Upper::claim(pid_t tid, uint64_t inode, mode_t mode) {
  const std::lock_guard<std::mutex> lock(mutex_);
  const Clock::time_point now = Clock::now();
  if (claims_.size() >= kMaxClaims) {
    for (auto claim = claims_.begin(); claim != claims_.end();) {
      claim = now - claim->second.since > kClaimLives ? claims_.erase(claim) : std::next(claim);
    }
  }
  claims_[{tid, inode}] = {mode, now};
}

std::optional<mode_t> Upper::takeClaim(pid_t tid, uint64_t inode) {
  const std::lock_guard<std::mutex> lock(mutex_);
  const auto found = claims_.find({tid, inode});
  if (found == claims_.end()) return std::nullopt;
  const Claim claim = found->second;
  claims_.erase(found);
  if (Clock::now() - claim.since > kClaimLives) return std::nullopt;
  return claim.mode;
}

std::optional<bool> Upper::wasExecutable(uint64_t inode) const {
  const std::lock_guard<std::mutex> lock(mutex_);
  const auto found = executables_.find(inode);
  return found == executables_.end() ? std::nullopt : std::optional<bool>(found->second);
}

bool Upper::hasLearned() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return has_learned_;
}

void Upper::noteExecutable(uint64_t inode, bool is_executable) {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (executables_.size() >= kMaxKnown && executables_.count(inode) == 0) {
    executables_.clear();
    has_learned_ = false;
  }
  executables_[inode] = is_executable;
}

void Upper::forget(uint64_t inode) {
  const std::lock_guard<std::mutex> lock(mutex_);
  executables_.erase(inode);
}

bool Upper::learn(size_t max_files) {
  std::unordered_map<uint64_t, bool> found;
  std::vector<std::string> folders{"/"};
  const Descriptor root(open(directory.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  size_t files = 0;
  while (root && !folders.empty()) {
    const std::string folder = std::move(folders.back());
    folders.pop_back();
    Descriptor at = openAt(root.get(), folder.c_str(), O_RDONLY | O_DIRECTORY | O_NONBLOCK);
    const std::unique_ptr<DIR, int (*)(DIR*)> entries(at ? fdopendir(fcntl(at.get(), F_DUPFD_CLOEXEC, 0)) : nullptr, closedir);
    while (const dirent* entry = entries ? readdir(entries.get()) : nullptr) {
      const std::string name = entry->d_name;
      struct stat file {};
      if (name == "." || name == ".." || fstatat(at.get(), name.c_str(), &file, AT_SYMLINK_NOFOLLOW) != 0) continue;
      if (++files > max_files) return false;
      if (S_ISDIR(file.st_mode)) folders.push_back(folder + name + "/");
      if (S_ISREG(file.st_mode) && (file.st_mode & 0111) != 0) found[file.st_ino] = true;
    }
  }
  const std::lock_guard<std::mutex> lock(mutex_);
  executables_ = std::move(found);
  has_learned_ = static_cast<bool>(root);
  return true;
}

bool isCopiedUp(int at) {
  char link[32];
  std::snprintf(link, sizeof link, "/proc/self/fd/%d", at);
  // KERNEL: the container cannot set it: overlayfs hides the attribute from it. The value may be empty.
  return getxattr(link, "trusted.overlay.origin", nullptr, 0) >= 0;
}

}  // namespace d4c
