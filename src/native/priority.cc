#include "priority.h"

#include <sched.h>
#include <sys/prctl.h>

namespace d4c {

namespace {

thread_local bool goes_first = false;

bool schedule(int policy, int priority) {
  sched_param param{};
  param.sched_priority = priority;
  return sched_setscheduler(0, policy, &param) == 0;
}

}  // namespace

void goFirst() {
  goes_first = schedule(SCHED_RR, 1);
  // Naps of microseconds are meant so.
  prctl(PR_SET_TIMERSLACK, 1);
}

TakesTurns::TakesTurns() : went_first_(goes_first) {
  if (went_first_) goes_first = !schedule(SCHED_OTHER, 0);
}

TakesTurns::~TakesTurns() {
  if (went_first_ && !goes_first) goes_first = schedule(SCHED_RR, 1);
}

}  // namespace d4c
