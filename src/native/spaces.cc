#include "spaces.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "proc_file.h"
#include "processes.h"

namespace d4c {

namespace {

/// Namespaces of one root filesystem that are followed. A container can make more of them; of older ones only what was
/// mounted when they were covered stays marked.
constexpr size_t kMaxSpacesOfRoot = 32;
/// Whoever mounts without end gets a share of the thread, not all of it. Setting a container up takes fewer changes.
constexpr int kSpacesRestFactor = 4;
constexpr size_t kChangesWithoutRest = 256;

/// Until mounts that could not be read are tried again.
constexpr std::chrono::milliseconds kUnreadPause(100);

/// Lines of a mount table that are read.
constexpr size_t kMaxRead = 16384;

}  // namespace

bool Spaces::start(std::shared_ptr<const Group> foreign) {
  foreign_ = std::move(foreign);
  own_ = readProcLink(getpid(), "ns/mnt");
  first_ = readProcLink(1, "ns/mnt");
  stop_ = Descriptor(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  changed_ = Descriptor(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!stop_ || !changed_) return false;
  thread_ = startThread("d4c-volumes", [this] { run(); });
  return thread_.joinable();
}

void Spaces::stop() {
  if (!thread_.joinable()) return;
  const uint64_t one = 1;
  [[maybe_unused]] const ssize_t written = write(stop_.get(), &one, sizeof one);
  thread_.join();
  const std::lock_guard<std::mutex> lock(mutex_);
  spaces_.clear();
  awaited_.clear();
  foreign_.reset();
}

void Spaces::wake() const {
  const uint64_t one = 1;
  [[maybe_unused]] const ssize_t written = write(changed_.get(), &one, sizeof one);
}

bool Spaces::cover(Root& root, pid_t tid, Owner owner) {
  const std::string name = readProcLink(tid, "ns/mnt");
  if (isOfHost(name)) return true;
  std::shared_ptr<Space> space;
  std::shared_ptr<Space> oldest;
  bool is_new = false;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    size_t count = 0;
    for (const auto& each : spaces_) {
      if (each->root.get() != &root) continue;
      if (each->name == name) space = each;
      if (++count == 2) oldest = each;
    }
    if (space == nullptr) {
      space = std::make_shared<Space>();
      space->root = root.shared_from_this();
      space->name = name;
      space->pid = processOf(tid);
      errno = 0;
      space->process = Descriptor(static_cast<int>(syscall(SYS_pidfd_open, space->pid, 0)));
      space->table = openProc(tid, "mountinfo", O_RDONLY);
      space->is_of_member = owner == Owner::kMember;
      const bool is_stranger = !space->is_of_member && mountsOfSpace(*space).empty();
      if (isOutOfDescriptors(errno)) {
        countUnread(root, errno);
        return false;
      }
      // It has ended, and nobody waits for it; or it has nothing to do with the root filesystem.
      if (!space->table || is_stranger) return true;
      is_new = true;
      if (space->process) spaces_.push_back(space);
      // The first is that of the container's own processes; the next oldest goes.
      if (count < kMaxSpacesOfRoot) oldest = nullptr;
    } else {
      oldest = nullptr;
    }
  }
  if (oldest != nullptr) end(oldest);
  bool is_marked = true;
  {
    // Whoever comes while another thread marks waits for it here.
    const std::lock_guard<std::mutex> lock(space->mutex);
    const bool is_promoted = owner == Owner::kMember && !space->is_of_member.exchange(true);
    // A task of the runtime is held because it may have just mounted the last volume.
    const bool is_needed = is_new || is_promoted || owner == Owner::kRuntime || space->watched != root.needed();
    if (is_needed) is_marked = mark(space.get());
  }
  if (is_new) wake();
  if (is_marked || space->is_unread) return is_marked;
  if (is_new) {
    drop(space);
    return false;
  }
  // This task is still there.
  end(space);
  return cover(root, tid, owner);
}

/// KERNEL: a table is written as seen from the root directory that its reader's process had when the table was opened,
/// which a runtime exchanges. So it is opened anew each time.
std::vector<Mount> Spaces::mountsOfSpace(const Space& space) {
  std::vector<Mount> mounts = mountsOf(readWhole(openProc(space.pid, "mountinfo", O_RDONLY)), kMaxRead);
  return space.is_of_member ? std::move(mounts) : mountsWithin(std::move(mounts), space.root->place.device);
}

/// Whether what was read of the process until now was of this process, in this namespace.
bool Spaces::isStillThere(const Space& space) {
  const std::string name = readProcLink(space.pid, "ns/mnt");
  return name == space.name && syscall(SYS_pidfd_send_signal, space.process.get(), 0, nullptr, 0) == 0;
}

void Spaces::refresh(const Root& root) {
  for (const auto& space : all()) {
    if (space->root.get() != &root) continue;
    const std::lock_guard<std::mutex> lock(space->mutex);
    mark(space.get());
  }
}

bool Spaces::mark(Space* space) {
  const Watch needed = space->root->needed();
  if (space->is_over) return false;
  if (needed == Watch::kNothing && space->watched == Watch::kNothing) return true;
  const auto putOff = [&] {
    if (!space->is_unread.exchange(true)) countUnread(*space->root, EMFILE);
    return false;
  };
  errno = 0;
  std::vector<Mount> mounts = mountsOfSpace(*space);
  const Descriptor directory = openProc(space->pid, "root", O_PATH | O_DIRECTORY);
  // What could not be read is no empty table.
  if (isOutOfDescriptors(errno)) return putOff();
  if (!directory || !isStillThere(*space)) return false;
  const std::string& where = space->root->place.mount_point;
  const auto refuse = [&](const Mount& mount, const std::string& why) {
    if (space->refused.size() > kMaxVolumes || !space->refused.insert(mount.id).second) return;
    space->root->has_unwatched = true;
    reports_->fail(Failure::kVolumeUnwatched, "`" + where + "`: `" + mount.mount_point + "`: " + why);
  };
  if (mounts.size() > kMaxVolumes) refuse(mounts[kMaxVolumes], "it has more mounts than are watched");
  mounts.resize(std::min(mounts.size(), kMaxVolumes));
  bool is_whole = true;
  auto volumes = watchVolumes(*space->root, foreign_.get(), directory.get(), mounts, needed, refuse, &is_whole);
  if (!is_whole) return putOff();
  // While a runtime mounts, nothing runs that could change a file; from the first program on the way to a mount is another one.
  if (space->root->tells_changes && space->is_of_member) take_volumes_(*space->root, space->name, space->pid, std::move(volumes));
  space->watched = needed;
  space->is_unread = false;
  return true;
}

void Spaces::countUnread(const Root& root, int error) const {
  reports_->fail(Failure::kVolumeUnwatched, "`" + root.place.mount_point + "`: its mounts cannot be read: " + std::strerror(error));
}

void Spaces::forget(const Root& root) {
  const std::lock_guard<std::mutex> lock(mutex_);
  const auto isOf = [&](const auto& space) { return space->root.get() == &root; };
  spaces_.erase(std::remove_if(spaces_.begin(), spaces_.end(), isOf), spaces_.end());
}

void Spaces::drop(const std::shared_ptr<Space>& space) {
  space->is_over = true;
  const std::lock_guard<std::mutex> lock(mutex_);
  spaces_.erase(std::remove(spaces_.begin(), spaces_.end(), space), spaces_.end());
}

void Spaces::end(const std::shared_ptr<Space>& space) {
  drop(space);
  for (const auto& container : *space->root->containers()) {
    // Whatever else runs in it is covered anew at its next exec, if not at once.
    container->forgetMounts();
    const pid_t pid = container->pid.load(std::memory_order_relaxed);
    if (pid != 0 && pid != space->pid && readProcLink(pid, "ns/mnt") == space->name) cover(*space->root, pid, Owner::kMember);
  }
}

std::vector<std::shared_ptr<Spaces::Space>> Spaces::all() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return spaces_;
}

