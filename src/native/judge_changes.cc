// The part of the judge that hears of what has happened already.

#include <algorithm>

#include "judge.h"

namespace d4c {

namespace {

EventKind kindOf(ChangeKind kind) {
  switch (kind) {
    case ChangeKind::kCreation:
      return EventKind::kCreation;
    case ChangeKind::kLink:
      return EventKind::kLink;
    case ChangeKind::kRename:
      return EventKind::kRename;
    case ChangeKind::kAttributes:
      return EventKind::kAttributes;
    case ChangeKind::kDeletion:
      return EventKind::kDeletion;
    case ChangeKind::kModification:
      return EventKind::kModification;
  }
  return EventKind::kModification;
}

/// Takes further decisions in: one entry for each policy, in their order.
void merge(const std::vector<Fired>& further, std::vector<Fired>* all) {
  for (const Fired& one : further) {
    const auto at = std::lower_bound(all->begin(), all->end(), one.policy,
                                     [](const Fired& known, uint16_t policy) { return known.policy < policy; });
    if (at != all->end() && at->policy == one.policy) {
      at->actions |= one.actions;
      at->selectors |= one.selectors;
    } else {
      all->insert(at, one);
    }
  }
}

}  // namespace

/// By the container's table: what it says of the change's new name, and what of the old one.
Judge::Said Judge::decideChange(const Table& table, const Change& change, Scratch* scratch) {
  Said said;
  const auto decide = [&](const std::string& path, uint8_t operations) {
    if (operations == 0 || path.empty()) return Verdict::kAllow;
    table.look(Section::kFile, path, scratch);
    const Verdict verdict = table.decide({Section::kFile, operations, change.mount}, scratch);
    merge(scratch->fired, &said.fired);
    return verdict;
  };
  said.of_old_name = decide(change.old_path, change.old_operations);
  said.of_name = decide(change.path, change.operations);
  return said;
}

bool Judge::concerns(Root& root, const Change& change, Desk* desk) {
  for (const auto& container : *root.containers()) {
    const auto binding = container->binding();
    // What is not known yet may be of concern where it is kept.
    if (!binding->is_published && !settings_.can_refuse) return true;
    if (binding->table == nullptr) continue;
    if (!decideChange(*binding->table, change, &desk->scratch).fired.empty()) return true;
  }
  return false;
}

/// The container whose process made the change, or null for a process of the host.
std::shared_ptr<Container> Judge::doerOf(Root& root, const Change& change, bool may_guess, Process* process) {
  const std::shared_ptr<const Containers> all = root.containers();
  // Who it is comes first, since it may be about to end.
  const bool is_read = change.tid != 0 && readProcess(change.tid, process);
  if (change.process && (!is_read || process->executable.empty())) *process = *change.process;
  std::shared_ptr<Container> owner = is_read ? containerOf(root, change.tid, root.may_run || !settings_.can_refuse) : nullptr;
  const bool has_ended = owner == nullptr && (!is_read || readCgroups(change.tid).value_or("").empty());
  if (!process->executable.empty() && owner != nullptr) return owner;
  for (const auto& container : *all) {
    const auto program = container->execs.lastProgram(change.tid, process->start_ticks);
    if (program == nullptr || (owner != nullptr && owner != container) || (owner == nullptr && !has_ended)) continue;
    owner = container;
    if (process->start_ticks == 0) *process = *program;
    process->executable = program->executable;
    process->name = program->name;
    if (process->args.empty()) process->args = program->args;
  }
  if (process->pid == 0) process->pid = change.tid;
  // A task that has ended cannot be told from one of the host any more. Then it is taken as the container's: whoever
  // wants to stay unseen would only have to end quickly.
  return owner == nullptr && has_ended && may_guess ? all->front() : owner;
}

bool Judge::judgeChange(Root& root, const Change& change, bool may_guess, Desk* desk) {
  const std::shared_ptr<const Containers> all = root.containers();
  // As long as nothing was executed, the runtime sets the root filesystem up.
  const bool is_set_up = all->front()->cgroup() == nullptr && !root.may_run;
  // What the first program does may be told before its exec is, where that is not held.
  if (is_set_up && (settings_.can_refuse || !livesOn(change.tid, root.place.device))) return false;
  // Where nobody else may have done it, it need not be known who did what no rule speaks of.
  if (may_guess && !concerns(root, change, desk)) return false;
  Process process;
  const auto owner = doerOf(root, change, may_guess, &process);
  if (owner == nullptr) return false;
  std::shared_ptr<const Binding> binding = owner->binding();
  if (!binding->is_published && !settings_.can_refuse) {
    Change kept = change;
    kept.process = process;
    if (kept.time_us == 0) kept.time_us = nowUs();
    if (keep(*owner, kept)) return true;
    binding = owner->binding();
  }
  if (binding->table == nullptr) return true;
  Said said = decideChange(*binding->table, change, &desk->scratch);
  if (said.fired.empty()) return true;
  const bool is_barred = said.of_name == Verdict::kDeny && enforces(*binding->table);

  countUnenforced(*binding->table, said.of_name, change.path);
  KernelEvent event = eventOf(*owner, *binding, kindOf(change.kind), change.tid);
  // Before anything else is read: what came to be may be executed next.
  event.outcome = is_barred ? contain(root, change) : Outcome::kDetected;
  event.operations = change.operations | change.old_operations;
  event.is_heard = !settings_.can_refuse;
  if (change.time_us != 0) event.time_us = change.time_us;
  event.fired = std::move(said.fired);
  event.path = change.path;
  event.old_path = change.old_path;
  event.file = change.file;
  event.mount = change.mount;
  event.process = std::move(process);
  event.has_parent = event.process.parent != 0 && parents_.read(event.process.parent, &event.parent);
  event.leaders = lineage_.of(event.process, event.has_parent ? &event.parent : nullptr);
  reports_->add(std::move(event));
  return true;
}

}  // namespace d4c
