#include "duty.h"

#include <linux/futex.h>
#include <sched.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <climits>

#include "priority.h"
#include "proc_stat.h"

namespace d4c {

namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;

/// So many opens that are no farther apart are of a task that opens one file after the other.
constexpr microseconds kApart(100);
constexpr uint32_t kInARow = 16;
/// Without an event for so long the reader on duty loses it, which is how long anybody may wait for it. Then nobody takes the
/// duty for a while. To look after it more often costs openers.
constexpr milliseconds kPatience(2);
constexpr milliseconds kLongPause(1000);
/// As long as the opener does other things between two opens, nobody else is answered: where it does so for longer than this,
/// the duty was a mistake.
constexpr microseconds kGap(500);
constexpr milliseconds kPause(100);
/// The scheduler moves openers now and then. To look where one runs takes some 5 us: that is done for each so many events,
/// and more often where they come slowly, as they do from elsewhere.
constexpr uint32_t kEventsALook = 64;
constexpr uint32_t kSlowEventsALook = 2;
constexpr microseconds kSlow(20);

pid_t threadId() {
  thread_local const pid_t id = static_cast<pid_t>(syscall(SYS_gettid));
  return id;
}

bool runsHere(pid_t task) { return task != 0 && processorOf(task) == sched_getcpu(); }

}  // namespace

Duty::Duty() : taken_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {}

bool Duty::standBy() {
  for (;;) {
    const pid_t holder = holder_;
    if (holder == 0 || holder == threadId()) return false;
    const auto left = std::chrono::nanoseconds(last_read_.load() + kPatience - Clock::now()).count();
    if (left > 0) {
      const timespec time{0, static_cast<long>(left)};
      syscall(SYS_futex, &holder_, FUTEX_WAIT_PRIVATE, holder, &time, nullptr, 0);
    } else if (relieve()) {
      return true;
    }
  }
}

bool Duty::relieve() {
  pid_t holder = holder_;
  const bool gets_on = Clock::now() < last_read_.load() + kPatience;
  if (holder == 0 || gets_on || !holder_.compare_exchange_strong(holder, 0)) return false;
  // It may want to run, and not get to.
  goFirst(holder);
  wakeOthers();
  return true;
}

void Duty::pause() { paused_until_ = Clock::now() + kLongPause; }

void Duty::onRead(pid_t task, size_t count, bool is_exec) {
  const auto now = Clock::now();
  const auto passed = now - last_read_.exchange(now);
  in_a_row_ = passed < kApart && count == 1 && !is_exec ? in_a_row_ + 1 : 0;
  const pid_t holder = holder_;
  if (holder == threadId()) {
    if (passed > kGap) paused_until_ = now + kPause;
    if (!staysOn(task, passed, is_exec)) end();
    return;
  }
  if (isLast()) goFirst();
  if (holder == 0 && is_allowed_ && in_a_row_ >= kInARow && now >= paused_until_.load() && runsHere(task)) take();
}

/// KERNEL: a task that executes a program is moved to an idle processor if any thread wants its own, as this one would.
bool Duty::staysOn(pid_t task, Clock::duration passed, bool is_exec) {
  if (is_exec || passed > kGap || !is_allowed_) return false;
  const uint32_t count = ++events_;
  const bool looks = count % kEventsALook == 0 || (passed > kSlow && count % kSlowEventsALook == 0);
  return !looks || runsHere(task);
}

void Duty::take() {
  pid_t nobody = 0;
  if (!holder_.compare_exchange_strong(nobody, threadId())) return;
  events_ = 0;
  if (!goLast()) return end();
  // KERNEL: who waits for events does not come back from that as long as another one reads them first.
  const uint64_t one = 1;
  [[maybe_unused]] const ssize_t written = write(taken_.get(), &one, sizeof one);
  // Somebody lost patience before it was last.
  if (holder_ != threadId()) goFirst();
}

void Duty::end() {
  pid_t me = threadId();
  if (holder_.compare_exchange_strong(me, 0)) wakeOthers();
  if (isLast()) goFirst();
}

void Duty::wakeOthers() { syscall(SYS_futex, &holder_, FUTEX_WAKE_PRIVATE, INT_MAX, nullptr, nullptr, 0); }

}  // namespace d4c
