// The mount namespaces of containers, and the marks on the volumes in them.
//
//   a new root filesystem ─▶ await ─▶ a task that has it in a namespace of its own ─┐
//   the runtime opens a file of the root filesystem (setting the container up) ─────┼─▶ cover: marks, then follows its table
//   a task executes a file through a mount that was not seen yet ───────────────────┘
//   the table changes ─▶ marks what is new
//
// Owns a thread, and for each namespace a descriptor of its mount table and one of a process in it. The first keeps the
// namespace (and what is mounted in it) alive, so it is let go as soon as that process has ended; the next exec brings
// another one. No mount and no file of a container is kept open.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "container.h"
#include "descriptor.h"
#include "mounts.h"
#include "reports.h"
#include "threads.h"
#include "volumes.h"

namespace d4c {

class Spaces {
 public:
  /// Takes the volumes of a mount namespace on which something may change, each time that they have been marked, and a process
  /// in it. Must not wait: whoever is held, and further mounts, wait for it.
  using TakeVolumes = std::function<void(Root&, const std::string& space, pid_t pid, std::vector<FoundVolume>)>;

  /// Told of a process that runs a program of the root filesystem, though nothing was asked for there before.
  using TakeMissed = std::function<void(Root&, pid_t pid)>;

  Spaces(Reports* reports, TakeVolumes take_volumes, TakeMissed take_missed)
      : reports_(reports), take_volumes_(std::move(take_volumes)), take_missed_(std::move(take_missed)) {}
  ~Spaces() { stop(); }

  /// `foreign` is the group of what `Rank` calls so, or null. False with `errno` set.
  bool start(std::shared_ptr<const Group> foreign);
  void stop();

  /// Who has the mount namespace: a process of the container, so that all of it is the container's, or perhaps only its
  /// runtime.
  enum class Owner : uint8_t { kMember, kRuntime };
  /// When it returns, the volumes of the task's mount namespace are marked for the root filesystem, unless that is the
  /// host's namespace. For a task that is held or that is known to live on. False when there was no descriptor to find them by.
  /// Any thread.
  bool cover(Root& root, pid_t tid, Owner owner);
  /// What is watched of the root filesystem has changed: the same for its volumes. Any thread.
  void refresh(const Root& root);
  /// Looks for the process that makes this its root, until one executes something, asked for or not.
  void await(const std::shared_ptr<Root>& root);
  void forget(const Root& root);

 private:
  struct Space {
    std::shared_ptr<Root> root;
    std::string name;
    pid_t pid = 0;
    std::atomic<bool> is_of_member{false};
    Descriptor process;
    /// To be polled.
    Descriptor table;
    /// Held while its mounts are marked.
    std::mutex mutex;
    Watch watched = Watch::kNothing;
    std::set<uint64_t> refused;
    size_t changes = 0;
    Clock::time_point rests_until{};
    std::atomic<bool> is_over{false};
    /// There was no descriptor to read its mounts by. They are read as soon as there is.
    std::atomic<bool> is_unread{false};
  };
  /// A root filesystem without a process, and the numbers of the tasks that may become one.
  struct Awaited {
    std::weak_ptr<Root> root;
    Clock::time_point since = Clock::now();
    pid_t last_pid = 0;
    bool is_looked_for_missed = false;
    std::set<pid_t> younger;
    /// Namespaces in which the root filesystem is not mounted.
    std::set<std::string> strangers;
  };

  void run();
  /// False when the process has ended by which the space is known, or `is_unread`.
  bool mark(Space* space);
  void countUnread(const Root& root, int error) const;
  static std::vector<Mount> mountsOfSpace(const Space& space);
  static bool isStillThere(const Space& space);
  bool isCovered(const Root& root, const std::string& name) const;
  bool isSettled(Awaited* one, pid_t last);
  bool settle(Root& root, pid_t pid);
  void end(const std::shared_ptr<Space>& space);
  void drop(const std::shared_ptr<Space>& space);
  void look();
  bool isOfHost(const std::string& space) const { return space.empty() || space == own_ || space == first_; }
  std::vector<std::shared_ptr<Space>> all() const;
  void wake() const;

  Reports* const reports_;
  const TakeVolumes take_volumes_;
  const TakeMissed take_missed_;
  std::shared_ptr<const Group> foreign_;
  std::string own_;
  std::string first_;
  Descriptor stop_;
  Descriptor changed_;
  Thread thread_;

  mutable std::mutex mutex_;
  std::vector<std::shared_ptr<Space>> spaces_;
  std::vector<Awaited> awaited_;
  Clock::time_point look_at_ = Clock::time_point::max();
};

}  // namespace d4c
