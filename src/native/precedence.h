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
  /// To be called each time when the thread has something to do. One that had its processor for most of a while goes along with
  /// others for a moment.
  void onWork();
  /// It goes along with others for a while: those it serves do not wait for it, so nothing slows them down.
  void giveWay();

 private:
  using Clock = std::chrono::steady_clock;

  void look();

  uint32_t works_ = 0;
  bool goes_along_ = false;
  Clock::time_point goes_along_until_{};
  /// When it began to be looked at, and how long it had had its processor until then.
  Clock::time_point since_ = Clock::now();
  std::chrono::nanoseconds used_{0};
};

}  // namespace d4c
