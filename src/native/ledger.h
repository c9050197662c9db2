// What became of operations, counted for each container and rule since the keeper began.
//
// Rules are counted by the names that came with the table, so that a table which is replaced begins no new count. Names are kept
// once for all containers that count by them. Not thread-safe: whoever owns it has the lock.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <tuple>
#include <unordered_map>
#include <vector>

#include "table.h"

namespace d4c {

/// What became of an operation; the words of src/events/observation.ts.
enum class Outcome : uint8_t { kPrevented, kContained, kReverted, kDetected };
constexpr size_t kOutcomes = 4;
const char* nameOf(Outcome outcome);

/// By outcome.
using Outcomes = std::array<uint64_t, kOutcomes>;

/// The policies of a table, by their indexes in it, with the selectors of each section, by theirs.
struct RuleNames {
  struct Policy {
    std::string id;
    std::array<std::vector<std::string>, 2> selectors;
  };
  std::vector<Policy> policies;
};

/// As an agent sends them (src/native/ruleNames.ts). Null when the bytes are none.
std::shared_ptr<const RuleNames> readRuleNames(std::string_view bytes);

struct LedgerLine {
  std::string policy;
  Section section;
  std::string selector;
  Outcomes outcomes;
};

class Ledger {
 public:
  /// An event of the container with this key, by rules of the section. An event counts once for each selector that matched; of
  /// a container that is not open only among all.
  void add(uint64_t key, const RuleNames* names, Section section, const std::vector<Fired>& fired, Outcome outcome);
  void open(uint64_t key) { containers_.try_emplace(key); }
  void close(uint64_t key);
  /// In the order of the rules' names.
  std::vector<LedgerLine> of(uint64_t key) const;
  /// Events of all containers, also of those that are gone.
  const Outcomes& all() const { return all_; }

 private:
  using Rule = std::tuple<std::string, Section, std::string>;
  /// With how many containers count by them.
  using Rules = std::map<Rule, size_t, std::less<>>;
  struct Line {
    Rules::iterator rule;
    Outcomes outcomes;
  };

  Outcomes* countsOf(std::vector<Line>* lines, std::string_view policy, Section section, std::string_view selector);

  Rules rules_;
  /// The lines of each in the order of their rules' addresses.
  std::unordered_map<uint64_t, std::vector<Line>> containers_;
  Outcomes all_{};
};

}  // namespace d4c
