// What a task runs: whether an exec that was told has come to its end.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>

namespace d4c {

/// A running program, as far as that tells it from another one. Not a container's image.
struct Running {
  std::string name{};
  pid_t parent = 0;
  /// Where its arguments lie in its memory: each exec puts them elsewhere, and a fork where its parent has them. 0 without any.
  uint64_t arguments_at = 0;
};

Running runningOf(pid_t tid);

/// Whether the file is run by an interpreter that it names.
bool isScript(int file);

/// Whether the task still runs what it ran before it began to execute the file at `path`. `last_arguments`: where the arguments of
/// that lay, as far as it is known.
bool isUnderWay(pid_t tid, int file, const std::string& path, uint64_t last_arguments);

}  // namespace d4c
