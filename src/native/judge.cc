#include "judge.h"

#include <sys/stat.h>

#include <cerrno>
#include <cstring>
#include <optional>

#include "bundle.h"
#include "memory.h"
#include "proc_file.h"

namespace d4c {

namespace {

/// Reads of a single event after some that took long came together: to hand those over costs more than reading them one by one.
constexpr int kReadsAlone = 256;

}  // namespace

void Judge::judge(Root& root, Envelope envelope, Desk* desk) {
  if (second_question_.isHeld(envelope.tid())) return putOff(root, &envelope, desk);
  const MemoryRule rule(root.keeps == 0);
  envelope.take(&desk->turn, root);
  if (envelope.tid() == 0) {
    reports_->fail(Failure::kContainerUnknown, "a task outside of this pid namespace opened a file in a container");
    answer(&envelope, settings_.enforces ? settings_.on_unknown.load() : Verdict::kAllow);
    return;
  }
  const std::shared_ptr<const Containers> all = root.containers();
  std::shared_ptr<Container> container = all->front();
  if (!envelope.isExec() && container->cgroup() == nullptr && !root.may_run) {
    // SAFETY: this root filesystem appeared under the gate and nothing was ever executed on it, so its container
    // has not run one instruction. Whoever opens a file is the runtime at its set-up (runc creates mount points
    // such as /etc/resolv.conf), and it must not match rules that speak of the container's processes. Its last opens come
    // when everything is mounted. To mark that is not bound by the deadline: it waits for no task, and must be done.
    if (!envelope.letGo()) return;
    noteEntry(envelope.tid());
    hooks_.cover_runtime(root, envelope.tid());
    answer(&envelope, Verdict::kAllow);
    return;
  }
  if (envelope.isExec()) {
    container = containerOfExec(root, *all, &envelope, desk);
    if (envelope.file() < 0) return;
  } else if (all->size() > 1) {
    // Where there is no choice, an open asks only when a rule fires: most end before.
    container = containerOf(root, envelope.tid(), root.may_run);
  }
  if (container == nullptr) {
    answer(&envelope, Verdict::kAllow);
    return;
  }
  judgeFor(root, *container, std::move(envelope), desk);
}

void Judge::judgeTogether(Root& root, std::vector<Envelope> events, Desk* desk) {
  std::vector<Envelope> reads;
  std::vector<Envelope> running;
  std::vector<Envelope> others;
  {
    const MemoryRule no_memory(false);
    Envelope::takeAll(&desk->turn, root, events);
    for (Envelope& event : events) {
      const First first = firstOf(root, &event, desk);
      (first == First::kMerelyReads ? reads : first == First::kRuns ? running : others).push_back(std::move(event));
    }
    if (desk->turn.claim()) {
      for (auto* some : {&reads, &running, &others}) {
        for (Envelope& event : *some) event.forget();
        some->clear();
      }
    }
    Envelope::allowAll(&reads);
    desk->turn.end();
  }
  const auto now = Clock::now();
  for (const Envelope& event : reads) latencies_.add(now - event.notes.since);
  tallies_.verdicts.fetch_add(reads.size(), std::memory_order_relaxed);
  for (Envelope& event : running) {
    if (!isPutOff(root, &event, BlockedCall::Rest::kRunning, desk)) others.push_back(std::move(event));
  }
  // Nobody waits while this thread judges the first of them.
  for (size_t i = 1; i < others.size(); ++i) hooks_.hand_over(root, std::move(others[i]));
  if (others.empty()) return;
  desk->together = kFewTogether;
  desk->alone = kReadsAlone;
  judge(root, std::move(others.front()), desk);
}

/// Whether it ends at the first question, as most do: a task of the only container opens the file to read it. To know that
/// takes next to no time, and no task can make it take longer.
Judge::First Judge::firstOf(Root& root, Envelope* event, Desk* desk) const {
  const auto all = root.containers();
  if (event->isExec() || event->tid() == 0 || all->size() > 1 || settings_.blocks_scripts) return First::kAsksMore;
  if (second_question_.isHeld(event->tid())) return First::kAsksMore;
  const Container& container = *all->front();
  const bool has_begun = root.may_run || container.cgroup() != nullptr;
  if (!has_begun || container.binding()->table == nullptr) return First::kAsksMore;
  const Execs::Expected expected = container.execs.expectedOf(event->tid());
  if (expected.is_of_exec || expected.is_of_loader) return First::kAsksMore;
  const OpenIntent intent = openIntent(event->tid(), &desk->calls, Patience::kShort);
  if (intent.rest == BlockedCall::Rest::kRunning) return First::kRuns;
  if (intent.certain) event->notes.intent = intent;
  return intent.certain && intent.readsOnly() ? First::kMerelyReads : First::kAsksMore;
}

void Judge::judgeWaited(Root& root, Container& container, Envelope envelope, Desk* desk) {
  const MemoryRule rule(root.keeps == 0);
  envelope.take(&desk->turn, root);
  envelope.notes.has_waited = true;
  judgeFor(root, container, std::move(envelope), desk);
}

/// The container of which the task is, or null for one of the host. `ids`: what the kernel told of the task for that.
std::shared_ptr<Container> Judge::containerOf(Root& root, pid_t tid, bool admits, std::optional<TaskIds>* ids) {
  const std::optional<TaskIds> read = readTaskIds(tid);
  if (ids != nullptr) *ids = read;
  const uint64_t number = read ? read->cgroup : 0;
  for (const auto& container : *root.containers()) {
    if (number != 0 && container->cgroup_number == number) return container;
  }
  const std::optional<std::string> cgroups = readCgroups(tid);
  if (!cgroups) {
    // SAFETY: nobody shall gain by using up this process's descriptors. Mostly it is the only one.
    reports_->fail(Failure::kContainerUnknown, std::strerror(errno));
    return livesApart(tid) ? root.containers()->front() : nullptr;
  }
  for (const auto& container : *root.containers()) {
    const auto cgroup = container->cgroup();
    if (cgroup == nullptr || !isMember(*cgroup, root.place.device, *cgroups, tid)) continue;
    // It was in no other one in between.
    const bool is_known = number != 0 && cgroup->isUnified() && readTaskIds(tid).value_or(TaskIds{}).cgroup == number;
    if (is_known) container->cgroup_number = number;
    return container;
  }
  if (!admits || !livesOn(tid, root.place.device)) return nullptr;
  return root.admit(
      cgroupOf(*cgroups), [&] { return hooks_.make_container(root); },
      [&](const Container& container) { hooks_.announce(root, container); });
}

/// An exec may be the first one of a further container, so it is always asked for. A mount that is known to be of a
/// container tells it as well as the cgroup, and far more cheaply.
std::shared_ptr<Container> Judge::containerOfExec(Root& root, const Containers& all, Envelope* envelope, Desk* desk) {
  const pid_t tid = envelope->tid();
  const uint64_t mount = envelope->opened().mount;
  for (const auto& container : all) {
    if (mount != 0 && container->hasMount(mount)) return container;
  }
  auto container = containerOf(root, tid, true);
  if (container == nullptr) return nullptr;
  if (pid_t none = 0; container->pid.load() == none) container->pid.compare_exchange_strong(none, processOf(tid));
  // As for the runtime's opens: not bound by the deadline.
  if (!envelope->letGo()) return container;
  noteEntry(tid);
  if (hooks_.cover(root, tid)) container->rememberMount(mount);
  envelope->take(&desk->turn, root);
  return container;
}

/// A runtime may end as soon as it has started a container, and whose child the first program was is then not to be seen.
void Judge::noteEntry(pid_t tid) {
  const MemoryRule no_memory(false);
  Process process;
  if (readProcess(tid, &process) && process.session == process.pid) lineage_.of(process, nullptr);
}

void Judge::judgeFor(Root& root, Container& container, Envelope envelope, Desk* desk) {
  // The binding is kept to the end: a table that is replaced meanwhile lives on until then.
  const std::shared_ptr<const Binding> binding = container.binding();
  if (!binding->is_published) {
    letWait(root, container, std::move(envelope), desk);
    return;
  }
  if (binding->table == nullptr) {
    answer(&envelope, Verdict::kAllow);
    return;
  }
  if (envelope.isExec() && wantsNoMemfd(container, binding->table.get())) {
    // It takes longer than a verdict, and is not bound by the deadline.
    if (!envelope.letGo()) return;
    const pid_t pid = processOf(envelope.tid());
    container.pid.store(pid != 0 ? pid : envelope.tid(), std::memory_order_relaxed);
    hooks_.forbid_memfd(root, container);
    envelope.take(&desk->turn, root);
  }
  // What it does next is to be seen on all of its volumes.
  const bool tells_changes = (binding->table->operations() & kChangeOperations) != 0;
  if (envelope.isExec() && root.expected > 0 && tells_changes && waitsForChanges(root, &envelope)) return;
  Case one{root, container, *binding, *binding->table, envelope, desk};
  if (envelope.isExec()) {
    if (binding->table->operations() & (kFork | (settings_.tells_ends ? kExec : 0))) hooks_.member(processOf(envelope.tid()), container.key);
    judgeExec(&one);
  } else {
    judgeOpen(&one);
  }
}

void Judge::letWait(Root& root, Container& container, Envelope envelope, Desk* desk) {
  const pid_t tid = envelope.tid();
  if (!envelope.isExec()) {
    // Reading never matches a rule, so a reader need not wait for one.
    const OpenIntent intent = openIntent(tid, &desk->calls);
    const bool reads = intent.certain && intent.readsOnly();
    const auto owner = reads ? nullptr : containerOf(root, tid, root.may_run);
    if (owner == nullptr) {
      answer(&envelope, Verdict::kAllow);
      return;
    }
    if (owner.get() != &container) {
      judgeFor(root, *owner, std::move(envelope), desk);
      return;
    }
  }
  // Whoever would say what this is has to be started first, by it.
  if (!settings_.has_agent && isOfNamespace(root.place.mount_point, *settings_.spareNamespaces())) {
    answer(&envelope, Verdict::kAllow);
    return;
  }
  FirstExec first{container.key, processOf(tid), {}, {}};
  container.pid.store(first.pid, std::memory_order_relaxed);
  readPath(envelope.file(), &first.path);
  if (const auto cgroup = container.cgroup()) first.cgroup = cgroup->path;
  // Waiting for a table is not bound by the deadline.
  if (!envelope.letGo()) return;
  switch (container.wait(&envelope)) {
    case Container::Wait::kFirst:
      reports_->add(Report(std::move(first)));
      hooks_.on_wait();
      break;
    case Container::Wait::kFurther:
      break;
    case Container::Wait::kPublished:
      envelope.take(&desk->turn, root);
      judgeFor(root, container, std::move(envelope), desk);
      break;
    case Container::Wait::kInVain:
      envelope.take(&desk->turn, root);
      answerUnknown(container, std::move(envelope));
      break;
  }
}

}  // namespace d4c
