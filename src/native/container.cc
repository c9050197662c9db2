#include "container.h"

#include <algorithm>
#include <utility>

namespace d4c {

namespace {

/// Each event that waits holds a descriptor. A listener without descriptors makes every opener fail.
constexpr size_t kMaxWaiting = 512;
constexpr size_t kMaxMounts = 16;

Watch neededBy(const Binding& binding) {
  if (!binding.is_published) return Watch::kExecAndOpen;
  if (binding.table == nullptr) return Watch::kNothing;
  // Execs are always watched: a container of another cgroup may come to run on the same root filesystem.
  return binding.table->operations() & kOpenOperations ? Watch::kExecAndOpen : Watch::kExec;
}

}  // namespace

size_t bytesOf(const Kept& kept) {
  if (const auto* const event = std::get_if<KernelEvent>(&kept)) return sizeof kept + bytesOf(*event);
  const Change& change = std::get<Change>(kept);
  const size_t of_process = change.process ? bytesOf(*change.process) : 0;
  return sizeof kept + change.path.size() + change.old_path.size() + of_process;
}

std::shared_ptr<const Binding> Container::binding() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return binding_;
}

std::vector<Envelope> Container::publish(std::shared_ptr<const Binding> binding) {
  const std::lock_guard<std::mutex> lock(mutex_);
  binding_ = std::move(binding);
  return std::exchange(waiting_, {});
}

Container::Wait Container::wait(Envelope* envelope) {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (binding_->is_published) return Wait::kPublished;
  const bool is_first = !std::exchange(was_waited_for_, true);
  if (is_first) deadline_ = Clock::now() + hold_;
  if (waiting_.size() >= kMaxWaiting || Clock::now() >= deadline_) return Wait::kInVain;
  waiting_.push_back(std::move(*envelope));
  return is_first ? Wait::kFirst : Wait::kFurther;
}

Container::Wait Container::keep(const Kept& what) {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (binding_->is_published) return Wait::kPublished;
  if (kept_.size() >= kMaxWaiting || !kept_purse_.take(bytesOf(what))) return Wait::kInVain;
  kept_.push_back(what);
  return std::exchange(was_waited_for_, true) ? Wait::kFurther : Wait::kFirst;
}

std::vector<Kept> Container::takeKept() {
  const std::lock_guard<std::mutex> lock(mutex_);
  kept_purse_.giveAll();
  return std::exchange(kept_, {});
}

Clock::time_point Container::due() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return waiting_.empty() ? Clock::time_point::max() : deadline_;
}

std::vector<Envelope> Container::expire(Clock::time_point now) {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (waiting_.empty() || now < deadline_) return {};
  return std::exchange(waiting_, {});
}

std::shared_ptr<const Cgroup> Container::cgroup() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return cgroup_;
}

bool Container::seat(const Cgroup& cgroup) {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (cgroup_ == nullptr) cgroup_ = std::make_shared<Cgroup>(cgroup);
  return cgroup_->hierarchy == cgroup.hierarchy && cgroup_->path == cgroup.path;
}

void Container::rememberMount(uint64_t mount) {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (mount == 0 || std::find(mounts_.begin(), mounts_.end(), mount) != mounts_.end()) return;
  // A container can make mounts without end; the oldest ones are asked about again.
  if (mounts_.size() >= kMaxMounts) mounts_.erase(mounts_.begin() + 1);
  mounts_.push_back(mount);
}

bool Container::hasMount(uint64_t mount) const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return std::find(mounts_.begin(), mounts_.end(), mount) != mounts_.end();
}

void Container::forgetMounts() {
  const std::lock_guard<std::mutex> lock(mutex_);
  mounts_.clear();
}

size_t Container::waiting() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return waiting_.size();
}

std::shared_ptr<const Containers> Root::containers() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return containers_;
}

void Root::add(std::shared_ptr<Container> container) {
  const std::lock_guard<std::mutex> lock(mutex_);
  auto more = std::make_shared<Containers>(*containers_);
  more->push_back(std::move(container));
  containers_ = std::move(more);
}

std::shared_ptr<Container> Root::admit(const Cgroup& cgroup, const std::function<std::shared_ptr<Container>()>& make,
                                       const std::function<void(const Container&)>& announce) {
  const std::lock_guard<std::mutex> lock(mutex_);
  for (const auto& container : *containers_) {
    if (container->seat(cgroup)) return container;
  }
  auto more = std::make_shared<Containers>(*containers_);
  more->push_back(make());
  more->back()->seat(cgroup);
  containers_ = std::move(more);
  announce(*containers_->back());
  return containers_->back();
}

Watch Root::watched() {
  const std::lock_guard<std::mutex> lock(watch_mutex_);
  return watched_.value_or(Watch::kNothing);
}

Watch Root::needed() const {
  Watch needed = Watch::kNothing;
  for (const auto& container : *containers()) needed = std::max(needed, neededBy(*container->binding()));
  // The runtime's own opens tell when a container is set up, so that its volumes are watched before its first program.
  return needed == Watch::kExec && isSetUp() ? Watch::kExecAndOpen : needed;
}

bool Root::isSetUp() const { return !may_run && !hasRun(); }

int Root::watchWhatIsNeeded() {
  const std::lock_guard<std::mutex> lock(watch_mutex_);
  const Watch wanted = needed();
  // The last that a runtime opens there for certain is the root directory, to make it the root when everything is mounted.
  const bool with_folders = isSetUp();
  if (wanted == watched_ && with_folders == watches_folders_) return 0;
  for (const auto& container : *containers()) {
    const pid_t pid = container->pid.load(std::memory_order_relaxed);
    if (pid != 0 && livesOn(pid, place.device)) place.process = pid;
  }
  if (wanted != Watch::kExecAndOpen) opens_since_ = 0;
  const int fault = group->watch(place, wanted, with_folders);
  if (fault == 0) {
    if (wanted == Watch::kExecAndOpen && opens_since_ == 0) opens_since_ = ++times_opened_;
    watched_ = wanted;
    watches_folders_ = with_folders;
  }
  return fault;
}

bool Root::hasRun() const {
  const auto all = containers();
  return std::any_of(all->begin(), all->end(), [](const auto& container) { return container->cgroup() != nullptr; });
}

bool Root::hasMember(std::string_view cgroups) const {
  const auto all = containers();
  return std::any_of(all->begin(), all->end(), [&](const auto& container) {
    const auto cgroup = container->cgroup();
    return cgroup != nullptr && !cgroup->path.empty() && cgroup->contains(cgroups);
  });
}

}  // namespace d4c
