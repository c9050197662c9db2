#include "ledger.h"

#include <algorithm>

#include "frames.h"

namespace d4c {

namespace {

/// Rules of a container that are counted by name; a policy has at most 64 selectors in a section.
constexpr size_t kMaxRules = 4096;
/// Most containers do what few rules speak of.
constexpr size_t kFirstLines = 4;

}  // namespace

const char* nameOf(Outcome outcome) {
  switch (outcome) {
    case Outcome::kPrevented:
      return "prevented";
    case Outcome::kContained:
      return "contained";
    case Outcome::kReverted:
      return "reverted";
    case Outcome::kDetected:
      return "detected";
  }
  return "";
}

std::shared_ptr<const RuleNames> readRuleNames(std::string_view bytes) {
  Fields fields(bytes);
  auto names = std::make_shared<RuleNames>();
  const uint64_t policies = fields.number(2);
  for (uint64_t i = 0; i < policies && fields.isOk(); ++i) {
    RuleNames::Policy policy;
    policy.id = fields.bytes();
    for (auto& selectors : policy.selectors) {
      const uint64_t count = fields.number(1);
      for (uint64_t at = 0; at < count && fields.isOk(); ++at) selectors.emplace_back(fields.bytes());
    }
    names->policies.push_back(std::move(policy));
  }
  return fields.isWhole() ? names : nullptr;
}

/// Null when the container counts by as many rules as it may.
Outcomes* Ledger::countsOf(std::vector<Line>* lines, std::string_view policy, Section section, std::string_view selector) {
  const auto isBefore = [](const Line& line, const void* rule) { return std::less<const void*>()(&*line.rule, rule); };
  auto rule = rules_.find(std::tuple(policy, section, selector));
  if (rule != rules_.end()) {
    const auto at = std::lower_bound(lines->begin(), lines->end(), &*rule, isBefore);
    if (at != lines->end() && at->rule == rule) return &at->outcomes;
  }
  if (lines->size() >= kMaxRules) return nullptr;
  if (rule == rules_.end()) rule = rules_.emplace(Rule(policy, section, selector), 0).first;
  ++rule->second;
  // To double what is there would leave half of it unused, in every container.
  if (lines->size() == lines->capacity()) lines->reserve(lines->size() + lines->size() / 4 + kFirstLines);
  const auto at = std::lower_bound(lines->begin(), lines->end(), &*rule, isBefore);
  return &lines->insert(at, {rule, {}})->outcomes;
}

void Ledger::add(uint64_t key, const RuleNames* names, Section section, const std::vector<Fired>& fired, Outcome outcome) {
  const auto column = static_cast<size_t>(outcome);
  ++all_[column];
  const auto container = containers_.find(key);
  if (names == nullptr || container == containers_.end()) return;
  for (const Fired& one : fired) {
    if (one.policy >= names->policies.size()) continue;
    const RuleNames::Policy& policy = names->policies[one.policy];
    const auto& selectors = policy.selectors[static_cast<size_t>(section)];
    for (size_t bit = 0; bit < selectors.size() && bit < 64; ++bit) {
      if (!(one.selectors & (uint64_t{1} << bit))) continue;
      Outcomes* const counts = countsOf(&container->second, policy.id, section, selectors[bit]);
      if (counts != nullptr) ++(*counts)[column];
    }
  }
}

void Ledger::close(uint64_t key) {
  const auto container = containers_.find(key);
  if (container == containers_.end()) return;
  for (const Line& line : container->second) {
    if (--line.rule->second == 0) rules_.erase(line.rule);
  }
  containers_.erase(container);
}

std::vector<LedgerLine> Ledger::of(uint64_t key) const {
  std::vector<LedgerLine> lines;
  const auto found = containers_.find(key);
  if (found == containers_.end()) return lines;
  for (const Line& line : found->second) {
    const auto& [policy, section, selector] = line.rule->first;
    lines.push_back({policy, section, selector, line.outcomes});
  }
  std::sort(lines.begin(), lines.end(), [](const LedgerLine& one, const LedgerLine& other) {
    return std::tie(one.policy, one.section, one.selector) < std::tie(other.policy, other.section, other.selector);
  });
  return lines;
}

}  // namespace d4c
