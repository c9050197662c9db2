#include "group_limit.h"

#include <fcntl.h>
#include <sys/fanotify.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <string>

#include "keeper_log.h"

namespace d4c {

namespace {

constexpr const char* kLimit = "/proc/sys/fs/fanotify/max_user_groups";
/// A group for each container that a node may have. Containers beyond share groups.
constexpr long kMostGroups = 4096;

/// False when it may not be done or has been done often enough.
bool raiseGroupLimit() {
  const Descriptor file(open(kLimit, O_RDWR | O_CLOEXEC));
  char text[32] = {};
  if (!file || read(file.get(), text, sizeof text - 1) <= 0) return false;
  const long limit = std::strtol(text, nullptr, 10);
  const std::string raised = std::to_string(std::min(limit * 2, kMostGroups));
  if (limit <= 0 || limit >= kMostGroups || pwrite(file.get(), raised.data(), raised.size(), 0) < 0) return false;
  say("group limit raised", "fs.fanotify.max_user_groups: " + std::to_string(limit) + " to " + raised);
  return true;
}

}  // namespace

Descriptor openFanotify(unsigned flags) {
  for (;;) {
    Descriptor group(fanotify_init(flags, O_RDONLY | O_CLOEXEC | O_LARGEFILE));
    // KERNEL: EMFILE is also said of a process that has too many descriptors.
    if (group || errno != EMFILE) return group;
    if (!raiseGroupLimit()) {
      errno = EMFILE;
      return Descriptor();
    }
  }
}

}  // namespace d4c
