#include "cgroup.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>

#include "proc_file.h"

namespace d4c {

namespace {

/// Calls `take(hierarchy, path)` for each line. A path may hold colons, the rest of a line cannot.
template <typename Take>
void eachCgroup(std::string_view cgroups, Take take) {
  while (!cgroups.empty()) {
    const size_t end = std::min(cgroups.find('\n'), cgroups.size());
    const std::string_view line = cgroups.substr(0, end);
    cgroups.remove_prefix(std::min(end + 1, cgroups.size()));
    const size_t first = line.find(':');
    if (first == std::string_view::npos) continue;
    const size_t second = line.find(':', first + 1);
    if (second != std::string_view::npos) take(line.substr(0, second + 1), line.substr(second + 1));
  }
}

}  // namespace

std::optional<std::string> readCgroups(pid_t tid) {
  char text[16384];
  errno = 0;
  const size_t size = readProcFile(tid, "cgroup", text, sizeof text);
  if (size == 0 && errno != 0 && errno != ENOENT && errno != ESRCH) return std::nullopt;
  // Whoever may make cgroups may make long names.
  if (size == sizeof text - 1) {
    errno = ENAMETOOLONG;
    return std::nullopt;
  }
  return std::string(text, size);
}

bool Cgroup::contains(std::string_view cgroups) const {
  bool found = false;
  eachCgroup(cgroups, [&](std::string_view line_hierarchy, std::string_view line_path) {
    if (line_hierarchy != hierarchy || line_path.substr(0, path.size()) != path) return;
    found = line_path.size() == path.size() || line_path[path.size()] == '/';
  });
  return found;
}

Cgroup cgroupOfContainer(std::string_view cgroups, std::string_view own) {
  Cgroup best;
  const auto depth = [](std::string_view path) { return std::count(path.begin(), path.end(), '/'); };
  eachCgroup(cgroups, [&](std::string_view hierarchy, std::string_view path) {
    const Cgroup candidate{std::string(hierarchy), std::string(path)};
    if (path == "/" || candidate.contains(own)) return;
    const bool is_unified = candidate.isUnified();
    if (best.path.empty() || is_unified || (!best.isUnified() && depth(path) > depth(best.path))) {
      best = candidate;
    }
  });
  return best;
}

bool livesApart(pid_t tid) {
  const std::string space = readProcLink(tid, "ns/mnt");
  if (space.empty()) return false;
  // Where a hardened pid 1 hides its own, this process's stands for the host's.
  return space != readProcLink(getpid(), "ns/mnt") && space != readProcLink(1, "ns/mnt");
}

bool livesOn(pid_t tid, dev_t device) {
  char path[64];
  std::snprintf(path, sizeof path, "/proc/%d/root", tid);
  struct statx root {};
  // SAFETY: a task can have its root directory on a filesystem whose server never answers, and is not to keep who looks at it.
  const bool is_there = statx(AT_FDCWD, path, AT_STATX_DONT_SYNC, STATX_TYPE, &root) == 0;
  return is_there && makedev(root.stx_dev_major, root.stx_dev_minor) == device && livesApart(tid);
}

bool isMember(const Cgroup& cgroup, dev_t device, std::string_view cgroups, pid_t tid) {
  return cgroup.path.empty() ? livesOn(tid, device) : cgroup.contains(cgroups);
}

}  // namespace d4c
