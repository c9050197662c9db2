// The upper directory of a container's root filesystem, where its changes are, and what is remembered of the files there.
//
// Owns no descriptor: one would keep the filesystem from being unmounted. The filesystem that holds the upper directory is
// never marked with permission events, so its files may be opened. Every function may be called by any thread.
#pragma once

#include <sys/stat.h>

#include <atomic>
#include <cstdint>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "descriptor.h"
#include "files.h"
#include "opened.h"

namespace d4c {

class Upper : public Files {
 public:
  /// Paths as the mount table says them; a layer's may be relative to the folder of the runtime's layers. `host_root` is
  /// where this process sees the host's root filesystem. The layers of the image come highest first.
  /// What is remembered is taken from the account.
  Upper(const std::string& upper_path, const std::string& host_root, const std::vector<std::string>& layer_paths,
        std::shared_ptr<Account> account);

  /// Paths as this process sees them.
  const std::string directory;
  const std::vector<std::string> layers;

  /// What a path of the container is in one of the directories, with O_PATH. No symlink is followed, since the kernel
  /// gives paths that are resolved.
  static Descriptor openIn(const std::string& directory, const std::string& path);
  /// What the image has under the path, from the highest layer that has it.
  Descriptor openInImage(const std::string& path) const { return openIn(layers, path); }
  static Descriptor openIn(const std::vector<std::string>& layers, const std::string& path);

  /// Remembers that the task is about to open the file to write, and tells whether that is what it did last: the open copies a
  /// file of the image up.
  void noteWriter(pid_t tid, const std::string& path);
  bool isWriter(pid_t tid, const std::string& path) const;

  /// Whether every executable that is there was looked at, so that what is not known had no execute bit.
  bool hasLearned() const { return Files::hasLearned(""); }
  void forget(uint64_t inode);
  /// Whether the file was copied up from the image, so that it is no new one. KERNEL: of an image's file with several names
  /// overlayfs does not keep where it came from, so that has to be remembered. `at` may be a descriptor with O_PATH.
  bool isCopiedUp(int at, uint64_t inode) const;
  void noteCopiedUp(uint64_t inode);
  /// Whether the image's files of the folder show: it was not deleted and made anew.
  bool showsImage(const std::string& path) const;
  /// The file's names that the image has too, of at most `max_files` looked at.
  std::vector<std::string> namesInImage(uint64_t inode, size_t max_files) const;
  /// What looking at every file there is has given.
  struct Look {
    std::vector<uint64_t> executables;
    std::unordered_set<uint64_t> copied_up;
  };
  /// Nothing when there are more files than `max_files` in the directory.
  static std::optional<Look> look(const std::string& directory, const std::vector<std::string>& layers, size_t max_files, WalkSteps* steps);
  /// Where there is no room for it, what is known is incomplete.
  void learn(Look look);

  /// Whether a file that was made then can lie in the upper directory. What is older is the image's.
  bool mayHold(int64_t birth_ns) const {
    const int64_t since_ns = since_ns_.load(std::memory_order_relaxed);
    return since_ns == 0 || birth_ns == 0 || birth_ns >= since_ns;
  }
  /// Somebody has set the clock. What is made from now on may seem to be older than the directory.
  void onClockSet();
  /// What was made since then may lie in the directory, however young that seems to be.
  void mayHoldSince(int64_t clock_ns);
  /// What may bar the file from being executed under the path in the container on this root filesystem.
  std::vector<Containment> contained(const Opened& file, const std::string& path, dev_t root) const;

  /// What comparing this file, as it is, with the image's has given.
  std::optional<bool> comparedBefore(const struct stat& file) const;
  void rememberCompared(const struct stat& file, bool is_same);

 private:
  struct Compared {
    timespec changed;
    off_t size;
    bool is_same;
  };

  /// When the directory was made, or what the clock was set back to since; 0 when it is not told.
  std::atomic<int64_t> since_ns_{0};
  mutable std::mutex mutex_;
  std::unordered_map<uint64_t, Compared> compared_;
  Purse compared_purse_;
  std::unordered_map<pid_t, std::string> writers_;
  Purse writers_purse_;
  std::unordered_set<uint64_t> copied_up_;
  Purse copied_up_purse_;
};

/// The stand-in for a name of the image that was deleted.
inline bool isWhiteout(const struct stat& file) { return S_ISCHR(file.st_mode) && file.st_rdev == 0; }

}  // namespace d4c
