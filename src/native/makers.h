// Which process has created which file of a filesystem, until somebody asks: who has created a file by an open has not changed it
// by what it wrote through that.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <list>
#include <unordered_map>

namespace d4c {

/// Under its owner's lock.
class Makers {
 public:
  /// The oldest one goes when there are more than `most`.
  explicit Makers(size_t most) : most_(most) {}

  void note(uint64_t inode, pid_t tid);
  /// Whether the task's process has created this inode, and has not been asked for since.
  bool take(pid_t tid, uint64_t inode);
  size_t size() const { return made_.size(); }

 private:
  const size_t most_;
  /// By inode.
  std::unordered_map<uint64_t, pid_t> makers_;
  /// A list takes nothing while it is empty, as it is for most filesystems; a deque would take 600 bytes for each.
  std::list<uint64_t> made_;
};

}  // namespace d4c
