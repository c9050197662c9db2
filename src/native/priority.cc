#include "priority.h"

#include <sched.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdint>

namespace d4c {

namespace {

thread_local bool goes_first = false;

/// As `sched_setattr(2)` wants it; C libraries have it only of late.
struct SchedulingAttributes {
  uint32_t size;
  uint32_t policy;
  uint64_t flags;
  int32_t nice;
  uint32_t priority;
  uint64_t runtime_ns;
  uint64_t deadline_ns;
  uint64_t period_ns;
};

/// As `nice` counts it.
constexpr int kAhead = -10;
/// The shortest that there is.
constexpr uint64_t kSliceNs = 100000;

bool schedule(int policy, int priority, pid_t thread = 0) {
  sched_param param{};
  param.sched_priority = priority;
  return sched_setscheduler(thread, policy, &param) == 0;
}

/// KERNEL: 6.12. Among threads that have had their share alike, the one with the shortest slice is next: this one takes no more of a
/// busy processor than any other, and need not wait until theirs have ended. Older kernels take no notice of a slice.
bool scheduleFairly() {
  SchedulingAttributes attributes{};
  attributes.size = sizeof attributes;
  attributes.policy = SCHED_OTHER;
  attributes.nice = getpriority(PRIO_PROCESS, 0);
  attributes.runtime_ns = kSliceNs;
  return syscall(SYS_sched_setattr, 0, &attributes, 0) == 0 || schedule(SCHED_OTHER, 0);
}

}  // namespace

void goFirst() {
  goes_first = schedule(SCHED_RR, 1);
  // Naps of microseconds are meant so.
  prctl(PR_SET_TIMERSLACK, 1);
}

void goFirst(pid_t thread) { schedule(SCHED_RR, 1, thread); }

bool goLast() {
  if (!goes_first || !schedule(SCHED_IDLE, 0)) return false;
  goes_first = false;
  return true;
}

void goAlong() {
  if (goes_first) goes_first = !scheduleFairly();
}

void goAhead() { setpriority(PRIO_PROCESS, static_cast<id_t>(syscall(SYS_gettid)), kAhead); }

TakesTurns::TakesTurns() : went_first_(goes_first) { goAlong(); }

TakesTurns::~TakesTurns() {
  if (went_first_ && !goes_first) goes_first = schedule(SCHED_RR, 1);
}

}  // namespace d4c
