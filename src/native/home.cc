#include "home.h"

#include <sys/epoll.h>

#include <cstdio>
#include <cstring>

#include "proc_file.h"

namespace d4c {

namespace {

/// Tasks of one container run on several processors at once, too: then it stays for so long.
constexpr std::chrono::milliseconds kStays(5);

bool add(int poll, int group, uint64_t name) {
  epoll_event event{};
  event.events = EPOLLIN | EPOLLEXCLUSIVE;
  event.data.u64 = name;
  return epoll_ctl(poll, EPOLL_CTL_ADD, group, &event) == 0;
}

/// Puts the poll at the end of the group's order. KERNEL: adding looks at the group, so that nothing is missed between.
void renew(int poll, int group, uint64_t name) {
  epoll_ctl(poll, EPOLL_CTL_DEL, group, nullptr);
  add(poll, group, name);
}

/// On which the task runs or ran last; -1 when it is gone.
int processorOf(pid_t tid) {
  char text[1024];
  if (readProcFile(tid, "stat", text, sizeof text) == 0) return -1;
  const char* at = std::strrchr(text, ')');
  // After the name, which is field 2, comes a blank before each field. This is field 39.
  for (int field = 2; at != nullptr && field < 39; ++field) at = std::strchr(at + 1, ' ');
  int processor = -1;
  return at != nullptr && std::sscanf(at, "%d", &processor) == 1 ? processor : -1;
}

}  // namespace

bool Home::enter(const std::vector<ReaderPoll>& polls, int group, uint64_t name, size_t first) {
  bool is_added = true;
  for (size_t i = 0; i < polls.size(); ++i) is_added = add(polls[(first + i) % polls.size()].poll, group, name) && is_added;
  return is_added;
}

void Home::passOn(const std::vector<ReaderPoll>& polls, int group, uint64_t name, size_t own) {
  if (polls.size() > 1) renew(polls[(own + 1) % polls.size()].poll, group, name);
}

void Home::follow(const std::vector<ReaderPoll>& polls, int group, uint64_t name, pid_t tid) {
  const Clock::rep now = Clock::now().time_since_epoch().count();
  Clock::rep moved = moved_.load(std::memory_order_relaxed);
  if (now - moved < Clock::duration(kStays).count() || !moved_.compare_exchange_strong(moved, now)) return;
  const int processor = processorOf(tid);
  for (size_t i = 0; processor >= 0 && i < polls.size(); ++i) {
    if (!CPU_ISSET(static_cast<size_t>(processor), &polls[i].processors)) continue;
    if (at_.exchange(i) == i) return;
    for (size_t other = 0; other < polls.size(); ++other) {
      if (other != i) renew(polls[other].poll, group, name);
    }
    return;
  }
}

}  // namespace d4c
