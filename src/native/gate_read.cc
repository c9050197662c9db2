// The part of the gate that its reader threads run.

#include <sys/epoll.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "gate.h"
#include "memory.h"

namespace d4c {

namespace {

/// For a task to come to rest.
constexpr std::chrono::milliseconds kPutOffPause(1);
/// For a task to come to rest, when its processor has nothing else to do.
constexpr long kShortPauseNs = 5000;
constexpr int kReadyToRead = 16;

/// As `epoll_wait`, without end or for a short pause.
int await(int poll, epoll_event* ready, bool is_short) {
  if (!is_short) return epoll_wait(poll, ready, kReadyToRead, -1);
  const timespec pause{0, kShortPauseNs};
  // As in <sys/epoll.h> of newer C libraries. KERNEL: 5.11
  constexpr long kEpollPwait2 = 441;
  const long count = syscall(kEpollPwait2, poll, ready, kReadyToRead, &pause, nullptr, 0);
  return count >= 0 || errno != ENOSYS ? static_cast<int>(count) : epoll_wait(poll, ready, kReadyToRead, 0);
}

}  // namespace

bool addToPoll(int poll, int descriptor, uint64_t name, uint32_t flags) {
  epoll_event event{};
  event.events = EPOLLIN | flags;
  event.data.u64 = name;
  return epoll_ctl(poll, EPOLL_CTL_ADD, descriptor, &event) == 0;
}

void Gate::readEvents(Reader* reader) {
  Desk* const desk = &reader->desk;
  epoll_event ready[kReadyToRead];
  // Another one has taken its place.
  const auto is_kept = [&] {
    if (reader->is_kept) --reader->kept_by->keeps;
    return reader->is_kept.load();
  };
  for (;;) {
    const int poll = polls_[reader->at].poll;
    if (desk->put_off == 0 && duty_.standBy() && epoll_wait(poll, ready, kReadyToRead, 0) > 0) duty_.pause();
    const int count = await(poll, ready, desk->put_off > 0);
    if (!duty_.isMine()) desk->precedence.onWork();
    for (int i = 0; i < count; ++i) {
      const uint64_t name = ready[i].data.u64;
      if (name == kStopName) return;
      if (name == kDutyName) continue;
      if (name == kTimerName) {
        expire(desk);
      } else if (name == kPutOffName) {
        judgeDue(desk);
      } else {
        serve(name, desk);
      }
      if (is_kept()) return;
    }
    // By now they may have come to rest. Should this thread be kept, another one judges the others when they are due.
    for (int left = std::exchange(desk->put_off, 0); left > 0; --left) {
      judgePutOff(desk, false);
      if (is_kept()) return;
    }
  }
}

std::shared_ptr<const Gate::Lane> Gate::laneOf(uint64_t name) const {
  if (name == kForeignName) return foreign_;
  const std::shared_lock<std::shared_mutex> lock(mutex_);
  const auto found = lanes_.find(name);
  return found == lanes_.end() ? nullptr : found->second;
}

void Gate::serve(uint64_t lane_name, Desk* desk) {
  const std::shared_ptr<const Lane> lane = laneOf(lane_name);
  if (lane == nullptr) return;
  // KERNEL: among several events, one without a descriptor is not told where the group does not give faults.
  const bool is_alone = lane->roots.size() != 1 || !lane->group->givesFaults();
  const bool takes_one = is_alone || desk->alone > 0;
  if (desk->alone > 0) --desk->alone;
  const size_t most = takes_one ? 1 : desk->together;
  fanotify_event_metadata read_events[Turn::kTogether];
  const ssize_t size = read(lane->group->descriptor(), read_events, most * sizeof *read_events);
  if (size < 0) {
    if (errno != EAGAIN && errno != EINTR) countUnread(errno, desk);
    return;
  }
  std::vector<Envelope> events;
  const auto count = static_cast<size_t>(size) / sizeof *read_events;
  duty_.onRead(read_events[0].pid, count, (read_events[0].mask & FAN_OPEN_EXEC_PERM) != 0);
  desk->answers_ahead = duty_.isMineForExecs();
  if (count > 1) events.reserve(count);
  for (size_t i = 0; i < count; ++i) {
    if (read_events[i].fd < 0) {
      countUnread(-read_events[i].fd, desk);
    } else if (count > 1) {
      events.emplace_back(lane->group, read_events[i]);
    } else {
      Envelope envelope(lane->group, read_events[i]);
      int error = 0;
      const std::shared_ptr<Root> root = rootOf(*lane, envelope.file(), envelope.tid(), &error);
      if (root != nullptr) {
        judge_.judge(*root, std::move(envelope), desk);
      } else if (error != 0) {
        countUnread(error, desk);
        envelope.answer(Verdict::kDeny);
      }
    }
  }
  if (events.empty()) return;
  // More of them, as long as nothing among them takes long.
  desk->together = std::min(2 * count, Turn::kTogether);
  judge_.judgeTogether(*lane->roots.front(), std::move(events), desk);
}

/// KERNEL: an event for which no descriptor can be made is refused to its opener. So is one for which there is none to find out
/// whose it is.
void Gate::countUnread(int error, Desk* desk) {
  if (isOutOfDescriptors(error)) {
    desk->calls.clear();
    // Whom the kernel refuses may try again at once.
    desk->precedence.giveWay();
  }
  reports_.fail(Failure::kEventUnread, std::strerror(error));
}

void Gate::expire(Desk* desk) {
  uint64_t times = 0;
  if (read(timer_.get(), &times, sizeof times) != sizeof times) return;
  const Clock::time_point now = Clock::now();
  for (const Known& known : allKnown()) {
    for (Envelope& envelope : known.container->expire(now)) {
      // Several wait for this thread, so none may keep it.
      const MemoryRule rule(false);
      envelope.take(&desk->turn, *known.root);
      judge_.answerUnknown(*known.container, std::move(envelope));
    }
  }
  armTimer();
}

void Gate::armTimer() {
  Clock::time_point due = Clock::time_point::max();
  for (const Known& known : allKnown()) due = std::min(due, known.container->due());
  if (due == Clock::time_point::max()) return;
  const auto left = std::max<int64_t>(std::chrono::nanoseconds(due - Clock::now()).count(), 1);
  const itimerspec time{{0, 0}, {left / 1000000000, left % 1000000000}};
  timerfd_settime(timer_.get(), 0, &time, nullptr);
}

void Gate::handOver(Root& root, Envelope envelope) {
  const std::lock_guard<std::mutex> lock(put_off_mutex_);
  put_off_.push_front({root.shared_from_this(), nullptr, std::move(envelope), Clock::now()});
  armPutOff();
}

void Gate::putOff(Root& root, std::shared_ptr<Container> container, Envelope envelope) {
  const auto pause = container == nullptr ? kPutOffPause : Clock::duration::zero();
  const std::lock_guard<std::mutex> lock(put_off_mutex_);
  put_off_.push_back({root.shared_from_this(), std::move(container), std::move(envelope), Clock::now() + pause});
  if (put_off_.size() == 1) armPutOff();
}

/// Under the lock.
void Gate::armPutOff() {
  if (put_off_.empty()) return;
  const auto left = std::max<int64_t>(std::chrono::nanoseconds(put_off_.front().due - Clock::now()).count(), 1);
  const itimerspec time{{0, 0}, {left / 1000000000, left % 1000000000}};
  timerfd_settime(put_off_timer_.get(), 0, &time, nullptr);
}

void Gate::judgeDue(Desk* desk) {
  uint64_t times = 0;
  if (read(put_off_timer_.get(), &times, sizeof times) == sizeof times) judgePutOff(desk, true);
}

/// Those of one root filesystem together: they came to rest at about the same time.
void Gate::judgePutOff(Desk* desk, bool is_due) {
  const size_t most = desk->alone > 0 ? 1 : Turn::kTogether;
  std::vector<Envelope> events;
  std::shared_ptr<Root> root;
  std::shared_ptr<Container> container;
  {
    const std::lock_guard<std::mutex> lock(put_off_mutex_);
    const auto now = Clock::now();
    while (!put_off_.empty() && (!is_due || put_off_.front().due <= now) && events.size() < most) {
      PutOff& next = put_off_.front();
      const bool is_alike = container == nullptr && next.container == nullptr && root == next.root;
      if (!events.empty() && !is_alike) break;
      root = std::move(next.root);
      container = std::move(next.container);
      events.push_back(std::move(next.envelope));
      put_off_.pop_front();
    }
    if (is_due) armPutOff();
  }
  if (events.empty()) return;
  if (container != nullptr) {
    judge_.judgeWaited(*root, *container, std::move(events.front()), desk);
  } else if (events.size() == 1) {
    judge_.judge(*root, std::move(events.front()), desk);
  } else {
    judge_.judgeTogether(*root, std::move(events), desk);
  }
}

}  // namespace d4c
