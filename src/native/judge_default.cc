// The part of the judge that answers what no rule decides: what waited in vain, what took too long, and what nobody
// attends to.

#include <sys/stat.h>

#include <algorithm>

#include "judge.h"
#include "proc_file.h"

namespace d4c {

Verdict Judge::answer(Envelope* envelope, Verdict verdict, bool* is_late) {
  const Envelope::Answered answered = envelope->answer(&verdict);
  if (is_late != nullptr) *is_late = answered == Envelope::Answered::kByDeadline;
  if (answered != Envelope::Answered::kYes) return verdict;
  latencies_.add(Clock::now() - envelope->notes.since);
  tallies_.verdicts.fetch_add(1, std::memory_order_relaxed);
  if (verdict == Verdict::kDeny) tallies_.denied.fetch_add(1, std::memory_order_relaxed);
  return verdict;
}

void Judge::answerUnknown(Container& container, Envelope envelope) {
  KernelEvent event;
  const bool is_denied = settings_.enforces && settings_.on_unknown == Verdict::kDeny;
  readPath(envelope.file(), &event.path);
  if (is_denied) {
    event.key = container.key;
    event.time_us = nowUs();
    event.kind = envelope.isExec() ? EventKind::kExec : EventKind::kOpen;
    event.verdict = Verdict::kDeny;
    event.decided_by = KernelEvent::DecidedBy::kUnknown;
    event.tid = envelope.tid();
    if (const auto cgroup = container.cgroup()) event.cgroup = cgroup->path;
    fstat(envelope.file(), &event.file);
    readProcess(event.tid, &event.process);
  }
  event.verdict = answer(&envelope, is_denied ? Verdict::kDeny : Verdict::kAllow);
  tallies_.unknown.fetch_add(1, std::memory_order_relaxed);
  reports_->fail(Failure::kContainerUnknown, event.path);
  if (is_denied) reports_->add(std::move(event));
}

Verdict Judge::onDeadline(const Table& table, Section section) const {
  if (!settings_.enforces || !table.enforces() || settings_.on_deadline == OnDeadline::kAllow) return Verdict::kAllow;
  return settings_.on_deadline == OnDeadline::kDeny || table.blocks(section) ? Verdict::kDeny : Verdict::kAllow;
}

Verdict Judge::onDeadlineOfExec(const Table& table) const {
  return onDeadline(table, table.blocks(Section::kProcess) ? Section::kProcess : Section::kFile);
}

Verdict Judge::strictestOn(const Root& root, bool is_exec) const {
  for (const auto& container : *root.containers()) {
    const auto binding = container->binding();
    if (!binding->is_published && is_exec && settings_.enforces && settings_.on_unknown == Verdict::kDeny) return Verdict::kDeny;
    if (binding->table == nullptr) continue;
    const Table& table = *binding->table;
    const Verdict verdict = is_exec ? onDeadlineOfExec(table) : onDeadline(table, Section::kFile);
    if (verdict == Verdict::kDeny) return verdict;
  }
  return Verdict::kAllow;
}

Clock::duration Judge::limitOn(const Root& root, bool is_exec, Clock::duration deadline) const {
  const auto all = root.containers();
  const bool may_wait = is_exec && std::any_of(all->begin(), all->end(), [](const auto& one) { return !one->binding()->is_published; });
  return may_wait ? std::max<Clock::duration>(deadline, std::chrono::milliseconds(settings_.hold_ms)) : deadline;
}

void Judge::countMissed(const Turn::Missed& missed) {
  const bool is_denied = missed.verdict == Verdict::kDeny;
  tallies_.verdicts.fetch_add(missed.count, std::memory_order_relaxed);
  tallies_.late.fetch_add(missed.count, std::memory_order_relaxed);
  if (is_denied) tallies_.denied.fetch_add(missed.count, std::memory_order_relaxed);
  for (size_t i = 0; i < missed.count; ++i) reports_->fail(Failure::kDeadlineMissed, is_denied ? "denied" : "allowed");
}

/// Whether the event was answered since nobody attends to the gate. Only called for what a rule of the section could concern.
bool Judge::isDecidedByLoss(Case* one, Section section) {
  const OnAgentLoss decides = settings_.on_agent_loss;
  if (settings_.has_agent || decides == OnAgentLoss::kKeep) return false;
  if (decides == OnAgentLoss::kAllow) {
    answer(&one->envelope, Verdict::kAllow);
    return true;
  }
  const bool is_denied = settings_.enforces && one->table.enforces() && one->table.blocks(section);
  if (!is_denied) return false;
  if (isOfOther(one)) return true;
  const EventKind kind = one->envelope.isExec() ? EventKind::kExec : EventKind::kOpen;
  KernelEvent event = eventOf(one->container, one->binding, kind, one->envelope.tid());
  event.decided_by = KernelEvent::DecidedBy::kAgentLoss;
  readPath(one->envelope.file(), &event.path);
  fstat(one->envelope.file(), &event.file);
  event.verdict = answer(&one->envelope, Verdict::kDeny);
  reports_->fail(Failure::kAgentLost, event.path);
  readProcess(event.tid, &event.process);
  reports_->add(std::move(event));
  return true;
}

}  // namespace d4c
