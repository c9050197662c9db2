#include "upper.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cerrno>

#include "clock_steps.h"
#include "proc_file.h"

namespace d4c {

namespace {

/// A container that makes more files than this is asked about again, at the cost of a wrong guess.
constexpr size_t kMaxCopiedUp = 200000;
constexpr size_t kMaxCompared = 4096;
/// What the names of one file may take: a container makes as many and as long ones as it likes. With any of those that are left out it
/// counts as changed.
constexpr size_t kMaxNamesBytes = size_t{1} << 20;
/// The longest from a setting of the clock until it is seen. More costs a look at what is younger, on a machine that is slow
/// less would miss something.
constexpr int64_t kClockSeenNs = int64_t{60} * 1000000000;
constexpr size_t kMaxWriters = 4096;
constexpr size_t kMaxWritersBytes = size_t{1} << 20;
/// What is taken for one, roughly, with what the containers and the allocator need; of a writer, beside its path.
constexpr size_t kCopiedUpBytes = 48;
constexpr size_t kComparedBytes = 96;
constexpr size_t kWriterBytes = 96;
constexpr const char* kWhichCopied = "which files were copied up from the image";

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

Upper::Upper(const std::string& upper_path, const std::string& host_root, const std::vector<std::string>& layer_paths,
             std::shared_ptr<Account> account)
    : Files(account), directory(seenFrom(host_root, upper_path)), layers([&] {
        std::vector<std::string> seen;
        for (const std::string& path : layer_paths) {
          // Runtimes shorten a long list by paths that are relative to the folder of all layers, of which the upper
          // directory is `<layer>/fs` or `<layer>/diff`.
          const bool is_relative = path.front() != '/';
          seen.push_back(seenFrom(host_root, is_relative ? parentOf(parentOf(upper_path)) + "/" + path : path));
        }
        return seen;
      }()),
      compared_purse_(account),
      writers_purse_(account),
      copied_up_purse_(std::move(account)) {
  const Descriptor at(open(directory.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (at) since_ns_ = opened(at.get()).birth_ns;
  // The clock was set back since the directory was made.
  if (since_ns_ > clockNs()) onClockSet();
}

void Upper::onClockSet() { mayHoldSince(clockNs() - kClockSeenNs); }

void Upper::mayHoldSince(int64_t clock_ns) {
  int64_t since_ns = since_ns_;
  while (since_ns != 0 && clock_ns < since_ns && !since_ns_.compare_exchange_weak(since_ns, clock_ns)) continue;
}

Descriptor Upper::openIn(const std::string& directory, const std::string& path) {
  const Descriptor root(open(directory.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  return root ? openAt(root.get(), path.c_str(), O_PATH | O_NOFOLLOW) : Descriptor();
}

Descriptor Upper::openIn(const std::vector<std::string>& layers, const std::string& path) {
  for (const std::string& layer : layers) {
    Descriptor file = openIn(layer, path);
    struct stat found {};
    if (!file || fstat(file.get(), &found) != 0) continue;
    // A layer that deletes the name hides what lower ones have.
    return isWhiteout(found) ? Descriptor() : std::move(file);
  }
  return Descriptor();
}

void Upper::forget(uint64_t inode) {
  Files::forget(inode);
  const std::lock_guard<std::mutex> lock(mutex_);
  if (copied_up_.erase(inode) > 0) copied_up_purse_.give(kCopiedUpBytes);
}

std::optional<Upper::Look> Upper::look(const std::string& directory, const std::vector<std::string>& layers, size_t max_files,
                                       WalkSteps* steps) {
  const Descriptor root(open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  Look look;
  const auto visit = [&](const std::string& path, uint64_t inode, mode_t mode) {
    if ((mode & 0111) == 0) return true;
    look.executables.push_back(inode);
    if (openIn(layers, path)) look.copied_up.insert(inode);
    return true;
  };
  return root && walkFiles(root.get(), max_files, visit, steps) ? std::optional(std::move(look)) : std::nullopt;
}

void Upper::learn(Look look) {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    copied_up_ = {};
    copied_up_purse_.giveAll();
    if (!copied_up_purse_.take(look.copied_up.size() * kCopiedUpBytes)) {
      copied_up_purse_.forgot(kWhichCopied);
      return;
    }
    copied_up_ = std::move(look.copied_up);
  }
  unlearn();
  haveLearned("", look.executables);
}

std::vector<std::string> Upper::namesInImage(uint64_t inode, size_t max_files) const {
  std::vector<std::string> names;
  const Descriptor root(open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!root) return names;
  size_t bytes = 0;
  walkFiles(root.get(), max_files, [&](const std::string& path, uint64_t found, mode_t) {
    if (found != inode || !openInImage(path)) return true;
    bytes += path.size();
    names.push_back(path);
    return bytes <= kMaxNamesBytes;
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

void Upper::noteWriter(pid_t tid, const std::string& path) {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (const auto found = writers_.find(tid); found != writers_.end()) {
    writers_purse_.give(kWriterBytes + found->second.size());
    writers_.erase(found);
  }
  const size_t bytes = kWriterBytes + path.size();
  const bool has_room = writers_.size() < kMaxWriters && writers_purse_.bytes() < kMaxWritersBytes;
  if (!has_room || !writers_purse_.take(bytes)) {
    // Nearly all of them are done by now.
    writers_ = {};
    writers_purse_.giveAll();
    if (!writers_purse_.take(bytes)) {
      writers_purse_.forgot("who opens a file to write");
      return;
    }
  }
  writers_.emplace(tid, path);
}

bool Upper::isWriter(pid_t tid, const std::string& path) const {
  const std::lock_guard<std::mutex> lock(mutex_);
  const auto found = writers_.find(tid);
  return found != writers_.end() && found->second == path;
}

void Upper::noteCopiedUp(uint64_t inode) {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (copied_up_.count(inode) != 0) return;
  if (copied_up_.size() >= kMaxCopiedUp || !copied_up_purse_.take(kCopiedUpBytes)) {
    copied_up_purse_.forgot(kWhichCopied);
    copied_up_ = {};
    copied_up_purse_.giveAll();
    if (!copied_up_purse_.take(kCopiedUpBytes)) return;
  }
  copied_up_.insert(inode);
}

bool Upper::isCopiedUp(int at, uint64_t inode) const {
  // KERNEL: the container cannot set it: overlayfs hides the attribute from it. The value may be empty.
  if (getxattr(linkOf(at).c_str(), "trusted.overlay.origin", nullptr, 0) >= 0) return true;
  const std::lock_guard<std::mutex> lock(mutex_);
  return copied_up_.count(inode) != 0;
}

std::vector<Containment> Upper::contained(const Opened& file, const std::string& path, dev_t root) const {
  if (!hasContained(file.birth_ns)) return {};
  // Files that were made in the same tick of the clock have the same birth.
  const Descriptor at = openIn(directory, path);
  const Opened here = at ? opened(at.get()) : Opened();
  return containedOf(file.birth_ns, here.birth_ns == file.birth_ns ? here.inode : file.inode, path, root);
}

std::optional<bool> Upper::comparedBefore(const struct stat& file) const {
  const std::lock_guard<std::mutex> lock(mutex_);
  const auto found = compared_.find(file.st_ino);
  if (found == compared_.end()) return std::nullopt;
  const Compared& known = found->second;
  const bool is_as_then = known.changed.tv_sec == file.st_ctim.tv_sec && known.changed.tv_nsec == file.st_ctim.tv_nsec &&
                          known.size == file.st_size;
  return is_as_then ? std::optional<bool>(known.is_same) : std::nullopt;
}

void Upper::rememberCompared(const struct stat& file, bool is_same) {
  const std::lock_guard<std::mutex> lock(mutex_);
  const bool is_known = compared_.count(file.st_ino) != 0;
  if (!is_known && (compared_.size() >= kMaxCompared || !compared_purse_.take(kComparedBytes))) {
    // They are compared once more.
    compared_ = {};
    compared_purse_.giveAll();
    if (!compared_purse_.take(kComparedBytes)) return;
  }
  compared_[file.st_ino] = {file.st_ctim, file.st_size, is_same};
}

}  // namespace d4c
