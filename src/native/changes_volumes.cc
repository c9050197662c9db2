// The part that begins and ends to watch volumes, for whoever has marked them with permission events before.

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>

#include <algorithm>
#include <chrono>
#include <cerrno>

#include "changes.h"
#include "in_container.h"
#include "proc_file.h"

namespace d4c {

namespace {

/// The kernel's caches do not answer while a folder on the way is renamed.
constexpr int kVolumeTries = 4;
/// For looking at files while somebody waits, and while only what happens next does.
constexpr std::chrono::seconds kLongestAtOnce(3);
constexpr std::chrono::seconds kLongestLook(10);

}  // namespace

void Changes::expect(Root& root, const std::string& space, pid_t pid, std::vector<FoundVolume> volumes) {
  {
    const std::lock_guard<std::mutex> lock(expected_mutex_);
    const auto isSame = [&](const Expected& one) { return one.space == space && one.root.lock().get() == &root; };
    const auto found = std::find_if(expected_.begin(), expected_.end(), isSame);
    if (found != expected_.end()) {
      // The mount table has changed again meanwhile.
      found->pid = pid;
      found->volumes = std::move(volumes);
      return;
    }
    expected_.push_back({root.weak_from_this(), space, pid, std::move(volumes)});
    ++root.expected;
  }
  const uint64_t one = 1;
  [[maybe_unused]] const ssize_t written = write(has_expected_.get(), &one, sizeof one);
}

void Changes::coverExpected() {
  uint64_t ignored = 0;
  if (::read(has_expected_.get(), &ignored, sizeof ignored) != sizeof ignored) return;
  for (;;) {
    std::optional<Expected> expected;
    {
      const std::lock_guard<std::mutex> lock(expected_mutex_);
      if (expected_.empty()) return;
      expected.emplace(std::move(expected_.front()));
      expected_.pop_front();
    }
    const auto root = expected->root.lock();
    if (root == nullptr) continue;
    forgetVolumes(*root, expected->space);
    for (const FoundVolume& found : expected->volumes) coverVolume(root, *expected, found);
    --root->expected;
  }
}

/// Those that the namespace had, and what is over.
void Changes::forgetVolumes(const Root& root, const std::string& space) {
  const std::lock_guard<std::mutex> lock(mutex_);
  for (auto next = filesystems_.begin(); next != filesystems_.end();) {
    const auto at = next++;
    auto& [device, filesystem] = *at;
    auto& all = filesystem.volumes;
    const bool is_crowded = all.size() > kMaxVolumes;
    const auto isOver = [&](const auto& volume) {
      const auto its_root = volume->root.lock();
      if (its_root.get() != &root) return its_root == nullptr;
      // The last changes of a namespace are told after its process has ended, so its volumes are kept for a while.
      return volume->space == space || (is_crowded && kill(volume->pid, 0) != 0 && errno == ESRCH);
    };
    const auto end = std::remove_if(all.begin(), all.end(), isOver);
    if (end == all.end()) continue;
    all.erase(end, all.end());
    filesystem.is_new = true;
    if (!all.empty() || filesystem.group || !filesystem.roots.empty()) continue;
    // Nobody has it any more, but for what is barred there from being executed should somebody have it again.
    filesystem.files->unlearn();
    if (filesystem.files->hasContained()) continue;
    {
      const std::lock_guard<std::mutex> seen_lock(seen_mutex_);
      seen_.erase(device);
    }
    devices_.erase(filesystem.identity);
    filesystems_.erase(at);
  }
  forgetKnown();
}

void Changes::coverVolume(const std::shared_ptr<Root>& root, const Expected& expected, const FoundVolume& found) {
  const Mount& mount = found.mount;
  Volume volume{root,  expected.space, asPrefix(mount.root), mount.mount_point, found.kind,
                false, expected.pid,   mount.id,             found.is_uncached, Purse(root->account)};
  const Descriptor at = openVolume(volume);
  struct stat file {};
  if (!at && errno == EAGAIN) reports_->fail(Failure::kChangesUnseen, "`" + mount.mount_point + "`: the way to it is not cached");
  // Where it is gone or hidden, the mount table has changed, and is read again.
  if (!at || fstat(at.get(), &file) != 0) return;
  if (!volume.purse.take(sizeof volume + volume.space.size() + volume.source.size() + volume.mount_point.size())) {
    reports_->fail(Failure::kChangesUnseen, "`" + mount.mount_point + "`: too much is remembered");
    return;
  }
  volume.is_file = !S_ISDIR(file.st_mode);
  if (volume.is_file) volume.kind = MountKind::kVolumeFile;
  Filesystem* filesystem = nullptr;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    const auto identity = watch(mount.mount_point, at.get(), file.st_dev, false);
    if (!identity) return;
    filesystem = &filesystems_[file.st_dev];
    if (filesystem->files == nullptr || filesystem->identity != *identity) {
      renew(filesystem, file.st_dev, *identity, found.is_own ? root->account : common_);
    }
    filesystem->is_new = true;
    const bool has_group = static_cast<bool>(filesystem->group);
    const std::lock_guard<std::mutex> seen_lock(seen_mutex_);
    seen_[file.st_dev] = {filesystem->files, has_group ? filesystem->group.get() : volumes_group_.get(),
                          has_group ? uint64_t{file.st_dev} : kOfVolumes};
  }
  // A mark that comes first misses nothing between the two: this thread reads its events later.
  if (volume.is_file) {
    if (S_ISREG(file.st_mode)) filesystem->files->noteExecutable(file.st_ino, (file.st_mode & 0111) != 0);
  } else {
    learnVolume(volume, filesystem, kLearnAtOnce, false);
  }
  filesystem->volumes.push_back(std::make_shared<const Volume>(std::move(volume)));
}

