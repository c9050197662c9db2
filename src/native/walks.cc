#include "walks.h"

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <condition_variable>
#include <cstring>
#include <memory>
#include <mutex>
#include <utility>

#include "priority.h"
#include "threads.h"

namespace d4c {

namespace {

/// Without a step for so long it is held, or its disk has more to do than can be waited for.
constexpr std::chrono::seconds kLongestStep(3);
constexpr std::chrono::minutes kNotAgainFor(1);
/// Threads that are left behind at once.
constexpr int kMostLeft = 16;

std::atomic<int> left{0};

/// Of the one who waits and of the thread, whichever goes on longer.
struct Walk {
  std::mutex mutex;
  std::condition_variable changed;
  bool is_done = false;
  bool is_left = false;
  WalkSteps steps{0};
};

/// With `errno` when no thread is granted; ETIME when it is left behind.
bool runAside(std::chrono::seconds longest, Walks::Work work) {
  if (left >= kMostLeft) {
    errno = EAGAIN;
    return false;
  }
  const auto walk = std::make_shared<Walk>();
  Thread thread = startThread("d4c-walk", [walk, work = std::move(work)] {
    goAhead();
    work(&walk->steps);
    const std::lock_guard<std::mutex> lock(walk->mutex);
    walk->is_done = true;
    if (walk->is_left) --left;
    walk->changed.notify_one();
  });
  if (!thread.joinable()) return false;
  const auto end = Clock::now() + longest;
  std::unique_lock<std::mutex> lock(walk->mutex);
  for (bool gets_on = true; gets_on && !walk->is_done;) {
    const size_t before = walk->steps;
    walk->changed.wait_until(lock, std::min<Clock::time_point>(end, Clock::now() + kLongestStep), [&] { return walk->is_done; });
    gets_on = walk->steps != before && Clock::now() < end;
  }
  if (walk->is_done) {
    lock.unlock();
    thread.join();
    return true;
  }
  walk->is_left = true;
  ++left;
  thread.detach();
  errno = ETIME;
  return false;
}

}  // namespace

bool Walks::run(Root& root, const std::string& where, std::chrono::seconds longest, Work work) const {
  if (Clock::now() < root.not_walked_until.load()) return false;
  if (runAside(longest, std::move(work))) {
    root.not_walked_until = Clock::time_point();
    return true;
  }
  root.not_walked_until = Clock::now() + kNotAgainFor;
  reports_->fail(Failure::kChangesUnseen, "`" + where + "`: its files are not looked at: " + std::strerror(errno));
  return false;
}

}  // namespace d4c
