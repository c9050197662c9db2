// The part of the gate that sees to it that nobody waits longer than the deadline.

#include <poll.h>

#include <algorithm>

#include "gate.h"
#include "priority.h"

namespace d4c {

namespace {

/// How much later than the deadline an answer may come, as a part of it.
constexpr int64_t kLooksPerDeadline = 8;
constexpr int64_t kLongestPauseMs = 250;

}  // namespace

void Gate::startReader(size_t at) {
  Reader& reader = readers_.emplace_back(at);
  const cpu_set_t& processors = polls_[at].processors;
  reader.thread = std::thread([this, &reader] {
    goFirst();
    readEvents(&reader);
    reader.has_ended = true;
  });
  pthread_setaffinity_np(reader.thread.native_handle(), sizeof processors, &processors);
  pthread_setname_np(reader.thread.native_handle(), "d4c-reader");
}

void Gate::watchDeadlines() {
  for (;;) {
    const int64_t deadline_ms = settings_.deadline_ms;
    const int64_t pause_ms = deadline_ms == 0 ? kLongestPauseMs : deadline_ms / kLooksPerDeadline;
    pollfd stop{stop_.get(), POLLIN, 0};
    if (poll(&stop, 1, static_cast<int>(std::clamp(pause_ms, int64_t{1}, kLongestPauseMs))) > 0) return;
    if (deadline_ms == 0) continue;
    // Those that take the place of others come behind the end that is looked at now.
    const auto end = std::prev(readers_.end());
    for (auto reader = readers_.begin();; ++reader) {
      const bool is_last = reader == end;
      // As many threads may be kept by one root filesystem as there were readers when it began: from then on nobody reads
      // the memory of its tasks.
      const auto missed = reader->desk.turn.expire(
          std::chrono::milliseconds(deadline_ms),
          [&](std::shared_ptr<Root> root) {
            ++root->keeps;
            reader->kept_by = std::move(root);
            reader->is_kept = true;
          },
          [this](const Root& root, bool is_exec) {
            // It is not known which task begins to execute what.
            for (const auto& container : *root.containers()) container->execs.attend();
            return judge_.strictestOn(root, is_exec);
          });
      if (missed) {
        judge_.countMissed(*missed);
        startReader(reader->at);
      }
      if (is_last) break;
    }
    for (auto reader = readers_.begin(); reader != readers_.end();) {
      const auto one = reader++;
      if (!one->is_kept || !one->has_ended) continue;
      one->thread.join();
      readers_.erase(one);
    }
  }
}

}  // namespace d4c
