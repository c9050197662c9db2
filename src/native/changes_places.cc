// The part that knows where something happened: from the handle of a directory to what containers call it.
//
// A handle is opened from some mount of its filesystem, and what it gives is called as that mount sees it. What is mounted in
// a container is known by its path in the filesystem. So both are brought to that form.

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <time.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "changes.h"
#include "proc_file.h"

namespace d4c {

namespace {

constexpr size_t kMaxPlaces = 8192;
constexpr size_t kMaxKnownBytes = size_t{4} << 20;
constexpr size_t kLearnAtMost = 200000;
/// A volume may be the node's whole disk. Of one with more files the first execute bit of a file that was never seen is not
/// told.
constexpr size_t kLearnOfVolume = 50000;

/// For one that is being freed to be gone, also where the task that frees it was displaced by others.
constexpr std::chrono::milliseconds kFreeingLasts(20);
constexpr timespec kFreedPause{0, 50'000};

/// With `errno` when there is none: ESTALE when it is gone. KERNEL: of a directory that is being freed at this moment it says ENOMEM.
Descriptor openFolder(int mount, Handle folder) {
  const auto since = Clock::now();
  Descriptor at = openHandle(mount, folder);
  while (!at && errno == ENOMEM && Clock::now() - since < kFreeingLasts) {
    nanosleep(&kFreedPause, nullptr);
    at = openHandle(mount, folder);
  }
  return at;
}

bool isAtOrBelow(const std::string& path, const std::string& folder) {
  return path.compare(0, folder.size(), folder) == 0 && (path.size() == folder.size() || path[folder.size()] == '/');
}

}  // namespace

dev_t Changes::deviceOf(uint64_t identity) {
  const std::lock_guard<std::mutex> lock(mutex_);
  const auto found = devices_.find(identity);
  return found == devices_.end() ? 0 : found->second;
}

/// As this process sees the filesystem; one that only a container sees, through it.
void Changes::findAnchor(Filesystem* filesystem, const std::string& of_root, dev_t device, Anchor* anchor) {
  Anchor& last = filesystem->anchor;
  const auto isLast = [&] { return anchor->at && last.mount != 0 && mountIdOf(anchor->at.get()) == last.mount; };
  const auto openAt = [&](const std::string& path) {
    anchor->at = Descriptor(open(path.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
    struct stat found {};
    if (anchor->at && (fstat(anchor->at.get(), &found) != 0 || found.st_dev != device)) anchor->at.reset();
  };
  if (!of_root.empty()) openAt(of_root);
  const bool is_of_root = static_cast<bool>(anchor->at);
  if (!is_of_root && last.mount != 0) openAt(last.seen.empty() ? "/" : last.seen);
  if (filesystem->volumes.empty()) return;
  if (!isLast()) {
    last = Anchor();
    const uint64_t wanted = is_of_root ? mountIdOf(anchor->at.get()) : 0;
    std::optional<Mount> best;
    for (Mount& mount : mountsOf(readWhole(Descriptor(open("/proc/self/mountinfo", O_RDONLY | O_CLOEXEC))), SIZE_MAX)) {
      if (is_of_root ? mount.id != wanted : mount.device != device) continue;
      if (!best || mount.root.size() < best->root.size()) best = std::move(mount);
    }
    if (best && !is_of_root) openAt(best->mount_point);
    if (best && anchor->at && mountIdOf(anchor->at.get()) == best->id) {
      last.mount = best->id;
      last.seen = asPrefix(best->mount_point);
      last.source = asPrefix(best->root);
    } else if (!is_of_root) {
      anchor->at.reset();
    }
  }
  anchor->seen = last.seen;
  anchor->source = last.source;
  for (const auto& volume : filesystem->volumes) {
    if (anchor->at || (!volume->is_file && anchorAtVolume(*volume, anchor))) return;
  }
}

/// Gives a directory of the filesystem, by which handles find others. It is not kept, since it would keep the filesystem from
/// being unmounted. Looks at the files of root filesystems and volumes that are new and large.
void Changes::prepare(dev_t device, Anchor* anchor) {
  std::vector<std::shared_ptr<Root>> roots;
  std::string of_root;
  Filesystem* filesystem = nullptr;
  bool is_new = false;
  bool is_again = false;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    const auto found = filesystems_.find(device);
    if (found == filesystems_.end()) return;
    filesystem = &found->second;
    is_new = std::exchange(filesystem->is_new, false);
    is_again = std::exchange(filesystem->is_unlearned, false);
    for (auto covered = filesystem->roots.begin(); covered != filesystem->roots.end();) {
      std::shared_ptr<Root> root = covered->second.lock();
      const bool is_over = root == nullptr;
      const bool is_due = !is_over && (is_new || (is_again && root->not_walked_until.load() != Clock::time_point()));
      if (is_due && !root->upper.hasLearned()) roots.push_back(std::move(root));
      covered = is_over ? filesystem->roots.erase(covered) : std::next(covered);
    }
    if (!filesystem->roots.empty()) of_root = filesystem->roots.begin()->first;
  }
  if (is_new) forgetKnown();
  findAnchor(filesystem, of_root, device, anchor);
  // The volumes of a process that has ended are gone with it, as a rule.
  const auto isInUse = [](const auto& volume) { return kill(volume->pid, 0) == 0; };
  const auto unseen = std::find_if(filesystem->volumes.begin(), filesystem->volumes.end(), isInUse);
  if (!anchor->at && unseen != filesystem->volumes.end()) {
    reports_->fail(Failure::kChangesUnseen, "`" + (*unseen)->mount_point + "`: its folders cannot be opened");
  }
  if (!is_new && !is_again) return;
  for (const auto& root : roots) filesystem->is_unlearned |= !learnRoot(*root, kLearnAtMost);
  for (const auto& volume : filesystem->volumes) {
    if (!volume->is_file) filesystem->is_unlearned |= !learnVolume(*volume, filesystem, kLearnOfVolume, true);
  }
}

/// By the path as the anchor sees it.
Changes::Place Changes::findPlace(dev_t device, const Anchor& anchor, const std::string& path) {
  Place place;
  const std::lock_guard<std::mutex> lock(mutex_);
  const Filesystem& filesystem = filesystems_[device];
  // Upper directories do not lie in each other, so that the last one that does not come after the path is the one.
  const std::string folder = path + "/";
  auto found = filesystem.roots.upper_bound(folder);
  if (found != filesystem.roots.begin() && folder.compare(0, std::prev(found)->first.size(), std::prev(found)->first) == 0) {
    --found;
    place.names.push_back({found->second, nullptr, folder.substr(found->first.size() - 1)});
    return place;
  }
  if (filesystem.volumes.empty() || !isAtOrBelow(path, anchor.seen)) return place;
  const std::string source = anchor.source + path.substr(anchor.seen.size());
  for (const auto& volume : filesystem.volumes) {
    Name name{volume->root, volume, volume->mount_point};
    if (volume->is_file) {
      if (volume->source.substr(0, volume->source.rfind('/')) != source) continue;
      name.file = volume->source.substr(source.size() + 1);
    } else {
      if (!isAtOrBelow(source, volume->source)) continue;
      name.path += source.substr(volume->source.size()) + "/";
    }
    const auto isSame = [&](const Name& known) {
      return known.path == name.path && known.volume->root.lock() == volume->root.lock() && known.file == name.file;
    };
    if (std::none_of(place.names.begin(), place.names.end(), isSame)) place.names.push_back(std::move(name));
  }
  return place;
}

void Changes::forgetKnown() {
  known_.clear();
  known_bytes_ = 0;
}

Changes::Place Changes::placeOf(dev_t device, const Anchor& anchor, Handle folder) {
  if (folder.empty()) return {};
  const std::string key = std::to_string(device) + " " + std::string(folder);
  Place place;
  if (const auto found = known_.find(key); found != known_.end()) {
    place.names = found->second;
  } else {
    const Descriptor at = openFolder(anchor.at.get(), folder);
    if (!at) {
      // ESTALE: it is gone, and what was in it went before.
      if (errno != ESTALE) reports_->fail(Failure::kChangesUnseen, std::string("open_by_handle_at: ") + std::strerror(errno));
      return {};
    }
    std::string path;
    if (!readPath(at.get(), &path)) {
      reports_->fail(Failure::kPathUnread, "a path longer than 4095 bytes");
      return {};
    }
    place = findPlace(device, anchor, asPrefix(path));
    if (known_.size() >= kMaxPlaces || known_bytes_ > kMaxKnownBytes) forgetKnown();
    for (const Name& name : place.names) known_bytes_ += sizeof name + name.path.size() + name.file.size();
    known_[key] = place.names;
  }
  auto& names = place.names;
  names.erase(std::remove_if(names.begin(), names.end(), [](const Name& name) { return name.root.expired(); }), names.end());
  if (names.empty()) return {};
  if (names.front().volume == nullptr) {
    place.root = names.front().root.lock();
    if (place.root == nullptr) return {};
    place.files = std::shared_ptr<Files>(place.root, &place.root->upper);
  } else {
    place.files = filesOf(device);
  }
  return place;
}

}  // namespace d4c
