// Which of the gate's work comes before everything else on the machine.
//
// Answering an open is short, and somebody sleeps until it is done: that goes first. What takes longer does not, since a
// container could otherwise have the gate do, ahead of all others, many times the work that it does itself.
#pragma once

#include <sys/types.h>

namespace d4c {

/// This thread goes before others from now on, where that is allowed (SYS_NICE, or RLIMIT_RTPRIO of at least 1).
void goFirst();
/// As `goFirst`, of another thread of this process.
void goFirst(pid_t thread);
/// This thread, which goes first, lets everything else go before it from now on, until it is to go first again. What it wakes up
/// may take its place at once. False when it cannot, or could not come back.
bool goLast();
/// This thread takes its turn like any other from now on, until it is to go first again.
void goAlong();

/// This thread of the ordinary class has more of a busy processor than others from now on, where that is allowed (SYS_NICE).
void goAhead();

/// As long as it lives, this thread goes along, or goes last if it does already. May be nested.
class TakesTurns {
 public:
  TakesTurns();
  ~TakesTurns();
  TakesTurns(const TakesTurns&) = delete;
  TakesTurns& operator=(const TakesTurns&) = delete;

 private:
  const bool went_first_;
};

}  // namespace d4c
