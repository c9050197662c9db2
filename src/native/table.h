// The decision table of one container: what its policies say of an event.
//
// A table is made whole from the bytes that `flatten` (src/node/flatten.ts) writes, and never changes. It is
// shared by pointer: who decides keeps the table it started with. The bytes may come from anywhere: every
// length is checked, and no bytes make `parse` do more than read them once.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "paths.h"

namespace d4c {

enum class Section : uint8_t { kFile, kProcess };

/// Bits, so that one event may be several operations. The numbers are part of the format.
enum Operation : uint8_t {
  kCreateExecutable = 1,
  kModifyExecutable = 2,
  kCreateFile = 4,
  kModifyFile = 8,
  kDeleteFile = 16,
  kFork = 32,
  kExec = 64,
};
constexpr int kOperationCount = 7;
/// The operations by which a program comes to be.
constexpr uint8_t kOnExecutables = kCreateExecutable | kModifyExecutable;
/// The operations that an open may be.
constexpr uint8_t kOpenOperations = kOnExecutables | kCreateFile | kModifyFile;

/// The operations that may come about without an open.
constexpr uint8_t kChangeOperations = kOpenOperations | kDeleteFile;

enum Action : uint8_t { kLog = 1, kAlert = 2, kBlock = 4 };

enum class MountKind : uint8_t { kRoot, kVolume, kVolumeFile };

/// Whether the session leader has a terminal. What could not be read meets no condition about it.
enum class Interactive : uint8_t { kUnknown, kNo, kYes };

enum class Verdict : uint8_t { kAllow, kDeny };

/// What one policy said: the union of the actions of the responses that fired, and their match selectors.
struct Fired {
  uint16_t policy;
  uint8_t actions;
  uint64_t selectors;
};

/// One event in policy terms. Creating or modifying an executable is implied to be creating or modifying a file.
struct Question {
  Section section;
  uint8_t operations;
  MountKind mount = MountKind::kRoot;
  Interactive interactive = Interactive::kUnknown;
  /// A match selector has to name the operations themselves; those that they imply count in excludes alone.
  bool is_exact = false;
};

/// What a thread decides in.
struct Scratch {
  PathScratch paths;
  /// For each policy, the selectors whose conditions about the path hold.
  std::vector<uint64_t> matched;
  /// As `matched`, for selectors of `exclude`: they differ when the path is unknown.
  std::vector<uint64_t> excluded;
  std::vector<Fired> fired;
};

class Table {
 public:
  /// Null when the bytes are no table; `fault` then says why.
  static std::shared_ptr<const Table> parse(const uint8_t* bytes, size_t size, std::string* fault);

  /// First step: looks the path up in the section. A path that could not be read meets the condition of every
  /// match selector and of no exclude selector, so that hiding a path never helps.
  void look(Section section, std::string_view path, Scratch* scratch) const;
  void lookUnknownPath(Section section, Scratch* scratch) const;
  /// The one or the other: an empty path is one that is not known.
  void lookIfKnown(Section section, std::string_view path, Scratch* scratch) const;

  /// After `look`: whether any of the operations on that path may make a response fire. Excludes do not count,
  /// since they may speak of other operations.
  bool mayFire(Section section, uint8_t operations, const Scratch& scratch) const;

  /// After `look`: leaves in `scratch->fired` what each policy says. Deny when any says `block`.
  Verdict decide(const Question& question, Scratch* scratch) const;

  /// Operations on which some response can fire.
  uint8_t operations() const { return operations_; }
  /// Whether some response of the section can say `block`.
  bool blocks(Section section) const { return blocks_[static_cast<size_t>(section)]; }
  /// Operations on which some response can block.
  uint8_t blockedOperations() const { return blocked_operations_; }
  /// Whether any selector asks whether the session is interactive.
  bool asksInteractive() const { return asks_interactive_; }
  /// Whether what `decide` denies is denied to the kernel, or only reported.
  bool enforces() const { return enforces_; }

 private:
  struct Rules {
    uint64_t as_match = 0;
    uint64_t as_exclude = 0;
    uint64_t without_path = 0;
    uint64_t without_name = 0;
    std::array<uint64_t, kOperationCount> by_operation{};
    std::array<uint64_t, 3> by_mount{};
    std::array<uint64_t, 3> by_interactive{};
    std::map<std::string, uint64_t, std::less<>> names;
    struct Response {
      uint64_t match;
      uint64_t exclude;
      uint8_t actions;
    };
    std::vector<Response> responses;
    /// Selectors that stand in some `match`.
    uint64_t in_match = 0;
  };
  friend class TableReader;

  static uint64_t ofOperations(const Rules& rules, uint8_t operations);
  const std::vector<Rules>& rulesOf(Section section) const { return rules_[static_cast<size_t>(section)]; }

  /// By section, then by policy.
  std::array<std::vector<Rules>, 2> rules_;
  std::array<PathTrie, 2> tries_;
  uint8_t operations_ = 0;
  uint8_t blocked_operations_ = 0;
  bool asks_interactive_ = false;
  std::array<bool, 2> blocks_{};
  bool enforces_ = true;
};

}  // namespace d4c
