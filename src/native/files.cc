#include "files.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <iterator>
#include <memory>

namespace d4c {

namespace {

/// A creation's event comes right before its open is decided; what is older has lost its event.
constexpr std::chrono::seconds kClaimLives(10);
/// Where more files are made than this, some are asked about again, at the cost of a wrong guess.
constexpr size_t kMaxFiles = 200000;
/// What the paths of folders may take that are still to be visited: who makes folders chooses how deep they are, and 200,000 paths of
/// 4 KiB would be more than the keeper may have.
constexpr size_t kMaxPathBytes = size_t{8} << 20;
/// What is taken for one, roughly, with what the containers and the allocator need.
constexpr size_t kKnownBytes = 48;
constexpr size_t kClaimBytes = 96;
constexpr size_t kFolderBytes = 80;
constexpr size_t kMakerBytes = 64;
constexpr const char* kWhichExecutables = "which files can be executed";

/// Below the directory and on its mount, since another one's filesystem may make whoever looks wait.
int openFolder(int directory, const std::string& folder) {
  open_how how{};
  how.flags = O_RDONLY | O_DIRECTORY | O_NONBLOCK | O_CLOEXEC;
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV;
  return static_cast<int>(syscall(SYS_openat2, directory, folder.c_str(), &how, sizeof how));
}

}  // namespace

bool walkFiles(int directory, size_t max_files, const VisitFile& visit, WalkSteps* steps) {
  std::vector<std::string> folders{"."};
  size_t files = 0;
  size_t bytes = folders.back().size();
  while (!folders.empty()) {
    const std::string folder = std::move(folders.back());
    folders.pop_back();
    bytes -= folder.size();
    const std::unique_ptr<DIR, int (*)(DIR*)> entries(fdopendir(openFolder(directory, folder)), closedir);
    while (const dirent* entry = entries ? readdir(entries.get()) : nullptr) {
      const std::string name = entry->d_name;
      if (name == "." || name == "..") continue;
      if (++files > max_files) return false;
      if (steps != nullptr) ++*steps;
      const std::string path = folder + "/" + name;
      const auto visitLater = [&] {
        bytes += path.size();
        folders.push_back(path);
        return bytes <= kMaxPathBytes;
      };
      if (entry->d_type == DT_DIR) {
        if (!visitLater()) return false;
        continue;
      }
      struct statx file {};
      constexpr int kHow = AT_SYMLINK_NOFOLLOW | AT_STATX_DONT_SYNC;
      if (statx(dirfd(entries.get()), name.c_str(), kHow, STATX_TYPE | STATX_MODE | STATX_INO, &file) != 0) continue;
      if (S_ISDIR(file.stx_mode) && !visitLater()) return false;
      if (S_ISREG(file.stx_mode) && !visit(path.substr(1), file.stx_ino, file.stx_mode)) return false;
    }
  }
  return true;
}

std::optional<std::vector<uint64_t>> executablesBelow(int directory, size_t max_files, WalkSteps* steps) {
  std::vector<uint64_t> executables;
  const auto visit = [&](const std::string&, uint64_t inode, mode_t mode) {
    if ((mode & 0111) != 0) executables.push_back(inode);
    return true;
  };
  return walkFiles(directory, max_files, visit, steps) ? std::optional(std::move(executables)) : std::nullopt;
}

Files::Files(std::shared_ptr<Account> account)
    : contained_(account), claims_purse_(account), makers_purse_(account), executables_purse_(std::move(account)) {}

void Files::claim(pid_t tid, uint64_t inode, mode_t mode) {
  const std::lock_guard<std::mutex> lock(mutex_);
  const Clock::time_point now = Clock::now();
  if (claims_.size() >= sweep_at_) sweepClaims(now);
  if (!claims_purse_.take(kClaimBytes)) {
    // The old ones go, but not for each that comes.
    if (now - swept_at_ > kClaimLives) sweepClaims(now);
    claims_purse_.forgot("which files an open has created");
    return;
  }
  claims_.emplace(std::make_pair(tid, inode), Claim{mode, now});
}

void Files::sweepClaims(Clock::time_point now) {
  for (auto one = claims_.begin(); one != claims_.end();) {
    one = now - one->second.since > kClaimLives ? claims_.erase(one) : std::next(one);
  }
  claims_purse_.give(claims_purse_.bytes() - claims_.size() * kClaimBytes);
  // A sweep costs no more than the claims since the last one.
  sweep_at_ = 2 * claims_.size() + kMaxClaims;
  swept_at_ = now;
}

std::optional<mode_t> Files::takeClaim(pid_t tid, uint64_t inode) {
  const std::lock_guard<std::mutex> lock(mutex_);
  const std::pair<pid_t, uint64_t> key(tid, inode);
  // Of several the first.
  const auto found = claims_.lower_bound(key);
  if (found == claims_.end() || found->first != key) return std::nullopt;
  const Claim claim = found->second;
  claims_.erase(found);
  claims_purse_.give(kClaimBytes);
  if (Clock::now() - claim.since > kClaimLives) return std::nullopt;
  return claim.mode;
}

void Files::noteMaker(uint64_t inode, pid_t tid) {
  const std::lock_guard<std::mutex> lock(mutex_);
  // The oldest one goes then.
  const bool is_full = makers_.size() >= kMaxMade;
  if (!is_full && !makers_purse_.take(kMakerBytes)) return makers_purse_.forgot("which files an open has created");
  makers_.note(inode, tid);
}

bool Files::takeMade(pid_t tid, uint64_t inode) {
  const std::lock_guard<std::mutex> lock(mutex_);
  return makers_.take(tid, inode);
}

std::optional<bool> Files::wasExecutable(uint64_t inode) const {
  const std::lock_guard<std::mutex> lock(mutex_);
  const auto found = executables_.find(inode);
  return found == executables_.end() ? std::nullopt : std::optional<bool>(found->second);
}

void Files::noteExecutable(uint64_t inode, bool is_executable) {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (const auto found = executables_.find(inode); found != executables_.end()) {
    found->second = is_executable;
    return;
  }
  if (executables_.size() >= kMaxFiles || !executables_purse_.take(kKnownBytes)) {
    executables_purse_.forgot(kWhichExecutables);
    forgetExecutables();
    if (!executables_purse_.take(kKnownBytes)) return;
  }
  executables_.emplace(inode, is_executable);
}

void Files::forget(uint64_t inode) {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (executables_.erase(inode) > 0) executables_purse_.give(kKnownBytes);
}

/// With the folders that were looked at: of a file there of which nothing is known they say that it cannot be executed.
void Files::forgetExecutables() {
  executables_ = {};
  learned_ = {};
  executables_purse_.giveAll();
}

bool Files::hasLearned(const std::string& folder) const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return learned_.count(folder) != 0;
}

