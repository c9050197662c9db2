#include "task.h"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>

#include <atomic>
#include <cerrno>

#include "descriptor.h"

namespace d4c {

namespace {

// As in linux/pidfd.h, which is newer than the headers this may be built with.
constexpr unsigned kThread = O_EXCL;
constexpr uint64_t kPid = 1;
constexpr uint64_t kCredentials = 2;
constexpr uint64_t kCgroup = 4;
struct PidfdInfo {
  uint64_t mask;
  uint64_t cgroup;
  uint32_t pid, tgid, ppid, ruid, rgid, euid, egid, suid, sgid, fsuid, fsgid;
  int32_t exit_code;
};
constexpr unsigned long kGetInfo = _IOWR(0xFF, 11, PidfdInfo);

/// Until the kernel was found not to tell it.
std::atomic<bool> is_told{true};

}  // namespace

std::optional<TaskIds> readTaskIds(pid_t tid) {
  if (tid <= 0 || !is_told) return std::nullopt;
  const Descriptor task(static_cast<int>(syscall(SYS_pidfd_open, tid, kThread)));
  PidfdInfo info{};
  info.mask = kPid | kCredentials | kCgroup;
  if (!task || ioctl(task.get(), kGetInfo, &info) != 0) {
    if (task && errno == ENOTTY) is_told = false;
    return std::nullopt;
  }
  if ((info.mask & (kPid | kCredentials)) != (kPid | kCredentials)) return std::nullopt;
  const uint64_t cgroup = (info.mask & kCgroup) != 0 ? info.cgroup : 0;
  return TaskIds{static_cast<pid_t>(info.tgid), static_cast<pid_t>(info.ppid), info.ruid, info.rgid, info.euid, info.egid, cgroup};
}

}  // namespace d4c
