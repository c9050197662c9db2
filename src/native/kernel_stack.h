// Why the kernel opens a file for a task that is blocked meanwhile, from /proc/<tid>/stack.
#pragma once

#include <sys/types.h>

namespace d4c {

/// Whether the task opens the file in the course of executing another one, which names it as its loader. Nothing that a
/// program can write to says so; the functions that the task has entered in the kernel do. False when they may not be read, true
/// when no descriptor is left to read them by.
/// The task must have come to rest. Takes about 10 us.
bool opensLoader(pid_t tid);

/// Whether the functions in the kernel can be read, of this task.
bool canReadKernelStacks();

}  // namespace d4c
