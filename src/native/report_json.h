// Reports as the agent reads them: a JSON object for each, with the names of src/native/contract.ts. A new field is one
// line here, and one there.
#pragma once

#include <string>

#include "gate.h"
#include "reports.h"

namespace d4c {

std::string jsonOf(const Report& report);
std::string jsonOf(const GateStats& stats);
std::string jsonOf(const GateStatus& status);
std::string jsonOf(const LiveSettings& settings);
std::string jsonOf(const std::vector<Fired>& fired);

}  // namespace d4c
