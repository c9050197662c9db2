// Which reader is on duty: where one task after the other opens a file or executes a program, and processors are idle, one reader
// answers alone.
//
// Owns the duty, and the scheduling class and the processors of the thread that has it, until the duty ends.
//
// KERNEL: each event wakes every thread that waits for events, and to wake one on a processor that has halted takes longer than to
// read an event, to judge and to answer it together. So the others wait elsewhere meanwhile, and who is on duty sees to it that
// the scheduler leaves those who are answered where they are:
// - Opens. Who is answered goes on where it went to sleep if the thread that answers has the lowest class. Otherwise it is moved
//   to an idle processor. Anything else that wants its processor goes before this reader.
// - Execs. A thread of the lowest class would be in the way: whoever executes a program is moved away from any that wants its processor.
//   A reader of the ordinary class, on any processor, is woken where the task is that waits for it as long as the other
//   processors have halted; and they stay so, since all that follows happens on one.
// The others look after it, so nobody waits for it for long.
#pragma once

#include <sched.h>
#include <sys/types.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>

#include "descriptor.h"

namespace d4c {

class Duty {
 public:
  Duty();

  /// To be polled by each reader, edge-triggered: readable when one takes the duty, so that the others come to `standBy`.
  int taken() const { return taken_.get(); }
  /// Whether a reader may be on duty. At first none may.
  void allow(bool is_allowed) { is_allowed_ = is_allowed; }
  /// Takes the duty from a reader that does not get on. False when there is none. For any thread that goes first: the other
  /// readers may wait for a lock that this one has.
  bool relieve();

  // A reader thread, which goes first (priority.h).

  /// Before it waits for events. As long as another one is on duty, and gets on, it waits here.
  /// True when it took the duty from one that did not: what is ready now has waited for that one.
  bool standBy();
  /// Something did wait: no reader takes the duty for such a row for a while.
  void pause();
  /// It has read so many events together, the first of which is of this task.
  void onRead(pid_t task, size_t count, bool is_exec);
  /// It is not on duty any more, if it was.
  void end();
  /// Whether it is on duty.
  bool isMine() const;
  bool isMineForExecs() const { return isMine() && row_ == kExecs; }

 private:
  using Clock = std::chrono::steady_clock;

  enum Row : size_t { kOpens, kExecs };

  void countRow(pid_t task, Clock::duration passed, bool is_exec, bool is_single, Clock::time_point now);
  bool staysOn(pid_t task, Clock::duration passed, bool is_exec);
  void take(Row row);
  void wakeOthers();
  Clock::duration patience() const;

  const Descriptor taken_;
  /// On which any reader may run.
  cpu_set_t processors_{};
  std::atomic<bool> is_allowed_{false};
  /// The thread; 0 when it is none.
  std::atomic<pid_t> holder_{0};
  /// What it was taken for.
  std::atomic<Row> row_{kOpens};
  std::atomic<Clock::time_point> last_read_{};
  /// By row.
  std::array<std::atomic<Clock::time_point>, 2> paused_until_{};
  /// Opens that were read by themselves, each soon after the one before.
  std::atomic<uint32_t> opens_{0};
  /// Execs likewise, each of another task than the one before.
  std::atomic<uint32_t> execs_{0};
  std::atomic<pid_t> last_executing_{0};
  std::atomic<Clock::time_point> last_exec_{};
  /// Reads since the duty was taken.
  std::atomic<uint32_t> events_{0};
};

}  // namespace d4c
