// The part of the gate that its reader threads run.

#include <sys/epoll.h>
#include <sys/stat.h>
#include <sys/timerfd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "gate.h"

namespace d4c {

bool addToPoll(int poll, int descriptor, uint64_t name) {
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.u64 = name;
  return epoll_ctl(poll, EPOLL_CTL_ADD, descriptor, &event) == 0;
}

void Gate::readEvents(int poll) {
  Desk desk;
  epoll_event ready[16];
  for (;;) {
    const int count = epoll_wait(poll, ready, 16, -1);
    for (int i = 0; i < count; ++i) {
      const uint64_t name = ready[i].data.u64;
      if (name == kStopName) return;
      if (name == kTimerName) {
        expire();
      } else if (name == kPutOffName) {
        judgePutOff(&desk);
      } else {
        serve(name, &desk);
      }
    }
  }
}

void Gate::serve(uint64_t lane_name, Desk* desk) {
  std::shared_ptr<const Lane> lane;
  {
    const std::shared_lock<std::shared_mutex> lock(mutex_);
    const auto found = lanes_.find(lane_name);
    if (found == lanes_.end()) return;
    lane = found->second;
  }
  // One event at a time: another reader takes the next one, instead of its opener waiting for this one.
  fanotify_event_metadata event;
  const ssize_t size = read(lane->group->descriptor(), &event, sizeof event);
  if (size != sizeof event) {
    // KERNEL: an event for which no descriptor can be made is refused to its opener.
    if (errno != EAGAIN && errno != EINTR) reports_.fail(Failure::kEventUnread, std::strerror(errno));
    return;
  }
  Envelope envelope(lane->group, event);
  const std::shared_ptr<Root> root = rootOf(*lane, envelope.file(), envelope.tid());
  if (root != nullptr) judge_.judge(*root, std::move(envelope), desk);
}

std::shared_ptr<Root> Gate::rootOf(const Lane& lane, int file, pid_t tid) {
  if (lane.roots.size() == 1) return lane.roots.front();
  const auto ofDevice = [&](dev_t device) -> std::shared_ptr<Root> {
    for (const auto& root : lane.roots) {
      if (root->place.device == device) return root;
    }
    return nullptr;
  };
  struct stat opened {};
  fstat(file, &opened);
  // KERNEL: files of an overlay whose layers lie on several filesystems have device numbers of their own.
  const auto root = ofDevice(opened.st_dev);
  return root != nullptr ? root : ofDevice(superblockOf(file, tid));
}

void Gate::expire() {
  uint64_t times = 0;
  if (read(timer_.get(), &times, sizeof times) != sizeof times) return;
  const Clock::time_point now = Clock::now();
  for (const Known& known : allKnown()) {
    for (Envelope& envelope : known.container->expire(now)) judge_.answerUnknown(*known.container, std::move(envelope));
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

void Gate::putOff(Root& root, Envelope envelope) {
  const std::lock_guard<std::mutex> lock(put_off_mutex_);
  put_off_.emplace_back(root.shared_from_this(), std::move(envelope));
  const itimerspec time{{0, 0}, {0, 1000000}};
  if (put_off_.size() == 1) timerfd_settime(put_off_timer_.get(), 0, &time, nullptr);
}

void Gate::judgePutOff(Desk* desk) {
  uint64_t times = 0;
  if (read(put_off_timer_.get(), &times, sizeof times) != sizeof times) return;
  std::vector<std::pair<std::shared_ptr<Root>, Envelope>> events;
  {
    const std::lock_guard<std::mutex> lock(put_off_mutex_);
    events = std::exchange(put_off_, {});
  }
  for (auto& [root, envelope] : events) judge_.judge(*root, std::move(envelope), desk);
}

}  // namespace d4c
