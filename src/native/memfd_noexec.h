// Programs without a file (memfd) that are forbidden in a container: by the kernel's setting `vm.memfd_noexec` of its pid
// namespace, which the host's and other containers' does not follow. KERNEL: 6.3
//
// The setting is that of whoever writes it, so a process has to be in the namespace: a program of its own, that enters the
// namespace and starts one that writes and ends.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <string>

namespace d4c {

enum class MemfdNoexec : uint8_t {
  kNotAsked,
  kSet,
  /// The container has the pid namespace of this process, that is the host's, as a rule.
  kShared,
  /// It cannot be done.
  kFailed,
  /// There was something missing, or no time, or the process had ended: it may be done another time.
  kDelayed,
};

const char* nameOf(MemfdNoexec state);

/// Forbids them in the pid namespace of the process, for good. `is_right`, false with `errno`, says whether the number was still
/// that of the process when the namespace was open. Waits at most a second. `fault` says what failed.
MemfdNoexec forbidMemfd(pid_t pid, const std::function<bool()>& is_right, const std::string& host_root, std::string* fault);

/// What `forbidMemfd` starts, by descriptors of the namespace and of the setting. The exit code is an `errno`.
int forbidMemfdIn(int space, int setting);

}  // namespace d4c
