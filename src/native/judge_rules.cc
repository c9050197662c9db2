// The part of the judge that asks the table.

#include <fcntl.h>
#include <sys/stat.h>
#include <time.h>

#include <optional>

#include "creations.h"
#include "in_container.h"
#include "judge.h"

namespace d4c {

namespace {

/// For a task to come to rest, before the worst is assumed of it.
constexpr std::chrono::milliseconds kRestDeadline(1000);
/// For so long it is looked at again in microseconds; then in milliseconds.
constexpr std::chrono::milliseconds kLookedForSoon(2);
/// From the creation of a file by an open until its event is judged.
constexpr int64_t kLongestOpenSeconds = 2;

/// What an open of the file is in policy terms.
uint8_t operationsOf(const OpenIntent& how, const struct stat& file, bool may_be_created, bool is_created) {
  const bool is_executable = (file.st_mode & 0111) != 0;
  // A file with content or a further name may have been linked to this name by the same task.
  const bool may_have_existed = !is_created || (!how.temporary && (file.st_size > 0 || file.st_nlink > 1));
  uint8_t operations = 0;
  if (may_be_created) operations |= kCreateFile | (is_executable ? kCreateExecutable : 0);
  if (may_have_existed && how.writes) operations |= kModifyFile | (is_executable ? kModifyExecutable : 0);
  return operations;
}

}  // namespace

bool Judge::readPathOf(pid_t tid, int file, std::string* path) {
  if (readPathAsSeenBy(tid, file, path)) return true;
  reports_->fail(Failure::kPathUnread, "a path longer than 4095 bytes");
  return false;
}

void Judge::look(Case* one, Section section) {
  if (readPathOf(one->envelope.tid(), one->envelope.file(), &one->path)) {
    one->table.look(section, one->path, &one->desk->scratch);
  } else {
    one->table.lookUnknownPath(section, &one->desk->scratch);
  }
}

void Judge::judgeExec(Case* one) {
  const Table& table = one->table;
  const pid_t tid = one->envelope.tid();
  one->envelope.fallBackTo(onDeadlineOfExec(table));
  const pid_t process = parents_.forget(tid);
  const bool opens_follow = (table.operations() & kOpenOperations) != 0;
  const int file = one->envelope.file();
  std::optional<bool>& is_loader = one->envelope.notes.is_loader;
  const Opened& found = one->envelope.opened();
  if (!is_loader) {
    const Execs::Begun begun = one->container.execs.begin(tid, process, file, found, opens_follow, one->root.place);
    is_loader = begun.is_loader;
    one->envelope.notes.is_unannounced = begun.is_unannounced;
  }
  if (isDecidedByLoss(one, Section::kProcess)) return;
  if (*is_loader && !confirmLoader(one)) return;
  Barred is_barred = barred(one, found);
  if (is_barred == Barred::kNo && one->envelope.notes.is_unannounced) is_barred = barredAsFileless(one);
  if (is_barred == Barred::kWaits) return;
  // What follows reads the task's memory, which the task can make slow.
  one->envelope.fallBackTo(is_barred == Barred::kYes && enforces(table) ? Verdict::kDeny : onDeadline(table, Section::kProcess));
  Verdict verdict = Verdict::kAllow;
  std::vector<Fired>& fired = one->desk->scratch.fired;
  fired.clear();
  if (table.operations() & kExec) {
    look(one, Section::kProcess);
    if (table.mayFire(Section::kProcess, kExec, one->desk->scratch)) {
      Question question{Section::kProcess, kExec};
      if (table.asksInteractive()) question.interactive = readInteractive(tid);
      verdict = table.decide(question, &one->desk->scratch);
      if (*is_loader && verdict == Verdict::kAllow) fired.clear();
    }
  }
  if (!fired.empty() || is_barred == Barred::kYes) {
    // Its arguments are where its registers point.
    one->call = blockedCall(tid, &one->desk->calls, Patience::kShort);
    if (isPutOff(one->root, &one->envelope, one->call.rest, one->desk)) return;
    if (one->reason == Reason::kFileless) one->path = nameWithoutFile(tid, one->call);
    if (!isOfOther(one)) conclude(one, is_barred == Barred::kYes ? Verdict::kDeny : verdict, kExec, false);
  }
  allowExec(one, *is_loader);
}

/// Answers, unless that was done, and then remembers what the task runs.
void Judge::allowExec(Case* one, bool is_loader) {
  const int file = one->envelope.file();
  if (file < 0 || is_loader || !(one->table.operations() & (kChangeOperations | kFork))) {
    answer(&one->envelope, Verdict::kAllow);
    return;
  }
  // A copy, since the event's own descriptor is closed with the answer, and nobody shall wait for its path to be read.
  const pid_t tid = one->envelope.tid();
  one->container.execs.runs(tid, Descriptor(fcntl(file, F_DUPFD_CLOEXEC, 0)));
  answer(&one->envelope, Verdict::kAllow);
  one->container.execs.settle(tid);
}

void Judge::judgeOpen(Case* one) {
  const Table& table = one->table;
  const auto allow = [&] { answer(&one->envelope, Verdict::kAllow); };
  if (!(table.operations() & kOpenOperations)) return allow();
  one->envelope.fallBackTo(onDeadline(table, Section::kFile));
  Execs& execs = one->container.execs;
  const Execs::Expected expected = execs.expectedOf(one->envelope.tid());
  if (expected.is_of_exec || expected.is_of_loader) {
    const Opened& found = one->envelope.opened();
    if (execs.isOpenOfExec(one->envelope.tid(), found)) return allow();
    if (expected.is_of_loader && judgeLoad(one, found)) return;
  }
  const auto& known = one->envelope.notes.intent;
  const OpenIntent read = known ? *known : openIntent(one->envelope.tid(), &one->desk->calls, Patience::kShort);
  if (isPutOff(one->root, &one->envelope, read.rest, one->desk)) return;
  if (read.certain && read.readsOnly()) {
    if (!settings_.blocks_scripts || !judgeScript(one)) allow();
    return;
  }
  if (fstat(one->envelope.file(), &one->file) != 0 || !S_ISREG(one->file.st_mode)) return allow();
  if (isDecidedByLoss(one, Section::kFile)) return;
  look(one, Section::kFile);
  if (!table.mayFire(Section::kFile, kOpenOperations, one->desk->scratch)) return allow();
  const bool is_unread = read.rest == BlockedCall::Rest::kRunning || read.rest == BlockedCall::Rest::kUnreadable;
  if (is_unread) reports_->fail(Failure::kIntentUnread, one->path);

  one->mount = one->root.kinds.of(one->envelope.file(), one->envelope.opened(), one->envelope.tid(), one->root.place.device);

  // What is not certain may be changed after it was read: a block rule takes it as creating and writing.
  const OpenIntent intent = read.certain ? read : OpenIntent{};
  if (intent.writes) one->root.upper.noteWriter(one->envelope.tid(), one->path);
  const Created created = createdByThisOpen(*one, intent);
  const auto decide = [&](const OpenIntent& how, uint8_t* operations) {
    *operations = operationsOf(how, one->file, created != Created::kNo, created == Created::kYes);
    return table.decide({Section::kFile, *operations, one->mount}, &one->desk->scratch);
  };
  uint8_t operations = 0;
  Verdict verdict = decide(intent, &operations);
  // For a report the best guess is better than the worst case.
  if (verdict == Verdict::kAllow && !read.certain) verdict = decide(read, &operations);
  if (one->desk->scratch.fired.empty()) return allow();
  if (isOfOther(one)) return;
  conclude(one, verdict, operations, created == Created::kYes && one->file.st_size == 0 && !intent.temporary);
}

/// Whether the event was put off, since its task has not come to rest. It runs on another processor, or waits for one: each
/// answer of a group wakes all who wait in it. So others are served meanwhile, and no time is spent that it may need itself.
bool Judge::isPutOff(Root& root, Envelope* event, BlockedCall::Rest rest, Desk* desk) {
  const auto waited = Clock::now() - event->notes.since;
  if (rest != BlockedCall::Rest::kRunning || waited >= kRestDeadline) return false;
  putOff(root, event, desk);
  return true;
}

void Judge::putOff(Root& root, Envelope* event, Desk* desk) {
  if (!event->letGo()) return;
  if (Clock::now() - event->notes.since < kLookedForSoon) ++desk->put_off;
  hooks_.put_off(root, nullptr, std::move(*event));
}

/// Whether the task is of the host or of another container, and so was answered otherwise.
bool Judge::isOfOther(Case* one) {
  const bool admits = one->envelope.isExec() || one->root.may_run;
  const auto owner = containerOf(one->root, one->envelope.tid(), admits, &one->ids);
  if (owner.get() == &one->container) return false;
  if (owner == nullptr) {
    answer(&one->envelope, Verdict::kAllow);
  } else {
    judgeFor(one->root, *owner, std::move(one->envelope), one->desk);
  }
  return true;
}

Judge::Created Judge::createdByThisOpen(const Case& one, const OpenIntent& intent) {
  if (intent.temporary) return Created::kYes;
  if (!intent.creates) return Created::kNo;
  if (one.mount != MountKind::kRoot) return createdOnVolume(one, intent);
  Creations* const creations = one.root.creations.load(std::memory_order_acquire);
  std::optional<bool>& was_seen = one.envelope.notes.was_created;
  if (!was_seen) was_seen = creations != nullptr && creations->createdBy(one.envelope.tid(), one.file.st_ino);
  // The filesystem says the same of a further name, which whoever opens an old file may have given it before.
  const bool is_sure = intent.exclusive || (*was_seen && createdLately(one.envelope.file()) != Created::kNo);
  // What has waited may have been created before anybody watched.
  if (!is_sure && !*was_seen && creations != nullptr && !one.envelope.notes.has_waited) return Created::kNo;
  // Its creation is an event of its own, which need not be told beside the open.
  one.root.upper.claim(one.envelope.tid(), one.file.st_ino, one.file.st_mode);
  if (is_sure) return Created::kYes;
  reports_->fail(Failure::kCreationUnconfirmed, one.path);
  return Created::kPerhaps;
}

Judge::Created Judge::createdOnVolume(const Case& one, const OpenIntent& intent) {
  const Created created = intent.exclusive ? Created::kYes : createdLately(one.envelope.file());
  // Its creation is an event of its own, too.
  const auto files = created == Created::kNo ? nullptr : hooks_.files_of(one.file.st_dev);
  if (files != nullptr) files->claim(one.envelope.tid(), one.file.st_ino, one.file.st_mode);
  return created;
}

/// On a volume nobody tells who created a file. One that is older than any open takes was not created by this one.
Judge::Created Judge::createdLately(int file) {
  struct statx found {};
  timespec now{};
  clock_gettime(CLOCK_REALTIME, &now);
  const bool is_known = statx(file, "", AT_EMPTY_PATH, STATX_BTIME, &found) == 0 && (found.stx_mask & STATX_BTIME);
  return is_known && now.tv_sec - found.stx_btime.tv_sec > kLongestOpenSeconds ? Created::kNo : Created::kPerhaps;
}

}  // namespace d4c
