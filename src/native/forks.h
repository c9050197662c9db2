// Forks of containers' processes, from the kernel's process connector.
//
// Owns one netlink socket and the thread that reads it. The kernel tells of every fork of the machine; a fork counts when
// the parent is known to be of a container: it executed something there, or it was forked by one that is known.
// Nobody waits for it. KERNEL: only in the first network namespace; before 6.6 with CAP_NET_ADMIN alone.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <mutex>
#include <thread>
#include <unordered_map>

#include "descriptor.h"
#include "reports.h"

namespace d4c {

class Forks {
 public:
  /// Called by the reading thread, after each fork by a process of the container with this key.
  using Tell = std::function<void(uint64_t key, pid_t parent, pid_t child, int64_t time_us)>;
  Forks(Reports* reports, Tell tell) : reports_(reports), tell_(std::move(tell)) {}
  ~Forks() { close(); }

  /// Begins to listen, unless it was tried before. What keeps it from that is a failure.
  void listen();
  void close();

  /// The process is of the container. Any thread.
  void note(pid_t pid, uint64_t key);
  void forget(uint64_t key);

 private:
  bool open();
  void run();
  void take(const char* message, size_t size);
  void sweep();

  Reports* const reports_;
  const Tell tell_;
  Descriptor socket_;
  Descriptor stop_;
  std::thread thread_;

  std::mutex mutex_;
  bool was_tried_ = false;
  std::unordered_map<pid_t, uint64_t> members_;
};

}  // namespace d4c
