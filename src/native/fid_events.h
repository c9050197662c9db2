// What a FID group of fanotify says: events with file handles and names in place of descriptors.
#pragma once

#include <sys/fanotify.h>
#include <sys/types.h>

#include <cstdint>
#include <string_view>

#include "descriptor.h"

namespace d4c {

// As in linux/fanotify.h, which is newer than the headers this may be built with. KERNEL: 5.17
constexpr uint64_t kFanRename = 0x10000000;

/// A file handle as `open_by_handle_at` takes it: its head and its bytes. Empty: there is none.
using Handle = std::string_view;

/// One event. It lies in the buffer that was read, and lives as long.
struct FidEvent {
  uint64_t mask = 0;
  /// 0 when the task is not visible in this process's pid namespace.
  pid_t tid = 0;
  /// As `statfs` says it.
  uint64_t filesystem = 0;
  /// The directory and the name; of a rename, the old ones.
  Handle folder;
  std::string_view name;
  Handle new_folder;
  std::string_view new_name;
  /// What the name stands for, or the inode itself where no name is known.
  Handle target;
};

/// Takes the first event off the bytes; false when no whole event is left.
bool takeEvent(std::string_view* bytes, FidEvent* event);

/// What the handle stands for, with O_PATH, on the filesystem of `mount`, a directory that may be open with O_PATH: to open one
/// without it asks whoever a container has asked about that. With `errno` when there is none: ESTALE when it is gone, EPERM without
/// CAP_DAC_READ_SEARCH. Changes the directory in which the thread works to `/`.
Descriptor openHandle(int mount, Handle handle);

/// The inode number in a file handle, or 0: of ext4, xfs, f2fs, btrfs and tmpfs.
uint64_t inodeOf(Handle handle);

/// Whether the filesystem's handles show inode numbers: asks it for the handle of something whose number is known.
bool showsInodes(int directory);

}  // namespace d4c
