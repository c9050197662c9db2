// The part of the spaces that looks for the tasks of a runtime, which sets a container up.

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <iterator>
#include <string_view>
#include <utility>

#include "cgroup.h"
#include "proc_file.h"
#include "spaces.h"

namespace d4c {

namespace {

/// A pause is at least so many times as long as the look before it.
constexpr int kLookRestFactor = 4;
constexpr std::chrono::milliseconds kShortestLook(2);
constexpr std::chrono::milliseconds kLongestSpacesLook(500);
/// A runtime that has not set its container up by then is looked for less often.
constexpr std::chrono::seconds kEager(2);
/// So many numbers of tasks are looked at that were given before a root filesystem was seen, for one that runs there already.
constexpr pid_t kMadeBefore = 512;
/// Namespaces that need not be looked at again. A root filesystem may be awaited for as long as the machine runs.
constexpr size_t kMaxStrangers = 1024;
/// Tasks that are looked at for one root filesystem.
constexpr size_t kMaxYounger = 4096;

/// The number of the task that was made last on this machine.
pid_t lastPid() {
  char text[128];
  const Descriptor file(open("/proc/loadavg", O_RDONLY | O_CLOEXEC));
  const ssize_t size = file ? read(file.get(), text, sizeof text - 1) : 0;
  text[std::max<ssize_t>(size, 0)] = 0;
  const std::string_view line(text);
  const size_t space = line.rfind(' ');
  return space == std::string_view::npos ? 0 : std::atoi(text + space);
}

bool isProgramOn(pid_t pid, dev_t device) {
  struct statx program {};
  char path[32];
  std::snprintf(path, sizeof path, "/proc/%d/exe", pid);
  // As in `livesOn`: its server may never answer.
  const bool is_there = statx(AT_FDCWD, path, AT_STATX_DONT_SYNC, STATX_TYPE, &program) == 0;
  return is_there && makedev(program.stx_dev_major, program.stx_dev_minor) == device;
}

}  // namespace

void Spaces::await(const std::shared_ptr<Root>& root) {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    Awaited awaited;
    awaited.root = root;
    awaited.last_pid = lastPid();
    awaited_.push_back(std::move(awaited));
    look_at_ = Clock::now();
  }
  wake();
}

/// Whether the root filesystem needs to be awaited no longer. Looks at the tasks that were made since it was mounted:
/// its runtime makes a mount namespace, mounts the volumes in it, and then makes it the root.
bool Spaces::isSettled(Awaited* one, pid_t last) {
  const auto root = one->root.lock();
  if (root == nullptr || root->hasRun()) return true;
  if (!std::exchange(one->is_looked_for_missed, true)) {
    for (pid_t pid = std::max(one->last_pid - kMadeBefore, 1); pid <= one->last_pid; ++pid) {
      if (livesOn(pid, root->place.device) && settle(*root, pid)) return true;
    }
  }
  // KERNEL: numbers are given in ascending order, and again from the beginning.
  if (last < one->last_pid) one->last_pid = 0;
  for (pid_t pid = std::max(one->last_pid, last - static_cast<pid_t>(kMaxYounger)) + 1; pid <= last; ++pid) {
    one->younger.insert(pid);
  }
  one->last_pid = last;
  while (one->younger.size() > kMaxYounger) one->younger.erase(one->younger.begin());
  for (auto pid = one->younger.begin(); pid != one->younger.end();) {
    const std::string name = readProcLink(*pid, "ns/mnt");
    if (!isOfHost(name) && one->strangers.count(name) == 0) {
      if (livesOn(*pid, root->place.device)) {
        return settle(*root, *pid);
      }
      const bool is_looked_at = isCovered(*root, name) || cover(*root, *pid, Owner::kRuntime);
      if (one->strangers.size() >= kMaxStrangers) one->strangers.clear();
      if (is_looked_at && !isCovered(*root, name)) one->strangers.insert(name);
    }
    // A task that has ended has no namespace.
    pid = name.empty() ? one->younger.erase(pid) : std::next(pid);
  }
  return false;
}

/// Of a process that has the root filesystem as its root: whether it has executed something there.
bool Spaces::settle(Root& root, pid_t pid) {
  cover(root, pid, Owner::kMember);
  if (!isProgramOn(pid, root.place.device)) return root.hasRun();
  // An exec that was asked for is known before its program is seen. Where no policy applies none is asked for.
  // KERNEL: device numbers are used again, so it may run on another filesystem than the one that was seen.
  if (!root.hasRun() && !root.may_run && root.group->marks(root.place.device)) take_missed_(root, pid);
  return true;
}

bool Spaces::isCovered(const Root& root, const std::string& name) const {
  const auto spaces = all();
  return std::any_of(spaces.begin(), spaces.end(),
                     [&](const auto& space) { return space->root.get() == &root && space->name == name; });
}

void Spaces::look() {
  std::vector<Awaited> awaited;
  const Clock::time_point begin = Clock::now();
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (begin < look_at_) return;
    awaited.swap(awaited_);
  }
  const pid_t last = awaited.empty() ? 0 : lastPid();
  awaited.erase(std::remove_if(awaited.begin(), awaited.end(), [&](Awaited& one) { return isSettled(&one, last); }),
                awaited.end());
  const bool is_eager = std::any_of(awaited.begin(), awaited.end(), [&](const Awaited& one) { return begin - one.since < kEager; });
  const auto took = Clock::now() - begin;
  const auto pause = std::max<Clock::duration>(is_eager ? kShortestLook : kLongestSpacesLook, kLookRestFactor * took);
  const std::lock_guard<std::mutex> lock(mutex_);
  awaited_.insert(awaited_.end(), std::make_move_iterator(awaited.begin()), std::make_move_iterator(awaited.end()));
  look_at_ = awaited_.empty() ? Clock::time_point::max() : Clock::now() + pause;
}

}  // namespace d4c
