// To whom a process belongs: the leaders of its group and session, and the process with which somebody came in.
//
// The entry leader is found as the open session model of Elastic's Beats finds it (docs/events.md). What was found is kept
// for as long as the process lives, and for those that have ended until the table is full: a child may ask for them. What was
// found while others could not be looked at for want of a descriptor holds for that time alone.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <unordered_map>

#include "processes.h"

namespace d4c {

/// Nothing for a leader that is the process itself or its parent, of which all is told anyway, that has ended, or that there is none.
struct Leaders {
  std::optional<Process> group;
  std::optional<Process> session;
  std::optional<Process> entry;
  /// Also when it is the process itself or its parent; 0 without an entry leader.
  pid_t entry_pid = 0;
  /// How somebody came in: `container`, `terminal`, ...; null without an entry leader.
  const char* entry_type = nullptr;
};

class Lineage {
 public:
  explicit Lineage(Parents* parents) : parents_(parents) {}

  /// Of a process as it was read; `parent` is null when that could not be. Reads /proc of others, so that nobody should wait
  /// for it. Any thread.
  Leaders of(const Process& process, const Process* parent);

 private:
  struct Entry {
    Process leader;
    const char* type;
  };
  struct Known {
    uint64_t start_ticks;
    bool leads_session;
    std::shared_ptr<const Entry> entry;
  };
  /// From a process to others, until its entry is found.
  struct Walk {
    size_t steps = 0;
    /// Something was not looked at that may be there.
    bool is_guess = false;
  };
  /// What is needed of a process again, after those above it were looked at.
  struct Step {
    pid_t pid;
    uint64_t start_ticks;
    pid_t group;
    pid_t session;
    bool leadsSession() const { return session == pid; }
  };

  std::shared_ptr<const Entry> entryOf(const Process& process, int jumps, Walk* walk);
  std::shared_ptr<const Entry> entryOfOther(pid_t pid, int jumps, Walk* walk);
  std::shared_ptr<const Entry> entryAt(const Process& leader, const char* type);
  bool isKnown(const Process& process, std::shared_ptr<const Entry>* entry);
  void keep(const Step& step, std::shared_ptr<const Entry> entry);

  Parents* const parents_;
  std::mutex mutex_;
  std::unordered_map<pid_t, Known> known_;
  /// Of all entries that came since it was empty.
  size_t bytes_ = 0;
};

}  // namespace d4c
