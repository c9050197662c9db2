#include "reports.h"

#include <time.h>

#include <utility>

namespace d4c {

int64_t nowUs() {
  timespec now{};
  clock_gettime(CLOCK_REALTIME, &now);
  return int64_t{now.tv_sec} * 1000000 + now.tv_nsec / 1000;
}

int64_t usOf(std::chrono::steady_clock::time_point at) {
  return nowUs() - std::chrono::duration_cast<std::chrono::microseconds>(std::chrono::steady_clock::now() - at).count();
}

const char* nameOf(Reason reason) {
  switch (reason) {
    case Reason::kNone:
      return "";
    case Reason::kContained:
      return "contained";
    case Reason::kDrift:
      return "drift";
    case Reason::kFileless:
      return "fileless";
  }
  return "";
}

const char* nameOf(Failure failure) {
  switch (failure) {
    case Failure::kAgentLost:
      return "agent_lost";
    case Failure::kAgentSilent:
      return "agent_silent";
    case Failure::kChangesLate:
      return "changes_late";
    case Failure::kChangesLost:
      return "changes_lost";
    case Failure::kChangesUnseen:
      return "changes_unseen";
    case Failure::kConnectionDelayed:
      return "connection_delayed";
    case Failure::kContainerUnknown:
      return "container_unknown";
    case Failure::kContainmentFull:
      return "containment_full";
    case Failure::kCreationUnconfirmed:
      return "creation_unconfirmed";
    case Failure::kDeadlineMissed:
      return "deadline_missed";
    case Failure::kDriftUncompared:
      return "drift_uncompared";
    case Failure::kEventReportDropped:
      return "event_report_dropped";
    case Failure::kEventUnread:
      return "event_unread";
    case Failure::kFactsForgotten:
      return "facts_forgotten";
    case Failure::kFirstProgramMissed:
      return "first_program_missed";
    case Failure::kForksLost:
      return "forks_lost";
    case Failure::kForksUnseen:
      return "forks_unseen";
    case Failure::kIntentUnread:
      return "intent_unread";
    case Failure::kMarkFailed:
      return "mark_failed";
    case Failure::kMemfdNotForbidden:
      return "memfd_not_forbidden";
    case Failure::kNotEnforceable:
      return "not_enforceable";
    case Failure::kPathUnread:
      return "path_unread";
    case Failure::kProcessUnread:
      return "process_unread";
    case Failure::kPublishFailed:
      return "publish_failed";
    case Failure::kRollbackFailed:
      return "rollback_failed";
    case Failure::kRuntimeNotHeld:
      return "runtime_not_held";
    case Failure::kVolumeUnwatched:
      return "volume_unwatched";
  }
  return "";
}

namespace {

/// Whose rules decided. Those about files bar what they would not have let come to be from being executed.
Section sectionOf(const KernelEvent& event) {
  const bool is_of_process = event.kind == EventKind::kFork || event.kind == EventKind::kEnd || event.kind == EventKind::kExec;
  return is_of_process && event.reason == Reason::kNone ? Section::kProcess : Section::kFile;
}

}  // namespace

std::vector<LedgerLine> Reports::ledgerOf(uint64_t key) const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return ledger_.of(key);
}

Outcomes Reports::outcomes() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return ledger_.all();
}

size_t bytesOf(const KernelEvent& event) {
  size_t bytes = sizeof event + event.path.size() + event.old_path.size() + event.cgroup.size();
  bytes += event.fired.size() * sizeof event.fired.front() + bytesOf(event.process) + bytesOf(event.parent);
  for (const auto* leader : {&event.leaders.group, &event.leaders.session, &event.leaders.entry}) {
    if (*leader) bytes += bytesOf(**leader);
  }
  return bytes;
}

void Reports::add(KernelEvent&& event) {
  event.bytes = bytesOf(event);
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    event.sequence = ++sequence_;
    // Also of one that is dropped.
    const Outcome outcome = event.verdict == Verdict::kDeny ? Outcome::kPrevented : event.outcome;
    ledger_.add(event.key, event.names.get(), sectionOf(event), event.fired, outcome);
    const bool has_room = bytes_ + event.bytes <= max_events_ * kBytesPerEvent || events_.empty();
    if (events_.size() < max_events_ && has_room) {
      bytes_ += event.bytes;
      events_.push_back(std::move(event));
      if (events_.size() > 1 && events_.size() != many_) return;
    } else {
      ++dropped_;
      Tally& tally = failures_[static_cast<size_t>(Failure::kEventReportDropped)];
      tally.detail = event.path;
      ++totals_[static_cast<size_t>(Failure::kEventReportDropped)];
      if (++tally.count > 1) return;
    }
  }
  wake_();
}

void Reports::add(Report&& notice) {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (const auto* found = std::get_if<FoundContainer>(&notice)) ledger_.open(found->key);
    if (const auto* gone = std::get_if<ContainerGone>(&notice)) ledger_.close(gone->key);
    if (!listens_) return;
    notices_.push_back(std::move(notice));
  }
  wake_();
}

void Reports::fail(Failure failure, std::string detail) {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    Tally& tally = failures_[static_cast<size_t>(failure)];
    tally.detail = std::move(detail);
    ++totals_[static_cast<size_t>(failure)];
    if (++tally.count > 1) return;
  }
  wake_();
}

void Reports::listen(bool listens) {
  const std::lock_guard<std::mutex> lock(mutex_);
  listens_ = listens;
  if (!listens) notices_.clear();
}

std::vector<Report> Reports::take(size_t max_events, size_t max_bytes) {
  std::vector<Report> taken;
  const std::lock_guard<std::mutex> lock(mutex_);
  for (Report& notice : notices_) taken.push_back(std::move(notice));
  notices_.clear();
  for (size_t i = 0; i < failures_.size(); ++i) {
    if (failures_[i].count == 0) continue;
    taken.emplace_back(FailureReport{static_cast<Failure>(i), failures_[i].count, std::move(failures_[i].detail)});
    failures_[i] = {};
  }
  size_t bytes = 0;
  for (size_t i = 0; i < max_events && bytes < max_bytes && !events_.empty(); ++i) {
    bytes += events_.front().bytes;
    taken.emplace_back(std::move(events_.front()));
    events_.pop_front();
  }
  bytes_ -= bytes;
  return taken;
}

std::vector<std::pair<const char*, uint64_t>> Reports::totals() const {
  std::vector<std::pair<const char*, uint64_t>> totals;
  const std::lock_guard<std::mutex> lock(mutex_);
  for (size_t i = 0; i < kFailureCount; ++i) {
    if (totals_[i] > 0) totals.emplace_back(nameOf(static_cast<Failure>(i)), totals_[i]);
  }
  return totals;
}

size_t Reports::waiting() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return events_.size();
}

void Reports::giveBack(std::deque<KernelEvent> events) {
  const std::lock_guard<std::mutex> lock(mutex_);
  while (!events.empty()) {
    bytes_ += events.back().bytes;
    events_.push_front(std::move(events.back()));
    events.pop_back();
  }
}

}  // namespace d4c
