#include "fid_batch.h"

#include <algorithm>
#include <optional>

#include "proc_stat.h"

namespace d4c {

namespace {

/// A task that has run for so long is past its rename, of which what is told lies a microsecond apart.
constexpr uint64_t kLongAfterNs = 1000 * 1000;

bool isRename(const FidEvent& event) { return (event.mask & kFanRename) && !(event.mask & FAN_ONDIR); }

/// KERNEL: two names that are exchanged (renameat2) are told as two renames, the second one backwards. So is a file of the image
/// that gets a name which the container has deleted: overlayfs exchanges it with the whiteout.
bool isExchange(const FidEvent& one, const FidEvent& other) {
  return isRename(one) && isRename(other) && one.target != other.target && one.folder == other.new_folder &&
         one.name == other.new_name && one.new_folder == other.folder && one.new_name == other.name;
}

}  // namespace

size_t FidBatch::add(std::string_view read) {
  std::string_view bytes = bytes_.emplace_back(read);
  const size_t before = events_.size();
  FidEvent event;
  while (takeEvent(&bytes, &event)) {
    const size_t at = events_.size();
    Neighbours neighbours;
    // KERNEL: between two events of one task there may be any number of others'. Whose those without a task are is not to be seen.
    const auto [last, is_first] = last_by_task_.try_emplace(event.tid, at);
    if (!is_first && (event.tid != 0 || last->second + 1 == at)) {
      neighbours.last = last->second;
      neighbours_[last->second].next = at;
    }
    last->second = at;
    events_.push_back(event);
    neighbours_.push_back(neighbours);
  }
  return events_.size() - before;
}

const FidEvent* FidBatch::replacedBy(size_t rename) const {
  const FidEvent& event = events_[rename];
  if (!isRename(event)) return nullptr;
  const FidEvent* const last = neighbour(neighbours_[rename].last);
  if (last != nullptr && isExchange(*last, event)) return last;
  const FidEvent* const next = neighbour(neighbours_[rename].next);
  if (next == nullptr || isExchange(event, *next)) return next;
  // KERNEL: the inode that had the name loses a link right after, by the same task and without a name.
  return (next->mask & FAN_ATTRIB) && next->folder.empty() ? next : nullptr;
}

std::vector<pid_t> FidBatch::renaming() const {
  std::vector<pid_t> tasks;
  for (size_t at = 0; at < events_.size(); ++at) {
    if (isRename(events_[at]) && !neighbours_[at].next && events_[at].tid != 0) tasks.push_back(events_[at].tid);
  }
  return tasks;
}

bool Renaming::mayBeInside(pid_t task) {
  // It sleeps nowhere between the two events; it may have been displaced there.
  if (blockedCall(task, calls_, Patience::kShort).rest != BlockedCall::Rest::kRunning) return false;
  const std::optional<uint64_t> runs = ranNs(task);
  return runs && *runs - ran_.try_emplace(task, *runs).first->second < kLongAfterNs;
}

bool Renaming::any(const std::vector<pid_t>& tasks) {
  return std::any_of(tasks.begin(), tasks.end(), [this](pid_t task) { return mayBeInside(task); });
}

}  // namespace d4c
