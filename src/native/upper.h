// The upper directory of a container's root filesystem, where its changes are, and what is remembered of the files there.
//
// Owns no descriptor: one would keep the filesystem from being unmounted. The filesystem that holds the upper directory is
// never marked with permission events, so its files may be opened. Every function may be called by any thread.
#pragma once

#include <sys/stat.h>

#include <chrono>
#include <cstdint>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "descriptor.h"

namespace d4c {

class Upper {
 public:
  /// Paths as the mount table says them; a layer's may be relative to the folder of the runtime's layers. `host_root` is
  /// where this process sees the host's root filesystem. The layers of the image come highest first.
  Upper(const std::string& upper_path, const std::string& host_root, const std::vector<std::string>& layer_paths);

  /// Paths as this process sees them.
  const std::string directory;
  const std::vector<std::string> layers;

  /// What a path of the container is in one of the directories, with O_PATH. No symlink is followed, since the kernel
  /// gives paths that are resolved.
  static Descriptor openIn(const std::string& directory, const std::string& path);
  /// What the image has under the path, from the highest layer that has it.
  Descriptor openInImage(const std::string& path) const;

  /// Remembers that an open which created the file was decided, so that its creation is not told a second time.
  void claim(pid_t tid, uint64_t inode, mode_t mode);
  /// The file's mode when it was created by an open that was decided. Forgets it.
  std::optional<mode_t> takeClaim(pid_t tid, uint64_t inode);

  /// Whether the file of the upper directory had an execute bit when it was last looked at; nothing when it never was.
  std::optional<bool> wasExecutable(uint64_t inode) const;
  /// Whether every executable that is there was looked at, so that what is not known had no execute bit.
  bool hasLearned() const;
  void noteExecutable(uint64_t inode, bool is_executable);
  void forget(uint64_t inode);
  /// Looks at every file there is. False when there are more than `max_files`; what is known is then incomplete.
  bool learn(size_t max_files);

 private:
  using Clock = std::chrono::steady_clock;
  struct Claim {
    mode_t mode;
    Clock::time_point since;
  };

  mutable std::mutex mutex_;
  std::map<std::pair<pid_t, uint64_t>, Claim> claims_;
  std::unordered_map<uint64_t, bool> executables_;
  bool has_learned_ = false;
};

/// Whether the file was copied up from the image's layers, so that it is no new one. `at` is a descriptor, also one with O_PATH.
bool isCopiedUp(int at);

/// The stand-in for a name of the image that was deleted.
inline bool isWhiteout(const struct stat& file) { return S_ISCHR(file.st_mode) && file.st_rdev == 0; }

}  // namespace d4c
