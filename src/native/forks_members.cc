// The part of the forks that knows whose processes there are.

#include <dirent.h>
#include <signal.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <iterator>

#include "forks.h"
#include "proc_file.h"

namespace d4c {

namespace {

constexpr size_t kMaxMembers = 262144;
/// Of the events by which living processes were told to begin.
constexpr size_t kMaxBeginBytes = size_t{32} << 20;

}  // namespace

/// Threads of the process that have not ended, and its first one; 0 when it is gone.
unsigned Forks::threadsOf(pid_t pid) {
  char text[4096];
  if (readProcFile(pid, "status", text, sizeof text) == 0) return 0;
  const char* const at = std::strstr(text, "\nThreads:");
  return at == nullptr ? 0 : static_cast<unsigned>(std::strtoul(at + 9, nullptr, 10));
}

/// The member of this number, which may be new. Beyond what is kept everything is forgotten, and that is a failure.
Forks::Member& Forks::memberAt(pid_t pid) {
  if (members_.size() >= kMaxMembers && members_.count(pid) == 0) {
    reports_->fail(Failure::kForksLost, "more processes than are followed");
    while (!members_.empty()) drop(members_.begin(), -1);
  }
  return members_[pid];
}

/// Its end is told, if its begin was.
Forks::Members::iterator Forks::drop(Members::iterator member, int exit_code) {
  if (member->second.begin != nullptr) {
    begin_bytes_ -= bytesOf(*member->second.begin);
    KernelEvent event = *member->second.begin;
    event.kind = EventKind::kEnd;
    event.operations = 0;
    event.path = event.process.executable;
    event.time_us = nowUs();
    event.exit_code = exit_code;
    event.outcome = Outcome::kDetected;
    reports_->add(std::move(event));
  }
  return members_.erase(member);
}

void Forks::note(pid_t pid, uint64_t key) {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (socket_) memberAt(pid).key = key;
}

void Forks::noteAll(uint64_t key, const Cgroup& cgroup) {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (!socket_) return;
  sought_.emplace_back(key, cgroup);
  const uint64_t one = 1;
  [[maybe_unused]] const ssize_t written = write(wake_.get(), &one, sizeof one);
}

void Forks::lookForMembers() {
  uint64_t ignored = 0;
  [[maybe_unused]] const ssize_t woken = read(wake_.get(), &ignored, sizeof ignored);
  std::vector<std::pair<uint64_t, Cgroup>> sought;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    sought.swap(sought_);
  }
  DIR* const all = sought.empty() ? nullptr : opendir("/proc");
  if (all == nullptr) return;
  for (const dirent* each = readdir(all); each != nullptr; each = readdir(all)) {
    const auto pid = static_cast<pid_t>(std::strtol(each->d_name, nullptr, 10));
    if (pid <= 0) continue;
    const std::string cgroups = readCgroups(pid).value_or("");
    for (const auto& [key, cgroup] : sought) {
      if (!cgroup.contains(cgroups)) continue;
      const std::lock_guard<std::mutex> lock(mutex_);
      memberAt(pid).key = key;
    }
  }
  closedir(all);
}

void Forks::began(std::shared_ptr<const KernelEvent> begin) {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (!socket_) return;
  Member& member = memberAt(begin->process.pid);
  member.key = begin->key;
  // A fork may be read when its child has executed something.
  const bool is_late = begin->kind == EventKind::kFork && member.begin != nullptr && member.begin->kind == EventKind::kExec;
  const uint64_t started = begin->process.start_ticks;
  if (is_late && (started == 0 || started == member.begin->process.start_ticks)) return;
  const size_t before = member.begin == nullptr ? 0 : bytesOf(*member.begin);
  begin_bytes_ += bytesOf(*begin) - before;
  member.begin = std::move(begin);
  if (begin_bytes_ <= kMaxBeginBytes) return;
  reports_->fail(Failure::kForksLost, "more is known of the processes that run than is kept");
  begin_bytes_ -= bytesOf(*member.begin);
  member.begin = nullptr;
}

void Forks::forget(uint64_t key) {
  const std::lock_guard<std::mutex> lock(mutex_);
  for (auto member = members_.begin(); member != members_.end();) {
    member = member->second.key == key ? drop(member, -1) : std::next(member);
  }
}

/// Those whose last thread has ended by now.
void Forks::tellEnded() {
  for (auto one = ending_.begin(); one != ending_.end();) {
    if (threadsOf(one->first) > 1) {
      ++one;
      continue;
    }
    const auto member = members_.find(one->first);
    if (member != members_.end()) drop(member, one->second);
    one = ending_.erase(one);
  }
}

/// Those whose end was lost. A number that is used again would be taken for them.
void Forks::sweep() {
  const std::lock_guard<std::mutex> lock(mutex_);
  for (auto member = members_.begin(); member != members_.end();) {
    const bool has_ended = kill(member->first, 0) != 0 && errno == ESRCH;
    member = has_ended ? drop(member, -1) : std::next(member);
  }
}

}  // namespace d4c
