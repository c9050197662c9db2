#include "changes.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include <cerrno>
#include <cstring>

#include "group_limit.h"
#include "priority.h"
#include "proc_file.h"

namespace d4c {

namespace {

constexpr uint64_t kStop = UINT64_MAX;
constexpr uint64_t kExpected = UINT64_MAX - 2;
constexpr int kPendingMs = 1;
constexpr uint64_t kWatched = FAN_CREATE | FAN_DELETE | FAN_ATTRIB | kFanRename;

}  // namespace

/// A group that is read under the name.
LowDescriptor Changes::openGroup(const std::string& directory, uint64_t name) {
  const auto fail = [&](const char* call) {
    reports_->fail(Failure::kChangesUnseen, "`" + directory + "`: " + call + ": " + std::strerror(errno));
    return LowDescriptor();
  };
  // SAFETY: a notification group. It never makes anybody wait, so it may watch a filesystem of the host. Its queue is
  // bounded: what does not fit is counted by the kernel as an overflow.
  LowDescriptor group(openFanotify(FAN_CLASS_NOTIF | FAN_CLOEXEC | FAN_NONBLOCK | FAN_UNLIMITED_MARKS | FAN_REPORT_TID |
                                   FAN_REPORT_DFID_NAME_TARGET));
  if (!group) return fail("fanotify_init");
  return poll(group.get(), name) ? std::move(group) : fail("epoll_ctl");
}

bool Changes::markFilesystem(int group, const std::string& directory, int at) {
  const uint64_t mask = kWatched | FAN_ONDIR;
  if (fanotify_mark(group, FAN_MARK_ADD | FAN_MARK_FILESYSTEM, mask, AT_FDCWD, linkOf(at).c_str()) == 0) return true;
  reports_->fail(Failure::kChangesUnseen, "`" + directory + "`: fanotify_mark: " + std::strerror(errno));
  return false;
}

bool Changes::poll(int group, uint64_t name) {
  epoll_event event{EPOLLIN, {}};
  event.data.u64 = name;
  return epoll_ctl(poll_.get(), EPOLL_CTL_ADD, group, &event) == 0;
}

/// Starts the thread, once. Under the lock.
bool Changes::begin() {
  if (thread_.joinable()) return true;
  poll_ = Descriptor(epoll_create1(EPOLL_CLOEXEC));
  stop_ = Descriptor(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  has_expected_ = Descriptor(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!poll_ || !stop_ || !has_expected_ || !poll(stop_.get(), kStop) || !poll(has_expected_.get(), kExpected)) {
    reports_->fail(Failure::kChangesUnseen, std::string("cannot wait for events: ") + std::strerror(errno));
    return false;
  }
  thread_ = startThread("d4c-changes", [this] { run(); });
  if (!thread_.joinable()) reports_->fail(Failure::kChangesUnseen, std::string("clone: ") + std::strerror(errno));
  return thread_.joinable();
}

/// Watches the filesystem of `at`. Gives what its events call it. Under the lock.
std::optional<uint64_t> Changes::watch(const std::string& directory, int at, dev_t device, bool has_root) {
  struct statfs found {};
  if (fstatfs(at, &found) != 0) {
    reports_->fail(Failure::kChangesUnseen, "`" + directory + "`: fstatfs: " + std::strerror(errno));
    return std::nullopt;
  }
  uint64_t identity = 0;
  std::memcpy(&identity, &found.f_fsid, sizeof identity);
  LowDescriptor& own = filesystems_[device].group;
  const auto watchedBy = [&](const LowDescriptor& group) {
    const bool is_watched = group && markFilesystem(group.get(), directory, at);
    return is_watched ? std::optional<uint64_t>(identity) : std::nullopt;
  };
  // Marking it again costs next to nothing, and a filesystem may have been mounted anew.
  if (own) return watchedBy(own);
  const auto known = devices_.find(identity);
  if (has_root && (known == devices_.end() || known->second != device)) {
    LowDescriptor group = openGroup(directory, device);
    const auto watched = watchedBy(group);
    if (watched) own = std::move(group);
    return watched;
  }
  // Of volumes there are many filesystems, and groups are scarce.
  if (!volumes_group_) volumes_group_ = openGroup(directory, kOfVolumes);
  const auto watched = watchedBy(volumes_group_);
  if (watched) devices_[identity] = device;
  return watched;
}

int Changes::groupOf(uint64_t name) {
  const std::lock_guard<std::mutex> lock(mutex_);
  return name == kOfVolumes ? volumes_group_.get() : filesystems_[name].group.get();
}

bool Changes::cover(const std::shared_ptr<Root>& root) {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (!begin()) return false;
  const std::string& directory = root->upper.directory;
  const Descriptor at(open(directory.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  struct stat found {};
  std::string path;
  if (!at || fstat(at.get(), &found) != 0 || !readPath(at.get(), &path)) {
    reports_->fail(Failure::kChangesUnseen, "`" + directory + "`: " + std::strerror(errno));
    return true;
  }
  Filesystem& filesystem = filesystems_[found.st_dev];
  std::weak_ptr<Root>& covered = filesystem.roots[path + "/"];
  if (covered.lock() == root) return true;
  if (!watch(directory, at.get(), found.st_dev, true)) {
    filesystem.roots.erase(path + "/");
    return true;
  }
  covered = root;
  // A mark that comes first misses nothing between the two.
  learnRoot(*root, kLearnAtOnce);
  filesystem.is_new = true;
  return true;
}

void Changes::close() {
  if (!thread_.joinable()) return;
  const uint64_t one = 1;
  [[maybe_unused]] const ssize_t written = write(stop_.get(), &one, sizeof one);
  thread_.join();
  const std::lock_guard<std::mutex> lock(expected_mutex_);
  expected_.clear();
}

void Changes::run() {
  // Whoever did something may end right after. Where it may not go ahead, it is seen a little less often.
  goAhead();
  // `openHandle` changes where this thread works, which is to be nobody else's.
  unshare(CLONE_FS);
  epoll_event ready[8];
  for (;;) {
    const int count = epoll_wait(poll_.get(), ready, 8, pending_.empty() ? -1 : kPendingMs);
    // What happens on a volume is told from when it is known.
    coverExpected();
    for (int i = 0; i < count; ++i) {
      const uint64_t name = ready[i].data.u64;
      if (name == kStop) return;
      if (name == kExpected) continue;
      read(name, groupOf(name));
    }
    settle(0);
  }
}

void Changes::take(dev_t device, const Anchor& anchor, const FidEvent& event, const FidBatch::Replaced& replaced) {
  if (event.mask & FAN_ONDIR) {
    // Every directory below has another path now.
    if (event.mask & kFanRename) forgetKnown();
    return;
  }
  const int mount = anchor.at.get();
  const Place place = placeOf(device, anchor, event.folder);
  if (event.mask & kFanRename) {
    takeRename(onlyOf(place, {}), onlyOf(placeOf(device, anchor, event.new_folder), {}), mount, event, replaced);
    return;
  }
  if (!place) return;
  const Place folder = onlyOf(place, {});
  // KERNEL: events of one task about one file are merged while they wait to be read, so that one may say all of this.
  const bool is_new = event.mask & FAN_CREATE;
  if (is_new) takeName(folder, mount, event, event.name, false);
  // A file that is mounted alone is not the new one.
  if (event.mask & FAN_ATTRIB) takeAttributes(is_new ? folder : onlyOf(place, event.name), mount, event);
  if (event.mask & FAN_DELETE) takeDeletion(folder, mount, event, event.name);
}

}  // namespace d4c
