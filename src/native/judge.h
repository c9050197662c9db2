// From one permission event to its verdict.
//
//   event ─▶ which container ─▶ is it known? ─ no ─▶ it waits
//                                   │ yes
//                                   ▼
//            read only? ─▶ path ─▶ may a rule fire? ─▶ decide ─▶ member? ─▶ facts ─▶ ANSWER ─▶ report
//
// The order is that of cost, and each step may end it with `allow`. Everything above the answer is done while the
// task waits; nothing above it opens a file of a container or waits for anybody. The facts about an exec that is allowed
// may come after its answer, but before that of its second question (second_question.h).
#pragma once

#include <sys/stat.h>

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "change.h"
#include "container.h"
#include "heard.h"
#include "precedence.h"
#include "processes.h"
#include "reports.h"
#include "second_question.h"
#include "settings.h"
#include "status.h"
#include "syscalls.h"
#include "task.h"

namespace d4c {

/// Counts of verdicts.
struct Tallies {
  std::atomic<uint64_t> verdicts{0};
  std::atomic<uint64_t> denied{0};
  std::atomic<uint64_t> unknown{0};
  std::atomic<uint64_t> late{0};
};

/// So many events are read at once at first: another reader may be free for the next ones.
constexpr size_t kFewTogether = 2;

/// What a thread judges with. Used again and again, so that most events allocate nothing.
struct Desk {
  Turn turn;
  Scratch scratch;
  CallFiles calls;
  /// How many events are read at once, if so many are there; and how many reads take one alone before that.
  size_t together = kFewTogether;
  int alone = 0;
  Precedence precedence;
  /// How many events this thread has put off to judge them again in a moment.
  int put_off = 0;
  /// Whether an exec is best answered before the facts about it are read: no other thread reads its second question meanwhile.
  bool answers_ahead = false;
};

class Judge {
 public:
  /// What the judge asks of the gate. Any thread calls them.
  struct Hooks {
    /// A further container on the root filesystem, with a key that was never used.
    std::function<std::shared_ptr<Container>(Root&)> make_container;
    /// The container is on the root filesystem now.
    std::function<void(const Root&, const Container&)> announce;
    /// An event waits, for at most as long as the settings say.
    std::function<void()> on_wait;
    /// Programs without a file are to be forbidden in the container now, while its process waits.
    std::function<void(Root&, Container&)> forbid_memfd;
    /// A process of the container with this key executes a file, and rules speak of what it may do.
    std::function<void(pid_t, uint64_t)> member;
    /// A process was told to begin, as this event says, by a rule that logs; its end is to be told so, too.
    std::function<void(std::shared_ptr<const KernelEvent>)> began;
    /// The task executes a file through a mount that was not seen before: it goes on when its volumes are watched. False when
    /// they could not be read: its next exec asks again.
    std::function<bool(Root&, pid_t)> cover;
    /// As `cover`, for a task that may be of the runtime and sets a container up.
    std::function<void(Root&, pid_t)> cover_runtime;
    /// Judge the event again, in a millisecond at the latest: its task has not come to rest. With a container, it has waited
    /// for that.
    std::function<void(Root&, std::shared_ptr<Container>, Envelope)> put_off;
    /// Judge the event at once; any thread may.
    std::function<void(Root&, Envelope)> hand_over;
    /// Judge the event again when its file, under this path, has been compared with the image's. False: it stays here.
    std::function<bool(Root&, Envelope*, const std::string&)> compare;
    /// Whether the changes on the filesystem were judged that had happened when this was asked for the first time, without a
    /// number.
    std::function<bool(dev_t, std::optional<uint64_t>*)> has_told;
    /// What is remembered of the files of a filesystem on which volumes are; null when nothing is.
    std::function<std::shared_ptr<Files>(dev_t)> files_of;
  };

  Judge(const LiveSettings& settings, Reports* reports, Hooks hooks)
      : settings_(settings), reports_(reports), hooks_(std::move(hooks)), own_cgroups_(readCgroups(getpid()).value_or("")) {}

