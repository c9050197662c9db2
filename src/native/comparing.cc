#include "comparing.h"

#include <utility>

#include "drift.h"

namespace d4c {

namespace {

/// Each holds a descriptor.
constexpr size_t kMaxJobs = 256;
constexpr size_t kMaxJobsOfRoot = 64;
/// They only share the processors, as any program; so few containers that have much compared do not keep the next one.
constexpr size_t kMaxThreads = 8;

}  // namespace

bool Comparing::add(Root& root, Envelope* envelope, const std::string& path) {
  const std::lock_guard<std::mutex> lock(mutex_);
  auto own = jobs_.find(root.shared_from_this());
  const bool is_first = own == jobs_.end();
  const size_t waiting = is_first ? 0 : own->second.size();
  // One may always wait, however many others do.
  if (is_closing_ || (waiting > 0 && (count_ >= kMaxJobs || waiting >= kMaxJobsOfRoot))) return false;
  // Without a thread nothing can be compared.
  if (is_first && !hasThread()) return false;
  // The deadline was first.
  if (!envelope->letGo()) return true;
  if (is_first) {
    own = jobs_.try_emplace(root.shared_from_this()).first;
    waiting_.push_back(own);
    changed_.notify_one();
  }
  own->second.push_back(Job{std::move(*envelope), path});
  ++count_;
  return true;
}

/// Under the lock, before a further root filesystem waits.
bool Comparing::hasThread() {
  if (idle_ <= waiting_.size() && threads_.size() < kMaxThreads) {
    Thread thread = startThread("d4c-comparing", [this] { run(); });
    if (thread.joinable()) threads_.push_back(std::move(thread));
  }
  return !threads_.empty();
}

void Comparing::run() {
  for (;;) {
    // Freed when the lock is.
    std::shared_ptr<Root> root;
    std::unique_lock<std::mutex> lock(mutex_);
    ++idle_;
    changed_.wait(lock, [this] { return is_closing_ || !waiting_.empty(); });
    --idle_;
    if (is_closing_) return;
    const Jobs::iterator own = waiting_.front();
    waiting_.pop_front();
    root = own->first;
    Job job = std::move(own->second.front());
    own->second.pop_front();
    lock.unlock();
    bool is_certain = true;
    job.envelope.notes.is_unchanged = isUnchanged(root->upper, job.path, &is_certain);
    if (!is_certain) reports_->fail(Failure::kDriftUncompared, job.path);
    judge_(*root, std::move(job.envelope));
    lock.lock();
    --count_;
    if (own->second.empty()) {
      jobs_.erase(own);
    } else {
      waiting_.push_back(own);
      changed_.notify_one();
    }
  }
}

void Comparing::close() {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    is_closing_ = true;
    changed_.notify_all();
  }
  for (Thread& thread : threads_) thread.join();
  const std::lock_guard<std::mutex> lock(mutex_);
  waiting_.clear();
  jobs_.clear();
}

}  // namespace d4c
