// Events of a FID group that belong together, each with those beside it that its task caused.
#pragma once

#include <deque>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "fid_events.h"
#include "syscalls.h"

namespace d4c {

/// Owns the bytes that were read.
class FidBatch {
 public:
  FidBatch() = default;
  // The events lie in its bytes.
  FidBatch(FidBatch&&) = default;
  FidBatch& operator=(FidBatch&&) = default;

  /// Takes what was read next. Gives how many events these are.
  size_t add(std::string_view read);

  const std::vector<FidEvent>& events() const { return events_; }
  /// Of a rename: the event that tells of the file which had the new name before; null when there is none, as of a name that was
  /// free, and of any other event.
  const FidEvent* replacedBy(size_t rename) const;
  /// The tasks of which the last event is a rename: what the kernel says after it may not be here yet.
  std::vector<pid_t> renaming() const;

 private:
  /// What the event's task caused right before, and right after.
  struct Neighbours {
    std::optional<size_t> last;
    std::optional<size_t> next;
  };
  const FidEvent* neighbour(std::optional<size_t> at) const { return at ? &events_[*at] : nullptr; }

  std::deque<std::string> bytes_;
  std::vector<FidEvent> events_;
  std::vector<Neighbours> neighbours_;
  /// Where the last event of each task is.
  std::unordered_map<pid_t, size_t> last_by_task_;
};

/// Tasks that were seen to rename, for as long as they may not have come back from that.
class Renaming {
 public:
  explicit Renaming(CallFiles* calls) : calls_(calls) {}
  /// Whether one of them may still be in its rename.
  bool any(const std::vector<pid_t>& tasks);

 private:
  bool mayBeInside(pid_t task);

  CallFiles* const calls_;
  /// For how long each had run when it was first asked for, in nanoseconds.
  std::unordered_map<pid_t, uint64_t> ran_;
};

}  // namespace d4c
