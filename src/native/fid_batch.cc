#include "fid_batch.h"

#include <algorithm>
#include <optional>

#include "proc_stat.h"

namespace d4c {

namespace {

/// A task that has run for so long is past its rename, of which what is told lies a microsecond apart.
constexpr uint64_t kLongAfterNs = 1000 * 1000;
/// How many events of its task before a rename are looked at, and of how many files it is asked how many names they have.
constexpr int kMaxBefore = 64;
constexpr int kMaxAsked = 4;
/// How many events are left to the batch after it, and of those before them are shown to it again.
constexpr size_t kMaxLeft = 64;
constexpr size_t kMaxShown = 256;

bool isRename(const FidEvent& event) { return (event.mask & kFanRename) && !(event.mask & FAN_ONDIR); }

/// KERNEL: two names that are exchanged (renameat2) are told as two renames, the second one backwards. So is a file of the image
/// that gets a name which the container has deleted: overlayfs exchanges it with the whiteout.
bool isExchange(const FidEvent& one, const FidEvent& other) {
  return isRename(one) && isRename(other) && one.target != other.target && one.folder == other.new_folder &&
         one.name == other.new_name && one.new_folder == other.folder && one.new_name == other.name;
}

/// KERNEL: a file that gets or loses a name is told of without a name, besides with the name.
bool isOfLinks(const FidEvent& event) { return (event.mask & FAN_ATTRIB) && event.folder.empty(); }

}  // namespace

void FidBatch::count(const FidEvent& event) {
  const bool gets = (event.mask & FAN_CREATE) && !(event.mask & FAN_ONDIR);
  const bool loses = (event.mask & FAN_DELETE) && !(event.mask & FAN_ONDIR);
  if (!gets && !loses && !isOfLinks(event)) return;
  const auto [links, is_first] = links_.try_emplace(event.target);
  if (is_first) links->second.is_new = gets;
  links->second.got += gets;
  links->second.lost += loses;
}

size_t FidBatch::add(std::string_view read) {
  std::string_view bytes = bytes_.emplace_back(read);
  const size_t before = events_.size();
  FidEvent event;
  for (std::string_view all = bytes; takeEvent(&bytes, &event); all = bytes) {
    const size_t at = events_.size();
    Neighbours neighbours;
    // KERNEL: between two events of one task there may be any number of others'. Whose those without a task are is not to be seen.
    const auto [last, is_first] = last_by_task_.try_emplace(event.tid, at);
    if (!is_first && (event.tid != 0 || last->second + 1 == at)) {
      neighbours.last = last->second;
      neighbours_[last->second].next = at;
    }
    last->second = at;
    count(event);
    events_.push_back(event);
    read_.push_back(all.substr(0, all.size() - bytes.size()));
    neighbours_.push_back(neighbours);
  }
  return events_.size() - before;
}

FidBatch::Rest FidBatch::leave() {
  left_ = std::min(kMaxLeft, events_.size() - first_);
  Rest rest;
  rest.told = std::min(kMaxShown, end());
  for (size_t at = end() - rest.told; at < read_.size(); ++at) rest.bytes.append(read_[at]);
  return rest;
}

FidBatch::Replaced FidBatch::replacedBy(size_t rename, const std::function<uint64_t(Handle)>& linksOf) {
  const FidEvent& event = events_[rename];
  if (!isRename(event)) return {};
  const FidEvent* const last = neighbour(neighbours_[rename].last);
  if (last != nullptr && isExchange(*last, event)) return {last};
  const FidEvent* const next = neighbour(neighbours_[rename].next);
  if (next != nullptr && isExchange(event, *next)) return {next};
  // Right after, by the same task. So does a file that the task gives another name, or takes one from, when it is done with the rename.
  if (next != nullptr && isOfLinks(*next)) {
    const FidEvent* const after = neighbour(neighbours_[*neighbours_[rename].next].next);
    const bool is_of_name = after != nullptr && after->target == next->target && !after->folder.empty();
    if (!is_of_name || !(after->mask & FAN_CREATE)) {
      ++links_[next->target].lost;
      return {next, !is_of_name || !(after->mask & FAN_DELETE)};
    }
  }
  return mergedBefore(rename, linksOf);
}

/// KERNEL: what tells of the file that was replaced is part of an event that tells the same of it, where that has not been read
/// yet. So it is with a program that gets a second name while it is replaced.
FidBatch::Replaced FidBatch::mergedBefore(size_t rename, const std::function<uint64_t(Handle)>& linksOf) {
  int asked = 0;
  auto at = neighbours_[rename].last;
  for (int i = 0; at && i < kMaxBefore && asked < kMaxAsked; ++i, at = neighbours_[*at].last) {
    const FidEvent& before = events_[*at];
    if (!isOfLinks(before) || before.target == events_[rename].target) continue;
    ++asked;
    Links& links = links_[before.target];
    if (links.expected() <= 0 || linksOf(before.target) >= static_cast<uint64_t>(links.expected())) continue;
    ++links.lost;
    return {&before, false};
  }
  return {};
}

std::vector<pid_t> FidBatch::renaming() const {
  std::vector<pid_t> tasks;
  for (const auto& [task, at] : last_by_task_) {
    const auto before = isOfLinks(events_[at]) ? neighbours_[at].last : at;
    if (task != 0 && before && isRename(events_[*before])) tasks.push_back(task);
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