bool Files::haveLearned(const std::string& folder, const std::vector<uint64_t>& executables) {
  const std::lock_guard<std::mutex> lock(mutex_);
  const size_t of_folder = kFolderBytes + folder.size();
  const bool has_room = executables_.size() + executables.size() <= kMaxFiles;
  if (!has_room || !executables_purse_.take(of_folder + executables.size() * kKnownBytes)) {
    executables_purse_.forgot(kWhichExecutables);
    return false;
  }
  for (const uint64_t inode : executables) {
    if (!executables_.emplace(inode, true).second) executables_purse_.give(kKnownBytes);
  }
  if (!learned_.insert(folder).second) executables_purse_.give(of_folder);
  return true;
}

void Files::unlearn() {
  const std::lock_guard<std::mutex> lock(mutex_);
  forgetExecutables();
}

bool Files::contain(int64_t birth_ns, Containment containment) {
  const std::lock_guard<std::mutex> lock(mutex_);
  return contained_.add(birth_ns, std::move(containment));
}

bool Files::hasContained() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return !contained_.isEmpty();
}

bool Files::hasContained(int64_t birth_ns) const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return contained_.has(birth_ns);
}

std::vector<Containment> Files::containedOf(int64_t birth_ns, uint64_t inode, const std::string& path, dev_t root) const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return contained_.of(birth_ns, inode, path, root);
}

}  // namespace d4c
