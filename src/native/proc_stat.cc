#include "proc_stat.h"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <system_error>
#include <vector>

#include "descriptor.h"
#include "proc_file.h"

namespace d4c {

namespace {

/// As `man 5 proc` counts them.
constexpr int kState = 3;
constexpr int kLastField = 22;
constexpr int kProcessor = 39;

struct Kept {
  pid_t pid = 0;
  Descriptor file;
};
/// By the last bits of the number.
thread_local std::array<Kept, 8> kept;

struct Seen {
  pid_t pid;
  std::optional<Stat> stat;
  int error;
};
struct Look {
  bool is_open = false;
  std::vector<Seen> seen;
};
thread_local Look look;

bool readKept(pid_t pid, Stat* stat) {
  char text[2048];
  Kept& file = kept[static_cast<size_t>(pid) % kept.size()];
  // The file of a process that has ended gives nothing, also when its number is used again.
  for (const bool is_fresh : {false, true}) {
    if (is_fresh || file.pid != pid) {
      // Closed first: it may be the last descriptor that there is.
      file.file.reset();
      file = {pid, openProc(pid, "stat", O_RDONLY)};
    }
    const ssize_t size = file.file ? pread(file.file.get(), text, sizeof text - 1, 0) : 0;
    if (size <= 0) continue;
    text[size] = '\0';
    return parseStat(text, stat);
  }
  return false;
}

}  // namespace

bool parseStat(const char* text, Stat* stat) {
  // A name may hold any character, also `)`: it ends at the last one.
  const char* begin = std::strchr(text, '(');
  const char* end = std::strrchr(text, ')');
  if (begin == nullptr || end == nullptr || end < begin) return false;
  stat->name.assign(begin + 1, end);
  // Behind the name, each after a blank: the state, which is a letter, and numbers. By hand, since this is read for each exec.
  std::array<int64_t, kLastField + 1> fields{};
  const char* at = end + 1;
  const char* const behind = at + std::strlen(at);
  for (int field = kState; field <= kLastField; ++field) {
    if (*at++ != ' ') return false;
    if (field == kState) {
      if (*at++ == '\0') return false;
      continue;
    }
    const auto [rest, error] = std::from_chars(at, behind, fields[static_cast<size_t>(field)]);
    if (error != std::errc()) return false;
    at = rest;
  }
  stat->parent = static_cast<pid_t>(fields[4]);
  stat->group = static_cast<pid_t>(fields[5]);
  stat->session = static_cast<pid_t>(fields[6]);
  stat->terminal = static_cast<int>(fields[7]);
  stat->start_ticks = static_cast<uint64_t>(fields[kLastField]);
  return true;
}

const char* statField(const char* text, int field) {
  // A name may hold any character, also `)`: it ends at the last one.
  const char* at = std::strrchr(text, ')');
  for (int behind = kState - 1; at != nullptr && behind < field; ++behind) at = std::strchr(at + 1, ' ');
  return at == nullptr ? nullptr : at + 1;
}

int processorOf(pid_t task) {
  char text[2048];
  const char* const at = readProcFile(task, "stat", text, sizeof text) != 0 ? statField(text, kProcessor) : nullptr;
  return at == nullptr ? -1 : std::atoi(at);
}

std::optional<uint64_t> ranNs(pid_t task) {
  char text[128];
  if (readProcFile(task, "schedstat", text, sizeof text) == 0) return std::nullopt;
  return std::strtoull(text, nullptr, 10);
}

bool readStat(pid_t pid, Stat* stat) {
  char text[2048];
  return readProcFile(pid, "stat", text, sizeof text) != 0 && parseStat(text, stat);
}

bool readStatOften(pid_t pid, Stat* stat) {
  for (const Seen& seen : look.seen) {
    if (seen.pid != pid) continue;
    if (seen.stat) *stat = *seen.stat;
    errno = seen.error;
    return seen.stat.has_value();
  }
  errno = 0;
  const bool is_there = readKept(pid, stat);
  if (look.is_open) look.seen.push_back({pid, is_there ? std::optional<Stat>(*stat) : std::nullopt, errno});
  return is_there;
}

OneLook::OneLook() { look.is_open = true; }

OneLook::~OneLook() {
  look.is_open = false;
  look.seen.clear();
}

}  // namespace d4c
