#include "program_head.h"

#include <elf.h>
#include <limits.h>
#include <unistd.h>

#include <cstdint>
#include <cstring>

namespace d4c {

namespace {

/// Compilers put the program headers and the loader's name at the beginning of the file.
constexpr size_t kProgramHeadBytes = 1024;
/// Whoever makes a program chooses the name of its loader. A longer one is taken for a program to be told of.
constexpr size_t kLongestLoader = 255;

/// Programs of other machines are run by an interpreter (binfmt_misc).
bool isOfThisMachine(unsigned machine) {
#if defined(__x86_64__)
  return machine == EM_X86_64 || machine == EM_386;
#elif defined(__aarch64__)
  return machine == EM_AARCH64 || machine == EM_ARM;
#else
  return false;
#endif
}

template <typename Header, typename Segment>
ProgramHead headIn(const char* head, size_t size) {
  Header header;
  if (size < sizeof header) return {};
  std::memcpy(&header, head, sizeof header);
  if (header.e_phentsize != sizeof(Segment)) return {};
  bool is_dynamic = false;
  for (size_t i = 0; i < header.e_phnum; ++i) {
    const uint64_t at = uint64_t{header.e_phoff} + i * sizeof(Segment);
    Segment segment;
    if (at > size || size - at < sizeof segment) return {};
    std::memcpy(&segment, head + at, sizeof segment);
    is_dynamic |= segment.p_type == PT_DYNAMIC;
    if (segment.p_type != PT_INTERP) continue;
    if (segment.p_offset > size || size - segment.p_offset < segment.p_filesz) return {};
    const size_t length = strnlen(head + segment.p_offset, segment.p_filesz);
    return length > kLongestLoader ? ProgramHead() : ProgramHead{std::string(head + segment.p_offset, length)};
  }
  if (!isOfThisMachine(header.e_machine)) return {};
  return {{}, false, is_dynamic && header.e_type == ET_DYN};
}

}  // namespace

ProgramHead headOf(int file) {
  char head[kProgramHeadBytes];
  // SAFETY: reads through the event's descriptor. Nothing is opened, so no permission event can arise.
  const ssize_t size = pread(file, head, sizeof head, 0);
  if (size < EI_NIDENT || std::memcmp(head, ELFMAG, SELFMAG) != 0) return {};
  return head[EI_CLASS] == ELFCLASS64 ? headIn<Elf64_Ehdr, Elf64_Phdr>(head, static_cast<size_t>(size))
                                      : headIn<Elf32_Ehdr, Elf32_Phdr>(head, static_cast<size_t>(size));
}

}  // namespace d4c
