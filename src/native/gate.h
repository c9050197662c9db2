// The gate: fanotify permission groups, the threads that answer them, and the containers that are known.
//
// Owns every group, every mark in them and every event that is not answered; the threads; the notification
// groups of the backing filesystems. Owns no policy (a table comes whole, by `publish`) and knows nothing of
// JavaScript: who opens it gives a function to be woken by, and takes the reports out.
//
//   mount table ─▶ watcher thread ─▶ new overlay: group, root, mark ─▶ report
//   exec of a runtime ─▶ watcher thread, which looks at the mount table first ─▶ allow
//   kernel ─▶ group ─▶ a reader thread ─▶ judge ─▶ verdict ─▶ report
//                                            └▶ waits in its container ─▶ publish, or the deadline ─▶ verdict
//
// Who answers an event: the reader that read it, or the watchdog when that takes longer than the deadline; after it was
// given to its container, a reader again, when something was published or `hold` has passed; when the gate closes, its
// envelope, with allow; when the process dies, the kernel, with allow.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <deque>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <shared_mutex>
#include <string>
#include <unordered_map>
#include <vector>

#include "budget.h"
#include "changes.h"
#include "clock_steps.h"
#include "comparing.h"
#include "container.h"
#include "creations.h"
#include "duty.h"
#include "forks.h"
#include "gate_options.h"
#include "heard.h"
#include "judge.h"
#include "mounts.h"
#include "reader_poll.h"
#include "reports.h"
#include "runtimes.h"
#include "spaces.h"
#include "status.h"
#include "threads.h"

namespace d4c {

class Gate {
 public:
  /// Marks what is mounted, and starts the threads. Null when the kernel does not let it.
  static std::unique_ptr<Gate> open(GateOptions options, GateFault* fault);
  ~Gate() { close(); }

  /// `context` is handed back with every event that the table decides; `names` are for the ledger.
  void publish(uint64_t key, std::shared_ptr<const Table> table, uint64_t generation,
               std::shared_ptr<const std::string> context, std::shared_ptr<const RuleNames> names);
  /// Empty when the key is gone, or the process is or has no cgroup of its own.
  std::string adopt(uint64_t key, pid_t pid);
  GateStats stats() const;
  GateStatus status() const;
  void configure(const Settings& settings) { settings_.set(settings); }
  const LiveSettings& settings() const { return settings_; }
  /// Why nothing can be refused here, only told; empty where it can.
  const std::string& unenforceable() const { return unenforceable_; }
  /// Whether somebody publishes and takes reports. While nobody does, tables decide as `on_agent_loss` says.
  void attend(bool has_agent);
  /// The one that attends does not answer, or answers again. Reports are kept for it meanwhile.
  void miss(bool is_silent) { settings_.has_agent = !is_silent; }
  /// Every container that is known, as for somebody who has never been told.
  std::vector<FoundContainer> found() const;
  /// Ends the threads, answers what waits and closes every group. Twice is fine. One thread at a time.
  void close();

  Reports& reports() { return reports_; }
  /// After `close`: some thread could not be ended, so that the gate must not be freed.
  bool isKept() const { return is_kept_; }

 private:
  /// A group and the roots that come to it: one, unless groups are short, and none once it is gone while somebody holds the group.
  struct Lane {
    std::shared_ptr<const Group> group;
    std::vector<std::shared_ptr<Root>> roots;
  };
  /// A lane for a root that comes, and a share of its group: as long as somebody holds that, the lane is not closed.
  struct OpenLane {
    uint64_t name;
    std::shared_ptr<const Group> held;
  };
  struct Known {
    std::shared_ptr<Root> root;
    std::shared_ptr<Container> container;
  };

  explicit Gate(GateOptions options);
  bool start(GateFault* fault);
  void openForeign();
  std::shared_ptr<Group> openGroup(Rank rank) const { return settings_.can_refuse ? Group::open(rank) : Group::openToHear(); }

  // The watcher thread, and `start` before it runs (gate_watch.cc).
  void watchMounts();
  void scan(bool is_first);
  bool addRoot(const OverlayMount& mount, bool may_run);
  void retire(const std::shared_ptr<Root>& root);
  std::optional<OpenLane> openLane();

  // The housekeeper thread (gate_house.cc).
  void keepHouse();
  bool closeIdleLanes();
  void watchCreations(Root& root);
  void wakeHousekeeper() const;

  // The watchdog thread (gate_deadline.cc).
  struct Reader;
  void watchDeadlines();
  /// False when the kernel grants no thread, which is counted.
  bool startReader(size_t at);
  bool isKept(Reader* reader, std::chrono::milliseconds deadline);
  bool pollLane(uint64_t name, int group, bool is_new);
  /// Makes each event wake all readers, or one of them. False when some reader does not read some group: to be called again.
  bool wakeReaders(bool only_one);

