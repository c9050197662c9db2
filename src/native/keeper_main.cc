// d4c-gate-keeper [--socket PATH] [--connection FD]: the program. The agent starts it, or an init system does.
// d4c-gate-keeper --probe: what this kernel offers.
// d4c-gate-keeper --memfd-noexec: what it starts for a container (memfd_noexec.h).

#include <fcntl.h>
#include <malloc.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>

#include "keeper.h"
#include "keeper_log.h"
#include "memfd_noexec.h"
#include "probe.h"

namespace {

/// KERNEL: an event for which no descriptor can be made is refused to its opener.
void raiseDescriptorLimit() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

/// Memory that the machine lacks is taken from others first. Needs SYS_RESOURCE, and does without.
void askToBeSpared() {
  const d4c::Descriptor file(open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC));
  if (file) [[maybe_unused]] const ssize_t written = write(file.get(), "-999", 4);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc == 2 && std::strcmp(argv[1], "--probe") == 0) {
    const std::string found = d4c::probe() + "\n";
    return write(STDOUT_FILENO, found.data(), found.size()) == static_cast<ssize_t>(found.size()) ? 0 : 1;
  }
  if (argc == 2 && std::strcmp(argv[1], "--memfd-noexec") == 0) return d4c::forbidMemfdIn(3, 4);
  d4c::KeeperOptions options;
  for (int i = 1; i < argc; i += 2) {
    const bool is_socket = std::strcmp(argv[i], "--socket") == 0;
    const bool is_connection = std::strcmp(argv[i], "--connection") == 0;
    if (i + 1 >= argc || (!is_socket && !is_connection)) {
      d4c::sayError("usage: d4c-gate-keeper [--socket PATH] [--connection FD], or --probe");
      return 2;
    }
    if (is_socket) options.socket_path = argv[i + 1];
    if (is_connection) options.inherited = d4c::Descriptor(std::atoi(argv[i + 1]));
  }
  // One arena: the threads of the gate allocate little, and each arena of its own would keep memory.
  mallopt(M_ARENA_MAX, 1);
  raiseDescriptorLimit();
  askToBeSpared();
  return d4c::Keeper(std::move(options)).run();
}
