// Events of a FID group that belong together, each with those beside it that its task caused.
#pragma once

#include <deque>
#include <functional>
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
  /// The last events of a batch that could not take all that waits: what they belong to may come after them, or before.
  struct Rest {
    std::string bytes;
    /// So many of them were told.
    size_t told = 0;
  };
  explicit FidBatch(const Rest& before) : first_(before.told) { add(before.bytes); }
  // The events lie in its bytes.
  FidBatch(FidBatch&&) = default;
  FidBatch& operator=(FidBatch&&) = default;

  /// Takes what was read next. Gives how many events these are.
  size_t add(std::string_view read);

  /// Leaves the last events to the batch after it.
  Rest leave();

  const std::vector<FidEvent>& events() const { return events_; }
  /// Those that are to be told now, from the first one to before the end.
  size_t first() const { return first_; }
  size_t end() const { return events_.size() - left_; }
  /// What had the new name of a rename before.
  struct Replaced {
    /// The event that tells of it; null when there is none, as of a name that was free.
    const FidEvent* event = nullptr;
    /// Otherwise the name may have been free.
    bool is_certain = true;
  };
  /// Of each event once, in their order. Of anything but a rename there is none. `linksOf` gives how many names a file has now.
  Replaced replacedBy(size_t rename, const std::function<uint64_t(Handle)>& linksOf);
  /// The tasks that renamed something last: what the kernel says after that may not be here yet.
  std::vector<pid_t> renaming() const;

 private:
  /// What the event's task caused right before, and right after.
  struct Neighbours {
    std::optional<size_t> last;
    std::optional<size_t> next;
  };
  /// Names that a file got and lost, as the events tell.
  struct Links {
    /// Whether the first thing that is told of it is a name that it got.
    bool is_new = false;
    int64_t got = 0;
    int64_t lost = 0;
    /// How many it should have at least.
    int64_t expected() const { return (is_new ? 0 : 1) + got - lost; }
  };
  void count(const FidEvent& event);
  Replaced mergedBefore(size_t rename, const std::function<uint64_t(Handle)>& linksOf);
  const FidEvent* neighbour(std::optional<size_t> at) const { return at ? &events_[*at] : nullptr; }

  std::deque<std::string> bytes_;
  std::vector<FidEvent> events_;
  /// The bytes of each.
  std::vector<std::string_view> read_;
  size_t first_ = 0;
  size_t left_ = 0;
  std::vector<Neighbours> neighbours_;
  /// Where the last event of each task is.
  std::unordered_map<pid_t, size_t> last_by_task_;
  std::unordered_map<Handle, Links> links_;
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
