// The part of the gate that finds out on which container's root filesystem the task of an event lives.

#include <sys/stat.h>

#include <cerrno>
#include <optional>

#include "gate.h"

namespace d4c {

std::shared_ptr<Root> Gate::rootOf(const Lane& lane, int file, pid_t tid, int* error) const {
  if (lane.roots.size() == 1) return lane.roots.front();
  if (&lane == foreign_.get()) return rootOfTask(allRoots(), tid, error);
  const auto ofDevice = [&](dev_t device) -> std::shared_ptr<Root> {
    for (const auto& root : lane.roots) {
      if (root->place.device == device) return root;
    }
    return nullptr;
  };
  struct stat opened {};
  fstat(file, &opened);
  // KERNEL: files of an overlay whose layers lie on several filesystems have device numbers of their own.
  if (const auto root = ofDevice(opened.st_dev)) return root;
  const auto mount = mountOf(file, tid);
  if (const auto root = mount ? ofDevice(mount->device) : nullptr) return root;
  // On a volume.
  return rootOfTask(lane.roots, tid, error);
}

std::shared_ptr<Root> Gate::rootOfTask(const std::vector<std::shared_ptr<Root>>& roots, pid_t tid, int* error) {
  const std::optional<std::string> cgroups = readCgroups(tid);
  const int unread = cgroups ? 0 : errno;
  for (const auto& root : roots) {
    if ((cgroups && root->hasMember(*cgroups)) || livesOn(tid, root->place.device)) return root;
  }
  if (unread != 0 && livesApart(tid)) *error = unread;
  return nullptr;
}

std::vector<std::shared_ptr<Root>> Gate::allRoots() const {
  const std::shared_lock<std::shared_mutex> lock(mutex_);
  std::vector<std::shared_ptr<Root>> all;
  for (const auto& [device, root] : roots_) all.push_back(root);
  return all;
}

}  // namespace d4c
