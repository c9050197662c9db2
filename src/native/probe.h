// What this kernel offers, and what of it this process may use. Looks without gating anything, and works on any kernel.
#pragma once

#include <string>

namespace d4c {

/// A JSON object: for each feature whether it is there, with the reason when it is not.
std::string probe();

}  // namespace d4c
