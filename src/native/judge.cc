#include "judge.h"

#include <sys/stat.h>
#include <time.h>

#include "creations.h"
#include "proc_file.h"

namespace d4c {

namespace {

int64_t nowUs() {
  timespec now{};
  clock_gettime(CLOCK_REALTIME, &now);
  return int64_t{now.tv_sec} * 1000000 + now.tv_nsec / 1000;
}

}  // namespace

/// One event of a container of which a table decides.
struct Judge::Case {
  Root& root;
  Container& container;
  const Table& table;
  uint64_t generation;
  Envelope& envelope;
  Scratch* scratch;
  bool has_waited;
  std::string path{};
  struct stat file {};
};

void Judge::judge(Root& root, Envelope envelope, Scratch* scratch) {
  if (envelope.tid() == 0) {
    reports_->fail(Failure::kContainerUnknown, "a task outside of this pid namespace opened a file in a container");
    answer(&envelope, settings_.on_unknown);
    return;
  }
  const std::shared_ptr<const Containers> all = root.containers();
  std::shared_ptr<Container> container = all->front();
  if (!envelope.isExec() && container->cgroup() == nullptr && !root.may_run) {
    // SAFETY: this root filesystem appeared under the gate and nothing was ever executed on it, so its container
    // has not run one instruction. Whoever opens a file is the runtime at its set-up (runc creates mount points
    // such as /etc/resolv.conf), and it must not match rules that speak of the container's processes.
    answer(&envelope, Verdict::kAllow);
    return;
  }
  // An exec asks for its cgroup always: it may be the first one of a further container. An open does so here
  // only when there is a choice, since most opens end before it matters.
  if (envelope.isExec() || all->size() > 1) container = containerOf(root, envelope.tid(), envelope.isExec() || root.may_run);
  if (container == nullptr) {
    answer(&envelope, Verdict::kAllow);
    return;
  }
  judgeFor(root, *container, std::move(envelope), scratch, false);
}

void Judge::judgeWaited(Root& root, Container& container, Envelope envelope, Scratch* scratch) {
  judgeFor(root, container, std::move(envelope), scratch, true);
}

/// The container of which the task is, or null for one of the host.
std::shared_ptr<Container> Judge::containerOf(Root& root, pid_t tid, bool admits) {
  const std::string cgroups = readCgroups(tid);
  for (const auto& container : *root.containers()) {
    const auto cgroup = container->cgroup();
    if (cgroup == nullptr) continue;
    // Without a cgroup of its own, the mount namespace tells the container from the host.
    if (cgroup->path.empty() ? livesOn(tid, root.place.device) : cgroup->contains(cgroups)) return container;
  }
  if (!admits || !livesOn(tid, root.place.device)) return nullptr;
  return root.admit(cgroupOf(cgroups), [&] { return hooks_.make_container(root); });
}

void Judge::judgeFor(Root& root, Container& container, Envelope envelope, Scratch* scratch, bool has_waited) {
  // The binding is kept to the end: a table that is replaced meanwhile lives on until then.
  const std::shared_ptr<const Binding> binding = container.binding();
  if (!binding->is_published) {
    letWait(root, container, std::move(envelope), scratch);
    return;
  }
  if (binding->table == nullptr) {
    answer(&envelope, Verdict::kAllow);
    return;
  }
  Case one{root, container, *binding->table, binding->generation, envelope, scratch, has_waited};
  if (envelope.isExec()) {
    judgeExec(&one);
  } else {
    judgeOpen(&one);
  }
}

void Judge::letWait(Root& root, Container& container, Envelope envelope, Scratch* scratch) {
  const pid_t tid = envelope.tid();
  if (!envelope.isExec()) {
    // Reading never matches a rule, so a reader need not wait for one.
    const OpenIntent intent = openIntent(tid);
    const bool reads = intent.certain && intent.readsOnly();
    const auto owner = reads ? nullptr : containerOf(root, tid, root.may_run);
    if (owner == nullptr) {
      answer(&envelope, Verdict::kAllow);
      return;
    }
    if (owner.get() != &container) {
      judgeFor(root, *owner, std::move(envelope), scratch, false);
      return;
    }
  }
  FirstExec first{container.key, processOf(tid), {}, {}};
  readPath(envelope.file(), &first.path);
  if (const auto cgroup = container.cgroup()) first.cgroup = cgroup->path;
  switch (container.wait(&envelope)) {
    case Container::Wait::kFirst:
      reports_->add(Report(std::move(first)));
      hooks_.on_wait();
      break;
    case Container::Wait::kFurther:
      break;
    case Container::Wait::kPublished:
      judgeFor(root, container, std::move(envelope), scratch, false);
      break;
    case Container::Wait::kInVain:
      answerUnknown(container, std::move(envelope));
      break;
  }
}

void Judge::look(Case* one, Section section) {
  if (readPath(one->envelope.file(), &one->path)) {
    one->table.look(section, one->path, one->scratch);
  } else {
    reports_->fail(Failure::kPathUnread, "a path longer than 4095 bytes");
    one->table.lookUnknownPath(section, one->scratch);
  }
}

void Judge::judgeExec(Case* one) {
  const Table& table = one->table;
  if (table.operations() & kExec) {
    const bool is_loader = one->container.loaders.isLoader(one->envelope.tid(), one->envelope.file(), one->root.place);
    look(one, Section::kProcess);
    if (table.mayFire(Section::kProcess, kExec, *one->scratch)) {
      Question question{Section::kProcess, kExec};
      if (table.asksInteractive()) question.interactive = readInteractive(one->envelope.tid());
      const Verdict verdict = table.decide(question, one->scratch);
      if (!one->scratch->fired.empty() && (!is_loader || verdict == Verdict::kDeny)) {
        conclude(one, verdict, kExec, false);
        return;
      }
    }
  }
  answer(&one->envelope, Verdict::kAllow);
}

void Judge::judgeOpen(Case* one) {
  const Table& table = one->table;
  const auto allow = [&] { answer(&one->envelope, Verdict::kAllow); };
  if (!(table.operations() & kOpenOperations)) return allow();
  look(one, Section::kFile);
  if (!table.mayFire(Section::kFile, kOpenOperations, *one->scratch)) return allow();

  const OpenIntent read = openIntent(one->envelope.tid());
  if (!read.was_read) reports_->fail(Failure::kIntentUnread, one->path);
  if (read.certain && read.readsOnly()) return allow();
  if (fstat(one->envelope.file(), &one->file) != 0 || !S_ISREG(one->file.st_mode)) return allow();

  // What is not certain may be changed after it was read: a block rule takes it as creating and writing.
  const OpenIntent intent = read.certain ? read : OpenIntent{};
  const Created created = createdByThisOpen(*one, intent, one->file);
  const auto operationsOf = [&](const OpenIntent& how) {
    const bool is_executable = (one->file.st_mode & 0111) != 0;
    // A file with content or a further name may have been linked to this name by the same task.
    const bool existed = created != Created::kYes || (!how.temporary && (one->file.st_size > 0 || one->file.st_nlink > 1));
    uint8_t operations = 0;
    if (created != Created::kNo) operations |= kCreateFile | (is_executable ? kCreateExecutable : 0);
    if (existed && how.writes) operations |= kModifyFile | (is_executable ? kModifyExecutable : 0);
    return operations;
  };
  uint8_t operations = operationsOf(intent);
  Verdict verdict = table.decide({Section::kFile, operations}, one->scratch);
  if (verdict == Verdict::kAllow && !read.certain) {
    // For a report the best guess is better than the worst case.
    operations = operationsOf(read);
    verdict = table.decide({Section::kFile, operations}, one->scratch);
  }
  if (one->scratch->fired.empty()) return allow();
  const auto owner = containerOf(one->root, one->envelope.tid(), one->root.may_run);
  if (owner == nullptr) return allow();
  if (owner.get() != &one->container) {
    return judgeFor(one->root, *owner, std::move(one->envelope), one->scratch, one->has_waited);
  }
  const bool is_empty = one->file.st_size == 0 && !intent.temporary;
  conclude(one, verdict, operations, created == Created::kYes && is_empty);
}

Judge::Created Judge::createdByThisOpen(const Case& one, const OpenIntent& intent, const struct stat& file) {
  if (intent.temporary) return Created::kYes;
  if (!intent.creates) return Created::kNo;
  Creations* const creations = one.root.creations.load(std::memory_order_acquire);
  const bool was_seen = creations != nullptr && creations->createdBy(one.envelope.tid(), file.st_ino);
  if (was_seen || intent.exclusive) return Created::kYes;
  // What has waited may have been created before anybody watched.
  if (creations != nullptr && !one.has_waited) return Created::kNo;
  reports_->fail(Failure::kCreationUnconfirmed, one.path);
  return Created::kPerhaps;
}

void Judge::conclude(Case* one, Verdict verdict, uint8_t operations, bool takes_back) {
  Envelope& envelope = one->envelope;
  KernelEvent event;
  event.key = one->container.key;
  event.time_us = nowUs();
  event.generation = one->generation;
  event.is_exec = envelope.isExec();
  event.operations = event.is_exec ? uint8_t{0} : operations;
  event.verdict = settings_.enforces ? verdict : Verdict::kAllow;
  event.fired = one->scratch->fired;
  event.tid = envelope.tid();
  if (const auto cgroup = one->container.cgroup()) event.cgroup = cgroup->path;
  if (event.is_exec) {
    fstat(envelope.file(), &event.file);
    readExecutingProcess(event.tid, one->path, &event.process);
  } else {
    event.file = one->file;
    readProcess(event.tid, &event.process);
  }
  if (takes_back && event.verdict == Verdict::kDeny) {
    const bool is_removed = removeCreated(one->root.place, one->path, one->file);
    event.rolled_back = is_removed ? KernelEvent::RolledBack::kYes : KernelEvent::RolledBack::kNo;
    if (!is_removed) reports_->fail(Failure::kRollbackFailed, one->path);
  }
  answer(&envelope, event.verdict);
  // The parent does not wait for anything here, and need not be read while somebody does.
  event.has_parent = event.process.parent != 0 && readProcess(event.process.parent, &event.parent);
  event.path = std::move(one->path);
  reports_->add(std::move(event));
}

void Judge::answerUnknown(Container& container, Envelope envelope) {
  KernelEvent event;
  const bool is_denied = settings_.enforces && settings_.on_unknown == Verdict::kDeny;
  readPath(envelope.file(), &event.path);
  if (is_denied) {
    event.key = container.key;
    event.time_us = nowUs();
    event.is_exec = envelope.isExec();
    event.verdict = Verdict::kDeny;
    event.by_rule = false;
    event.tid = envelope.tid();
    if (const auto cgroup = container.cgroup()) event.cgroup = cgroup->path;
    fstat(envelope.file(), &event.file);
    readProcess(event.tid, &event.process);
  }
  answer(&envelope, is_denied ? Verdict::kDeny : Verdict::kAllow);
  tallies_.unknown.fetch_add(1, std::memory_order_relaxed);
  reports_->fail(Failure::kContainerUnknown, event.path);
  if (is_denied) reports_->add(std::move(event));
}

void Judge::answer(Envelope* envelope, Verdict verdict) {
  envelope->answer(verdict);
  tallies_.verdicts.fetch_add(1, std::memory_order_relaxed);
  if (verdict == Verdict::kDeny) tallies_.denied.fetch_add(1, std::memory_order_relaxed);
}

}  // namespace d4c
