// The part of the gate that follows the mount table.

#include <poll.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <iterator>

#include "gate.h"
#include "priority.h"

namespace d4c {

namespace {

/// A superblock that the host has unmounted ends without a change of the mount table: as a rule at once, but a
/// container may keep it. It is looked after at a growing distance.
constexpr std::chrono::milliseconds kFirstLook(5);
constexpr std::chrono::milliseconds kLongestWatchLook(1000);

}  // namespace

/// INVARIANT: this thread waits for nobody. What is mounted is not gated before it has had its turn, and runtimes wait for that.
void Gate::watchMounts() {
  goFirst();
  auto pause = kFirstLook;
  auto look_at = Clock::now() + pause;
  for (;;) {
    pollfd polled[] = {{stop_.get(), POLLIN, 0}, {runtimes_.descriptor(), POLLIN, 0}, {mounts_.descriptor(), POLLPRI, 0},
                       {clock_.descriptor(), POLLIN, 0}};
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(look_at - Clock::now()).count();
    poll(polled, std::size(polled), looks_again_ ? static_cast<int>(std::max<int64_t>(left, 0)) : -1);
    if (polled[0].revents != 0) return;
    if (polled[3].revents != 0 && clock_.take()) {
      for (const auto& root : allRoots()) root->upper.onClockSet();
    }
    // KERNEL: what a runtime has mounted before its exec changes the table before this, so it is asked for only now.
    const uint64_t held = runtimes_.take();
    bool has_changed = polled[2].revents != 0;
    polled[2].revents = 0;
    has_changed |= poll(&polled[2], 1, 0) > 0;
    // Also while runtimes are executed again and again.
    const bool is_due = looks_again_ && Clock::now() >= look_at;
    if (has_changed || is_due) {
      scan(false);
      pause = has_changed ? kFirstLook : std::min(2 * pause, kLongestWatchLook);
      look_at = Clock::now() + pause;
    }
    runtimes_.answer(held);
  }
}

void Gate::scan(bool is_first) {
  const std::vector<OverlayMount> mounted = overlaysOf(mounts_.read());
  std::map<dev_t, std::shared_ptr<Root>> roots;
  {
    const std::shared_lock<std::shared_mutex> lock(mutex_);
    roots = roots_;
  }
  std::set<dev_t> listed;
  std::set<dev_t> failed;
  looks_again_ = false;
  // What is new comes first, since somebody may execute it next.
  for (const OverlayMount& mount : mounted) {
    listed.insert(mount.device);
    if (failed_.count(mount.device)) failed.insert(mount.device);
    if (mount.upper_dir.empty() || never_marked_.count(mount.device) || failed.count(mount.device)) continue;
    // KERNEL: device numbers, mount IDs and paths are all used again. Only the mark says whether this superblock
    // is still the one that was marked.
    if (const auto known = roots.find(mount.device); known != roots.end()) {
      if (known->second->group->marks(mount.device)) continue;
      retire(known->second);
      roots.erase(known);
    }
    if (!addRoot(mount, is_first)) failed.insert(mount.device);
  }
  failed_ = std::move(failed);
  for (const auto& [device, root] : roots) {
    if (listed.count(device) != 0) continue;
    if (root->group->marks(device)) {
      looks_again_ = true;
    } else {
      retire(root);
    }
  }
}

/// False when it can never be marked.
bool Gate::addRoot(const OverlayMount& mount, bool may_run) {
  {
    const std::shared_lock<std::shared_mutex> lock(mutex_);
    // It is mounted a second time.
    if (roots_.count(mount.device)) return true;
  }
  const auto fail = [&](const char* call, int error) {
    reports_.fail(Failure::kMarkFailed, "`" + mount.mount_point + "`: " + call + ": " + std::strerror(error));
  };
  if (!openOverlay({mount.mount_point, mount.device})) {
    // It is gone again, or another mount hides it, unless this process lacks something.
    if (errno == ESTALE || errno == ENOENT || errno == ENOTDIR || errno == ELOOP) return true;
    fail("open", errno);
    looks_again_ = true;
    return true;
  }
  const std::optional<OpenLane> opened = openLane();
  if (!opened) {
    fail("fanotify_init", errno);
    looks_again_ = true;
    return true;
  }
  std::shared_ptr<Root> root;
  {
    // The readers must know the root before its first event can come.
    const std::unique_lock<std::shared_mutex> lock(mutex_);
    auto lane = std::make_shared<Lane>(*lanes_[opened->name]);
    root = std::make_shared<Root>(mount, options_.host_root, may_run, lane->group, budget_.open(mount.mount_point));
    lane->roots.push_back(root);
    ++lane->group->roots;
    lanes_[opened->name] = std::move(lane);
    roots_[mount.device] = root;
  }
  const auto container = makeContainer(*root);
  root->add(container);
  announce(*root, *container, true);
  const int error = root->watchWhatIsNeeded();
  if (error == 0) {
    if (!settings_.can_refuse) beginToHear(root);
    if (!may_run) spaces_.await(root);
    runtimes_.look();
    return true;
  }
  retire(root);
  // ESTALE: it is gone again, and so is what should have been watched.
  if (error == ESTALE) return true;
  fail("fanotify_mark", error);
  const bool may_pass = error == ENOMEM || error == ENOSPC || isOutOfDescriptors(error);
  looks_again_ |= may_pass;
  return may_pass;
}

/// A lane of its own while the kernel grants groups, then the one with the fewest roots.
std::optional<Gate::OpenLane> Gate::openLane() {
  const std::unique_lock<std::shared_mutex> lock(mutex_);
  std::shared_ptr<const Group> group;
  if (lanes_.size() < options_.max_groups) {
    group = openGroup(Rank::kOfContainer);
  }
  if (group != nullptr) {
    const uint64_t name = ++last_lane_;
    if (!pollLane(name, group->descriptor(), true)) return std::nullopt;
    auto lane = std::make_shared<Lane>();
    lane->group = group;
    lanes_[name] = std::move(lane);
    return OpenLane{name, std::move(group)};
  }
  std::optional<uint64_t> best;
  for (const auto& [name, lane] : lanes_) {
    if (!best || lane->roots.size() < lanes_[*best]->roots.size()) best = name;
  }
  if (!best) return std::nullopt;
  return OpenLane{*best, lanes_[*best]->group};
}

Forks::Program Gate::tellFork(uint64_t key, pid_t parent, pid_t child, Forks::Clock::time_point at, const Forks::Program& inherited) {
  std::shared_ptr<Container> container;
  {
    const std::shared_lock<std::shared_mutex> lock(mutex_);
    const auto found = known_.find(key);
    if (found == known_.end()) return nullptr;
    container = found->second.container;
  }
  return judge_.judgeFork(*container, parent, child, at, inherited, &forks_desk_);
}

void Gate::watch(Root& root) {
  const int error = root.watchWhatIsNeeded();
  if (error != 0) reports_.fail(Failure::kMarkFailed, "`" + root.place.mount_point + "`: " + std::strerror(error));
}

/// Set-up is done by whom a runtime has started.
void Gate::coverSetUp(Root& root, pid_t tid) {
  spaces_.cover(root, tid, Spaces::Owner::kRuntime);
  runtimes_.learn(tid);
}

/// At a first exec less may be needed than while the container was set up.
bool Gate::coverVolumes(Root& root, pid_t tid) {
  const bool is_covered = spaces_.cover(root, tid, Spaces::Owner::kMember);
  watch(root);
  return is_covered;
}

std::shared_ptr<Container> Gate::makeContainer(Root& root) {
  auto container = std::make_shared<Container>(++last_key_, std::chrono::milliseconds(settings_.hold_ms), root.account);
  const std::unique_lock<std::shared_mutex> lock(mutex_);
  if (const auto found = roots_.find(root.place.device); found != roots_.end() && found->second.get() == &root) {
    known_.emplace(container->key, Known{found->second, container});
  }
  return container;
}

/// Whoever is told of a container may publish for it at once, so it must be known and on its root by then. Of one on a root
/// filesystem that is gone nobody is told: nothing could tell that it is gone, too.
void Gate::announce(const Root& root, const Container& container, bool is_first) {
  {
    const std::shared_lock<std::shared_mutex> lock(mutex_);
    if (known_.count(container.key) == 0) return;
  }
  reports_.add(Report(FoundContainer{container.key, root.place.mount_point, root.place.device, root.upper_dir,
                                     root.may_run, is_first}));
}

void Gate::retire(const std::shared_ptr<Root>& root) {
  spaces_.forget(*root);
  {
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
  }
  // INVARIANT: who admits a container holds the root's lock, and makes it known only while the root is among `roots_`
  // (makeContainer). So from here on none becomes known, and those that have are all among these. Not under the lock, which
  // whoever admits takes second.
  const auto containers = root->containers();
  const std::unique_lock<std::shared_mutex> lock(mutex_);
  for (const auto& container : *containers) {
    known_.erase(container->key);
    forks_.forget(container->key);
    for (const Kept& kept : container->takeKept()) reports_.fail(Failure::kContainerUnknown, pathOf(kept));
    reports_.add(Report(ContainerGone{container->key}));
  }
  wakeHousekeeper();
}

}  // namespace d4c
