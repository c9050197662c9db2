#include "ledger.h"

#include "frames.h"

namespace d4c {

namespace {

/// Rules of a container that are counted by name; a policy has at most 64 selectors in a section.
constexpr size_t kMaxRules = 4096;

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

void Ledger::add(uint64_t key, const RuleNames* names, Section section, const std::vector<Fired>& fired, Outcome outcome) {
  const auto column = static_cast<size_t>(outcome);
  ++all_[column];
  const auto container = containers_.find(key);
  if (names == nullptr || container == containers_.end()) return;
  auto& rules = container->second;
  for (const Fired& one : fired) {
    if (one.policy >= names->policies.size()) continue;
    const RuleNames::Policy& policy = names->policies[one.policy];
    const auto& selectors = policy.selectors[static_cast<size_t>(section)];
    for (size_t bit = 0; bit < selectors.size() && bit < 64; ++bit) {
      if (!(one.selectors & (uint64_t{1} << bit))) continue;
      Rule rule{policy.id, section, selectors[bit]};
      const auto found = rules.find(rule);
      if (found != rules.end()) {
        ++found->second[column];
      } else if (rules.size() < kMaxRules) {
        ++rules[std::move(rule)][column];
      }
    }
  }
}

std::vector<LedgerLine> Ledger::of(uint64_t key) const {
  std::vector<LedgerLine> lines;
  const auto found = containers_.find(key);
  if (found == containers_.end()) return lines;
  for (const auto& [rule, outcomes] : found->second) {
    lines.push_back({std::get<0>(rule), std::get<1>(rule), std::get<2>(rule), outcomes});
  }
  return lines;
}

}  // namespace d4c
