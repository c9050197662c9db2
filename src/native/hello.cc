#include "hello.h"

#include <charconv>

namespace d4c {

namespace {

/// False also for one that does not fit.
template <typename Number>
bool readNumber(std::string_view text, Number* into) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), *into);
  return error == std::errc() && end == text.data() + text.size();
}

template <typename Choice>
bool readChoice(std::string_view text, std::initializer_list<std::pair<std::string_view, Choice>> choices, Choice* into) {
  for (const auto& [name, choice] : choices) {
    if (name != text) continue;
    *into = choice;
    return true;
  }
  return false;
}

bool readMilliseconds(std::string_view text, std::chrono::milliseconds* into) {
  uint32_t value = 0;
  if (!readNumber(text, &value)) return false;
  *into = std::chrono::milliseconds(value);
  return true;
}

bool readOne(std::string_view name, std::string_view value, Hello* hello) {
  GateOptions* const options = &hello->gate;
  Settings& settings = options->settings;
  if (name == "mode") return readChoice(value, {{"observe", false}, {"enforce", true}}, &settings.enforces);
  if (name == "holdMs") return readMilliseconds(value, &settings.hold);
  if (name == "onUnknown") return readChoice(value, {{"allow", Verdict::kAllow}, {"deny", Verdict::kDeny}}, &settings.on_unknown);
  if (name == "onAgentLoss") {
    return readChoice(value, {{"keep", OnAgentLoss::kKeep}, {"allow", OnAgentLoss::kAllow}, {"deny", OnAgentLoss::kDeny}},
                      &settings.on_agent_loss);
  }
  if (name == "deadlineMs") return readMilliseconds(value, &settings.deadline);
  if (name == "onDeadline") {
    return readChoice(value, {{"rules", OnDeadline::kRules}, {"allow", OnDeadline::kAllow}, {"deny", OnDeadline::kDeny}},
                      &settings.on_deadline);
  }
  const std::initializer_list<std::pair<std::string_view, bool>> kFlags = {{"false", false}, {"true", true}};
  if (name == "blockScripts") return readChoice(value, kFlags, &settings.blocks_scripts);
  if (name == "memfdNoexec") return readChoice(value, kFlags, &settings.forbids_memfd);
  if (name == "processEnds") return readChoice(value, kFlags, &settings.tells_ends);
  if (name == "mayOnlyHear") return readChoice(value, kFlags, &options->may_only_hear);
  if (name == "queueEvents") return readNumber(value, &options->max_events);
  if (name == "maxGroups") return readNumber(value, &options->max_groups);
  if (name == "silenceMs") return readMilliseconds(value, &settings.silence);
  if (name == "speech") hello->speech = value;
  if (name == "spareNamespace") settings.spare_namespaces.emplace_back(value);
  if (name == "hostRoot") options->host_root = value;
  if (name == "neverMark") options->never_mark.emplace_back(value);
  return true;
}

}  // namespace

std::optional<Hello> readHello(std::string_view texts, std::string* fault) {
  Hello hello;
  while (!texts.empty()) {
    const std::string_view text = texts.substr(0, texts.find('\0'));
    texts.remove_prefix(std::min(text.size() + 1, texts.size()));
    const size_t equals = text.find('=');
    if (equals != std::string_view::npos && readOne(text.substr(0, equals), text.substr(equals + 1), &hello)) continue;
    *fault = "`" + std::string(text) + "` means nothing";
    return std::nullopt;
  }
  return hello;
}

}  // namespace d4c