  // The reader threads (gate_read.cc).
  void readEvents(Reader* reader);
  void serve(uint64_t lane, Desk* desk);
  void countUnread(int error, Desk* desk);
  std::shared_ptr<const Lane> laneOf(uint64_t name) const;
  /// Null for a task of the host. `error` says why it cannot be found out (gate_roots.cc) for one of a container.
  std::shared_ptr<Root> rootOf(const Lane& lane, int file, pid_t tid, int* error) const;
  static std::shared_ptr<Root> rootOfTask(const std::vector<std::shared_ptr<Root>>& roots, pid_t tid, int* error);
  std::vector<std::shared_ptr<Root>> allRoots() const;
  std::shared_ptr<Container> makeContainer(Root& root);
  void announce(const Root& root, const Container& container, bool is_first);
  void expire(Desk* desk);
  void armTimer();
  void watch(Root& root);
  Forks::Program tellFork(uint64_t key, pid_t parent, pid_t child, Forks::Clock::time_point at, const Forks::Program& inherited);
  bool coverVolumes(Root& root, pid_t tid);
  void coverSetUp(Root& root, pid_t tid);
  void takeMissed(Root& root, pid_t pid);
  void putOff(Root& root, std::shared_ptr<Container> container, Envelope envelope);
  void handOver(Root& root, Envelope envelope);
  void judgeDue(Desk* desk);
  void judgePutOff(Desk* desk, bool is_due);

  // The thread that hears, where nobody is asked (gate_hear.cc).
  /// Of a container a table has come; without one, a program of the root filesystem runs that may not have been heard of.
  struct Noted {
    std::shared_ptr<Root> root;
    std::shared_ptr<Container> container;
    pid_t pid = 0;
  };
  static bool mayHear();
  void beginToHear(const std::shared_ptr<Root>& root);
  void hearEvents(Reader* reader);
  void readHeard(const Lane& lane);
  bool judgeHeard(Reader* reader);
  bool judgeNoted(Reader* reader);
  static bool inTurn(Reader* reader, const std::shared_ptr<Root>& root, const std::function<void()>& judge);
  void note(Noted one);

  std::vector<Known> allKnown() const;
  void followMembers(Container& container);
  void forbidMemfd(const Root& root, Container& container);

  const GateOptions options_;
  LiveSettings settings_;
  Reports reports_;
  Budget budget_;
  Spaces spaces_;
  Runtimes runtimes_;
  Judge judge_;
  Comparing comparing_;
  /// Of the thread that reads forks.
  Desk forks_desk_;
  Forks forks_;
  /// Of the thread that reads changes.
  Desk changes_desk_;
  Changes changes_;
  std::atomic<uint64_t> last_key_{0};
  std::set<dev_t> never_marked_;
  /// Devices that could not be marked, as long as they are mounted.
  std::set<dev_t> failed_;
  /// Whether the mount table is to be read again though it does not change: some superblock lives on though it is mounted nowhere
  /// here, or could not be looked at. Of the watcher thread.
  bool looks_again_ = false;
  MountTable mounts_;
  ClockSteps clock_;
  Descriptor stop_;
  Descriptor timer_;
  Descriptor put_off_timer_;
  /// Wakes the housekeeper.
  Descriptor house_changed_;

  mutable std::shared_mutex mutex_;
  std::unordered_map<uint64_t, std::shared_ptr<const Lane>> lanes_;
  /// Of no root filesystem: whose an event is, is told by its task. Set before the readers begin, until they have ended; null
  /// when the kernel grants no group for it.
  std::shared_ptr<const Lane> foreign_;
  std::map<dev_t, std::shared_ptr<Root>> roots_;
  std::unordered_map<uint64_t, Known> known_;
  std::map<dev_t, std::unique_ptr<Creations>> creations_;
  uint64_t last_lane_ = 0;
  bool is_kept_ = false;
  std::string unenforceable_;
  size_t reader_count_ = 0;
  /// Whether each event wakes one reader instead of all of them.
  std::atomic<bool> wakes_one_{false};
  Duty duty_;

  std::mutex put_off_mutex_;
  /// Events whose tasks have not come to rest, and those that have waited for the container's table.
  struct PutOff {
    std::shared_ptr<Root> root;
    std::shared_ptr<Container> container;
    Envelope envelope;
    Clock::time_point due;
  };
  void armPutOff();
  std::deque<PutOff> put_off_;
  std::deque<Noted> noted_;
  // Of the thread that hears.
  std::deque<Heard> heard_;
  std::deque<Heard> under_way_;

  /// A thread that reads events and judges them, on its processors.
  struct Reader {
    explicit Reader(size_t its_place) : at(its_place) {}
    /// Of its poll among those of the gate. It runs on the processors of that.
    const size_t at;
    Desk desk;
    /// Set once a task has kept it beyond the deadline. Another thread takes its place, and it ends as soon as it is let go.
    std::atomic<bool> is_kept{false};
    std::shared_ptr<Root> kept_by;
    std::atomic<bool> has_ended{false};
    Thread thread;
  };
  std::vector<Descriptor> poll_descriptors_;
  std::vector<ReaderPoll> polls_;
  /// Of the watchdog, once it runs.
  std::list<Reader> readers_;
  std::vector<Thread> threads_;
};

}  // namespace d4c
