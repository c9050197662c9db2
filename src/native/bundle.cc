#include "bundle.h"

#include <fcntl.h>

#include <algorithm>
#include <string_view>

#include "descriptor.h"
#include "proc_file.h"

namespace d4c {

bool isOfNamespace(const std::string& root_mount_point, const std::vector<std::string>& namespaces) {
  constexpr std::string_view kRoot = "/rootfs";
  const size_t end = root_mount_point.size() - std::min(kRoot.size(), root_mount_point.size());
  if (namespaces.empty() || root_mount_point.compare(end, std::string::npos, kRoot) != 0) return false;
  const std::string path = root_mount_point.substr(0, end) + "/config.json";
  const std::string config = readWhole(Descriptor(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK)));
  for (const std::string& name : namespaces) {
    // SAFETY: only the runtime writes here, and what a pod brings stands in strings, in which quotes are written `\"`. So this
    // text is that key with that value.
    if (config.find("\"io.kubernetes.cri.sandbox-namespace\":\"" + name + "\"") != std::string::npos) return true;
  }
  return false;
}

}  // namespace d4c
