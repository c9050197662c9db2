// The part of the gate that only hears, on a kernel without permission events: nobody waits for it, and it refuses nothing.
//
// One thread reads the events of all groups and tells the judge, since the order of what a task does counts. The watchdog puts another
// one in its place when a task keeps it (memory that does not come), as it does with readers:
//
//   kernel ─▶ group ─▶ heard_ ─▶ judge ─▶ report
//                        ▲         ├▶ the exec is under way: again in a moment
//                        └─────────┘└▶ no table yet: kept in the container ─▶ publish ─▶ judge

#include <fcntl.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "gate.h"
#include "proc_file.h"

namespace d4c {

namespace {

constexpr int kReadyToHear = 16;
constexpr size_t kReadTogether = 32;
/// For an exec to come to its end: what it executes may end half a millisecond later.
constexpr timespec kHearPause{0, 100000};
/// Each of them keeps a descriptor.
constexpr size_t kMaxUnderWay = 1024;
/// Above what containers run, and below what other readers have, for which tasks wait.
constexpr int kNice = -10;

/// Until something can be read, or for a moment.
void pause(int poll) {
  pollfd polled{poll, POLLIN, 0};
  ppoll(&polled, 1, &kHearPause, nullptr);
}

}  // namespace

/// Whether the kernel tells of execs and writes where it asks nobody. By marks that can never raise an event.
bool Gate::mayHear() {
  const auto group = Group::openToHear();
  // SAFETY: the inode of a directory, without FAN_EVENT_ON_CHILD: it is neither executed nor written.
  return group != nullptr && fanotify_mark(group->descriptor(), FAN_MARK_ADD, FAN_OPEN_EXEC | FAN_CLOSE_WRITE, AT_FDCWD, "/") == 0;
}

/// What happens on it is watched before anything is known of the container: nothing waits for that.
void Gate::beginToHear(const std::shared_ptr<Root>& root) {
  watchCreations(*root);
  if (changes_.cover(root)) root->tells_changes = true;
}

void Gate::hearEvents(Reader* reader) {
  // Whoever did something may end right after. Refused without CAP_SYS_NICE, and then less is known of it. What takes longer
  // than a look does not go before all others.
  setpriority(PRIO_PROCESS, static_cast<id_t>(syscall(SYS_gettid)), kNice);
  epoll_event ready[kReadyToHear];
  // What is left by the one in whose place this thread comes.
  if (!judgeHeard(reader) || !judgeNoted(reader)) return;
  for (;;) {
    const int poll = polls_[reader->at].poll;
    if (!under_way_.empty()) pause(poll);
    const int count = epoll_wait(poll, ready, kReadyToHear, under_way_.empty() ? -1 : 0);
    reader->desk.precedence.onWork();
    for (int i = 0; i < count; ++i) {
      const uint64_t name = ready[i].data.u64;
      uint64_t times = 0;
      if (name == kStopName) return;
      if (name == kTimerName) continue;
      if (name != kPutOffName) {
        if (const auto lane = laneOf(name)) readHeard(*lane);
      } else if (read(put_off_timer_.get(), &times, sizeof times) == sizeof times && !judgeNoted(reader)) {
        return;
      }
    }
    for (Heard& one : under_way_) {
      if (under_way_.size() > kMaxUnderWay) one.is_last_look = true;
      heard_.push_back(std::move(one));
    }
    under_way_.clear();
    if (!judgeHeard(reader)) return;
  }
}

void Gate::readHeard(const Lane& lane) {
  fanotify_event_metadata events[kReadTogether];
  // KERNEL: among several events, one without a descriptor is not told where the group does not give faults.
  const size_t most = lane.group->givesFaults() ? sizeof events : sizeof *events;
  const ssize_t size = read(lane.group->descriptor(), events, most);
  if (size < 0 && errno != EAGAIN && errno != EINTR) reports_.fail(Failure::kEventUnread, std::strerror(errno));
  for (ssize_t i = 0; i * static_cast<ssize_t>(sizeof *events) < size; ++i) {
    if (events[i].mask & FAN_Q_OVERFLOW) {
      reports_.fail(Failure::kChangesLost, "execs and writes of a container: the kernel's queue was full");
      continue;
    }
    if (events[i].fd < 0) {
      reports_.fail(Failure::kEventUnread, std::strerror(-events[i].fd));
      continue;
    }
    Descriptor file(events[i].fd);
    int error = 0;
    if (auto root = rootOf(lane, file.get(), events[i].pid, &error)) {
      heard_.emplace_back(std::move(root), std::move(file), events[i].mask, events[i].pid);
    } else if (error != 0) {
      reports_.fail(Failure::kEventUnread, std::strerror(error));
    }
  }
}

/// False when a task has kept this thread beyond the deadline: another one goes on.
bool Gate::judgeHeard(Reader* reader) {
  while (!heard_.empty()) {
    Heard one = std::move(heard_.front());
    heard_.pop_front();
    bool is_done = true;
    const bool goes_on = inTurn(reader, one.root, [&] { is_done = judge_.hear(&one, &reader->desk); });
    if (goes_on && !is_done) under_way_.push_back(std::move(one));
    if (goes_on) continue;
    // Nobody looks at it again.
    one.is_last_look = true;
    if (!is_done) judge_.hear(&one, &reader->desk);
    return false;
  }
  return true;
}

/// What others have found out: a table has come, or a program runs of which no event may have told.
bool Gate::judgeNoted(Reader* reader) {
  for (;;) {
    Noted one;
    {
      const std::lock_guard<std::mutex> lock(put_off_mutex_);
      if (noted_.empty()) return true;
      one = std::move(noted_.front());
      noted_.pop_front();
    }
    if (one.container != nullptr) {
      if (!inTurn(reader, one.root, [&] { judge_.judgeKept(*one.root, *one.container, &reader->desk); })) return false;
      continue;
    }
    // What is queued may tell of it.
    readHeard({one.root->group, allRoots()});
    if (!judgeHeard(reader)) return false;
    if (one.root->hasRun() || one.root->may_run) continue;
    // It was marked too late, and what is found is told.
    Descriptor program = openProc(one.pid, "exe", O_PATH);
    if (!program) {
      takeMissed(*one.root, one.pid);
      continue;
    }
    heard_.emplace_back(one.root, std::move(program), FAN_OPEN_EXEC, one.pid).is_last_look = true;
    if (!judgeHeard(reader)) return false;
  }
}

/// Has the watchdog look at how long it takes. False when it has put another thread in this one's place.
bool Gate::inTurn(Reader* reader, const std::shared_ptr<Root>& root, const std::function<void()>& judge) {
  Turn& turn = reader->desk.turn;
  turn.begin(root, nullptr, 0, false);
  turn.fallBackTo(Verdict::kAllow);
  judge();
  const bool is_kept = turn.claim().has_value();
  turn.end();
  if (is_kept) --reader->kept_by->keeps;
  return !is_kept;
}

void Gate::note(Noted one) {
  const std::lock_guard<std::mutex> lock(put_off_mutex_);
  noted_.push_back(std::move(one));
  const itimerspec now{{0, 0}, {0, 1}};
  timerfd_settime(put_off_timer_.get(), 0, &now, nullptr);
}

}  // namespace d4c
