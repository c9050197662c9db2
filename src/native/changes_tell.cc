// The part that says whose change it was. On a volume that several containers have, each is asked, under its own path.

#include <algorithm>

#include "changes.h"

namespace d4c {

std::shared_ptr<Files> Changes::filesOf(dev_t device) const {
  const std::lock_guard<std::mutex> lock(seen_mutex_);
  const auto found = seen_.find(device);
  return found == seen_.end() ? nullptr : found->second.files;
}

/// The names that mean the folder's file of this name; of no name, those that mean every file in it.
Changes::Place Changes::onlyOf(const Place& place, std::string_view name) {
  Place only = place;
  const auto isOther = [&](const Name& one) { return !one.file.empty() && one.file != name; };
  only.names.erase(std::remove_if(only.names.begin(), only.names.end(), isOther), only.names.end());
  return only;
}

/// Whether every executable of the place was looked at.
bool Changes::hasLearned(const Place& place) {
  if (place.root != nullptr) return place.root->upper.hasLearned();
  return std::any_of(place.names.begin(), place.names.end(), [&](const Name& name) {
    return name.volume->is_file || place.files->hasLearned(name.volume->source);
  });
}

/// Of a rename: the names by which both folders are of one mount, as a container must have seen it, and the rest. Says
/// whether there are such names.
bool Changes::splitRename(const Place& from, const Place& to, Place* from_only, Place* to_only, Place* both, Place* old) {
  *from_only = from;
  *to_only = to;
  *both = to;
  *old = from;
  both->names.clear();
  old->names.clear();
  for (const Name& name : to.names) {
    const auto isOfSame = [&](const Name& other) {
      return name.volume == nullptr ? other.root.lock() == name.root.lock() : other.volume == name.volume;
    };
    auto& rest = from_only->names;
    const auto found = std::find_if(rest.begin(), rest.end(), isOfSame);
    if (found == rest.end()) continue;
    both->names.push_back(name);
    old->names.push_back(*found);
    rest.erase(found);
    auto& others = to_only->names;
    others.erase(std::find_if(others.begin(), others.end(), isOfSame));
  }
  return !both->names.empty();
}

/// As the container with this name of the place sees it; `change` is told by the first one.
Change Changes::asSeen(const Change& change, const Place& place, size_t name, const Place* old) {
  Change seen = change;
  const Name& first = place.names.front();
  const Name& own = place.names[name];
  const std::string of_file = first.file.empty() ? change.path.substr(first.path.size()) : first.file;
  seen.path = own.file.empty() ? own.path + of_file : own.path;
  if (old != nullptr) seen.old_path = old->names[name].path + change.old_path.substr(old->names.front().path.size());
  if (own.volume == nullptr) return seen;
  seen.mount = own.volume->kind;
  seen.files = place.files;
  seen.sees_it = own.volume->pid;
  return seen;
}

bool Changes::concerns(const Place& place, const Change& change) const {
  for (size_t i = 0; i < place.names.size(); ++i) {
    const auto root = place.names[i].root.lock();
    if (root != nullptr && hooks_.concerns(*root, asSeen(change, place, i, nullptr))) return true;
  }
  return false;
}

/// `old` has the names of the folder from which it was renamed, in the order of those of `place`.
void Changes::tell(const Place& place, const Change& change, const Place* old) {
  const auto tellEach = [&](bool may_guess) {
    bool is_known = false;
    for (size_t i = 0; i < place.names.size(); ++i) {
      const auto root = place.names[i].root.lock();
      if (root != nullptr && hooks_.judge(*root, asSeen(change, place, i, old), may_guess)) is_known = true;
    }
    return is_known;
  };
  // A task of which nothing is known any more may have been of any container that has the volume.
  const bool is_alone = place.names.size() == 1;
  if (is_alone || !tellEach(false)) tellEach(true);
}

}  // namespace d4c
