// The part of the gate that sees to it that nobody waits longer than the deadline, and says whom an event wakes.

#include <poll.h>
#include <sys/epoll.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "gate.h"
#include "machine_load.h"
#include "priority.h"

namespace d4c {

namespace {

/// How much later than the deadline an answer may come, as a part of it.
constexpr int64_t kLooksPerDeadline = 8;
constexpr int64_t kLongestPauseMs = 250;

}  // namespace

bool Gate::startReader(size_t at) {
  Reader& reader = readers_.emplace_back(at);
  const cpu_set_t& processors = polls_[at].processors;
  reader.thread = startThread("d4c-reader", [this, &reader] {
    goFirst();
    settings_.can_refuse ? readEvents(&reader) : hearEvents(&reader);
    duty_.end();
    reader.has_ended = true;
  });
  if (!reader.thread.joinable()) {
    const int error = errno;
    readers_.pop_back();
    reports_.fail(Failure::kEventUnread, std::string("clone: ") + std::strerror(error));
    errno = error;
    return false;
  }
  pthread_setaffinity_np(reader.thread.native_handle(), sizeof processors, &processors);
  return true;
}

/// An event wakes every reader, unless one is on duty (duty.h). To wake one alone leaves the other processors idle, and then the
/// scheduler moves the opener to one of them as it answers: each open waits for a processor to wake up. On a machine that has no
/// idle processor there is no such move, and waking all of them takes each from what runs there: then one is woken, the first that
/// waits, another one for each lane.
bool Gate::pollLane(uint64_t name, int group, bool is_new) {
  const uint32_t flags = wakes_one_ ? uint32_t{EPOLLEXCLUSIVE} : 0;
  bool is_polled = true;
  for (size_t i = 0; i < polls_.size(); ++i) {
    const int poll = polls_[(name + i) % polls_.size()].poll;
    // KERNEL: how it wakes cannot be changed. What is ready when it is added is found at once.
    if (!is_new) epoll_ctl(poll, EPOLL_CTL_DEL, group, nullptr);
    is_polled &= addToPoll(poll, group, name, flags) || errno == EEXIST;
  }
  return is_polled;
}

bool Gate::wakeReaders(bool only_one) {
  std::vector<std::pair<uint64_t, std::shared_ptr<const Group>>> groups;
  wakes_one_ = only_one;
  {
    const std::shared_lock<std::shared_mutex> lock(mutex_);
    for (const auto& [name, lane] : lanes_) groups.emplace_back(name, lane->group);
    if (foreign_ != nullptr) groups.emplace_back(kForeignName, foreign_->group);
  }
  bool is_done = true;
  for (const auto& [name, group] : groups) is_done &= pollLane(name, group->descriptor(), false);
  if (!is_done) reports_.fail(Failure::kEventUnread, std::string("epoll_ctl: ") + std::strerror(errno));
  return is_done;
}

void Gate::watchDeadlines() {
  // Who waits for its answer has waited for the whole deadline; behind all that runs on a busy machine it would come late.
  goFirst();
  MachineLoad load;
  bool is_done = true;
  /// Where readers are missing, since there was no thread for them.
  std::vector<size_t> missing;
  for (;;) {
    const int64_t deadline_ms = settings_.deadline_ms;
    const int64_t pause_ms = deadline_ms == 0 ? kLongestPauseMs : deadline_ms / kLooksPerDeadline;
    pollfd stop{stop_.get(), POLLIN, 0};
    if (poll(&stop, 1, static_cast<int>(std::clamp(pause_ms, int64_t{1}, kLongestPauseMs))) > 0) break;
    // Before anything for which this thread may have to wait.
    duty_.relieve();
    const bool is_busy = load.isBusy();
    if (is_busy != wakes_one_ || !is_done) is_done = wakeReaders(is_busy);
    // One that is alone has nobody to look after it.
    duty_.allow(!is_busy && reader_count_ > 1);
    runtimes_.expire(std::chrono::milliseconds(settings_.hold_ms));
    while (!missing.empty() && startReader(missing.back())) missing.pop_back();
    if (deadline_ms == 0 || readers_.empty()) continue;
    // Those that take the place of others come behind the end that is looked at now.
    const auto end = std::prev(readers_.end());
    for (auto reader = readers_.begin();; ++reader) {
      const bool is_last = reader == end;
      const bool is_kept = isKept(&*reader, std::chrono::milliseconds(deadline_ms));
      if (is_kept && !startReader(reader->at)) missing.push_back(reader->at);
      if (is_last) break;
    }
    for (auto reader = readers_.begin(); reader != readers_.end();) {
      const auto one = reader++;
      if (!one->is_kept || !one->has_ended) continue;
      one->thread.join();
      readers_.erase(one);
    }
  }
  // The gate closes. A reader ends as soon as it has answered, but for one that a task keeps: only by the deadline.
  const int64_t deadline_ms = settings_.deadline_ms;
  const std::chrono::milliseconds deadline(deadline_ms == 0 ? kLongestPauseMs : deadline_ms);
  const auto isNeeded = [&](Reader& reader) { return !reader.has_ended && !reader.is_kept && !isKept(&reader, deadline); };
  while (std::count_if(readers_.begin(), readers_.end(), isNeeded) > 0) poll(nullptr, 0, 1);
}

/// Whether the deadline has passed for what the reader judges, and was the answer. Then a task keeps it.
bool Gate::isKept(Reader* reader, std::chrono::milliseconds deadline) {
  const auto missed = reader->desk.turn.expire(
      deadline,
      // As many threads may be kept by one root filesystem as there were readers when it began: from then on nobody reads the
      // memory of its tasks.
      [&](std::shared_ptr<Root> root) {
        ++root->keeps;
        reader->kept_by = std::move(root);
        reader->is_kept = true;
      },
      {[this, deadline](const Root& root, bool is_exec) { return judge_.limitOn(root, is_exec, deadline); },
       [this](const Root& root, bool is_exec) {
         // It is not known which task begins to execute what.
         for (const auto& container : *root.containers()) container->execs.attend();
         return judge_.strictestOn(root, is_exec);
       }});
  if (missed) judge_.countMissed(*missed);
  return missed.has_value();
}

}  // namespace d4c
