#include "fid_events.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace d4c {

namespace {

// As in linux/fanotify.h.
constexpr uint8_t kOldName = 10;
constexpr uint8_t kNewName = 12;

template <typename Number>
Number numberAt(const char* at) {
  Number value;
  std::memcpy(&value, at, sizeof value);
  return value;
}

/// The handle at the beginning of the bytes; empty when they are cut short.
Handle handleIn(std::string_view bytes) {
  if (bytes.size() < sizeof(file_handle)) return {};
  // KERNEL: these events are as long as their names, so that they are not aligned.
  file_handle head;
  std::memcpy(&head, bytes.data(), sizeof head);
  return head.handle_bytes <= bytes.size() - sizeof head ? bytes.substr(0, sizeof head + head.handle_bytes) : Handle();
}

void takeRecord(uint8_t type, std::string_view bytes, FidEvent* event) {
  const Handle handle = handleIn(bytes);
  std::string_view name = bytes.substr(handle.size());
  name = name.substr(0, name.find('\0'));
  switch (type) {
    case FAN_EVENT_INFO_TYPE_FID:
      event->target = handle;
      break;
    case FAN_EVENT_INFO_TYPE_DFID_NAME:
    case kOldName:
      event->folder = handle;
      event->name = name;
      break;
    case kNewName:
      event->new_folder = handle;
      event->new_name = name;
      break;
  }
}

}  // namespace

bool takeEvent(std::string_view* bytes, FidEvent* event) {
  fanotify_event_metadata head;
  if (bytes->size() < sizeof head) return false;
  std::memcpy(&head, bytes->data(), sizeof head);
  if (head.event_len < sizeof head || head.event_len > bytes->size() || head.metadata_len > head.event_len) return false;
  *event = FidEvent();
  event->mask = head.mask;
  event->tid = head.pid;
  std::string_view records = bytes->substr(head.metadata_len, head.event_len - head.metadata_len);
  bytes->remove_prefix(head.event_len);
  while (records.size() >= sizeof(fanotify_event_info_fid)) {
    fanotify_event_info_header record;
    std::memcpy(&record, records.data(), sizeof record);
    if (record.len < sizeof(fanotify_event_info_fid) || record.len > records.size()) break;
    const size_t from = sizeof(fanotify_event_info_fid);
    event->filesystem = numberAt<uint64_t>(records.data() + sizeof record);
    takeRecord(record.info_type, records.substr(from, record.len - from), event);
    records.remove_prefix(record.len);
  }
  return true;
}

Descriptor openHandle(int mount, Handle handle) {
  alignas(file_handle) char room[sizeof(file_handle) + MAX_HANDLE_SZ];
  if (handle.size() < sizeof(file_handle) || handle.size() > sizeof room) {
    errno = EINVAL;
    return Descriptor();
  }
  std::memcpy(room, handle.data(), handle.size());
  // KERNEL: it takes no descriptor with O_PATH, but the directory in which the thread works may have come from one.
  if (fchdir(mount) != 0) return Descriptor();
  Descriptor file(open_by_handle_at(AT_FDCWD, reinterpret_cast<file_handle*>(room), O_PATH | O_CLOEXEC));
  // Where a thread works is not unmounted.
  const int error = errno;
  [[maybe_unused]] const int is_left = chdir("/");
  errno = error;
  return file;
}

uint64_t inodeOf(Handle handle) {
  if (handle.size() < sizeof(file_handle)) return 0;
  const int kind = numberAt<file_handle>(handle.data()).handle_type;
  const char* at = handle.data() + sizeof(file_handle);
  const size_t size = handle.size() - sizeof(file_handle);
  if (kind == 0x01 && size == 8) return numberAt<uint32_t>(at);
  if (kind == 0x01 && size == 12) return numberAt<uint32_t>(at + 4) | uint64_t{numberAt<uint32_t>(at + 8)} << 32;
  if ((kind == 0x81 || kind == 0x82) && size >= 12) return numberAt<uint64_t>(at);
  if ((kind == 0x4d || kind == 0x4e || kind == 0x4f) && size >= 20) return numberAt<uint64_t>(at);
  return 0;
}

bool showsInodes(int directory) {
  struct stat known {};
  alignas(file_handle) char room[sizeof(file_handle) + MAX_HANDLE_SZ];
  auto* handle = reinterpret_cast<file_handle*>(room);
  handle->handle_bytes = MAX_HANDLE_SZ;
  int mount = 0;
  if (fstat(directory, &known) != 0 || name_to_handle_at(directory, "", handle, &mount, AT_EMPTY_PATH) != 0) return false;
  return inodeOf(Handle(room, sizeof(file_handle) + handle->handle_bytes)) == known.st_ino;
}

}  // namespace d4c
