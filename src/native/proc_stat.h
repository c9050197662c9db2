// What /proc/<pid>/stat tells of a process.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>

namespace d4c {

struct Stat {
  std::string name;
  pid_t parent = 0;
  pid_t group = 0;
  pid_t session = 0;
  int terminal = 0;
  uint64_t start_ticks = 0;
};

/// Of the text of /proc/<pid>/stat. False when it is not whole.
bool parseStat(const char* text, Stat* stat);

/// In that text, where this field begins, as proc(5) counts them from 3 on. Null when it has fewer.
const char* statField(const char* text, int field);

/// On which processor the task runs, or did last; -1 when it is gone.
int processorOf(pid_t task);

/// For how long the task has run so far, in nanoseconds; nothing when it is gone or the kernel does not tell. KERNEL: of one that
/// runs, as of the last tick of its processor's clock.
std::optional<uint64_t> ranNs(pid_t task);

/// False when the process is gone.
bool readStat(pid_t pid, Stat* stat);

/// As `readStat`, of a process that is asked for with many others, such as a parent or the leader of a session: this thread
/// keeps the file open for the next time, which takes a third of opening it. False with `errno` set.
bool readStatOften(pid_t pid, Stat* stat);

/// As long as it lives, `readStatOften` of this thread asks once for each process: one event asks for the same one as parent,
/// as leader of the group, of the session and as entry. Not nested.
class OneLook {
 public:
  OneLook();
  ~OneLook();
  OneLook(const OneLook&) = delete;
  OneLook& operator=(const OneLook&) = delete;
};

}  // namespace d4c
