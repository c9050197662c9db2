#include "reports.h"

#include <time.h>

#include <utility>

namespace d4c {

int64_t nowUs() {
  timespec now{};
  clock_gettime(CLOCK_REALTIME, &now);
  return int64_t{now.tv_sec} * 1000000 + now.tv_nsec / 1000;
}

const char* nameOf(Failure failure) {
  switch (failure) {
    case Failure::kChangesLost:
      return "changes_lost";
    case Failure::kChangesUnseen:
      return "changes_unseen";
    case Failure::kContainerUnknown:
      return "container_unknown";
    case Failure::kCreationUnconfirmed:
      return "creation_unconfirmed";
    case Failure::kEventReportDropped:
      return "event_report_dropped";
    case Failure::kEventUnread:
      return "event_unread";
    case Failure::kIntentUnread:
      return "intent_unread";
    case Failure::kMarkFailed:
      return "mark_failed";
    case Failure::kPathUnread:
      return "path_unread";
    case Failure::kRollbackFailed:
      return "rollback_failed";
  }
  return "";
}

void Reports::add(KernelEvent&& event) {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    event.sequence = ++sequence_;
    if (events_ < max_events_) {
      ++events_;
      queue_.emplace_back(std::move(event));
    } else {
      ++dropped_;
      Tally& tally = failures_[static_cast<size_t>(Failure::kEventReportDropped)];
      ++tally.count;
      tally.detail = event.path;
    }
    if (std::exchange(awake_, true)) return;
  }
  wake_();
}

void Reports::add(Report&& notice) {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    queue_.push_back(std::move(notice));
    if (std::exchange(awake_, true)) return;
  }
  wake_();
}

void Reports::fail(Failure failure, std::string detail) {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    Tally& tally = failures_[static_cast<size_t>(failure)];
    ++tally.count;
    tally.detail = std::move(detail);
    if (std::exchange(awake_, true)) return;
  }
  wake_();
}

std::vector<Report> Reports::take(size_t max, bool* more) {
  std::vector<Report> taken;
  const std::lock_guard<std::mutex> lock(mutex_);
  while (!queue_.empty() && taken.size() < max) {
    if (std::holds_alternative<KernelEvent>(queue_.front())) --events_;
    taken.push_back(std::move(queue_.front()));
    queue_.pop_front();
  }
  for (size_t i = 0; i < failures_.size(); ++i) {
    if (failures_[i].count == 0) continue;
    taken.emplace_back(FailureReport{static_cast<Failure>(i), failures_[i].count, std::move(failures_[i].detail)});
    failures_[i] = {};
  }
  *more = !queue_.empty();
  awake_ = *more;
  return taken;
}

}  // namespace d4c
