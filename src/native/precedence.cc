#include "precedence.h"

#include <time.h>

#include "priority.h"

namespace d4c {

namespace {

using std::chrono::milliseconds;
using std::chrono::nanoseconds;

/// To look takes half a microsecond.
constexpr uint32_t kWorksALook = 64;
constexpr milliseconds kLookedAt(5);
constexpr milliseconds kGoesAlong(50);

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

void Precedence::look() {
  const auto now = Clock::now();
  const auto passed = now - since_;
  if (passed < (goes_along_ ? kGoesAlong : kLookedAt)) return;
  const auto had = used();
  if (goes_along_) {
    goes_along_ = false;
    goFirst();
  } else if (2 * (had - used_) > passed) {
    goes_along_ = true;
    goAlong();
  }
  since_ = now;
  used_ = had;
}

}  // namespace d4c
