// Which reader is on duty: where one task opens one file after the other and processors are idle, one reader answers alone.
//
// Owns the duty, and the scheduling class of the thread that has it: the lowest there is, until the duty ends.
//
// KERNEL: who is answered goes on where it went to sleep only if the thread that answers has the lowest class (or no processor is
// idle). Otherwise it is moved to an idle processor, which an interrupt has to wake from its halt: that takes longer than to read
// an event, to judge and to answer it together. And each event wakes every thread that waits for events: so the others wait
// elsewhere meanwhile.
// Anything else that wants its processor goes before the reader on duty. So the others look after it, and nobody waits for long.
#pragma once

#include <sys/types.h>

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
  /// Something did wait: no reader takes the duty for a while.
  void pause();
  /// It has read so many events together, the first of which is of this task.
  void onRead(pid_t task, size_t count, bool is_exec);
  /// It is not on duty any more, if it was.
  void end();

 private:
  using Clock = std::chrono::steady_clock;

  bool staysOn(pid_t task, Clock::duration passed, bool is_exec);
  void take();
  void wakeOthers();

  const Descriptor taken_;
  std::atomic<bool> is_allowed_{false};
  /// The thread; 0 when it is none.
  std::atomic<pid_t> holder_{0};
  std::atomic<Clock::time_point> last_read_{};
  std::atomic<Clock::time_point> paused_until_{};
  /// Opens that were read by themselves, each soon after the one before.
  std::atomic<uint32_t> in_a_row_{0};
  /// Reads since the duty was taken.
  std::atomic<uint32_t> events_{0};
};

}  // namespace d4c
