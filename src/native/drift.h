// Whether a program is of the container's image, by where it lies and what is in it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "upper.h"

namespace d4c {

enum class Origin : uint8_t {
  kImage,
  /// It was not in the image.
  kCreated,
  /// It was in the image and has another content now, or another file has its name.
  kModified,
  /// Its content has to be compared.
  kAsk,
};

/// Of a file that lies in the upper directory or is younger than that. Opens nothing. `file` is opened in the container, where
/// `path` names it; `birth_ns` is when it was born, by which it is known again. `is_unchanged`: what comparing it has just given.
Origin originOf(const Upper& upper, const std::string& path, int file, int64_t birth_ns, std::optional<bool> is_unchanged);

/// Whether the file has the content of one of the image, of which it is a copy. Remembers the answer. Reads both, at most so
/// long and so much; what is larger or takes longer counts as changed, and `is_certain` is then false.
bool isUnchanged(Upper& upper, const std::string& path, bool* is_certain);

}  // namespace d4c
