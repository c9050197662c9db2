// One thread's turn at an event, or at several that were read together, and who answers: the thread, or the watchdog when the
// deadline has passed.
//
// A thread that judges may be kept waiting by the very task it judges, for example when it reads memory that a FUSE
// server of the container never delivers. The watchdog then answers in its place; the thread's own answer comes to nothing.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>

#include "table.h"

namespace d4c {

class Root;

class Turn {
 public:
  using Clock = std::chrono::steady_clock;

  // The thread that judges.

  /// Events of the root filesystem's group begin, at most `kTogether`. The files stay open until `end`. `has_exec`: one of them
  /// is an exec. None: nobody waits, and only the thread is looked after.
  static constexpr size_t kTogether = 16;
  void begin(std::shared_ptr<Root> root, const int* files, size_t count, bool has_exec);
  /// What the watchdog would answer. Until this is called it asks for the strictest that the root filesystem knows.
  void fallBackTo(Verdict verdict);
  /// Before the answer is written. What the watchdog has answered already, or nothing: then nobody else will.
  std::optional<Verdict> claim();
  /// The event has been answered, or waits elsewhere.
  void end();

  // The watchdog.

  struct Missed {
    Verdict verdict;
    /// How many events it answered.
    size_t count;
  };
  /// What to do for an event, an exec or not, of which the thread has not found out yet whose it is.
  struct Undecided {
    /// After how long it is answered. Asked for when the limit of any other has passed.
    std::function<Clock::duration(const Root&, bool)> limit;
    std::function<Verdict(const Root&, bool)> verdict;
  };
  /// Answers when the turn has taken longer than `limit`, once for each turn, and gives the answer. Before that `kept` is
  /// called: when the thread goes on, it has happened.
  std::optional<Missed> expire(Clock::duration limit, const std::function<void(std::shared_ptr<Root>)>& kept, const Undecided& undecided);

 private:
  enum class State : uint8_t { kIdle, kBusy, kClaimed, kMissed };
  std::mutex mutex_;
  State state_ = State::kIdle;
  std::shared_ptr<Root> root_;
  std::array<int, kTogether> files_{};
  size_t count_ = 0;
  bool has_exec_ = false;
  /// Once missed, what was answered.
  std::optional<Verdict> fallback_;
  Clock::time_point since_{};
};

}  // namespace d4c
