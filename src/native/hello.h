// What an agent says first: which gate it wants.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "gate.h"

namespace d4c {

/// What an agent and its keeper must have in common: the frames by which they speak, and the form of the tables. Counted up
/// with every change of one of them that the other side would misread. The agent's is in `greeting.ts`.
constexpr std::string_view kSpeech = "2.2";

struct Hello {
  GateOptions gate;
  /// What the agent speaks; empty when it does not say, and then it answers no `ping` either.
  std::string speech{};
};

/// Of texts `name=value`, each ended by a NUL. Names that are not known are passed over, so that an agent may be newer than
/// its keeper; what is missing has its default. Nothing when a value means nothing; `fault` then says which.
std::optional<Hello> readHello(std::string_view texts, std::string* fault);

}  // namespace d4c