/// It had no volume, or another one had its number. Under the lock.
void Changes::renew(Filesystem* filesystem, dev_t device, uint64_t identity, std::shared_ptr<Account> account) {
  const auto before = devices_.find(filesystem->identity);
  if (before != devices_.end() && before->second == device && filesystem->identity != identity) devices_.erase(before);
  filesystem->identity = identity;
  filesystem->files = std::make_shared<Files>(std::move(account));
  filesystem->volumes.clear();
  filesystem->too_large.clear();
  filesystem->anchor = Anchor();
}

/// Looks at the files in the upper directory. False when that could not be done to its end, and is to be tried again.
bool Changes::learnRoot(Root& root, size_t max_files) {
  const Upper& upper = root.upper;
  const auto found = std::make_shared<std::optional<Upper::Look>>();
  const auto look = [found, directory = upper.directory, layers = upper.layers, max_files](WalkSteps* steps) {
    *found = Upper::look(directory, layers, max_files, steps);
  };
  if (!walks_.run(root, upper.directory, max_files > kLearnAtOnce ? kLongestLook : kLongestAtOnce, look)) return false;
  if (*found) root.upper.learn(std::move(**found));
  return true;
}

/// Looks at the files of the volume, unless that was done. As `learnRoot`.
bool Changes::learnVolume(const Volume& volume, Filesystem* filesystem, size_t max_files, bool is_last) {
  Files& files = *filesystem->files;
  const auto root = volume.root.lock();
  if (root == nullptr || files.hasLearned(volume.source) || filesystem->too_large.count(volume.source) != 0) return true;
  const auto at = std::make_shared<const Descriptor>(openVolume(volume));
  if (!*at) return true;
  const auto found = std::make_shared<std::optional<std::vector<uint64_t>>>();
  const auto look = [found, at, max_files](WalkSteps* steps) { *found = executablesBelow(at->get(), max_files, steps); };
  if (!walks_.run(*root, volume.mount_point, max_files > kLearnAtOnce ? kLongestLook : kLongestAtOnce, look)) return false;
  if ((*found && files.haveLearned(volume.source, **found)) || !is_last) return true;
  if (filesystem->too_large.size() >= kMaxVolumes) filesystem->too_large.clear();
  filesystem->too_large.insert(volume.source);
  reports_->fail(Failure::kChangesUnseen, "`" + volume.mount_point + "`: it has more files than are looked at");
  return true;
}

/// The mount point with O_PATH, as long as it is this volume's. With `errno` when there is none: EAGAIN when it may be there.
Descriptor Changes::openVolume(const Volume& volume) {
  Descriptor at;
  for (int i = 0; i < kVolumeTries && !at; ++i) {
    at = openAsSeenBy(volume.pid, volume.mount_point, !volume.is_uncached);
    if (!at && errno != EAGAIN) break;
  }
  if (!at || mountIdOf(at.get()) == volume.mount) return at;
  errno = ENOENT;
  return Descriptor();
}

bool Changes::anchorAtVolume(const Volume& volume, Anchor* anchor) {
  anchor->at = openVolume(volume);
  anchor->source = volume.source;
  return anchor->at && readPath(anchor->at.get(), &anchor->seen);
}

}  // namespace d4c
