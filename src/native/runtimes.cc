#include "runtimes.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <poll.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <optional>

#include "proc_file.h"
#include "proc_stat.h"

namespace d4c {

namespace {

constexpr const char* kRuntimeNames[] = {"runc", "crun", "youki", "sysbox-runc", "buildah"};
constexpr const char* kFolders[] = {"/usr/bin",   "/usr/sbin",        "/usr/local/bin",      "/usr/local/sbin",
                                    "/opt/bin",   "/usr/libexec/crio", "/usr/libexec/podman", "/var/lib/rancher/k3s/data/current/bin"};
/// Whoever sets containers up by ever other programs is not followed.
constexpr size_t kMaxPrograms = 128;

/// A file of the host, without opening it; where a link leads is a matter of the host, too.
Descriptor openOnHost(const std::string& host_root, const std::string& path) {
  const Descriptor root(open(host_root.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  open_how how{};
  how.flags = O_PATH | O_CLOEXEC;
  how.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS;
  return root ? Descriptor(static_cast<int>(syscall(SYS_openat2, root.get(), path.c_str(), &how, sizeof how))) : Descriptor();
}

std::optional<std::pair<dev_t, ino_t>> programOf(const Descriptor& at) {
  struct stat found {};
  if (!at || fstat(at.get(), &found) != 0 || !S_ISREG(found.st_mode)) return std::nullopt;
  return std::make_pair(found.st_dev, found.st_ino);
}

}  // namespace

void Runtimes::open() {
  group_ = Group::open(Rank::kOfRuntimes);
  if (group_ == nullptr) {
    reports_->fail(Failure::kRuntimeNotHeld, std::string("fanotify_init: ") + std::strerror(errno));
    return;
  }
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    for (const char* folder : kFolders) {
      for (const char* name : kRuntimeNames) programs_.insert(std::string(folder) + "/" + name);
    }
  }
  look();
}

void Runtimes::close() {
  const std::lock_guard<std::mutex> lock(mutex_);
  waiting_.clear();
  group_ = nullptr;
}

void Runtimes::look() {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (group_ == nullptr) return;
  for (const std::string& path : programs_) markLocked(path);
}

/// KERNEL: a mark goes with its file, and the next file may get the same number, so that only to mark it says that it is marked. It
/// costs a microsecond where it is.
void Runtimes::markLocked(const std::string& path) const {
  const Descriptor at = openOnHost(host_root_, path);
  if (!programOf(at)) return;
  if (fanotify_mark(group_->descriptor(), FAN_MARK_ADD, FAN_OPEN_EXEC_PERM, AT_FDCWD, linkOf(at.get()).c_str()) == 0) return;
  reports_->fail(Failure::kRuntimeNotHeld, "`" + path + "`: fanotify_mark: " + std::strerror(errno));
}

/// KERNEL: the link to a program leads to the file itself, in whatever mount namespace it is.
void Runtimes::learn(pid_t tid) {
  Stat stat;
  if (!readStat(tid, &stat) || stat.parent <= 1 || last_parent_.exchange(stat.parent) == stat.parent) return;
  // A runtime puts what it starts in another mount namespace than its own. The kernel's threads and the host's other programs do not.
  if (readProcLink(tid, "ns/mnt") == readProcLink(stat.parent, "ns/mnt")) return;
  const std::string path = readProcLink(stat.parent, "exe");
  char link[32];
  std::snprintf(link, sizeof link, "/proc/%d/exe", stat.parent);
  const auto program = programOf(Descriptor(::open(link, O_PATH | O_CLOEXEC)));
  // A copy that is in memory alone is executed by one that is not.
  if (!program || programOf(openOnHost(host_root_, path)) != program) return;
  const std::lock_guard<std::mutex> lock(mutex_);
  if (group_ == nullptr || (programs_.size() >= kMaxPrograms && programs_.count(path) == 0)) return;
  programs_.insert(path);
  markLocked(path);
}

void Runtimes::takeLocked() {
  fanotify_event_metadata event;
  while (group_ != nullptr) {
    const ssize_t size = read(group_->descriptor(), &event, sizeof event);
    if (size == sizeof event && event.fd >= 0) {
      waiting_.push_back({++last_number_, Envelope(group_, event)});
      continue;
    }
    // KERNEL: an event for which no descriptor can be made is refused, and the next one can be read.
    const int error = size < 0 ? errno : -event.fd;
    if (size < 0 && !isOutOfDescriptors(error)) return;
    reports_->fail(Failure::kEventUnread, std::string("the exec of a runtime: ") + std::strerror(error));
  }
}

uint64_t Runtimes::take() {
  const std::lock_guard<std::mutex> lock(mutex_);
  takeLocked();
  return last_number_;
}

void Runtimes::answer(uint64_t up_to) {
  const std::lock_guard<std::mutex> lock(mutex_);
  while (!waiting_.empty() && waiting_.front().number <= up_to) waiting_.pop_front();
}

void Runtimes::expire(Clock::duration limit) {
  const Clock::time_point now = Clock::now();
  const std::lock_guard<std::mutex> lock(mutex_);
  pollfd unread{descriptor(), POLLIN, 0};
  const bool is_unread = unread.fd >= 0 && poll(&unread, 1, 0) > 0;
  if (!is_unread || unread_after_ != last_number_) unread_since_ = now;
  unread_after_ = last_number_;
  const bool is_taken_late = is_unread && now - unread_since_ >= limit;
  if (is_taken_late) takeLocked();
  while (!waiting_.empty() && (is_taken_late || now - waiting_.front().event.notes.since >= limit)) {
    std::string path;
    readPath(waiting_.front().event.file(), &path);
    waiting_.pop_front();
    reports_->fail(Failure::kRuntimeNotHeld, "`" + path + "`: what is mounted was not looked at in time");
  }
}

}  // namespace d4c
