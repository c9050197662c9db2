#include "proc_file.h"

#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>

#include <cstdio>
#include <cstring>
#include <string_view>

#include "descriptor.h"

namespace d4c {

namespace {

constexpr std::string_view kDeleted = " (deleted)";

}  // namespace

Descriptor openProc(pid_t tid, const char* name, int flags) {
  char path[64];
  std::snprintf(path, sizeof path, "/proc/%d/%s", tid, name);
  return Descriptor(open(path, flags | O_CLOEXEC));
}

size_t readProcFile(pid_t tid, const char* name, char* into, size_t capacity) {
  const Descriptor file = openProc(tid, name, O_RDONLY);
  size_t size = 0;
  while (file && size + 1 < capacity) {
    const ssize_t part = read(file.get(), into + size, capacity - 1 - size);
    if (part <= 0) break;
    size += static_cast<size_t>(part);
    // One read gives a small file whole; a second one only to find its end costs a microsecond.
    if (size + 1 < capacity && into[size - 1] == '\n') break;
  }
  into[size] = '\0';
  return size;
}

std::string readWhole(const Descriptor& file) {
  std::string text;
  char part[65536];
  ssize_t size = 0;
  if (!file || lseek(file.get(), 0, SEEK_SET) != 0) return text;
  while ((size = read(file.get(), part, sizeof part)) > 0) text.append(part, static_cast<size_t>(size));
  return text;
}

std::string readProcLink(pid_t tid, const char* name) {
  char path[64];
  std::snprintf(path, sizeof path, "/proc/%d/%s", tid, name);
  char target[PATH_MAX];
  const ssize_t size = readlink(path, target, sizeof target);
  return size <= 0 ? std::string() : std::string(target, static_cast<size_t>(size));
}

std::string linkOf(int fd) { return "/proc/self/fd/" + std::to_string(fd); }

std::string_view withoutDeleted(std::string_view path) {
  const bool is_so = path.size() > kDeleted.size() && path.substr(path.size() - kDeleted.size()) == kDeleted;
  return is_so ? path.substr(0, path.size() - kDeleted.size()) : path;
}

bool readLinkedPath(int fd, std::string* path) {
  // Kept open, since to find the folder takes as long as to read the link.
  static const Descriptor links(open("/proc/self/fd", O_PATH | O_DIRECTORY | O_CLOEXEC));
  char name[32];
  std::snprintf(name, sizeof name, links ? "%d" : "/proc/self/fd/%d", fd);
  char target[PATH_MAX];
  const ssize_t size = readlinkat(links.get(), name, target, sizeof target);
  // A path that is longer than PATH_MAX cannot be read at all.
  if (size <= 0 || target[0] != '/') return false;
  path->assign(target, static_cast<size_t>(size));
  return true;
}

bool readPath(int fd, std::string* path) {
  if (!readLinkedPath(fd, path)) return false;
  if (const size_t size = withoutDeleted(*path).size(); size != path->size()) {
    struct stat file {};
    if (fstat(fd, &file) == 0 && file.st_nlink == 0) path->resize(size);
  }
  return true;
}

}  // namespace d4c
