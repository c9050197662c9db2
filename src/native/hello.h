// What an agent says first: which gate it wants.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "gate.h"

namespace d4c {

/// Of texts `name=value`, each ended by a NUL. Names that are not known are passed over, so that an agent may be newer than
/// its keeper; what is missing has its default. Nothing when a value means nothing; `fault` then says which.
std::optional<GateOptions> readHello(std::string_view texts, std::string* fault);

}  // namespace d4c
