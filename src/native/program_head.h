// What the beginning of a program tells of how the kernel runs it.
#pragma once

#include <string>

namespace d4c {

struct ProgramHead {
  /// The loader that it names; empty when it names none, or not where it can be found cheaply.
  std::string loader{};
  /// The kernel may open a further file to run it. Also of what is not known.
  bool wants_interpreter = true;
  /// Others may name it as their loader: it is loaded anywhere, and by itself.
  bool may_load = false;
};

/// Reads through the descriptor and opens nothing.
ProgramHead headOf(int file);

}  // namespace d4c
