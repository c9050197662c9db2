// Small files and links of /proc, read without allocating.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <string>
#include <string_view>

#include "descriptor.h"

namespace d4c {

/// /proc/<tid>/<name>, opened with the flags and O_CLOEXEC. With `errno` when it cannot be.
Descriptor openProc(pid_t tid, const char* name, int flags);

/// Reads at most `capacity - 1` bytes of /proc/<tid>/<name> and ends them with a NUL. The number of bytes; 0
/// when the task is gone or the file may not be read.
size_t readProcFile(pid_t tid, const char* name, char* into, size_t capacity);

/// The file's text from its beginning, however long it is.
std::string readWhole(const Descriptor& file);

/// The target of /proc/<tid>/<name>; empty when there is none.
std::string readProcLink(pid_t tid, const char* name);

/// The link that leads to what the descriptor is open on. KERNEL: what a descriptor with O_PATH cannot do by itself (be marked,
/// read or changed) can be done through it, on the same file and mount.
std::string linkOf(int fd);

/// The path without what the kernel says after that of a file that has no name any more. A file may be named so.
std::string_view withoutDeleted(std::string_view path);

/// Whether the path of the descriptor could be read, as the kernel writes it.
bool readLinkedPath(int fd, std::string* path);

/// The same, without what the kernel writes behind it when the file has no name any more. Of one that has further names, and of
/// one of an image (overlayfs counts the names that the image has), that is left there: `readPathAsSeenBy` (in_container.h).
bool readPath(int fd, std::string* path);

}  // namespace d4c
