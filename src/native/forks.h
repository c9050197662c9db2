// Forks of containers' processes, and ends of those whose begin was told, from the kernel's process connector.
//
// Owns one netlink socket and the thread that reads it. The kernel tells of every fork of the machine; a fork counts when
// the parent is known to be of a container: it executed something there, it was forked by one that is known, or it was in the
// container's cgroup when the container was adopted, or when forks had been lost. An end is told as the begin was; of one that
// was lost it is told later.
// Nobody waits for it. KERNEL: only in the first network namespace; before 6.6 with CAP_NET_ADMIN alone.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "cgroup.h"
#include "descriptor.h"
#include "reports.h"
#include "threads.h"

namespace d4c {

class Forks {
 public:
  using Clock = std::chrono::steady_clock;
  /// What a process runs.
  using Program = std::shared_ptr<const std::string>;
  /// Called by the reading thread, after each fork by a process of the container with this key. `inherited` is what the parent ran
  /// when it was forked. Gives what the child runs until it executes something. Either is null when it is not known.
  using Tell = std::function<Program(uint64_t key, pid_t parent, pid_t child, Clock::time_point at, const Program& inherited)>;
  Forks(Reports* reports, Tell tell) : reports_(reports), tell_(std::move(tell)) {}
  ~Forks() { close(); }

  /// Begins to listen, unless it does, or cannot. What keeps it from that is a failure.
  void listen();
  void close();

  /// The process is of the container. Any thread.
  void note(pid_t pid, uint64_t key);
  /// Every process that is in the cgroup is of the container. The reading thread looks for them. Any thread.
  void noteAll(uint64_t key, const Cgroup& cgroup);
  /// The process of this event is a member, and its end is to be told. Any thread.
  void began(std::shared_ptr<const KernelEvent> begin);
  void forget(uint64_t key);

 private:
  bool open();
  void run();
  void take(const char* message, size_t size);
  void sweep();

  struct Member {
    uint64_t key = 0;
    /// Then the end of its first thread need not be its own.
    bool may_have_threads = false;
    /// What it ran when it was forked.
    Program inherited{};
    /// How its begin was told, when its end is to be told, too.
    std::shared_ptr<const KernelEvent> begin{};
  };
  using Members = std::unordered_map<pid_t, Member>;
  struct End {
    /// -1 when it is not known, since the word of it was lost.
    int exit_code = -1;
    int64_t time_us = nowUs();
  };
  // Under the lock.
  Member& memberAt(pid_t pid);
  Members::iterator drop(Members::iterator member, const End& end);
  void tellEnded();
  bool isOther(const Member& member, pid_t pid) const;
  /// What is left of a process when its first thread has ended.
  enum class Rest : uint8_t {
    kNothing,
    kThreads,
    /// Another thread has taken the first one's place, by an exec; or the number is another process's.
    kProcess,
  };
  static Rest restOf(pid_t pid);
  void seek(std::vector<std::pair<uint64_t, Cgroup>> sought);
  void lookForMembers();
  bool lookIn(const std::vector<std::pair<uint64_t, Cgroup>>& sought);
  void findAgain();
  void cannotListen(const std::string& why, int error);

  Reports* const reports_;
  const Tell tell_;
  Descriptor socket_;
  Descriptor stop_;
  Descriptor wake_;
  Thread thread_;

  std::mutex mutex_;
  /// It listens, or cannot.
  bool is_settled_ = false;
  Members members_;
  /// Of all `begin`.
  size_t begin_bytes_ = 0;
  /// Whose processes are followed.
  std::unordered_map<uint64_t, Cgroup> followed_;
  /// Whose processes are to be looked for.
  std::vector<std::pair<uint64_t, Cgroup>> sought_;
  /// Of the reading thread: when that is tried again.
  Clock::time_point look_again_at_ = Clock::time_point::max();
  /// Whose first thread has ended while others go on, and how the last one has that was told. Of the reading thread.
  std::unordered_map<pid_t, End> ending_;
};

}  // namespace d4c
