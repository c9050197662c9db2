// What a container's bundle says of it, for when nobody else can be asked.
#pragma once

#include <string>
#include <vector>

namespace d4c {

/// Whether the root filesystem lies in a bundle of containerd's CRI, and that of a pod in one of these namespaces. False
/// when it cannot be told.
bool isOfNamespace(const std::string& root_mount_point, const std::vector<std::string>& namespaces);

}  // namespace d4c
