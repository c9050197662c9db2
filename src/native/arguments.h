// Arguments of programs, capped: at most 256, and 16 KiB in all.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "syscalls.h"

namespace d4c {

/// Of the program that runs in the process.
std::vector<std::string> runningArguments(pid_t pid, bool* truncated);

/// Of the program that the task executes by the call in which it is blocked, from the vector it gave to the kernel. The kernel copies them
/// after the verdict, so another thread of the same process may change them in between.
std::vector<std::string> newArguments(pid_t tid, const BlockedCall& call, bool* truncated);

}  // namespace d4c
