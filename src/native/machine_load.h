// How busy the machine's processors are.
#pragma once

#include <chrono>
#include <cstdint>

#include "descriptor.h"

namespace d4c {

/// Of one thread.
class MachineLoad {
 public:
  MachineLoad();

  /// Whether the processors had next to nothing left to give since the last look that is some time ago. Once busy, the machine
  /// counts as such until a good part of it is idle.
  bool isBusy();

 private:
  using Clock = std::chrono::steady_clock;
  const Descriptor file_;
  uint64_t all_ = 0;
  uint64_t idle_ = 0;
  bool is_busy_ = false;
  Clock::time_point looked_{};
};

}  // namespace d4c
