// Lines of the keeper's log, in the agent's form (JSON, on standard error). Never waits: a line that cannot be written is lost.
#pragma once

#include <string>

namespace d4c {

void say(const char* message, const std::string& detail);
/// False, so that a caller can return it.
bool sayError(const std::string& message);

}  // namespace d4c
