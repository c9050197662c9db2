// The part of the gate that takes its time: the housekeeper thread, for which nobody waits.

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <iterator>

#include "gate.h"

namespace d4c {

namespace {

/// Creations are read at the latest when somebody asks; this only keeps the queue short.
constexpr int kDrainPauseMs = 50;
/// Somebody may hold a group without a root filesystem for as long as a task keeps a thread.
constexpr int kFirstLookMs = 5;
constexpr int kLongestLookMs = 1000;

}  // namespace

void Gate::keepHouse() {
  bool is_paused = false;
  bool has_idle = false;
  int look_ms = kFirstLookMs;
  for (;;) {
    std::vector<pollfd> polled = {{stop_.get(), POLLIN, 0}, {house_changed_.get(), POLLIN, 0}};
    std::vector<Creations*> watched;
    {
      const std::shared_lock<std::shared_mutex> lock(mutex_);
      for (const auto& [device, creations] : creations_) {
        if (creations != nullptr) watched.push_back(creations.get());
      }
    }
    if (!is_paused) {
      for (const Creations* creations : watched) polled.push_back({creations->descriptor(), POLLIN, 0});
    }
    const int wait_ms = is_paused ? kDrainPauseMs : has_idle ? look_ms : -1;
    const int ready = poll(polled.data(), polled.size(), wait_ms);
    if (polled[0].revents != 0) return;
    uint64_t ignored = 0;
    if (polled[1].revents != 0) [[maybe_unused]] const ssize_t size = read(house_changed_.get(), &ignored, sizeof ignored);
    is_paused = false;
    for (size_t i = 2; i < polled.size(); ++i) {
      if (polled[i].revents == 0) continue;
      watched[i - 2]->drain();
      is_paused = true;
    }
    look_ms = polled[1].revents != 0 ? kFirstLookMs : ready == 0 ? std::min(2 * look_ms, kLongestLookMs) : look_ms;
    has_idle = !closeIdleLanes();
  }
}

void Gate::wakeHousekeeper() const {
  const uint64_t one = 1;
  [[maybe_unused]] const ssize_t written = write(house_changed_.get(), &one, sizeof one);
}

/// Closes the groups to which nothing comes any more and that nobody else holds. With the last holder gone the kernel allows
/// what is pending. False when some are still held.
bool Gate::closeIdleLanes() {
  // KERNEL: to close a group takes until everybody on the machine has let go of its marks, tens of milliseconds when it is busy.
  // So it is done without the lock, and never by a thread that somebody waits for.
  std::vector<std::shared_ptr<const Lane>> free;
  const std::unique_lock<std::shared_mutex> lock(mutex_);
  bool is_done = true;
  for (auto lane = lanes_.begin(); lane != lanes_.end();) {
    const bool is_idle = lane->second->roots.empty();
    const bool is_free = is_idle && lane->second.use_count() == 1 && lane->second->group.use_count() == 1;
    if (is_idle && !is_free) is_done = false;
    if (is_free) free.push_back(std::move(lane->second));
    lane = is_free ? lanes_.erase(lane) : std::next(lane);
  }
  return is_done;
}

void Gate::watchCreations(Root& root) {
  if (root.creations.load() != nullptr) return;
  const std::string& directory = root.upper.directory;
  struct stat found {};
  if (stat(directory.c_str(), &found) != 0) {
    reports_.fail(Failure::kCreationUnconfirmed, "`" + directory + "`: " + std::strerror(errno));
    return;
  }
  std::string fault;
  Creations* creations = nullptr;
  bool is_new = false;
  {
    const std::unique_lock<std::shared_mutex> lock(mutex_);
    std::unique_ptr<Creations>& known = creations_[found.st_dev];
    is_new = known == nullptr;
    if (is_new) known = Creations::watch(directory, !settings_.can_refuse, &fault);
    creations = known.get();
  }
  // What it says of a filesystem that it does not watch is that nobody creates anything there.
  const bool is_watched = creations != nullptr && (is_new || creations->watchAgain(directory, &fault));
  if (!is_watched) return reports_.fail(Failure::kCreationUnconfirmed, fault);
  if (is_new) wakeHousekeeper();
  root.creations.store(creations, std::memory_order_release);
}

}  // namespace d4c
