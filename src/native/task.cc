#include "task.h"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>

namespace d4c {

namespace {

// As in linux/pidfd.h, which is newer than the headers this may be built with.
constexpr unsigned kThread = O_EXCL;
constexpr uint64_t kPid = 1;
constexpr uint64_t kCredentials = 2;
struct PidfdInfo {
  uint64_t mask;
  uint64_t cgroup;
  uint32_t pid, tgid, ppid, ruid, rgid, euid, egid, suid, sgid, fsuid, fsgid;
  int32_t exit_code;
};
constexpr unsigned long kGetInfo = _IOWR(0xFF, 11, PidfdInfo);
constexpr unsigned long kGetPidSpace = _IO(0xFF, 5);

Descriptor openTask(pid_t tid) { return Descriptor(static_cast<int>(syscall(SYS_pidfd_open, tid, kThread))); }

}  // namespace

std::optional<TaskIds> readTaskIds(pid_t tid) {
  const Descriptor task = openTask(tid);
  PidfdInfo info{};
  info.mask = kPid | kCredentials;
  if (!task || ioctl(task.get(), kGetInfo, &info) != 0) return std::nullopt;
  if ((info.mask & (kPid | kCredentials)) != (kPid | kCredentials)) return std::nullopt;
  return TaskIds{static_cast<pid_t>(info.tgid), static_cast<pid_t>(info.ppid), info.ruid, info.rgid, info.euid, info.egid};
}

std::optional<PidSpace> PidSpace::of(pid_t tid) {
  const Descriptor task = openTask(tid);
  if (!task) return std::nullopt;
  Descriptor space(ioctl(task.get(), kGetPidSpace, 0));
  struct stat found {};
  if (!space || fstat(space.get(), &found) != 0) return std::nullopt;
  return PidSpace(std::move(space), found.st_ino);
}

}  // namespace d4c
