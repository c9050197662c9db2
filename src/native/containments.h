// Which files of one place must not be executed, and why. A file can have tens of thousands of names for which that is so: neither
// one more of them nor an exec looks at all of them.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "budget.h"

namespace d4c {

/// Why a file must not be executed: what brought it to be, and under what name.
struct Containment {
  uint64_t inode;
  std::string path;
  uint8_t operations;
  /// Under this name alone: it has another one, under which it was there before.
  bool only_there;
  /// The root filesystem of the container in which the path is one.
  dev_t root;
};

/// Under its owner's lock. Files go by when they were made, in nanoseconds since 1970, which an exec shows: several in the same tick
/// of the clock.
class Containments {
 public:
  explicit Containments(std::shared_ptr<Account> account) : purse_(std::move(account)) {}

  /// False when there is no room for more.
  bool add(int64_t birth_ns, Containment containment);
  bool isEmpty() const { return count_ == 0; }
  bool has(int64_t birth_ns) const { return by_birth_.count(birth_ns) != 0; }
  /// What may bar the file from being executed under the path (empty: unknown) in the container on this root filesystem. In
  /// others, a file is barred under every path.
  std::vector<Containment> of(int64_t birth_ns, uint64_t inode, const std::string& path, dev_t root) const;

 private:
  struct Known {
    std::vector<Containment> everywhere;
    /// By the path, which they do not have themselves.
    std::unordered_map<std::string, std::vector<Containment>> only_there;
    /// Of those that are `only_there`, each file, root filesystem and operation once, without a path.
    std::vector<Containment> kinds;
  };
  std::unordered_map<int64_t, Known> by_birth_;
  size_t count_ = 0;
  size_t bytes_ = 0;
  Purse purse_;
};

}  // namespace d4c
