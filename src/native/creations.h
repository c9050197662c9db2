// Which files were created by which task, on the filesystem that holds the containers' upper directories.
//
// A permission event does not say whether the open created the file. The backing filesystem's FID group does:
// its CREATE event, with the same task and inode, is queued before the permission event can be read.
//
// Owns one notification group for one filesystem. Of each task only the last creation counts: a task that waits
// for a verdict can create nothing else. Any thread may call; a call reads what is queued and never waits.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>

#include "low_descriptor.h"
#include "makers.h"

namespace d4c {

class Creations {
 public:
  /// Begins to watch the filesystem of the directory; a fault when it cannot be watched or when its file
  /// handles do not show inode numbers. KERNEL: 5.17, for FAN_REPORT_TARGET_FID.
  /// `keeps_makers`: also for `madeBy`.
  static std::unique_ptr<Creations> watch(const std::string& directory, bool keeps_makers, std::string* fault);

  /// As `watch`, where that was done before: the filesystem may have been mounted anew, or another one have its number, of which this
  /// group is told nothing. False with a fault when it is not watched. Any thread.
  bool watchAgain(const std::string& directory, std::string* fault) const;

  /// To be polled: becomes readable when creations are queued.
  int descriptor() const { return group_.get(); }

  /// Takes in what is queued.
  void drain();

  /// Whether the task's last creation is this inode. Forgets it.
  bool createdBy(pid_t tid, uint64_t inode);

  /// The filesystem that is watched.
  dev_t device() const { return device_; }
  /// Whether the task's process has created this inode, and nobody has asked for it since.
  bool madeBy(pid_t tid, uint64_t inode);

 private:
  /// Files that were created and not closed yet, of which is known who created them.
  static constexpr size_t kMaxMade = 65536;

  Creations(LowDescriptor group, dev_t device, bool keeps_makers)
      : group_(std::move(group)), device_(device), keeps_makers_(keeps_makers) {}
  static bool mark(const LowDescriptor& group, int at, const std::string& directory, std::string* fault);
  void drainLocked();
  void forgetTheDead();

  const LowDescriptor group_;
  const dev_t device_;
  const bool keeps_makers_;
  std::mutex mutex_;
  std::unordered_map<pid_t, uint64_t> last_by_task_;
  size_t sweep_at_ = 8192;
  /// Also the host creates files here.
  Makers makers_{kMaxMade};
};

}  // namespace d4c
