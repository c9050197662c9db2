#include "upper.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <memory>

namespace d4c {

namespace {

/// A container that makes more files than this is asked about again, at the cost of a wrong guess.
constexpr size_t kMaxKnown = 200000;
constexpr size_t kMaxContained = 65536;
constexpr size_t kMaxCompared = 4096;

Descriptor openAt(int at, const char* path, uint64_t flags) {
  open_how how{};
  how.flags = flags | O_CLOEXEC;
  how.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS;
  return Descriptor(static_cast<int>(syscall(SYS_openat2, at, path, &how, sizeof how)));
}

std::string seenFrom(const std::string& host_root, const std::string& path) {
  return (host_root == "/" ? "" : host_root) + path;
}

std::string linkOf(int at) { return "/proc/self/fd/" + std::to_string(at); }

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
      }()) {
  const Descriptor at(open(directory.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (at) birth_ns_ = opened(at.get()).birth_ns;
}

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
  copied_up_.erase(inode);
}

bool Upper::walk(size_t max_files, const std::function<bool(const std::string&, const struct stat&)>& visit) const {
  std::vector<std::string> folders{"/"};
  const Descriptor root(open(directory.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  size_t files = 0;
  while (root && !folders.empty()) {
    const std::string folder = std::move(folders.back());
    folders.pop_back();
    const Descriptor at = openAt(root.get(), folder.c_str(), O_RDONLY | O_DIRECTORY | O_NONBLOCK);
    const std::unique_ptr<DIR, int (*)(DIR*)> entries(at ? fdopendir(fcntl(at.get(), F_DUPFD_CLOEXEC, 0)) : nullptr, closedir);
    while (const dirent* entry = entries ? readdir(entries.get()) : nullptr) {
      const std::string name = entry->d_name;
      struct stat file {};
      if (name == "." || name == ".." || fstatat(at.get(), name.c_str(), &file, AT_SYMLINK_NOFOLLOW) != 0) continue;
      if (++files > max_files) return false;
      if (S_ISDIR(file.st_mode)) folders.push_back(folder + name + "/");
      if (!visit(folder + name, file)) return false;
    }
  }
  return static_cast<bool>(root);
}

bool Upper::learn(size_t max_files) {
  std::unordered_map<uint64_t, bool> executables;
  std::unordered_set<uint64_t> copied_up;
  const bool is_whole = walk(max_files, [&](const std::string& path, const struct stat& file) {
    if (!S_ISREG(file.st_mode) || (file.st_mode & 0111) == 0) return true;
    executables[file.st_ino] = true;
    if (openInImage(path)) copied_up.insert(file.st_ino);
    return true;
  });
  if (!is_whole) return false;
  const std::lock_guard<std::mutex> lock(mutex_);
  executables_ = std::move(executables);
  copied_up_ = std::move(copied_up);
  has_learned_ = true;
  return true;
}

std::vector<std::string> Upper::namesInImage(uint64_t inode, size_t max_files) const {
  std::vector<std::string> names;
  walk(max_files, [&](const std::string& path, const struct stat& file) {
    if (file.st_ino == inode && openInImage(path)) names.push_back(path);
    return true;
  });
  return names;
}

bool Upper::showsImage(const std::string& path) const {
  for (size_t end = path.rfind('/'); end != 0 && end != std::string::npos; end = path.rfind('/', end - 1)) {
    const Descriptor folder = openIn(directory, path.substr(0, end));
    char value = 0;
    if (folder && getxattr(linkOf(folder.get()).c_str(), "trusted.overlay.opaque", &value, 1) == 1 && value == 'y') return false;
  }
  return true;
}

void Upper::noteCopiedUp(uint64_t inode) {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (copied_up_.size() >= kMaxKnown) copied_up_.clear();
  copied_up_.insert(inode);
}

bool Upper::isCopiedUp(int at, uint64_t inode) const {
  // KERNEL: the container cannot set it: overlayfs hides the attribute from it. The value may be empty.
  if (getxattr(linkOf(at).c_str(), "trusted.overlay.origin", nullptr, 0) >= 0) return true;
  const std::lock_guard<std::mutex> lock(mutex_);
  return copied_up_.count(inode) != 0;
}

bool Upper::contain(int64_t birth_ns, Containment containment) {
  const std::lock_guard<std::mutex> lock(mutex_);
  std::vector<Containment>& all = contained_[birth_ns];
  for (const Containment& known : all) {
    const bool is_same = known.inode == containment.inode && known.path == containment.path;
    if (is_same && known.operations == containment.operations) return true;
  }
  if (containments_ >= kMaxContained) return false;
  ++containments_;
  all.push_back(std::move(containment));
  return true;
}

std::vector<Containment> Upper::contained(const Opened& file, const std::string& path) const {
  std::vector<Containment> all;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    const auto found = contained_.find(file.birth_ns);
    if (found == contained_.end()) return all;
    all = found->second;
  }
  // Files that were made in the same tick of the clock have the same birth.
  const Descriptor at = openIn(directory, path);
  const Opened here = at ? opened(at.get()) : Opened();
  const uint64_t inode = here.birth_ns == file.birth_ns ? here.inode : file.inode;
  all.erase(std::remove_if(all.begin(), all.end(), [&](const Containment& one) { return one.inode != inode; }), all.end());
  return all;
}

std::optional<bool> Upper::comparedBefore(const struct stat& file) const {
  const std::lock_guard<std::mutex> lock(mutex_);
  const auto found = compared_.find(file.st_ino);
  if (found == compared_.end()) return std::nullopt;
  const Compared& known = found->second;
  const bool is_as_then = known.changed.tv_sec == file.st_ctim.tv_sec && known.changed.tv_nsec == file.st_ctim.tv_nsec && known.size == file.st_size;
  return is_as_then ? std::optional<bool>(known.is_same) : std::nullopt;
}

void Upper::rememberCompared(const struct stat& file, bool is_same) {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (compared_.size() >= kMaxCompared) compared_.clear();
  compared_[file.st_ino] = {file.st_ctim, file.st_size, is_same};
}

}  // namespace d4c
