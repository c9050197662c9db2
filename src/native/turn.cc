#include "turn.h"

#include <algorithm>
#include <utility>

#include "container.h"

namespace d4c {

void Turn::begin(std::shared_ptr<Root> root, const int* files, size_t count, bool has_exec) {
  const std::lock_guard<std::mutex> lock(mutex_);
  state_ = State::kBusy;
  root_ = std::move(root);
  std::copy_n(files, count, files_.begin());
  count_ = count;
  has_exec_ = has_exec;
  fallback_.reset();
  since_ = Clock::now();
}

void Turn::fallBackTo(Verdict verdict) {
  const std::lock_guard<std::mutex> lock(mutex_);
  fallback_ = verdict;
}

std::optional<Verdict> Turn::claim() {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (state_ == State::kMissed) return fallback_;
  state_ = State::kClaimed;
  return std::nullopt;
}

void Turn::end() {
  // The root may be freed with it, which is not for the lock.
  std::shared_ptr<Root> root;
  const std::lock_guard<std::mutex> lock(mutex_);
  state_ = State::kIdle;
  root = std::move(root_);
}

std::optional<Turn::Missed> Turn::expire(Clock::duration limit, const std::function<void(std::shared_ptr<Root>)>& kept,
                                         const Undecided& undecided) {
  const std::lock_guard<std::mutex> lock(mutex_);
  const auto taken = Clock::now() - since_;
  if (state_ != State::kBusy || taken < limit) return std::nullopt;
  if (!fallback_ && taken < undecided.limit(*root_, has_exec_)) return std::nullopt;
  state_ = State::kMissed;
  kept(root_);
  if (!fallback_) fallback_ = undecided.verdict(*root_, has_exec_);
  // SAFETY: the descriptors, by whose numbers the kernel knows the events, are closed only after `claim`.
  for (size_t i = 0; i < count_; ++i) root_->group->answer(files_[i], *fallback_);
  return Missed{*fallback_, count_};
}

}  // namespace d4c