  /// Answers the event, or lets it wait.
  void judge(Root& root, Envelope envelope, Desk* desk);
  /// Answers events of one group that were read together, and has others judge what takes longer: few of them are to be read at
  /// once then.
  void judgeTogether(Root& root, std::vector<Envelope> events, Desk* desk);
  /// Answers an event that waited until something was published for its container.
  void judgeWaited(Root& root, Container& container, Envelope envelope, Desk* desk);
  /// Reports a change that has happened, if a rule speaks of it. Whether it was a process of a container on the root
  /// filesystem. `may_guess`: also of a task of which nothing is known any more.
  bool judgeChange(Root& root, const Change& change, bool may_guess, Desk* desk);
  /// Reports a fork that has happened, if a rule speaks of it. `inherited` and what is given as in `Forks::Tell`.
  std::shared_ptr<const std::string> judgeFork(Container& container, pid_t parent, pid_t child, Clock::time_point at,
                                               std::shared_ptr<const std::string> inherited, Desk* desk);
  /// Whether some container's rules speak of the change.
  bool concerns(Root& root, const Change& change, Desk* desk);
  /// Reports what has happened without a question, if a rule speaks of it. False: it is under way, and is to be told again soon.
  bool hear(Heard* heard, Desk* desk);
  /// Reports what was heard of the container before its table came.
  void judgeKept(Root& root, Container& container, Desk* desk);
  /// Answers an event that waited in vain.
  void answerUnknown(Container& container, Envelope envelope);
  /// Counts what the deadline answered.
  void countMissed(const Turn::Missed& missed);
  /// Whether programs without a file are to be forbidden in the container by the kernel, and were not yet.
  bool wantsNoMemfd(const Container& container, const Table* table) const;
  /// What answers an event past its deadline of which nobody knows yet whose it is: deny where that holds for any container
  /// on the root filesystem. One that has no table yet is decided as if it had waited for that in vain.
  Verdict strictestOn(const Root& root, bool is_exec) const;
  /// After how long the watchdog answers an event of which nobody knows yet whose it is, given the deadline: it may be the first exec
  /// of a container that has no table yet, which waits for longer than that anyway.
  Clock::duration limitOn(const Root& root, bool is_exec, Clock::duration deadline) const;

  /// The cgroup by which a task's container is known; an empty path when it has none of its own.
  Cgroup cgroupOf(const std::string& cgroups) const { return cgroupOfContainer(cgroups, own_cgroups_); }
  const Tallies& tallies() const { return tallies_; }
  const Latencies& latencies() const { return latencies_; }

 private:
  /// One event of a container of which a table decides.
  struct Case {
    Root& root;
    Container& container;
    const Binding& binding;
    const Table& table;
    Envelope& envelope;
    Desk* desk;
    std::string path{};
    struct stat file {};
    MountKind mount = MountKind::kRoot;
    /// Of an exec, once a rule has fired: the call by which it is executed.
    BlockedCall call{};
    /// Once it was asked whose the event is.
    std::optional<TaskIds> ids{};
    /// Of an exec that file rules bar: why, by what they said, and by what operation the file came to be.
    Reason reason = Reason::kNone;
    std::vector<Fired> barring{};
    uint8_t came_by = 0;
  };
  enum class Barred : uint8_t { kNo, kYes, kWaits };
  enum class Created : uint8_t { kNo, kYes, kPerhaps };

  std::shared_ptr<Container> containerOf(Root& root, pid_t tid, bool admits, std::optional<TaskIds>* ids = nullptr);
  std::shared_ptr<Container> containerOfExec(Root& root, const Containers& all, Envelope* envelope, Desk* desk);
  void noteEntry(pid_t tid);
  enum class First : uint8_t { kMerelyReads, kRuns, kAsksMore };
  First firstOf(Root& root, Envelope* event, Desk* desk) const;
  void judgeFor(Root& root, Container& container, Envelope envelope, Desk* desk);
  void letWait(Root& root, Container& container, Envelope envelope, Desk* desk);
  /// What was answered: `verdict`, or before it another one by the deadline.
  Verdict answer(Envelope* envelope, Verdict verdict, bool* is_late = nullptr);
  Verdict onDeadline(const Table& table, Section section) const;
  Verdict onDeadlineOfExec(const Table& table) const;

