// The part of the gate that follows the mount table.

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "gate.h"
#include "group_limit.h"

namespace d4c {

namespace {

/// A superblock that the host has unmounted ends without a change of the mount table: as a rule at once, but a
/// container may keep it. It is looked after at a growing distance.
constexpr int kFirstLookMs = 5;
constexpr int kLongestLookMs = 1000;
/// Creations are read at the latest when somebody asks; this only keeps the queue short.
constexpr int kDrainPauseMs = 50;

}  // namespace

void Gate::watchMounts() {
  bool is_paused = false;
  int look_ms = kFirstLookMs;
  for (;;) {
    std::vector<pollfd> polled = {{stop_.get(), POLLIN, 0}, {mounts_.descriptor(), POLLPRI, 0}, {changed_.get(), POLLIN, 0}};
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
    const int wait_ms = is_paused ? kDrainPauseMs : has_detached_ ? look_ms : -1;
    const int ready = poll(polled.data(), polled.size(), wait_ms);
    if (polled[0].revents != 0) return;
    uint64_t ignored = 0;
    if (polled[2].revents != 0) [[maybe_unused]] const ssize_t size = read(changed_.get(), &ignored, sizeof ignored);
    is_paused = false;
    for (size_t i = 3; i < polled.size(); ++i) {
      if (polled[i].revents == 0) continue;
      watched[i - 3]->drain();
      is_paused = true;
    }
    if (polled[1].revents != 0) look_ms = kFirstLookMs;
    if (ready == 0) look_ms = std::min(2 * look_ms, kLongestLookMs);
    if (polled[1].revents == 0 && ready != 0) continue;
    scan(false);
    if (!closeIdleLanes()) has_detached_ = true;
  }
}

void Gate::scan(bool is_first) {
  const std::vector<OverlayMount> mounted = overlaysOf(mounts_.read());
  std::map<dev_t, std::shared_ptr<Root>> roots;
  {
    const std::shared_lock<std::shared_mutex> lock(mutex_);
    roots = roots_;
  }
  // KERNEL: device numbers, mount IDs and paths are all used again. Only the mark says whether this superblock
  // is still the one that was marked.
  std::set<dev_t> listed;
  for (const OverlayMount& mount : mounted) listed.insert(mount.device);
  has_detached_ = false;
  for (const auto& [device, root] : roots) {
    if (!root->group->marks(device)) {
      retire(root);
    } else if (listed.count(device) == 0) {
      has_detached_ = true;
    }
  }
  std::set<dev_t> failed;
  for (const OverlayMount& mount : mounted) {
    if (failed_.count(mount.device)) failed.insert(mount.device);
    if (mount.upper_dir.empty() || never_marked_.count(mount.device) || failed.count(mount.device)) continue;
    {
      const std::shared_lock<std::shared_mutex> lock(mutex_);
      if (roots_.count(mount.device)) continue;
    }
    addRoot(mount, is_first);
  }
  failed_ = std::move(failed);
}

void Gate::addRoot(const OverlayMount& mount, bool may_run) {
  if (!openOverlay({mount.mount_point, mount.device})) return;
  const std::optional<uint64_t> name = openLane();
  if (!name) {
    reports_.fail(Failure::kMarkFailed, "`" + mount.mount_point + "`: fanotify_init: " + std::strerror(errno));
    return;
  }
  std::shared_ptr<Root> root;
  {
    // The readers must know the root before its first event can come.
    const std::unique_lock<std::shared_mutex> lock(mutex_);
    auto lane = std::make_shared<Lane>(*lanes_[*name]);
    root = std::make_shared<Root>(mount, options_.host_root, may_run, lane->group);
    lane->roots.push_back(root);
    ++lane->group->roots;
    lanes_[*name] = std::move(lane);
    roots_[mount.device] = root;
  }
  const auto container = makeContainer(*root);
  root->add(container);
  announce(*root, *container, true);
  const int error = root->watchWhatIsNeeded();
  if (error == 0) {
    if (!may_run) spaces_.await(root);
    return;
  }
  retire(root);
  // ESTALE: it is gone again, and so is what should have been watched.
  if (error == ESTALE) return;
  failed_.insert(mount.device);
  reports_.fail(Failure::kMarkFailed, "`" + mount.mount_point + "`: fanotify_mark: " + std::strerror(error));
}

/// A lane of its own while the kernel grants groups, then the one with the fewest roots.
std::optional<uint64_t> Gate::openLane() {
  const std::unique_lock<std::shared_mutex> lock(mutex_);
  std::shared_ptr<const Group> group;
  if (lanes_.size() < options_.max_groups) {
    do group = Group::open();
    while (group == nullptr && raiseGroupLimit());
  }
  if (group != nullptr) {
    const uint64_t name = ++last_lane_;
    if (!pollLane(name, group->descriptor(), true)) return std::nullopt;
    auto lane = std::make_shared<Lane>();
    lane->group = std::move(group);
    lanes_[name] = std::move(lane);
    return name;
  }
  std::optional<uint64_t> best;
  for (const auto& [name, lane] : lanes_) {
    if (!best || lane->roots.size() < lanes_[*best]->roots.size()) best = name;
  }
  return best;
}

void Gate::tellFork(uint64_t key, pid_t parent, pid_t child, int64_t time_us) {
  std::shared_ptr<Container> container;
  {
    const std::shared_lock<std::shared_mutex> lock(mutex_);
    const auto found = known_.find(key);
    if (found == known_.end()) return;
    container = found->second.container;
  }
  judge_.judgeFork(*container, parent, child, time_us, &forks_desk_);
}

void Gate::watch(Root& root) {
  const int error = root.watchWhatIsNeeded();
  if (error != 0) reports_.fail(Failure::kMarkFailed, "`" + root.place.mount_point + "`: " + std::strerror(error));
}

/// At a first exec less may be needed than while the container was set up.
void Gate::coverVolumes(Root& root, pid_t tid) {
  spaces_.cover(root, tid, Spaces::Owner::kMember);
  watch(root);
}

std::shared_ptr<Container> Gate::makeContainer(Root& root) {
  auto container = std::make_shared<Container>(++last_key_, std::chrono::milliseconds(settings_.hold_ms));
  const std::unique_lock<std::shared_mutex> lock(mutex_);
  if (const auto found = roots_.find(root.place.device); found != roots_.end() && found->second.get() == &root) {
    known_.emplace(container->key, Known{found->second, container});
  }
  return container;
}

/// Whoever is told of a container may publish for it at once, so it must be known and on its root by then.
void Gate::announce(const Root& root, const Container& container, bool is_first) {
  reports_.add(Report(FoundContainer{container.key, root.place.mount_point, root.place.device, root.upper_dir,
                                     root.may_run, is_first}));
}

void Gate::retire(const std::shared_ptr<Root>& root) {
  // Before the lock: who admits a container holds the root's lock and then takes this one.
  const auto containers = root->containers();
  spaces_.forget(*root);
  const std::unique_lock<std::shared_mutex> lock(mutex_);
  roots_.erase(root->place.device);
  for (auto lane = lanes_.begin(); lane != lanes_.end(); ++lane) {
    if (lane->second->group != root->group) continue;
    --root->group->roots;
    auto rest = std::make_shared<Lane>(*lane->second);
    rest->roots.erase(std::remove(rest->roots.begin(), rest->roots.end(), root), rest->roots.end());
    // Whoever still holds the group keeps it open, and what comes to it must be read: its openers wait.
    if (rest->roots.empty()) root->group->forgetMarks();
    lane->second = std::move(rest);
    break;
  }
  for (const auto& container : *containers) {
    known_.erase(container->key);
    forks_.forget(container->key);
    reports_.forget(container->key);
    reports_.add(Report(ContainerGone{container->key}));
  }
}

/// Closes the groups to which nothing comes any more and that nobody else holds. With the last holder gone the kernel allows
/// what is pending. False when some are still held.
bool Gate::closeIdleLanes() {
  // KERNEL: letting go of a group waits for tasks that wait for another group's answer to an event of a file that both have
  // marked. Who gives that answer needs the lock.
  std::vector<std::shared_ptr<const Lane>> idle;
  const std::unique_lock<std::shared_mutex> lock(mutex_);
  bool is_done = true;
  for (auto lane = lanes_.begin(); lane != lanes_.end();) {
    const bool is_idle = lane->second->roots.empty();
    const bool is_free = is_idle && lane->second->group.use_count() == 1;
    if (is_idle && !is_free) is_done = false;
    if (is_free) idle.push_back(std::move(lane->second));
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
  const std::unique_lock<std::shared_mutex> lock(mutex_);
  auto creations = creations_.find(found.st_dev);
  if (creations == creations_.end()) {
    std::string fault;
    creations = creations_.emplace(found.st_dev, Creations::watch(directory, &fault)).first;
    if (creations->second == nullptr) reports_.fail(Failure::kCreationUnconfirmed, fault);
    const uint64_t one = 1;
    [[maybe_unused]] const ssize_t written = write(changed_.get(), &one, sizeof one);
  }
  root.creations.store(creations->second.get(), std::memory_order_release);
}

}  // namespace d4c
