#include "kernel_stack.h"

#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "proc_file.h"

namespace d4c {

namespace {

constexpr size_t kMaxStackBytes = 8192;

}  // namespace

LoaderOf loaderOf(pid_t tid) {
  char stack[kMaxStackBytes];
  errno = 0;
  if (readProcFile(tid, "stack", stack, sizeof stack) == 0) {
    return isOutOfDescriptors(errno) || errno == ENOMEM ? LoaderOf::kOutOfReach : LoaderOf::kUnknown;
  }
  // KERNEL: what runs ELF files, for the machine's own programs and for 32-bit ones. A program that is called by name is
  // opened before it is entered.
  return std::strstr(stack, " load_elf_binary") != nullptr ? LoaderOf::kProgram : LoaderOf::kNothing;
}

bool canReadKernelStacks() {
  char stack[kMaxStackBytes];
  // Of a task that reads it itself, the functions of the reading.
  return readProcFile(gettid(), "stack", stack, sizeof stack) > 0 && std::strstr(stack, "+0x") != nullptr;
}

}  // namespace d4c
