// Programs that run what they read.
#pragma once

#include <sys/types.h>

namespace d4c {

/// Whether the task's program is known to run scripts: a shell, python, perl, node, ruby, php or lua, of any version. By the
/// name of its file, and of busybox by that of the applet. A task whose program cannot be told is taken as one.
bool isInterpreter(pid_t tid);

}  // namespace d4c
