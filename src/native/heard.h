// One event of a group that asks nobody: what it tells of has happened, or is under way.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <utility>

#include "container.h"
#include "descriptor.h"
#include "processes.h"
#include "reports.h"

namespace d4c {

struct Heard {
  Heard(std::shared_ptr<Root> its_root, Descriptor its_file, uint64_t its_mask, pid_t its_tid)
      : root(std::move(its_root)), file(std::move(its_file)), mask(its_mask), tid(its_tid) {}

  std::shared_ptr<Root> root;
  Descriptor file;
  uint64_t mask;
  /// 0 when the task is not visible in this process's pid namespace.
  pid_t tid;
  Clock::time_point since = Clock::now();
  int64_t time_us = nowUs();

  /// Of a file that was closed: the last change of its filesystem that may be its creation.
  std::optional<uint64_t> last_change{};

  // Of an exec that is looked at again: what was found the first time.

  std::shared_ptr<Container> container{};
  bool is_loader = false;
  /// It is looked at no more, whether the exec has come to its end or not.
  bool is_last_look = false;
  /// Where the arguments of the program lay that the task ran before.
  uint64_t last_arguments = 0;
  /// Who executes, without the arguments: those that it has before are another program's.
  Process process{};
};

}  // namespace d4c
