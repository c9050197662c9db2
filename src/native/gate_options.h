// What a gate is opened with, and what it says of itself.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "settings.h"

namespace d4c {

struct GateOptions {
  Settings settings{};
  size_t max_events = 16384;
  size_t max_groups = 1000000;
  /// Where the host's root filesystem is seen by this process.
  std::string host_root = "/";
  /// Directories whose filesystems are never marked.
  std::vector<std::string> never_mark{};
  /// Whether a gate is of use to the agent that can refuse nothing, and only hears of what has happened.
  bool may_only_hear = false;
  /// Called by any thread when there are reports; must not wait.
  std::function<void()> wake{};
};

/// Why there is no gate, by the codes of src/errors.ts.
struct GateFault {
  const char* code;
  std::string message;
};

struct GateStats {
  uint64_t verdicts = 0;
  uint64_t denied = 0;
  uint64_t unknown = 0;
  uint64_t held = 0;
  uint64_t groups = 0;
  uint64_t roots = 0;
  uint64_t dropped = 0;
  uint64_t late = 0;
};

}  // namespace d4c
