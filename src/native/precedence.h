// How long a thread that answers goes first.
//
// SAFETY: openers without end keep the threads that answer them busy without end, and on the processors of threads that go first
// next to nothing else would run: no logging in, no kubelet, none of the kernel's own threads.
#pragma once

#include <chrono>
#include <cstdint>

namespace d4c {

/// Of one thread, which goes first (priority.h).
class Precedence {
 public:
  /// To be called each time when the thread has something to do. One that had its processor for more than half of some
  /// milliseconds goes along with others for ten times as long.
  void onWork();

 private:
  using Clock = std::chrono::steady_clock;

  void look();

  uint32_t works_ = 0;
  bool goes_along_ = false;
  /// When it began to go along, or to be looked at, and how long it had had its processor until then.
  Clock::time_point since_ = Clock::now();
  std::chrono::nanoseconds used_{0};
};

}  // namespace d4c
