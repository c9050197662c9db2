#include "clock_steps.h"

#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>
#include <limits>

namespace d4c {

namespace {

constexpr int64_t kSecondNs = 1000000000;

int64_t nsOf(clockid_t clock) {
  timespec now{};
  clock_gettime(clock, &now);
  return now.tv_sec * kSecondNs + now.tv_nsec;
}

}  // namespace

ClockSteps::ClockSteps() : timer_(timerfd_create(CLOCK_REALTIME, TFD_CLOEXEC | TFD_NONBLOCK)) {
  const itimerspec never{{0, 0}, {std::numeric_limits<time_t>::max(), 0}};
  timerfd_settime(timer_.get(), TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET, &never, nullptr);
}

bool ClockSteps::take() {
  uint64_t ignored = 0;
  // It never comes to its time, so that nothing but a setting makes it readable: ECANCELED, or the number of times it came to.
  return read(timer_.get(), &ignored, sizeof ignored) > 0 || errno == ECANCELED;
}

int64_t tickNs() { return kSecondNs / sysconf(_SC_CLK_TCK); }

int64_t clockNs() { return nsOf(CLOCK_REALTIME); }

int64_t ageNsOf(uint64_t ticks) { return nsOf(CLOCK_BOOTTIME) - static_cast<int64_t>(ticks) * tickNs(); }

int64_t clockNsAt(uint64_t ticks) { return clockNs() - ageNsOf(ticks); }

}  // namespace d4c
