// The part that reads what the kernel tells of a filesystem, and knows how much of it was told.

#include <poll.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

#include "changes.h"

namespace d4c {

namespace {

constexpr size_t kChangesReadBytes = 65536;
/// An event has at most three file handles and two names.
constexpr size_t kLargestEvent = 2048;
/// So many events at most are looked at together.
constexpr size_t kMaxTogether = 4096;
/// For so long it is waited for what comes after a rename, also where its task was displaced by others.
constexpr std::chrono::milliseconds kRenameLasts(20);
constexpr int kLookAgainMs = 1;
/// After so many events those are looked at of which more was to be known.
constexpr size_t kSettleEvery = 256;

/// Whether the task is a thread of this process, which takes back what it refused.
bool isOwn(pid_t tid) { return tid != 0 && syscall(SYS_tgkill, getpid(), tid, 0) == 0; }

}  // namespace

/// Reads all that waits, unless that is very much, and says whether anything did. It counts as taken before anybody can see that it
/// waits no longer.
bool Changes::readInto(uint64_t name, int group, FidBatch* batch) {
  char events[kChangesReadBytes];
  const size_t before = batch->events().size();
  ssize_t got = sizeof events;
  while (got > static_cast<ssize_t>(sizeof events - kLargestEvent) && batch->events().size() < kMaxTogether) {
    const std::lock_guard<std::mutex> lock(seen_mutex_);
    got = ::read(group, events, sizeof events);
    if (got > 0) flows_[name].taken += batch->add({events, static_cast<size_t>(got)});
  }
  return batch->events().size() > before;
}

/// What waits, and of the renames in it what follows them: only together they tell what a rename was.
FidBatch Changes::readBatch(uint64_t name, int group) {
  const auto left = left_.extract(name);
  FidBatch batch(left ? left.mapped() : FidBatch::Rest());
  readInto(name, group, &batch);
  Renaming renaming(&calls_);
  const auto since = Clock::now();
  pollfd more{group, POLLIN, 0};
  while (batch.events().size() < kMaxTogether && Clock::now() - since < kRenameLasts) {
    const std::vector<pid_t> tasks = batch.renaming();
    if (tasks.empty()) break;
    if (readInto(name, group, &batch)) continue;
    if (!renaming.any(tasks)) break;
    ::poll(&more, 1, kLookAgainMs);
  }
  if (batch.events().size() >= kMaxTogether && ::poll(&more, 1, 0) > 0) left_[name] = batch.leave();
  return batch;
}

bool Changes::hasTold(dev_t device, std::optional<uint64_t>* number) const {
  const std::lock_guard<std::mutex> lock(seen_mutex_);
  const auto found = seen_.find(device);
  if (found == seen_.end()) return true;
  const auto flow = flows_.find(found->second.name);
  const Flow now = flow == flows_.end() ? Flow() : flow->second;
  if (!*number) {
    // KERNEL: it counts the heads of the events alone.
    int waiting = 0;
    if (ioctl(found->second.group, FIONREAD, &waiting) != 0) return true;
    *number = now.taken + static_cast<uint64_t>(waiting) / sizeof(fanotify_event_metadata);
  }
  return now.told >= **number;
}

/// Events were lost: all files have to be looked at again.
void Changes::forgetLearned(uint64_t name) {
  const std::lock_guard<std::mutex> lock(mutex_);
  for (auto& [device, filesystem] : filesystems_) {
    if (name != kOfVolumes ? device != name : static_cast<bool>(filesystem.group)) continue;
    for (const auto& [path, covered] : filesystem.roots) {
      if (const auto root = covered.lock()) root->upper.unlearn();
    }
    if (filesystem.files != nullptr) filesystem.files->unlearn();
    filesystem.too_large.clear();
    filesystem.is_new = true;
  }
}

void Changes::read(uint64_t name, int group) {
  std::map<dev_t, Anchor> anchors;
  if (name != kOfVolumes) prepare(name, &anchors[name]);
  FidBatch batch = readBatch(name, group);
  for (size_t at = 0; at < batch.end(); ++at) {
    takeNext(name, &batch, at, &anchors);
    if (at < batch.first()) continue;
    if (at % kSettleEvery == kSettleEvery - 1) settle(0);
    const std::lock_guard<std::mutex> lock(seen_mutex_);
    ++flows_[name].told;
  }
}

/// Of an event that was told before, only what it takes to tell those after it.
void Changes::takeNext(uint64_t name, FidBatch* batch, size_t at, std::map<dev_t, Anchor>* anchors) {
  const FidEvent& event = batch->events()[at];
  const bool is_told = at < batch->first();
  if (event.mask & FAN_Q_OVERFLOW) {
    if (is_told) return;
    reports_->fail(Failure::kChangesLost, "the kernel's queue was full");
    forgetLearned(name);
    anchors->clear();
    return;
  }
  if (isOwn(event.tid)) return;
  const dev_t device = name == kOfVolumes ? deviceOf(event.filesystem) : name;
  // Nobody has it any more.
  if (device == 0) return;
  const auto [anchor, is_new] = anchors->try_emplace(device);
  if (is_new) prepare(device, &anchor->second);
  const Descriptor& mount = anchor->second.at;
  if (!mount) return;
  const auto linksOf = [&](Handle file) -> uint64_t {
    const Descriptor found = openHandle(mount.get(), file);
    struct stat links {};
    // KERNEL: ENOMEM of one that is being freed.
    if (!found) return errno == ESTALE || errno == ENOMEM ? 0 : UINT64_MAX;
    return fstat(found.get(), &links) == 0 ? links.st_nlink : UINT64_MAX;
  };
  const FidBatch::Replaced replaced = batch->replacedBy(at, linksOf);
  if (!is_told) take(device, anchor->second, event, replaced);
}

}  // namespace d4c
