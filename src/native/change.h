// A change of a container's root filesystem that raises no permission event, in terms of the container.
#pragma once

#include <sys/stat.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "files.h"
#include "processes.h"
#include "table.h"

namespace d4c {

/// How a file was changed, as documents name it.
enum class ChangeKind : uint8_t { kCreation, kLink, kRename, kAttributes, kDeletion, kModification };

struct Change {
  ChangeKind kind;
  /// 0 when it is not visible in this process's pid namespace. It may have ended.
  pid_t tid = 0;
  /// As the container sees it; of a rename, the new name.
  std::string path;
  /// Of a rename, what the file was called before.
  std::string old_path{};
  /// What happened at `path`, and at `old_path`.
  uint8_t operations = 0;
  uint8_t old_operations = 0;
  /// The file as it was when the event was read; false when it was gone by then.
  bool has_file = false;
  struct stat file {};
  /// When the file was made; of a file that was copied up, when that was.
  int64_t birth_ns = 0;
  /// Who did it, where that was read before the event could be told.
  std::optional<Process> process{};
  /// On what it was done; and on a volume, what is remembered of the files there, and a process that sees them as the
  /// container does.
  MountKind mount = MountKind::kRoot;
  std::shared_ptr<Files> files{};
  pid_t sees_it = 0;
  /// Whether it is an image's file that was copied up.
  bool is_copied_up = false;
  /// When it happened, in microseconds since 1970; 0: now.
  int64_t time_us = 0;

  bool isExecutable() const { return has_file && S_ISREG(file.st_mode) && (file.st_mode & 0111) != 0; }
};

}  // namespace d4c
