#include "loaders.h"

#include <elf.h>
#include <limits.h>

#include <cstring>

namespace d4c {

namespace {

/// Compilers put the program headers and the loader's name at the beginning of the file.
constexpr size_t kHeadBytes = 1024;
/// Tasks that die between the two events are forgotten all together beyond this many.
constexpr size_t kMaxTasks = 4096;

template <typename Header, typename Segment>
std::string loaderIn(const char* head, size_t size) {
  Header header;
  if (size < sizeof header) return {};
  std::memcpy(&header, head, sizeof header);
  if (header.e_phentsize != sizeof(Segment)) return {};
  for (size_t i = 0; i < header.e_phnum; ++i) {
    const uint64_t at = uint64_t{header.e_phoff} + i * sizeof(Segment);
    Segment segment;
    if (at > size || size - at < sizeof segment) return {};
    std::memcpy(&segment, head + at, sizeof segment);
    if (segment.p_type != PT_INTERP) continue;
    if (segment.p_offset > size || size - segment.p_offset < segment.p_filesz) return {};
    return std::string(head + segment.p_offset, strnlen(head + segment.p_offset, segment.p_filesz));
  }
  return {};
}

/// The loader that the program names; empty when it names none, or not where it can be found cheaply.
std::string loaderOf(int file) {
  char head[kHeadBytes];
  // SAFETY: reads through the event's descriptor. Nothing is opened, so no permission event can arise.
  const ssize_t size = pread(file, head, sizeof head, 0);
  if (size < EI_NIDENT || std::memcmp(head, ELFMAG, SELFMAG) != 0) return {};
  return head[EI_CLASS] == ELFCLASS64 ? loaderIn<Elf64_Ehdr, Elf64_Phdr>(head, static_cast<size_t>(size))
                                      : loaderIn<Elf32_Ehdr, Elf32_Phdr>(head, static_cast<size_t>(size));
}

}  // namespace

bool Loaders::isLoader(pid_t tid, int file, const OverlayPlace& place) {
  std::string expected;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (const auto found = named_by_task_.find(tid); found != named_by_task_.end()) {
      expected = std::move(found->second);
      named_by_task_.erase(found);
    }
  }
  if (!expected.empty()) {
    // By inode, since the name leads through symlinks. A task that lies about its loader has it executed.
    const Descriptor loader = openInContainer(place, expected);
    struct stat named {};
    struct stat opened {};
    if (loader && fstat(loader.get(), &named) == 0 && fstat(file, &opened) == 0 && named.st_ino == opened.st_ino &&
        named.st_dev == opened.st_dev) {
      return true;
    }
  }
  std::string named = loaderOf(file);
  if (named.empty()) return false;
  const std::lock_guard<std::mutex> lock(mutex_);
  if (named_by_task_.size() >= kMaxTasks) named_by_task_.clear();
  named_by_task_[tid] = std::move(named);
  return false;
}

}  // namespace d4c
