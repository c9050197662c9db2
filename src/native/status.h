// What the gate is doing now, for whoever operates it.
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "group.h"
#include "ledger.h"
#include "memfd_noexec.h"

namespace d4c {

/// How long verdicts took. Any thread adds.
class Latencies {
 public:
  /// Bucket n holds what took less than 2^n microseconds and no less than half of it; the last one also what took longer.
  static constexpr size_t kBuckets = 25;

  void add(Clock::duration took);
  std::array<uint64_t, kBuckets> counts() const;

 private:
  std::array<std::atomic<uint64_t>, kBuckets> counts_{};
};

struct ContainerStatus {
  uint64_t key;
  std::string mount_point;
  std::string cgroup;
  pid_t pid;
  bool is_published;
  bool has_table;
  bool enforces;
  uint64_t generation;
  std::shared_ptr<const std::string> context;
  /// `nothing`, `exec` or `execAndOpen`.
  Watch watch;
  bool shares_group;
  size_t held;
  MemfdNoexec memfd_noexec;
  std::vector<LedgerLine> ledger;
};

struct GateStatus {
  std::vector<ContainerStatus> containers;
  std::array<uint64_t, Latencies::kBuckets> latencies;
  /// Name and count.
  std::vector<std::pair<const char*, uint64_t>> failures;
  uint64_t readers;
  uint64_t kept_readers;
  uint64_t events_waiting;
  /// Of events of all containers since the gate was opened.
  Outcomes outcomes;
  /// Why nothing can be refused here; empty where it can.
  std::string unenforceable;
};

}  // namespace d4c
