#include "memfd_noexec.h"

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>

#include "descriptor.h"

namespace d4c {

namespace {

constexpr const char* kSetting = "/proc/sys/vm/memfd_noexec";
constexpr int kLongestMs = 1000;
/// Where the program that is started has its descriptors.
constexpr int kSpaceAt = 3;
constexpr int kSettingAt = 4;

Descriptor openSpace(const char* process) {
  char path[64];
  std::snprintf(path, sizeof path, "/proc/%s/ns/pid", process);
  return Descriptor(open(path, O_RDONLY | O_CLOEXEC));
}

/// In a pod its own /proc/sys may not be written to, and the host's may.
Descriptor openSetting(const std::string& host_root) {
  Descriptor own(open(kSetting, O_WRONLY | O_CLOEXEC));
  if (own || errno == ENOENT) return own;
  return Descriptor(open((host_root + kSetting).c_str(), O_WRONLY | O_CLOEXEC));
}

/// Whether there was something missing that may be there the next time: also time, or another process when this one had ended.
bool isForWant(int error) {
  return isOutOfDescriptors(error) || error == EAGAIN || error == ENOMEM || error == EINTR || error == ESRCH || error == ETIMEDOUT;
}

/// 0 or an `errno`.
int run(int space, int setting) {
  // Copies above those numbers first, so that neither takes the other's place.
  const Descriptor one(fcntl(space, F_DUPFD_CLOEXEC, kSettingAt + 1));
  const Descriptor other(fcntl(setting, F_DUPFD_CLOEXEC, kSettingAt + 1));
  if (!one || !other) return errno;
  posix_spawn_file_actions_t files;
  posix_spawnattr_t how;
  sigset_t none;
  sigemptyset(&none);
  posix_spawn_file_actions_init(&files);
  posix_spawnattr_init(&how);
  posix_spawn_file_actions_adddup2(&files, one.get(), kSpaceAt);
  posix_spawn_file_actions_adddup2(&files, other.get(), kSettingAt);
  posix_spawnattr_setsigmask(&how, &none);
  posix_spawnattr_setflags(&how, POSIX_SPAWN_SETSIGMASK);
  char name[] = "d4c-gate-keeper";
  char what[] = "--memfd-noexec";
  char* const arguments[] = {name, what, nullptr};
  pid_t child = 0;
  // SAFETY: a program, so that no copy of a group's descriptor lives in it.
  const int error = posix_spawn(&child, "/proc/self/exe", &files, &how, arguments, environ);
  posix_spawn_file_actions_destroy(&files);
  posix_spawnattr_destroy(&how);
  if (error != 0) return error;
  const Descriptor process(static_cast<int>(syscall(SYS_pidfd_open, child, 0)));
  pollfd ended{process.get(), POLLIN, 0};
  const int count = process ? poll(&ended, 1, kLongestMs) : -1;
  const int missed = count > 0 ? 0 : count == 0 ? ETIMEDOUT : errno;
  // Nobody waits for one of which it is not known when it ends.
  if (missed != 0) kill(child, SIGKILL);
  int status = 0;
  while (waitpid(child, &status, 0) < 0 && errno == EINTR) continue;
  if (missed != 0) return missed;
  return WIFEXITED(status) ? WEXITSTATUS(status) : EINTR;
}

}  // namespace

const char* nameOf(MemfdNoexec state) {
  switch (state) {
    case MemfdNoexec::kNotAsked:
      return "notAsked";
    case MemfdNoexec::kSet:
      return "set";
    case MemfdNoexec::kShared:
      return "shared";
    case MemfdNoexec::kFailed:
    case MemfdNoexec::kDelayed:
      return "failed";
  }
  return "";
}

MemfdNoexec forbidMemfd(pid_t pid, const std::function<bool()>& is_right, const std::string& host_root, std::string* fault) {
  const auto fail = [&](const char* what, int error) {
    *fault = std::string(what) + ": " + std::strerror(error);
    return isForWant(error) ? MemfdNoexec::kDelayed : MemfdNoexec::kFailed;
  };
  const Descriptor space = openSpace(std::to_string(pid).c_str());
  // Its number may have become that of another container's process.
  if (!space || !is_right()) return fail("its pid namespace", errno == ENOENT ? ESRCH : errno);
  const Descriptor own = openSpace("self");
  struct stat its {};
  struct stat ours {};
  if (!own || fstat(space.get(), &its) != 0 || fstat(own.get(), &ours) != 0) return fail("its pid namespace", errno);
  if (its.st_ino == ours.st_ino) return MemfdNoexec::kShared;
  const Descriptor setting = openSetting(host_root);
  if (!setting) return fail(kSetting, errno);
  const int error = run(space.get(), setting.get());
  return error == 0 ? MemfdNoexec::kSet : fail("writing in its pid namespace", error);
}

int forbidMemfdIn(int space, int setting) {
  if (setns(space, CLONE_NEWPID) != 0) return errno;
  const pid_t child = fork();
  if (child < 0) return errno;
  if (child == 0) {
    // The namespace has no program of its own yet, as a rule, and nobody in it is waited for.
    _exit(write(setting, "2", 1) == 1 ? 0 : errno);
  }
  int status = 0;
  while (waitpid(child, &status, 0) < 0 && errno == EINTR) continue;
  return WIFEXITED(status) ? WEXITSTATUS(status) : EINTR;
}

}  // namespace d4c
