// The part of the judge that bars from execution what a rule would have refused to come to be.
//
// Two things are barred: what was seen to come to be by a way that cannot be refused (contained), and what is found not to
// be of the image (drift), however it came. Both only where a blocking rule of the container's table speaks of it now.

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include <string_view>

#include "drift.h"
#include "in_container.h"
#include "interpreters.h"
#include "judge.h"
#include "kernel_stack.h"
#include "proc_file.h"

namespace d4c {

namespace {

/// As the kernel calls it, with the name that its maker gave after it.
constexpr const char* kWithoutFile = "/memfd:";
/// For changes to be judged that came before an exec.
constexpr std::chrono::milliseconds kLongestWait(50);

}  // namespace

/// Whether a rule denies the operations at the path; leaves in the desk what fired.
bool Judge::denies(Case* one, const std::string& path, uint8_t operations, bool is_exact) {
  Scratch& scratch = one->desk->scratch;
  one->table.lookIfKnown(Section::kFile, path, &scratch);
  Question question{Section::kFile, operations, one->mount};
  question.is_exact = is_exact;
  return one->table.decide(question, &scratch) == Verdict::kDeny;
}

/// Whether the event waits for changes to be judged that came before it. It is counted when they are not after a while, and then
/// it goes on: whoever makes changes without end would hold execs for ever.
bool Judge::waitsForChanges(Root& root, Envelope* envelope) {
  const Clock::time_point now = Clock::now();
  std::optional<Clock::time_point>& until = envelope->notes.waits_until;
  if (!until) until = now + kLongestWait;
  if (now >= *until) {
    reports_->fail(Failure::kChangesLate, "`" + root.place.mount_point + "`");
    return false;
  }
  if (envelope->letGo()) hooks_.put_off(root, nullptr, std::move(*envelope));
  return true;
}

/// Whether the file on a volume came to be by a way that a rule of the container's present table bars. A rule that is about
/// paths is asked for the path under which it came to be, or in another container for the one here.
Judge::Barred Judge::barredOnVolume(Case* one, const Opened& file, dev_t device) {
  const auto files = hooks_.files_of(device);
  if (files == nullptr) return Barred::kNo;
  if (!hooks_.has_told(device, &one->envelope.notes.last_change) && waitsForChanges(one->root, &one->envelope)) return Barred::kWaits;
  if (!files->hasContained(file.birth_ns)) return Barred::kNo;
  if (one->path.empty()) readPathAsSeenBy(one->envelope.tid(), one->envelope.file(), &one->path);
  for (const Containment& contained : files->containedOf(file.birth_ns, file.inode, one->path, one->root.place.device)) {
    const bool is_here = contained.root == one->root.place.device;
    if (!denies(one, is_here ? contained.path : one->path, contained.operations, false)) continue;
    one->reason = Reason::kContained;
    one->barring = one->desk->scratch.fired;
    one->came_by = contained.operations;
    return Barred::kYes;
  }
  return Barred::kNo;
}

Judge::Barred Judge::barred(Case* one, const Opened& file) {
  Upper& upper = one->root.upper;
  const uint8_t blocks = one->table.blockedOperations();
  if (!(blocks & kOpenOperations)) return Barred::kNo;
  struct stat found {};
  const bool may_be_here = upper.mayHold(file.birth_ns);
  if (fstat(one->envelope.file(), &found) != 0 || (!may_be_here && found.st_dev == one->root.place.device)) return Barred::kNo;
  one->mount = one->root.kinds.of(one->envelope.file(), file, one->envelope.tid(), one->root.place.device);
  // What lies on a volume is of no image. How it came there is known as far as it was seen.
  if (one->mount != MountKind::kRoot) return barredOnVolume(one, file, found.st_dev);
  if (!may_be_here) return Barred::kNo;
  if (one->path.empty()) readPathAsSeenBy(one->envelope.tid(), one->envelope.file(), &one->path);
  const auto bar = [&](Reason reason, uint8_t operations) {
    one->reason = reason;
    one->barring = one->desk->scratch.fired;
    one->came_by = operations;
    return Barred::kYes;
  };
  for (const Containment& contained : upper.contained(file, one->path, one->root.place.device)) {
    if (denies(one, contained.path, contained.operations, false)) return bar(Reason::kContained, contained.operations);
  }
  if (!(blocks & kOnExecutables)) return Barred::kNo;
  const bool may_be_created = denies(one, one->path, kCreateExecutable, true);
  const bool may_be_modified = denies(one, one->path, kModifyExecutable, true);
  if (!may_be_created && !may_be_modified) return Barred::kNo;
  const auto originNow = [&] { return originOf(upper, one->path, one->envelope.file(), file.birth_ns, one->envelope.notes.is_unchanged); };
  Origin origin = one->path.empty() ? Origin::kCreated : originNow();
  if (origin == Origin::kAsk) {
    if (hooks_.compare(one->root, &one->envelope, one->path)) return Barred::kWaits;
    reports_->fail(Failure::kDriftUncompared, one->path);
    one->envelope.notes.is_unchanged = false;
    origin = originNow();
  }
  const uint8_t operation = origin == Origin::kModified ? kModifyExecutable : kCreateExecutable;
  if (origin == Origin::kImage || !denies(one, one->path, operation, true)) return Barred::kNo;
  return bar(Reason::kDrift, operation);
}

bool Judge::wantsNoMemfd(const Container& container, const Table* table) const {
  const MemfdNoexec state = container.memfd_noexec.load();
  const bool is_open = state == MemfdNoexec::kNotAsked || state == MemfdNoexec::kDelayed;
  return settings_.forbids_memfd && is_open && table != nullptr && enforces(*table) && (table->blockedOperations() & kOnExecutables);
}

/// Whether the file is a loader that the kernel opens for a program of which no event told: one without a file (memfd). Such
/// a program is in no folder, so rules about one do not speak of it.
Judge::Barred Judge::barredAsFileless(Case* one) {
  // Where an exec may have gone untold for another reason, nothing follows from it.
  if (one->root.has_unwatched || !one->container.execs.isAttended()) return Barred::kNo;
  if (!(one->table.blockedOperations() & kOnExecutables) || !denies(one, kWithoutFile, kCreateExecutable, true)) return Barred::kNo;
  std::vector<Fired> fired = one->desk->scratch.fired;
  const pid_t tid = one->envelope.tid();
  one->call = blockedCall(tid, &one->desk->calls);
  if (isPutOff(one->root, &one->envelope, one->call.rest, one->desk)) return Barred::kWaits;
  const LoaderOf what = loaderOf(tid);
  if (what == LoaderOf::kNothing || what == LoaderOf::kUnknown) return Barred::kNo;
  one->reason = Reason::kFileless;
  one->barring = std::move(fired);
  one->came_by = kCreateExecutable;
  return Barred::kYes;
}

/// Finds out whether the task's loader is opened for the program of which the last event told, as it seems. A task can have the exec
/// of that fail, and then execute the loader to run what it likes. False when the event was put off.
bool Judge::confirmLoader(Case* one) {
  if (!(one->table.blockedOperations() & kOnExecutables)) return true;
  const pid_t tid = one->envelope.tid();
  one->call = blockedCall(tid, &one->desk->calls, Patience::kShort);
  if (isPutOff(one->root, &one->envelope, one->call.rest, one->desk)) return false;
  const LoaderOf what = loaderOf(tid);
  one->envelope.notes.is_loader = what == LoaderOf::kProgram || what == LoaderOf::kUnknown;
  return true;
}

/// What the kernel calls the program, when the task executes it by its descriptor. For reports alone: another task may have
/// put something else there by now.
std::string Judge::nameWithoutFile(pid_t tid, const BlockedCall& call) {
  std::string name;
  if (call.number == SYS_execveat && (call.arguments[4] & AT_EMPTY_PATH)) {
    name = readProcLink(tid, ("fd/" + std::to_string(static_cast<int>(call.arguments[0]))).c_str());
  }
  if (name.rfind(kWithoutFile, 0) != 0) return kWithoutFile;
  return std::string(withoutDeleted(name));
}

/// Whether the open was answered as the loading of a program that is barred. A loader that was called as a program opens
/// what it runs like any file.
bool Judge::judgeLoad(Case* one, const Opened& file) {
  if (!(one->table.blockedOperations() & kOpenOperations)) return false;
  return one->container.execs.mayRunLoader(one->envelope.tid()) && refuseLoad(one, file);
}

/// Whether the open was answered as an interpreter's of what would be barred if it was executed.
bool Judge::judgeScript(Case* one) {
  if (!(one->table.blockedOperations() & kOnExecutables)) return false;
  const Opened& file = one->envelope.opened();
  struct stat found {};
  if (fstat(one->envelope.file(), &found) != 0 || !S_ISREG(found.st_mode)) return false;
  if (found.st_dev == one->root.place.device && !one->root.upper.mayHold(file.birth_ns)) return false;
  return isInterpreter(one->envelope.tid()) && refuseLoad(one, file);
}

bool Judge::refuseLoad(Case* one, const Opened& file) {
  const Barred is_barred = barred(one, file);
  if (is_barred == Barred::kWaits) return true;
  if (is_barred == Barred::kNo || isOfOther(one)) return is_barred == Barred::kYes;
  fstat(one->envelope.file(), &one->file);
  one->desk->scratch.fired.clear();
  conclude(one, Verdict::kDeny, one->came_by, false);
  return one->envelope.file() < 0;
}

/// Keeps what came to be from being executed, and takes an execute bit back. What became of it.
Outcome Judge::contain(Root& root, const Change& change) {
  if (!change.isExecutable()) return Outcome::kDetected;
  const bool is_on_volume = change.files != nullptr;
  Files& files = is_on_volume ? *change.files : root.upper;
  // Under the name that it had before, a file is not to be blamed for a further one; on a volume that is one that still has
  // both.
  const bool is_known_file = is_on_volume ? change.file.st_nlink > 1 : change.is_copied_up;
  const bool only_there = is_known_file && change.kind != ChangeKind::kAttributes && change.kind != ChangeKind::kModification;
  const bool is_contained = files.contain(
      change.birth_ns, {change.file.st_ino, change.path, change.operations, only_there, root.place.device});
  if (!is_contained) reports_->fail(Failure::kContainmentFull, change.path);
  const Outcome contained = is_contained ? Outcome::kContained : Outcome::kDetected;
  if (change.kind != ChangeKind::kAttributes) return contained;
  // By the container's own mount, since the host's may be read-only.
  const Descriptor file = is_on_volume ? openAsSeenBy(change.sees_it, change.path) : openInContainer(root.place, change.path);
  struct stat found {};
  if (!file || opened(file.get()).birth_ns != change.birth_ns) return contained;
  if (is_on_volume && (fstat(file.get(), &found) != 0 || found.st_ino != change.file.st_ino)) return contained;
  if (!takeExecuteBitsBack(file.get(), change.file)) return contained;
  files.noteExecutable(change.file.st_ino, false);
  return Outcome::kReverted;
}

}  // namespace d4c
