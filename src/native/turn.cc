#include "turn.h"

#include <utility>

#include "container.h"

namespace d4c {

void Turn::begin(std::shared_ptr<Root> root, int file, bool is_exec) {
  const std::lock_guard<std::mutex> lock(mutex_);
  state_ = State::kBusy;
  root_ = std::move(root);
  file_ = file;
  is_exec_ = is_exec;
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

std::optional<Verdict> Turn::expire(Clock::duration limit, const std::function<void(std::shared_ptr<Root>)>& kept,
                                    const std::function<Verdict(const Root&, bool)>& strictest) {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (state_ != State::kBusy || Clock::now() - since_ < limit) return std::nullopt;
  state_ = State::kMissed;
  kept(root_);
  if (!fallback_) fallback_ = strictest(*root_, is_exec_);
  // SAFETY: the descriptor, by whose number the kernel knows the event, is closed only after `claim`.
  root_->group->answer(file_, *fallback_);
  return fallback_;
}

}  // namespace d4c
