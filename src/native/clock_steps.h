// Whether somebody has set the machine's clock, which the times of birth of files go by.
//
// Owns a timer that never fires, and that the kernel makes readable when the clock is set. KERNEL: a clock that is made to go faster
// or slower until it is right, as most are, is not set.
#pragma once

#include <cstdint>

#include "descriptor.h"

namespace d4c {

class ClockSteps {
 public:
  ClockSteps();

  /// To be polled for reading; -1 where there is none.
  int descriptor() const { return timer_.get(); }
  /// Whether it was set since the last call.
  bool take();

 private:
  const Descriptor timer_;
};

int64_t tickNs();
/// How many nanoseconds ago it was so many ticks after the machine was started (`Process::start_ticks`): a tick more at the most.
int64_t ageNsOf(uint64_t ticks);
/// What the clock says, in nanoseconds since 1970.
int64_t clockNs();
/// What it would have said then, had it gone then as it goes now.
int64_t clockNsAt(uint64_t ticks);

}  // namespace d4c
