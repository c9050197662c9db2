#include "creations.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/fanotify.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstring>

#include "fid_events.h"
#include "group_limit.h"
#include "proc_file.h"

namespace d4c {

namespace {

constexpr size_t kCreationsReadBytes = 16384;

std::string faultOf(const char* call, const std::string& directory) {
  return "cannot watch the filesystem of `" + directory + "`: " + call + ": " + std::strerror(errno);
}

}  // namespace

std::unique_ptr<Creations> Creations::watch(const std::string& directory, bool keeps_makers, std::string* fault) {
  const Descriptor at(open(directory.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  struct stat found {};
  if (!at || fstat(at.get(), &found) != 0) {
    *fault = faultOf("open", directory);
    return nullptr;
  }
  // SAFETY: a notification group. It never makes anybody wait, so it may watch a filesystem of the host.
  LowDescriptor group(openFanotify(FAN_CLASS_NOTIF | FAN_CLOEXEC | FAN_NONBLOCK | FAN_UNLIMITED_QUEUE | FAN_UNLIMITED_MARKS |
                                   FAN_REPORT_TID | FAN_REPORT_DFID_NAME_TARGET));
  if (!group) {
    *fault = faultOf("fanotify_init", directory);
    return nullptr;
  }
  if (!mark(group, at.get(), directory, fault)) return nullptr;
  return std::unique_ptr<Creations>(new Creations(std::move(group), found.st_dev, keeps_makers));
}

bool Creations::mark(const LowDescriptor& group, int at, const std::string& directory, std::string* fault) {
  if (!showsInodes(at)) {
    *fault = "cannot watch the filesystem of `" + directory + "`: its file handles show no inode numbers";
    return false;
  }
  if (fanotify_mark(group.get(), FAN_MARK_ADD | FAN_MARK_FILESYSTEM, FAN_CREATE, AT_FDCWD, linkOf(at).c_str()) == 0) return true;
  *fault = faultOf("fanotify_mark", directory);
  return false;
}

bool Creations::watchAgain(const std::string& directory, std::string* fault) const {
  const Descriptor at(open(directory.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (at) return mark(group_, at.get(), directory, fault);
  *fault = faultOf("open", directory);
  return false;
}

void Creations::drain() {
  const std::lock_guard<std::mutex> lock(mutex_);
  drainLocked();
}

bool Creations::createdBy(pid_t tid, uint64_t inode) {
  const std::lock_guard<std::mutex> lock(mutex_);
  drainLocked();
  const auto found = last_by_task_.find(tid);
  if (found == last_by_task_.end()) return false;
  const bool is_same = found->second == inode;
  last_by_task_.erase(found);
  return is_same;
}

void Creations::drainLocked() {
  char events[kCreationsReadBytes];
  ssize_t size = 0;
  while ((size = read(group_.get(), events, sizeof events)) > 0) {
    std::string_view bytes(events, static_cast<size_t>(size));
    FidEvent event;
    while (takeEvent(&bytes, &event)) {
      const uint64_t inode = inodeOf(event.target);
      if (inode == 0) continue;
      last_by_task_[event.tid] = inode;
      if (keeps_makers_) makers_.note(inode, event.tid);
    }
    if (last_by_task_.size() > sweep_at_) forgetTheDead();
  }
}

bool Creations::madeBy(pid_t tid, uint64_t inode) {
  const std::lock_guard<std::mutex> lock(mutex_);
  drainLocked();
  return makers_.take(tid, inode);
}

void Creations::forgetTheDead() {
  for (auto task = last_by_task_.begin(); task != last_by_task_.end();) {
    const bool is_dead = kill(task->first, 0) != 0 && errno == ESRCH;
    task = is_dead ? last_by_task_.erase(task) : std::next(task);
  }
  // What is left lives: a sweep costs only as much as the creations since the last one.
  sweep_at_ = 2 * last_by_task_.size() + 8192;
}

}  // namespace d4c
