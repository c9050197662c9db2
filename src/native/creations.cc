#include "creations.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/fanotify.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstring>

namespace d4c {

namespace {

constexpr size_t kReadBytes = 16384;

uint32_t word(const uint8_t* at) {
  uint32_t value;
  std::memcpy(&value, at, sizeof value);
  return value;
}

uint64_t doubleWord(const uint8_t* at) {
  uint64_t value;
  std::memcpy(&value, at, sizeof value);
  return value;
}

/// The inode number in a file handle, or 0. The kinds are those of ext4, xfs, f2fs, btrfs and tmpfs.
uint64_t inodeOf(int kind, const uint8_t* bytes, size_t size) {
  if (kind == 0x01 && size == 8) return word(bytes);
  if (kind == 0x01 && size == 12) return word(bytes + 4) | uint64_t{word(bytes + 8)} << 32;
  if ((kind == 0x81 || kind == 0x82) && size >= 12) return doubleWord(bytes);
  if ((kind == 0x4d || kind == 0x4e || kind == 0x4f) && size >= 20) return doubleWord(bytes);
  return 0;
}

/// Whether the filesystem's handles show inode numbers: asks it for the handle of something whose number is known.
bool showsInodes(int directory) {
  struct stat known {};
  alignas(file_handle) uint8_t room[sizeof(file_handle) + MAX_HANDLE_SZ];
  auto* handle = reinterpret_cast<file_handle*>(room);
  handle->handle_bytes = MAX_HANDLE_SZ;
  int mount = 0;
  if (fstat(directory, &known) != 0 || name_to_handle_at(directory, "", handle, &mount, AT_EMPTY_PATH) != 0) return false;
  return inodeOf(handle->handle_type, handle->f_handle, handle->handle_bytes) == known.st_ino;
}

/// The created file's inode in the records that follow one event's head, or 0.
uint64_t targetIn(const uint8_t* at, const uint8_t* end) {
  while (static_cast<size_t>(end - at) >= sizeof(fanotify_event_info_fid) + sizeof(file_handle)) {
    fanotify_event_info_header header;
    std::memcpy(&header, at, sizeof header);
    if (header.len < sizeof header || header.len > end - at) return 0;
    if (header.info_type == FAN_EVENT_INFO_TYPE_FID) {
      file_handle handle;
      const uint8_t* bytes = at + sizeof(fanotify_event_info_fid);
      std::memcpy(&handle, bytes, sizeof handle);
      bytes += sizeof handle;
      return handle.handle_bytes <= end - bytes ? inodeOf(handle.handle_type, bytes, handle.handle_bytes) : 0;
    }
    at += header.len;
  }
  return 0;
}

std::string faultOf(const char* call, const std::string& directory) {
  return "cannot watch the filesystem of `" + directory + "`: " + call + ": " + std::strerror(errno);
}

}  // namespace

std::unique_ptr<Creations> Creations::watch(const std::string& directory, std::string* fault) {
  const Descriptor at(open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!at) {
    *fault = faultOf("open", directory);
    return nullptr;
  }
  if (!showsInodes(at.get())) {
    *fault = "cannot watch the filesystem of `" + directory + "`: its file handles show no inode numbers";
    return nullptr;
  }
  // SAFETY: a notification group. It never makes anybody wait, so it may watch a filesystem of the host.
  Descriptor group(fanotify_init(FAN_CLASS_NOTIF | FAN_CLOEXEC | FAN_NONBLOCK | FAN_UNLIMITED_QUEUE |
                                     FAN_UNLIMITED_MARKS | FAN_REPORT_TID | FAN_REPORT_DFID_NAME_TARGET,
                                 O_RDONLY | O_CLOEXEC | O_LARGEFILE));
  if (!group) {
    *fault = faultOf("fanotify_init", directory);
    return nullptr;
  }
  if (fanotify_mark(group.get(), FAN_MARK_ADD | FAN_MARK_FILESYSTEM, FAN_CREATE, at.get(), nullptr) != 0) {
    *fault = faultOf("fanotify_mark", directory);
    return nullptr;
  }
  return std::unique_ptr<Creations>(new Creations(std::move(group)));
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
  uint8_t events[kReadBytes];
  ssize_t size = 0;
  while ((size = read(group_.get(), events, sizeof events)) > 0) {
    const uint8_t* const end = events + size;
    fanotify_event_metadata event;
    // KERNEL: these events are as long as their names, so that they are not aligned.
    for (const uint8_t* at = events; end - at >= static_cast<ptrdiff_t>(sizeof event); at += event.event_len) {
      std::memcpy(&event, at, sizeof event);
      if (event.event_len < sizeof event || event.event_len > end - at) break;
      const uint64_t inode = targetIn(at + event.metadata_len, at + event.event_len);
      if (inode != 0) last_by_task_[event.pid] = inode;
    }
    if (last_by_task_.size() > sweep_at_) forgetTheDead();
  }
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
