// Where the events of a group are answered: by the reader on the processor of those who open there.
//
// Every reader polls every group, and each event wakes one of them: the first in the group's own order that waits. The
// first is the group's home. An answer from the opener's own processor is several times as fast as one from another, and
// waking all readers for each event would cost each processor for what happens on one.
#pragma once

#include <sched.h>
#include <sys/types.h>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace d4c {

/// A reader's poll, and the processors on which its events are read.
struct ReaderPoll {
  int poll = -1;
  cpu_set_t processors{};
};

/// Of one group. Any thread may call.
class Home {
 public:
  using Clock = std::chrono::steady_clock;

  /// Lets every poll wait for the group, the one at `first` before the others.
  static bool enter(const std::vector<ReaderPoll>& polls, int group, uint64_t name, size_t first);

  /// Has the next reader look, too: `own` was woken for the group and is busy with another one.
  static void passOn(const std::vector<ReaderPoll>& polls, int group, uint64_t name, size_t own);

  /// Takes in that a task of the group was on another processor than its reader, and moves there.
  void follow(const std::vector<ReaderPoll>& polls, int group, uint64_t name, pid_t tid);

 private:
  std::atomic<Clock::rep> moved_{0};
  std::atomic<size_t> at_{SIZE_MAX};
};

}  // namespace d4c
