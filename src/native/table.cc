#include "table.h"

namespace d4c {

namespace {

/// The kernel keeps this many bytes of a task's name.
constexpr size_t kProcessNameBytes = 15;

uint8_t withImplied(uint8_t operations) {
  if (operations & kCreateExecutable) operations |= kCreateFile;
  if (operations & kModifyExecutable) operations |= kModifyFile;
  return operations;
}

/// What the kernel calls a task that executes the file.
std::string_view nameOf(std::string_view path) {
  const size_t slash = path.rfind('/');
  return (slash == std::string_view::npos ? path : path.substr(slash + 1)).substr(0, kProcessNameBytes);
}

}  // namespace

void Table::look(Section section, std::string_view path, Scratch* scratch) const {
  const std::vector<Rules>& policies = rulesOf(section);
  scratch->matched.assign(policies.size(), 0);
  tries_[static_cast<size_t>(section)].match(path, &scratch->paths, scratch->matched.data());
  const std::string_view name = nameOf(path);
  for (size_t i = 0; i < policies.size(); ++i) {
    const Rules& rules = policies[i];
    uint64_t named = rules.without_name;
    if (const auto found = rules.names.find(name); found != rules.names.end()) named |= found->second;
    scratch->matched[i] = (scratch->matched[i] | rules.without_path) & named;
  }
  scratch->excluded = scratch->matched;
}

void Table::lookUnknownPath(Section section, Scratch* scratch) const {
  const std::vector<Rules>& policies = rulesOf(section);
  scratch->matched.assign(policies.size(), ~uint64_t{0});
  scratch->excluded.clear();
  for (const Rules& rules : policies) scratch->excluded.push_back(rules.without_path & rules.without_name);
}

void Table::lookIfKnown(Section section, std::string_view path, Scratch* scratch) const {
  if (path.empty()) return lookUnknownPath(section, scratch);
  look(section, path, scratch);
}

uint64_t Table::ofOperations(const Rules& rules, uint8_t operations) {
  uint64_t selectors = 0;
  for (int bit = 0; bit < kOperationCount; ++bit) {
    if (operations & (1 << bit)) selectors |= rules.by_operation[static_cast<size_t>(bit)];
  }
  return selectors;
}

bool Table::mayFire(Section section, uint8_t operations, const Scratch& scratch) const {
  const std::vector<Rules>& policies = rulesOf(section);
  for (size_t i = 0; i < policies.size(); ++i) {
    const Rules& rules = policies[i];
    if (scratch.matched[i] & rules.in_match & rules.as_match & ofOperations(rules, operations)) return true;
  }
  return false;
}

Verdict Table::decide(const Question& question, Scratch* scratch) const {
  const std::vector<Rules>& policies = rulesOf(question.section);
  const uint8_t operations = withImplied(question.operations);
  Verdict verdict = Verdict::kAllow;
  scratch->fired.clear();
  for (size_t i = 0; i < policies.size(); ++i) {
    const Rules& rules = policies[i];
    const uint64_t holds =
        rules.by_mount[static_cast<size_t>(question.mount)] & rules.by_interactive[static_cast<size_t>(question.interactive)];
    const uint64_t of_operation = ofOperations(rules, operations);
    const uint64_t asked = question.is_exact ? ofOperations(rules, question.operations) : of_operation;
    const uint64_t matched = asked & holds & scratch->matched[i] & rules.as_match;
    const uint64_t excluded = of_operation & holds & scratch->excluded[i] & rules.as_exclude;
    Fired fired{static_cast<uint16_t>(i), 0, 0};
    for (const Rules::Response& response : rules.responses) {
      if ((matched & response.match) == 0 || (excluded & response.exclude) != 0) continue;
      fired.actions |= response.actions;
      fired.selectors |= matched & response.match;
    }
    if (fired.actions == 0) continue;
    if (fired.actions & kBlock) verdict = Verdict::kDeny;
    scratch->fired.push_back(fired);
  }
  return verdict;
}

}  // namespace d4c
