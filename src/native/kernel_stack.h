// Why the kernel opens a file for a task that is blocked meanwhile, from /proc/<tid>/stack.
#pragma once

#include <sys/types.h>

#include <cstdint>

namespace d4c {

/// For what a task opens a loader.
enum class LoaderOf : uint8_t {
  /// The kernel executes another file, which names it as its loader.
  kProgram,
  /// It is executed itself.
  kNothing,
  /// The stack may not be read.
  kUnknown,
  /// No descriptor or memory is left to read it by. SAFETY: nobody shall gain by using them up.
  kOutOfReach,
};

/// Nothing that a program can write to says so; the functions that the task has entered in the kernel do. The task must have come to
/// rest. Takes about 10 us.
LoaderOf loaderOf(pid_t tid);

/// Whether the functions in the kernel can be read, of this task.
bool canReadKernelStacks();

}  // namespace d4c
