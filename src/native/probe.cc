#include "probe.h"

#include <fcntl.h>
#include <linux/cn_proc.h>
#include <linux/connector.h>
#include <linux/netlink.h>
#include <sys/fanotify.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "descriptor.h"
#include "json.h"
#include "kernel_stack.h"
#include "task.h"

namespace d4c {

namespace {

struct Finding {
  const char* name;
  bool is_there;
  std::string reason;
};

Finding finding(const char* name, bool is_there, const std::string& otherwise = std::strerror(errno)) {
  return {name, is_there, is_there ? "" : otherwise};
}

std::string readText(const char* path) {
  char text[4096];
  const Descriptor file(open(path, O_RDONLY | O_CLOEXEC));
  const ssize_t size = file ? read(file.get(), text, sizeof text) : -1;
  std::string value(text, size > 0 ? static_cast<size_t>(size) : 0);
  while (!value.empty() && value.back() == '\n') value.pop_back();
  return value;
}

/// A mark that can never raise an event.
Finding permissionEvents(const char* name, uint64_t mask) {
  const Descriptor group(fanotify_init(FAN_CLASS_CONTENT | FAN_UNLIMITED_QUEUE | FAN_CLOEXEC | FAN_NONBLOCK, O_RDONLY));
  if (!group) return finding(name, false, std::string("fanotify_init: ") + std::strerror(errno));
  // SAFETY: the inode of a directory, without FAN_ONDIR and without FAN_EVENT_ON_CHILD: no open matches it.
  const bool is_there = fanotify_mark(group.get(), FAN_MARK_ADD, mask, AT_FDCWD, "/") == 0;
  return finding(name, is_there, std::string("fanotify_mark: ") + std::strerror(errno));
}

/// Whether execs and writes are told where nobody is asked. By marks that can never raise an event, either.
Finding toldEvents() {
  const Descriptor group(fanotify_init(FAN_CLASS_NOTIF | FAN_REPORT_TID | FAN_CLOEXEC | FAN_NONBLOCK, O_RDONLY));
  if (!group) return finding("toldEvents", false, std::string("fanotify_init: ") + std::strerror(errno));
  const bool is_there = fanotify_mark(group.get(), FAN_MARK_ADD, FAN_OPEN_EXEC | FAN_CLOSE_WRITE, AT_FDCWD, "/") == 0;
  return finding("toldEvents", is_there, std::string("fanotify_mark: ") + std::strerror(errno));
}

Finding changes() {
  const Descriptor group(fanotify_init(FAN_CLASS_NOTIF | FAN_CLOEXEC | FAN_REPORT_TID | FAN_REPORT_DFID_NAME_TARGET, O_RDONLY));
  return finding("changesWithNames", static_cast<bool>(group), std::string("fanotify_init: ") + std::strerror(errno));
}

Finding processEvents() {
  const Descriptor socket(::socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC, NETLINK_CONNECTOR));
  sockaddr_nl address{};
  address.nl_family = AF_NETLINK;
  address.nl_groups = CN_IDX_PROC;
  const bool is_bound = socket && bind(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0;
  return finding("processEvents", is_bound);
}

}  // namespace

std::string probe() {
  const std::string lsm = readText("/sys/kernel/security/lsm");
  const std::string noexec = readText("/proc/sys/vm/memfd_noexec");
  const Descriptor self(static_cast<int>(syscall(SYS_pidfd_open, getpid(), 0)));
  const Finding findings[] = {
      permissionEvents("openEvents", FAN_OPEN_PERM),
      permissionEvents("execEvents", FAN_OPEN_EXEC_PERM),
      toldEvents(),
      changes(),
      finding("pidfd", static_cast<bool>(self)),
      finding("pidfdInfo", readTaskIds(getpid()).has_value(), "before Linux 6.13"),
      finding("memfdNoexec", !noexec.empty(), "before Linux 6.3"),
      finding("bpfLsm", lsm.find("bpf") != std::string::npos,
              lsm.empty() ? "`/sys/kernel/security/lsm` cannot be read" : "the security modules are " + lsm),
      processEvents(),
      finding("kernelStacks", canReadKernelStacks(), "`/proc/self/stack` cannot be read"),
      finding("blockedCalls", !readText("/proc/self/syscall").empty(), "`/proc/self/syscall` is empty"),
  };
  Json features;
  for (const Finding& one : findings) {
    Json feature;
    feature.flag("isThere", one.is_there);
    if (!one.reason.empty()) feature.text("reason", one.reason);
    features.raw(one.name, feature.done());
  }
  rlimit files{};
  getrlimit(RLIMIT_NOFILE, &files);
  utsname kernel{};
  uname(&kernel);
  Json object;
  object.text("kernel", kernel.release).raw("features", features.done());
  object.text("maxUserGroups", readText("/proc/sys/fs/fanotify/max_user_groups"));
  return object.number("openFiles", uint64_t{files.rlim_max}).done();
}

}  // namespace d4c
