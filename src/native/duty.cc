#include "duty.h"

#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <climits>
#include <optional>

#include "priority.h"
#include "proc_stat.h"

namespace d4c {

namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;

/// So many opens that are no farther apart are of a task that opens one file after the other.
constexpr microseconds kApart(100);
constexpr uint32_t kInARow = 16;
/// So many tasks each of which executes a program that long after the one before, such as a script's. What comes sooner is of
/// several at once, each of which another reader answers in less time.
constexpr microseconds kExecsApart(100);
constexpr milliseconds kExecsTogether(4);
constexpr uint32_t kExecsInARow = 4;
/// Without an event for so long the reader on duty loses it, which is how long anybody may wait for it. Then nobody takes the
/// duty for a while. To look after it more often costs openers.
constexpr milliseconds kPatience(2);
/// Nothing goes before one that answers execs, so it is late only if a task keeps it or what it judges takes long.
constexpr milliseconds kPatienceWithExecs(8);
constexpr milliseconds kLongPause(1000);
/// As long as the opener does other things between two opens, nobody else is answered: where it does so for longer than this,
/// the duty was a mistake.
constexpr microseconds kGap(500);
constexpr milliseconds kDutyPause(100);
/// The scheduler moves openers now and then. To look where one runs takes some 5 us: that is done for each so many events,
/// and more often where they come slowly, as they do from elsewhere.
constexpr uint32_t kEventsALook = 64;
constexpr uint32_t kSlowEventsALook = 2;
constexpr microseconds kSlow(20);

pid_t threadId() {
  thread_local const pid_t id = static_cast<pid_t>(syscall(SYS_gettid));
  return id;
}

/// What makes this thread another one than the readers that are not on duty.
thread_local bool is_changed = false;
thread_local std::optional<cpu_set_t> own_processors;

void changeBack() {
  if (own_processors) pthread_setaffinity_np(pthread_self(), sizeof *own_processors, &*own_processors);
  own_processors.reset();
  if (is_changed) goFirst();
  is_changed = false;
}

bool runsHere(pid_t task) { return task != 0 && processorOf(task) == sched_getcpu(); }

}  // namespace

Duty::Duty() : taken_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  CPU_ZERO(&processors_);
  sched_getaffinity(0, sizeof processors_, &processors_);
}

Duty::Clock::duration Duty::patience() const { return row_ == kExecs ? kPatienceWithExecs : kPatience; }

bool Duty::isMine() const { return holder_ == threadId(); }

bool Duty::standBy() {
  for (;;) {
    const pid_t holder = holder_;
    if (holder == 0 || holder == threadId()) return false;
    const auto left = std::chrono::nanoseconds(last_read_.load() + patience() - Clock::now()).count();
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
  const bool gets_on = Clock::now() < last_read_.load() + patience();
  if (holder == 0 || gets_on || !holder_.compare_exchange_strong(holder, 0)) return false;
  // It may want to run, and not get to.
  goFirst(holder);
  wakeOthers();
  return true;
}

void Duty::pause() { paused_until_[row_] = Clock::now() + kLongPause; }

void Duty::onRead(pid_t task, size_t count, bool is_exec) {
  const auto now = Clock::now();
  const auto passed = now - last_read_.exchange(now);
  countRow(task, passed, is_exec, count == 1, now);
  const pid_t holder = holder_;
  if (holder == threadId()) {
    if (row_ == kOpens && passed > kGap) paused_until_[kOpens] = now + kDutyPause;
    if (!staysOn(task, passed, is_exec)) end();
    return;
  }
  changeBack();
  if (holder != 0 || !is_allowed_) return;
  const auto isPaused = [&](Row row) { return now < paused_until_[row].load(); };
  if (opens_ >= kInARow && !isPaused(kOpens) && runsHere(task)) {
    take(kOpens);
  } else if (execs_ >= kExecsInARow && !isPaused(kExecs)) {
    take(kExecs);
  }
}

void Duty::countRow(pid_t task, Clock::duration passed, bool is_exec, bool is_single, Clock::time_point now) {
  opens_ = passed < kApart && is_single && !is_exec ? opens_ + 1 : 0;
  // Its script's interpreter and its loader are executed by the same task.
  if (!is_exec || last_executing_.exchange(task) == task) return;
  const auto apart = now - last_exec_.exchange(now);
  execs_ = is_single && apart > kExecsApart && apart < kExecsTogether ? execs_ + 1 : 0;
}

/// KERNEL: a task that executes a program is moved to an idle processor if any thread wants its own, as this one would.
bool Duty::staysOn(pid_t task, Clock::duration passed, bool is_exec) {
  // It sees to many opens less well than one that goes last.
  if (row_ == kExecs) return is_allowed_ && execs_ > 0 && passed < kPatienceWithExecs && opens_ < kInARow;
  if (is_exec || passed > kGap || !is_allowed_) return false;
  const uint32_t count = ++events_;
  const bool looks = count % kEventsALook == 0 || (passed > kSlow && count % kSlowEventsALook == 0);
  return !looks || runsHere(task);
}

void Duty::take(Row row) {
  pid_t nobody = 0;
  if (!holder_.compare_exchange_strong(nobody, threadId())) return;
  row_ = row;
  events_ = 0;
  is_changed = true;
  if (row == kExecs) {
    own_processors.emplace();
    pthread_getaffinity_np(pthread_self(), sizeof *own_processors, &*own_processors);
    pthread_setaffinity_np(pthread_self(), sizeof processors_, &processors_);
    goAlong();
  } else if (!goLast()) {
    return end();
  }
  // KERNEL: who waits for events does not come back from that as long as another one reads them first.
  const uint64_t one = 1;
  [[maybe_unused]] const ssize_t written = write(taken_.get(), &one, sizeof one);
  // Somebody lost patience before the change.
  if (holder_ != threadId()) changeBack();
}

void Duty::end() {
  pid_t me = threadId();
  if (holder_.compare_exchange_strong(me, 0)) wakeOthers();
  changeBack();
}

void Duty::wakeOthers() { syscall(SYS_futex, &holder_, FUTEX_WAKE_PRIVATE, INT_MAX, nullptr, nullptr, 0); }

}  // namespace d4c
