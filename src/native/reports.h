// What the gate has to tell: a queue between its threads and whoever reads the reports.
//
// Any thread may put something in and never waits; one reader takes it out. Events beyond the bounds, of their number and their
// size, are dropped and counted: a verdict never waits for a report. Notices (everything else) are rare, never dropped while somebody
// listens, and told before events: a container that starts must not wait behind a flood.
#pragma once

#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <variant>
#include <vector>

#include "ledger.h"
#include "lineage.h"
#include "processes.h"
#include "table.h"

namespace d4c {

struct FoundContainer {
  uint64_t key;
  std::string mount_point;
  dev_t device;
  std::string upper_dir;
  bool may_run;
  bool first;
  /// A process of it, when one was seen.
  pid_t pid = 0;
  /// What came with the table that decides for it, when one was published before.
  std::shared_ptr<const std::string> context{};
};

struct FirstExec {
  uint64_t key;
  pid_t pid;
  std::string cgroup;
  std::string path;
};

struct ContainerGone {
  uint64_t key;
};

/// Microseconds since 1970.
int64_t nowUs();
/// When it was, as `nowUs`.
int64_t usOf(std::chrono::steady_clock::time_point at);

/// How the kernel told of it.
enum class EventKind : uint8_t { kExec, kLoad, kOpen, kCreation, kLink, kRename, kAttributes, kDeletion, kModification, kFork, kEnd };

/// Why an exec of which no process rule speaks was denied.
enum class Reason : uint8_t { kNone, kContained, kDrift, kFileless };

const char* nameOf(Reason reason);

/// An event that fired, or that was refused without a rule (then `fired` is empty).
struct KernelEvent {
  uint64_t key = 0;
  uint64_t sequence = 0;
  /// What it takes, roughly, as of when it was added to the reports.
  size_t bytes = 0;
  int64_t time_us = 0;
  uint64_t generation = 0;
  /// What came with the table that decided. It lives as long as an event of it waits to be told.
  std::shared_ptr<const std::string> context{};
  std::shared_ptr<const RuleNames> names{};
  EventKind kind = EventKind::kOpen;
  uint8_t operations = 0;
  std::string path;
  /// Of a rename.
  std::string old_path;
  MountKind mount = MountKind::kRoot;
  Verdict verdict = Verdict::kAllow;
  enum class DecidedBy : uint8_t { kRule, kUnknown, kDeadline, kAgentLoss } decided_by = DecidedBy::kRule;
  Outcome outcome = Outcome::kDetected;
  /// When set, `fired` is what file rules said, and `operations` is how the file came to be.
  Reason reason = Reason::kNone;
  enum class RolledBack : uint8_t { kNotAsked, kYes, kNo } rolled_back = RolledBack::kNotAsked;
  std::vector<Fired> fired;
  std::string cgroup;
  pid_t tid = 0;
  Process process;
  bool has_parent = false;
  Process parent;
  Leaders leaders;
  struct stat file {};
  /// Of the end of a process, as a shell counts it: from 128 on the signal that ended it. Unknown below 0.
  int exit_code = -1;
  /// Whether nothing could have been refused, since the kernel asks nobody.
  bool is_heard = false;
};

size_t bytesOf(const KernelEvent& event);
/// What an event takes as a rule is less. Where up to `n` of them are kept, they may take `n` times as much, since who raises them
/// can make them twenty times as large.
constexpr size_t kBytesPerEvent = 4096;

/// Things lost or late, by the names of src/failures.ts.
enum class Failure : uint8_t {
  kAgentLost,
  kAgentSilent,
  kChangesLate,
  kChangesLost,
  kChangesUnseen,
  kConnectionDelayed,
  kContainerUnknown,
  kContainmentFull,
  kCreationUnconfirmed,
  kDeadlineMissed,
  kDriftUncompared,
  kEventReportDropped,
  kEventUnread,
  kFactsForgotten,
  kFirstProgramMissed,
  kForksLost,
  kForksUnseen,
  kIntentUnread,
  kMarkFailed,
  kMemfdNotForbidden,
  kNotEnforceable,
  kPathUnread,
  kProcessUnread,
  kPublishFailed,
  kRollbackFailed,
  kRuntimeNotHeld,
  kVolumeUnwatched,
  kLast = kVolumeUnwatched,
};
constexpr size_t kFailureCount = static_cast<size_t>(Failure::kLast) + 1;
const char* nameOf(Failure failure);

/// How often something failed since the last report, and what was said last.
struct FailureReport {
  Failure failure;
  uint64_t count;
  std::string detail;
};

using Report = std::variant<FoundContainer, FirstExec, ContainerGone, KernelEvent, FailureReport>;

class Reports {
 public:
  /// `wake` is called by any thread when there is something new, and again when many events wait. It must not wait.
  Reports(size_t max_events, std::function<void()> wake)
      : max_events_(max_events), many_(std::min(kMany, (max_events + 1) / 2)), wake_(std::move(wake)) {}

  /// Gives the event its sequence number.
  void add(KernelEvent&& event);
  /// The first notice of a container opens its part of the ledger, and the last one closes it: an event may come later still.
  void add(Report&& notice);
  void fail(Failure failure, std::string detail);

  /// Whether anybody takes notices. While nobody does, only events and failures are kept: who comes is told of
  /// every container anew.
  void listen(bool listens);

  /// What is to be told: all notices and failures, and then at most `max_events` events, in order, and no further one when they
  /// take `max_bytes` together.
  std::vector<Report> take(size_t max_events, size_t max_bytes);
  /// Events that were taken and came to nobody. They are the next ones.
  void giveBack(std::deque<KernelEvent> events);

  /// What became of the operations of each container of these keys, and of all there ever were.
  std::vector<LedgerLine> ledgerOf(uint64_t key) const;
  Outcomes outcomes() const;

  /// How often what failed since the beginning; without what never did.
  std::vector<std::pair<const char*, uint64_t>> totals() const;
  /// Events that nobody has taken.
  size_t waiting() const;
  uint64_t dropped() const { return dropped_.load(std::memory_order_relaxed); }

 private:
  /// At most so many events wait without a further word.
  static constexpr size_t kMany = 256;
  const size_t max_events_;
  const size_t many_;
  const std::function<void()> wake_;
  mutable std::mutex mutex_;
  std::deque<Report> notices_;
  std::deque<KernelEvent> events_;
  size_t bytes_ = 0;
  bool listens_ = true;
  uint64_t sequence_ = 0;
  Ledger ledger_;
  struct Tally {
    uint64_t count = 0;
    std::string detail;
  };
  std::array<Tally, kFailureCount> failures_;
  std::array<uint64_t, kFailureCount> totals_{};
  std::atomic<uint64_t> dropped_{0};
};

}  // namespace d4c