void Spaces::run() {
  for (;;) {
    const auto spaces = all();
    Clock::time_point wake_at;
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      wake_at = look_at_;
    }
    Clock::time_point now = Clock::now();
    std::vector<pollfd> polled = {{stop_.get(), POLLIN, 0}, {changed_.get(), POLLIN, 0}};
    for (const auto& space : spaces) {
      const bool rests = space->rests_until > now;
      if (rests) wake_at = std::min(wake_at, space->rests_until);
      if (space->is_unread) wake_at = std::min(wake_at, now + kUnreadPause);
      polled.push_back({space->process.get(), POLLIN, 0});
      polled.push_back({rests ? -1 : space->table.get(), POLLPRI, 0});
    }
    const bool sleeps = wake_at == Clock::time_point::max();
    const auto left = sleeps ? 0 : std::chrono::ceil<std::chrono::milliseconds>(wake_at - now).count();
    poll(polled.data(), polled.size(), sleeps ? -1 : static_cast<int>(std::max<int64_t>(left, 0)));
    if (polled[0].revents != 0) return;
    uint64_t ignored = 0;
    if (polled[1].revents != 0) [[maybe_unused]] const ssize_t size = read(changed_.get(), &ignored, sizeof ignored);
    for (size_t i = 0; i < spaces.size(); ++i) {
      if (polled[2 + 2 * i].revents != 0) {
        end(spaces[i]);
      } else if (polled[3 + 2 * i].revents != 0 || spaces[i]->is_unread) {
        now = Clock::now();
        const std::lock_guard<std::mutex> lock(spaces[i]->mutex);
        mark(spaces[i].get());
        const auto end_of_work = Clock::now();
        if (++spaces[i]->changes > kChangesWithoutRest) spaces[i]->rests_until = end_of_work + kSpacesRestFactor * (end_of_work - now);
      }
    }
    look();
  }
}

}  // namespace d4c
