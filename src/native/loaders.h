// Which execs are only the kernel opening the loader that another program names.
//
// Executing a dynamic program raises two events: for the program, then for its loader (ld.so). The second is
// decided like any other, but it is no exec of its own to report. Loaders remembers which loader each program
// named. Executing a script is two real execs, of the script and of its interpreter: it remembers none.
#pragma once

#include <sys/types.h>

#include <mutex>
#include <string>
#include <unordered_map>

#include "in_container.h"

namespace d4c {

class Loaders {
 public:
  /// Takes in that the task executes this file. Whether the file is the loader that the last program of the
  /// task named, in the container's root filesystem. Any thread may call it.
  bool isLoader(pid_t tid, int file, const OverlayPlace& place);

 private:
  std::mutex mutex_;
  std::unordered_map<pid_t, std::string> named_by_task_;
};

}  // namespace d4c
