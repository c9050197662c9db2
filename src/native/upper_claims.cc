// What opens do to files of the upper directory, so that the events that follow are not told a second time.

#include <iterator>

#include "upper.h"

namespace d4c {

namespace {

/// A creation's event comes right before its open is decided; what is older has lost its event.
constexpr std::chrono::seconds kClaimLives(10);
constexpr size_t kMaxClaims = 4096;

}  // namespace

void Upper::claim(pid_t tid, uint64_t inode, mode_t mode) {
  const std::lock_guard<std::mutex> lock(mutex_);
  const Clock::time_point now = Clock::now();
  if (claim_count_ >= kMaxClaims) {
    claim_count_ = 0;
    for (auto one = claims_.begin(); one != claims_.end();) {
      std::deque<Claim>& all = one->second;
      while (!all.empty() && now - all.front().since > kClaimLives) all.pop_front();
      claim_count_ += all.size();
      one = all.empty() ? claims_.erase(one) : std::next(one);
    }
  }
  claims_[{tid, inode}].push_back({mode, now});
  ++claim_count_;
}

std::optional<mode_t> Upper::takeClaim(pid_t tid, uint64_t inode) {
  const std::lock_guard<std::mutex> lock(mutex_);
  const auto found = claims_.find({tid, inode});
  if (found == claims_.end()) return std::nullopt;
  const Claim claim = found->second.front();
  found->second.pop_front();
  --claim_count_;
  if (found->second.empty()) claims_.erase(found);
  if (Clock::now() - claim.since > kClaimLives) return std::nullopt;
  return claim.mode;
}

void Upper::noteWriter(pid_t tid, const std::string& path) {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (writers_.size() >= kMaxClaims) writers_.clear();
  writers_[tid] = path;
}

bool Upper::isWriter(pid_t tid, const std::string& path) const {
  const std::lock_guard<std::mutex> lock(mutex_);
  const auto found = writers_.find(tid);
  return found != writers_.end() && found->second == path;
}

}  // namespace d4c
