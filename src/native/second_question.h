// The second question of an exec, which is not answered before all has been read that its document tells.
//
// KERNEL: where opens are marked, too, an exec asks twice (FAN_OPEN_EXEC_PERM, then FAN_OPEN_PERM), and its task does not leave the
// call between the two. So what is read of the task before anybody answers the second one is as it was at the first, which may be
// answered before that: the task is on its way meanwhile. A question that the kernel cannot ask is a refusal.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <utility>

namespace d4c {

/// Of one task at a time, since one reader at a time answers ahead. Should a task keep that one, no other goes ahead as long.
/// Any thread may call.
class SecondQuestion {
 public:
  using Clock = std::chrono::steady_clock;

  /// As long as it is there, or until its time is over.
  class Held {
   public:
    Held() = default;
    Held(Held&& other) noexcept { *this = std::move(other); }
    Held& operator=(Held&& other) noexcept {
      std::swap(of_, other.of_);
      std::swap(opens_since_, other.opens_since_);
      return *this;
    }
    ~Held() { giveBack(); }

    explicit operator bool() const { return of_ != nullptr; }
    /// Whether nobody can have answered it, and opens were watched all the time, so that it was asked or will be: then what was read
    /// before this call is of the task as it was. `opens_since`: as it is now.
    bool isInTime(uint64_t opens_since) const { return opens_since == opens_since_ && Clock::now() < of_->until_.load(); }
    /// From now on anybody may answer it.
    void giveBack() {
      if (of_ != nullptr) std::exchange(of_, nullptr)->tid_ = 0;
    }

   private:
    friend class SecondQuestion;
    Held(SecondQuestion* of, uint64_t opens_since) : of_(of), opens_since_(opens_since) {}
    SecondQuestion* of_ = nullptr;
    uint64_t opens_since_ = 0;
  };
  /// To be called before the first question is answered. Nothing when another task's is held. `opens_since`: `Root::opensSince`.
  Held hold(pid_t tid, Clock::duration limit, uint64_t opens_since) {
    pid_t nobody = 0;
    if (!tid_.compare_exchange_strong(nobody, tid)) return {};
    // Nobody asks for it before the first one is answered.
    until_ = Clock::now() + limit;
    return Held(this, opens_since);
  }
  /// Whether a question of the task is to be answered later.
  bool isHeld(pid_t tid) const { return tid != 0 && tid_ == tid && Clock::now() < until_.load(); }

 private:
  std::atomic<pid_t> tid_{0};
  std::atomic<Clock::time_point> until_{};
};

}  // namespace d4c