  // By no rule (judge_default.cc).
  bool isDecidedByLoss(Case* one, Section section);

  // By the rules of the table (judge_rules.cc).
  void judgeExec(Case* one);
  void allowExec(Case* one, bool is_loader);
  bool confirmLoader(Case* one);
  void judgeOpen(Case* one);
  /// As readPathAsSeenBy. Counts a path that cannot be read.
  bool readPathOf(pid_t tid, int file, std::string* path);
  void look(Case* one, Section section);
  static Created createdLately(int file);
  Created createdByThisOpen(const Case& one, const OpenIntent& intent);
  Created createdOnVolume(const Case& one, const OpenIntent& intent);
  bool isOfOther(Case* one);
  bool isPutOff(Root& root, Envelope* event, BlockedCall::Rest rest, Desk* desk);
  void putOff(Root& root, Envelope* event, Desk* desk);
  bool enforces(const Table& table) const { return settings_.enforces && table.enforces(); }
  /// Whose the event is, and by what it was decided.
  static void noteBinding(const Container& container, const Binding& binding, KernelEvent* event);
  /// What is known of every event when it has been decided.
  static KernelEvent eventOf(const Container& container, const Binding& binding, EventKind kind, pid_t tid);
  void noteBegin(const KernelEvent& event);
  SecondQuestion::Held holdSecond(const Case& one, Verdict verdict, dev_t device);
  Verdict answerAhead(Case* one, bool* is_late);
  void conclude(Case* one, Verdict verdict, uint8_t operations, bool takes_back);

  // What may not be executed (judge_origin.cc).
  static bool denies(Case* one, const std::string& path, uint8_t operations, bool is_exact);
  Barred barred(Case* one, const Opened& file);
  Barred barredAsFileless(Case* one);
  static std::string nameWithoutFile(pid_t tid, const BlockedCall& call);
  bool judgeLoad(Case* one, const Opened& file);
  bool judgeScript(Case* one);
  bool refuseLoad(Case* one, const Opened& file);
  bool waitsForChanges(Root& root, Envelope* envelope);
  Barred barredOnVolume(Case* one, const Opened& file, dev_t device);
  Outcome contain(Root& root, const Change& change);

  // Of what has happened already (judge_changes.cc).
  struct Said {
    std::vector<Fired> fired;
    Verdict of_name = Verdict::kAllow;
    Verdict of_old_name = Verdict::kAllow;
  };
  std::shared_ptr<Container> doerOf(Root& root, const Change& change, bool may_guess, Process* process);
  static Said decideChange(const Table& table, const Change& change, Scratch* scratch);

  // What nobody was asked about (judge_hear.cc).
  std::shared_ptr<Container> executorOf(Root& root, pid_t tid);
  std::shared_ptr<Container> beginExec(Root& root, Heard* heard);
  bool readExecutor(Heard* heard, const std::string& path, Process* process);
  bool hearExec(Root& root, Heard* heard, Desk* desk);
  bool hearClose(Root& root, Heard* heard, Desk* desk);

  // And how that is told (judge_tell.cc).
  static bool concernsExec(const Table& table, const std::string& path, Desk* desk);
  static bool concernsOrigin(const Table& table, const Root& root, const Opened& file);
  uint8_t cameBy(Root& root, const std::string& path, int file, int64_t birth_ns);
  void tellExec(Container& container, KernelEvent event, bool is_loader, Desk* desk);
  bool keep(Container& container, const Kept& what);
  void countUnenforced(const Table& table, Verdict verdict, const std::string& path);

  const LiveSettings& settings_;
  Reports* const reports_;
  const Hooks hooks_;
  const std::string own_cgroups_;
  Parents parents_;
  Lineage lineage_{&parents_};
  SecondQuestion second_question_;
  Tallies tallies_;
  Latencies latencies_;
};

}  // namespace d4c
