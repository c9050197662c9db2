// The programs that start containers (runc, crun and the like), each exec of which waits until what is mounted by then is marked.
//
// Whoever starts a container mounts its root filesystem and then executes its runtime. The kernel tells of a mount when it is there
// already, and on a busy machine the container's first program could run before the watcher thread has had its turn. So the runtime
// waits for that turn, which is as good as holding the mount itself:
//
//   kernel ─▶ group ─▶ take (the watcher) ─▶ the mount table is read, new root filesystems are marked ─▶ answer: allow
//                └▶ expire (the watchdog), when the watcher does not come: allow, counted
//
// Owns one group, with a mark on the file of each such program and on nothing else, and its events until they are answered. No answer
// is ever a denial. When the group is closed, or this process ends, the kernel allows what waits.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <set>
#include <string>

#include "group.h"
#include "reports.h"

namespace d4c {

class Runtimes {
 public:
  Runtimes(std::string host_root, Reports* reports) : host_root_(std::move(host_root)), reports_(reports) {}

  /// Begins to hold the programs at the usual places. Without it containers are gated as well as the watcher is quick.
  void open();
  void close();

  /// To be polled for events; -1 when there is no group.
  int descriptor() const { return group_ == nullptr ? -1 : group_->descriptor(); }

  /// Marks the programs that there are: an upgrade puts another file in place. Any thread.
  void look();
  /// The task sets a container up: its parent is a runtime, wherever that was installed. Any thread.
  void learn(pid_t tid);

  /// Takes in who waits. Gives the number up to which they may be answered when what was mounted before this call is marked.
  uint64_t take();
  void answer(uint64_t up_to);
  /// Answers who has waited for longer than `limit`, also when nobody has taken that in.
  void expire(Clock::duration limit);

 private:
  struct Waiting {
    uint64_t number;
    Envelope event;
  };
  void takeLocked();
  void markLocked(const std::string& path) const;

  const std::string host_root_;
  Reports* const reports_;
  std::shared_ptr<const Group> group_;
  std::mutex mutex_;
  /// Their paths on the host.
  std::set<std::string> programs_;
  std::deque<Waiting> waiting_;
  uint64_t last_number_ = 0;
  /// Of the watchdog: since when somebody has been waiting to be taken in, and who was taken in last.
  Clock::time_point unread_since_{};
  uint64_t unread_after_ = 0;
  std::atomic<pid_t> last_parent_{0};
};

}  // namespace d4c
