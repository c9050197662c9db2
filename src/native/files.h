// What is remembered of the files of one place, by their inodes: which can be executed, which an open has just created, and
// which must not be executed. Owns no descriptor. Every function may be called by any thread.
#pragma once

#include <sys/stat.h>
#include <sys/types.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "budget.h"
#include "containments.h"
#include "descriptor.h"
#include "makers.h"

namespace d4c {

using VisitFile = std::function<bool(const std::string& path, uint64_t inode, mode_t mode)>;
/// How many entries somebody has looked at; for others to see that it gets on.
using WalkSteps = std::atomic<size_t>;

/// Visits the regular files below the directory, on its mount alone. Their paths start with `/` there. False when there are more
/// entries than `max_files` or too many deep folders, or `visit` says that it is enough. Opens directories alone, which raises no
/// permission event here, but may where a container has asked for them.
bool walkFiles(int directory, size_t max_files, const VisitFile& visit, WalkSteps* steps = nullptr);
/// The inodes of the executables below the directory; nothing where `walkFiles` gives false.
std::optional<std::vector<uint64_t>> executablesBelow(int directory, size_t max_files, WalkSteps* steps);

class Files {
 public:
  /// What is remembered is taken from the account.
  explicit Files(std::shared_ptr<Account> account);

  /// Remembers that an open which created the file was decided, so that its creation is not told a second time.
  void claim(pid_t tid, uint64_t inode, mode_t mode);
  /// The file's mode when it was created by an open that was decided. Forgets it.
  std::optional<mode_t> takeClaim(pid_t tid, uint64_t inode);

  /// Remembers who has created the file, where no open is asked about.
  void noteMaker(uint64_t inode, pid_t tid);
  /// Whether the task's process has created the file, and nobody has asked for it since.
  bool takeMade(pid_t tid, uint64_t inode);

  /// Whether the file had an execute bit when it was last looked at; nothing when it never was.
  std::optional<bool> wasExecutable(uint64_t inode) const;
  void noteExecutable(uint64_t inode, bool is_executable);
  void forget(uint64_t inode);
  /// Whether every executable of the folder was looked at, so that what is not known there had no execute bit.
  bool hasLearned(const std::string& folder) const;
  /// These are the inodes of all executables in the folder. False when there is no room for them.
  bool haveLearned(const std::string& folder, const std::vector<uint64_t>& executables);
  /// Every folder has to be looked at again.
  void unlearn();

  /// By when the file was made, in nanoseconds since 1970, which an exec of it shows. False when there is no room for more.
  bool contain(int64_t birth_ns, Containment containment);
  bool hasContained() const;
  /// Whether there are any of files that were made then: in the same tick of the clock there may be several.
  bool hasContained(int64_t birth_ns) const;
  /// What may bar the file from being executed under the path (empty: unknown) in the container on this root filesystem. In
  /// others, a file is barred under every path.
  std::vector<Containment> containedOf(int64_t birth_ns, uint64_t inode, const std::string& path, dev_t root) const;

 private:
  using Clock = std::chrono::steady_clock;
  /// So many are kept before those that are too old are looked for.
  static constexpr size_t kMaxClaims = 4096;
  /// Files that were created and not closed yet.
  static constexpr size_t kMaxMade = 4096;
  struct Claim {
    mode_t mode;
    Clock::time_point since;
  };

  // Under the lock.
  void sweepClaims(Clock::time_point now);
  void forgetExecutables();

  mutable std::mutex mutex_;
  Containments contained_;
  /// Several of one task and inode, in their order: a number is used again as soon as a refused file is removed.
  std::multimap<std::pair<pid_t, uint64_t>, Claim> claims_;
  Purse claims_purse_;
  size_t sweep_at_ = kMaxClaims;
  Clock::time_point swept_at_{};
  Makers makers_{kMaxMade};
  Purse makers_purse_;
  std::unordered_map<uint64_t, bool> executables_;
  std::set<std::string> learned_;
  /// Of these two.
  Purse executables_purse_;
};

}  // namespace d4c
