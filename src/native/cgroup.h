// Which container a task belongs to, by its cgroup. A process of a container stays at or below the cgroup in
// which its runtime put it, whatever it does to its namespaces and its root; leaving needs power over the host.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <string_view>

namespace d4c {

/// The text of /proc/<tid>/cgroup; empty when the task is gone. Nothing, with `errno` set, when it cannot be read whole: as a
/// rule, since there is no descriptor left (EMFILE).
std::optional<std::string> readCgroups(pid_t tid);

/// One cgroup: the hierarchy it is in, as a line of /proc/<tid>/cgroup begins (`4:memory:`), and its path.
struct Cgroup {
  std::string hierarchy;
  std::string path;

  bool isUnified() const { return hierarchy == "0::"; }
  /// Whether the text of a task's cgroups has this cgroup or one below it.
  bool contains(std::string_view cgroups) const;
};

/// The cgroup by which the members of a task's container are known: its own in the unified hierarchy, or else
/// the deepest of all that is not that of the host's own processes (`own` is the text for this process). An
/// empty path when there is none.
Cgroup cgroupOfContainer(std::string_view cgroups, std::string_view own);

/// Whether the task's mount namespace is neither this process's nor that of pid 1. Needs no descriptor.
bool livesApart(pid_t tid);

/// Whether the task lives in a container that has `device` as its root: its root directory is on it, and it
/// lives apart. Needs no descriptor.
bool livesOn(pid_t tid, dev_t device);

/// Whether the task, with these cgroups, is of the container that is known by this one, and has `device` as its root. Without a cgroup
/// of its own, the mount namespace tells the container from the host.
bool isMember(const Cgroup& cgroup, dev_t device, std::string_view cgroups, pid_t tid);

}  // namespace d4c
