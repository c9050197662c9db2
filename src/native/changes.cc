#include "changes.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include <cerrno>
#include <cstring>

#include "proc_file.h"

namespace d4c {

namespace {

constexpr size_t kReadBytes = 65536;
constexpr size_t kMaxKnown = 8192;
/// As many files are looked at while who publishes waits; a container that has run may have more.
constexpr size_t kLearnAtOnce = 512;
constexpr size_t kLearnAtMost = 200000;
constexpr uint64_t kStop = UINT64_MAX;
constexpr int kPendingMs = 1;
constexpr uint64_t kWatched = FAN_CREATE | FAN_DELETE | FAN_ATTRIB | kFanRename;

/// Whether the task is a thread of this process, which takes back what it refused.
bool isOwn(pid_t tid) { return tid != 0 && syscall(SYS_tgkill, getpid(), tid, 0) == 0; }

}  // namespace

LowDescriptor Changes::openGroup(const std::string& directory, int at) {
  const auto fail = [&](const char* call) {
    reports_->fail(Failure::kChangesUnseen, "`" + directory + "`: " + call + ": " + std::strerror(errno));
    return LowDescriptor();
  };
  // SAFETY: a notification group. It never makes anybody wait, so it may watch a filesystem of the host. Its queue is
  // bounded: what does not fit is counted by the kernel as an overflow.
  LowDescriptor group(Descriptor(fanotify_init(FAN_CLASS_NOTIF | FAN_CLOEXEC | FAN_NONBLOCK | FAN_UNLIMITED_MARKS |
                                                   FAN_REPORT_TID | FAN_REPORT_DFID_NAME_TARGET,
                                               O_RDONLY | O_CLOEXEC | O_LARGEFILE)));
  if (!group) return fail("fanotify_init");
  const auto mark = [&](uint64_t mask) {
    return fanotify_mark(group.get(), FAN_MARK_ADD | FAN_MARK_FILESYSTEM, mask, at, nullptr) == 0;
  };
  if (!mark(kWatched | FAN_ONDIR)) return fail("fanotify_mark");
  return group;
}

void Changes::cover(const std::shared_ptr<Root>& root) {
  const std::string& directory = root->upper.directory;
  const Descriptor at(open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  struct stat found {};
  std::string path;
  if (!at || fstat(at.get(), &found) != 0 || !readPath(at.get(), &path)) {
    reports_->fail(Failure::kChangesUnseen, "`" + directory + "`: " + std::strerror(errno));
    return;
  }
  const std::lock_guard<std::mutex> lock(mutex_);
  Filesystem& filesystem = filesystems_[found.st_dev];
  std::weak_ptr<Root>& covered = filesystem.roots[path + "/"];
  if (covered.lock() == root) return;
  if (!filesystem.group) {
    filesystem.group = openGroup(directory, at.get());
    if (!filesystem.group) {
      filesystem.roots.erase(path + "/");
      return;
    }
    if (!poll_) {
      poll_ = Descriptor(epoll_create1(EPOLL_CLOEXEC));
      stop_ = Descriptor(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
      epoll_event event{EPOLLIN, {}};
      event.data.u64 = kStop;
      epoll_ctl(poll_.get(), EPOLL_CTL_ADD, stop_.get(), &event);
    }
    epoll_event event{EPOLLIN, {}};
    event.data.u64 = found.st_dev;
    epoll_ctl(poll_.get(), EPOLL_CTL_ADD, filesystem.group.get(), &event);
  }
  covered = root;
  // A mark that comes first misses nothing between the two.
  root->upper.learn(kLearnAtOnce);
  filesystem.has_new_roots = true;
  if (thread_.joinable()) return;
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  thread_ = std::thread([this] { run(); });
  pthread_setname_np(thread_.native_handle(), "d4c-changes");
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

void Changes::close() {
  if (!thread_.joinable()) return;
  const uint64_t one = 1;
  [[maybe_unused]] const ssize_t written = write(stop_.get(), &one, sizeof one);
  thread_.join();
}

void Changes::run() {
  // Whoever did something may end right after. Refused without CAP_SYS_NICE, and then it is seen a little less often.
  setpriority(PRIO_PROCESS, static_cast<id_t>(syscall(SYS_gettid)), -10);
  epoll_event ready[8];
  for (;;) {
    const int count = epoll_wait(poll_.get(), ready, 8, pending_.empty() ? -1 : kPendingMs);
    for (int i = 0; i < count; ++i) {
      if (ready[i].data.u64 == kStop) return;
      int group = -1;
      {
        const std::lock_guard<std::mutex> lock(mutex_);
        group = filesystems_[ready[i].data.u64].group.get();
      }
      read(ready[i].data.u64, group);
    }
    settle(0);
  }
}

/// Gives a directory of the filesystem, by which handles find others. It is not kept, since it would keep the filesystem
/// from being unmounted. Looks at the files of root filesystems that are new and large, or of all when events were lost.
void Changes::prepare(dev_t device, bool anew, Descriptor* mount) {
  std::vector<std::shared_ptr<Root>> roots;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    Filesystem& filesystem = filesystems_[device];
    if (filesystem.has_new_roots) known_.clear();
    for (auto covered = filesystem.roots.begin(); covered != filesystem.roots.end();) {
      std::shared_ptr<Root> root = covered->second.lock();
      if (root == nullptr) {
        covered = filesystem.roots.erase(covered);
        continue;
      }
      if (!*mount) *mount = Descriptor(open(covered->first.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
      if (anew || (filesystem.has_new_roots && !root->upper.hasLearned())) roots.push_back(std::move(root));
      ++covered;
    }
    filesystem.has_new_roots = false;
  }
  for (const auto& root : roots) root->upper.learn(kLearnAtMost);
}

void Changes::read(dev_t device, int group) {
  char events[kReadBytes];
  Descriptor mount;
  prepare(device, false, &mount);
  const ssize_t size = ::read(group, events, sizeof events);
  if (size <= 0 || !mount) return;
  std::string_view bytes(events, static_cast<size_t>(size));
  FidEvent event;
  FidEvent next;
  bool has_next = takeEvent(&bytes, &next);
  while (has_next) {
    event = next;
    has_next = takeEvent(&bytes, &next);
    if (event.mask & FAN_Q_OVERFLOW) {
      reports_->fail(Failure::kChangesLost, "the kernel's queue was full");
      prepare(device, true, &mount);
    } else if (!isOwn(event.tid)) {
      take(device, mount.get(), event, has_next ? &next : nullptr);
    }
  }
}

std::shared_ptr<Root> Changes::rootOf(dev_t device, const std::string& path, std::string* rest) {
  const std::lock_guard<std::mutex> lock(mutex_);
  const auto& roots = filesystems_[device].roots;
  // Upper directories do not lie in each other, so that the last one that does not come after the path is the one.
  auto found = roots.upper_bound(path);
  if (found == roots.begin()) return nullptr;
  --found;
  if (path.compare(0, found->first.size(), found->first) != 0) return nullptr;
  *rest = path.substr(found->first.size() - 1);
  return found->second.lock();
}

Changes::Place Changes::placeOf(dev_t device, int mount, Handle folder) {
  if (folder.empty()) return {};
  const std::string key(folder);
  if (const auto found = known_.find(key); found != known_.end()) {
    if (found->second.is_of_host) return {};
    if (auto root = found->second.root.lock()) return {std::move(root), found->second.path};
  }
  alignas(file_handle) char room[sizeof(file_handle) + MAX_HANDLE_SZ];
  if (folder.size() > sizeof room) return {};
  std::memcpy(room, folder.data(), folder.size());
  const Descriptor at(open_by_handle_at(mount, reinterpret_cast<file_handle*>(room), O_PATH | O_DIRECTORY | O_CLOEXEC));
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
  Place place;
  place.root = rootOf(device, path + "/", &place.path);
  if (known_.size() >= kMaxKnown) known_.clear();
  known_[key] = {place.root == nullptr, place.root, place.path};
  return place;
}

void Changes::take(dev_t device, int mount, const FidEvent& event, const FidEvent* next) {
  if (event.mask & FAN_ONDIR) {
    // Every directory below has another path now.
    if (event.mask & kFanRename) known_.clear();
    return;
  }
  const Place place = placeOf(device, mount, event.folder);
  if (event.mask & kFanRename) {
    const Place to = placeOf(device, mount, event.new_folder);
    if (place.root != nullptr || to.root != nullptr) takeRename(place, to, mount, event, next);
    return;
  }
  if (place.root == nullptr) return;
  // KERNEL: events of one task about one file are merged while they wait to be read.
  if (event.mask & FAN_CREATE) takeName(place, mount, event, event.name, false);
  if (event.mask & FAN_ATTRIB) takeAttributes(place, mount, event);
  if (event.mask & FAN_DELETE) takeDeletion(place, mount, event, event.name);
}

}  // namespace d4c
