#include "precedence.h"

#include <time.h>

#include "priority.h"

namespace d4c {

namespace {

using std::chrono::milliseconds;
using std::chrono::nanoseconds;

/// To look takes half a microsecond.
constexpr uint32_t kWorksALook = 64;
constexpr milliseconds kLookedAt(1000);
constexpr milliseconds kGoesAlong(10);
constexpr milliseconds kGivesWay(50);

/// For how long this thread has had a processor.
nanoseconds used() {
  timespec time{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return std::chrono::seconds(time.tv_sec) + nanoseconds(time.tv_nsec);
}

}  // namespace

void Precedence::onWork() {
  if (goes_along_ || ++works_ % kWorksALook == 0) look();
}

void Precedence::giveWay() {
  goAlong();
  goes_along_ = true;
  goes_along_until_ = Clock::now() + kGivesWay;
}

void Precedence::look() {
  const auto now = Clock::now();
  const auto passed = now - since_;
  if (goes_along_ ? now < goes_along_until_ : passed < kLookedAt) return;
  const auto had = used();
  if (goes_along_) {
    goes_along_ = false;
    goFirst();
  } else if (2 * (had - used_) > passed) {
    goes_along_ = true;
    goAlong();
    goes_along_until_ = now + kGoesAlong;
  }
  since_ = now;
  used_ = had;
}

}  // namespace d4c
