// The part of the forks that knows whose processes there are.

#include <dirent.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <iterator>

#include "forks.h"
#include "proc_file.h"
#include "processes.h"

namespace d4c {

namespace {

constexpr size_t kMaxMembers = 262144;
/// Of the events by which living processes were told to begin.
constexpr size_t kMaxBeginBytes = size_t{32} << 20;
constexpr std::chrono::seconds kLookPause(1);

}  // namespace

/// KERNEL: that a first thread has ended is told when it is a zombie. It counts among the threads as long as others go on.
Forks::Rest Forks::restOf(pid_t pid) {
  char text[4096];
  errno = 0;
  // What cannot be read is looked at again.
  if (readProcFile(pid, "status", text, sizeof text) == 0) return isOutOfDescriptors(errno) ? Rest::kThreads : Rest::kNothing;
  const char* const state = std::strstr(text, "\nState:\t");
  const char* const threads = std::strstr(text, "\nThreads:");
  if (state == nullptr || threads == nullptr) return Rest::kNothing;
  if (state[8] != 'Z' && state[8] != 'X') return Rest::kProcess;
  return std::strtoul(threads + 9, nullptr, 10) > 1 ? Rest::kThreads : Rest::kNothing;
}

/// Whether the number is that of another process by now, as far as that is known.
bool Forks::isOther(const Member& member, pid_t pid) const {
  if (member.begin == nullptr) return false;
  const uint64_t started = startOf(pid);
  return started != 0 && started != member.begin->process.start_ticks;
}

/// The member of this number, which may be new. Beyond what is kept everything is forgotten, and that is a failure.
Forks::Member& Forks::memberAt(pid_t pid) {
  if (members_.size() >= kMaxMembers && members_.count(pid) == 0) {
    reports_->fail(Failure::kForksLost, "more processes than are followed");
    while (!members_.empty()) drop(members_.begin(), {});
  }
  return members_[pid];
}

/// Its end is told, if its begin was.
Forks::Members::iterator Forks::drop(Members::iterator member, const End& end) {
  if (member->second.begin != nullptr) {
    begin_bytes_ -= bytesOf(*member->second.begin);
    KernelEvent event = *member->second.begin;
    event.kind = EventKind::kEnd;
    event.operations = 0;
    event.path = event.process.executable;
    event.time_us = end.time_us;
    event.exit_code = end.exit_code;
    event.outcome = Outcome::kDetected;
    reports_->add(std::move(event));
  }
  return members_.erase(member);
}

void Forks::note(pid_t pid, uint64_t key) {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (!socket_) return;
  // Who executes something and was not seen to begin may have begun threads, too.
  const bool is_new = members_.count(pid) == 0;
  Member& member = memberAt(pid);
  member.key = key;
  member.may_have_threads |= is_new;
}

void Forks::noteAll(uint64_t key, const Cgroup& cgroup) {
  const std::lock_guard<std::mutex> lock(mutex_);
  followed_[key] = cgroup;
  if (socket_) seek({{key, cgroup}});
}

/// Under the lock.
void Forks::seek(std::vector<std::pair<uint64_t, Cgroup>> sought) {
  sought_.insert(sought_.end(), sought.begin(), sought.end());
  const uint64_t one = 1;
  [[maybe_unused]] const ssize_t written = write(wake_.get(), &one, sizeof one);
}

void Forks::lookForMembers() {
  uint64_t ignored = 0;
  [[maybe_unused]] const ssize_t woken = read(wake_.get(), &ignored, sizeof ignored);
  look_again_at_ = Clock::time_point::max();
  std::vector<std::pair<uint64_t, Cgroup>> sought;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    sought.swap(sought_);
  }
  if (sought.empty() || lookIn(sought)) return;
  reports_->fail(Failure::kForksLost, std::string("processes that run cannot be looked for: ") + std::strerror(errno));
  look_again_at_ = Clock::now() + kLookPause;
  const std::lock_guard<std::mutex> lock(mutex_);
  sought_.insert(sought_.end(), sought.begin(), sought.end());
}

/// False with `errno` where not every process could be looked at, and another time may be better.
bool Forks::lookIn(const std::vector<std::pair<uint64_t, Cgroup>>& sought) {
  const std::unique_ptr<DIR, int (*)(DIR*)> all(opendir("/proc"), closedir);
  if (all == nullptr) return false;
  for (const dirent* each = readdir(all.get()); each != nullptr; each = readdir(all.get())) {
    const auto pid = static_cast<pid_t>(std::strtol(each->d_name, nullptr, 10));
    if (pid <= 0) continue;
    const std::optional<std::string> cgroups = readCgroups(pid);
    if (!cgroups && isOutOfDescriptors(errno)) return false;
    if (!cgroups) reports_->fail(Failure::kForksLost, std::string("whose a process is cannot be read: ") + std::strerror(errno));
    for (const auto& [key, cgroup] : sought) {
      if (!cgroups || !cgroup.contains(*cgroups)) continue;
      const std::lock_guard<std::mutex> lock(mutex_);
      // It was removed meanwhile.
      if (followed_.count(key) == 0) continue;
      Member& member = memberAt(pid);
      member.key = key;
      member.may_have_threads = true;
    }
  }
  return true;
}

/// Those whose begin was lost.
void Forks::findAgain() {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    sought_.assign(followed_.begin(), followed_.end());
  }
  lookForMembers();
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
  followed_.erase(key);
  for (auto member = members_.begin(); member != members_.end();) {
    member = member->second.key == key ? drop(member, {}) : std::next(member);
  }
}

/// Those whose last thread has ended by now.
void Forks::tellEnded() {
  for (auto one = ending_.begin(); one != ending_.end();) {
    const Rest rest = restOf(one->first);
    if (rest == Rest::kThreads) {
      ++one;
      continue;
    }
    const auto member = members_.find(one->first);
    const bool has_ended = member != members_.end() && (rest == Rest::kNothing || isOther(member->second, one->first));
    if (has_ended) drop(member, one->second);
    one = ending_.erase(one);
  }
}

/// Those whose end was lost. A number that is used again would be taken for them.
void Forks::sweep() {
  std::vector<pid_t> all;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    for (const auto& [pid, member] : members_) all.push_back(pid);
  }
  // Not under the lock: an exec may wait for it.
  for (const pid_t pid : all) {
    const Rest rest = restOf(pid);
    if (rest == Rest::kThreads) ending_.emplace(pid, End{});
    if (rest == Rest::kThreads) continue;
    const std::lock_guard<std::mutex> lock(mutex_);
    const auto member = members_.find(pid);
    if (member != members_.end() && (rest == Rest::kNothing || isOther(member->second, pid))) drop(member, {});
  }
}

}  // namespace d4c
