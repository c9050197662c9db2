#include "comparing.h"

#include "drift.h"

namespace d4c {

namespace {

/// Each holds a descriptor.
constexpr size_t kMaxJobs = 256;

}  // namespace

bool Comparing::add(Root& root, Envelope* envelope, const std::string& path) {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (is_closing_ || jobs_.size() >= kMaxJobs) return false;
  if (!thread_.joinable()) thread_ = startThread("d4c-comparing", [this] { run(); });
  // Without a thread nothing can be compared.
  if (!thread_.joinable()) return false;
  // The deadline was first.
  if (!envelope->letGo()) return true;
  jobs_.push_back(Job{root.shared_from_this(), std::move(*envelope), path});
  changed_.notify_one();
  return true;
}

void Comparing::run() {
  for (;;) {
    std::unique_lock<std::mutex> lock(mutex_);
    changed_.wait(lock, [this] { return is_closing_ || !jobs_.empty(); });
    if (is_closing_) return;
    Job job = std::move(jobs_.front());
    jobs_.pop_front();
    lock.unlock();
    bool is_certain = true;
    job.envelope.notes.is_unchanged = isUnchanged(job.root->upper, job.path, &is_certain);
    if (!is_certain) reports_->fail(Failure::kDriftUncompared, job.path);
    judge_(*job.root, std::move(job.envelope));
  }
}

void Comparing::close() {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    is_closing_ = true;
    changed_.notify_all();
  }
  thread_.join();
  const std::lock_guard<std::mutex> lock(mutex_);
  jobs_.clear();
}

}  // namespace d4c
