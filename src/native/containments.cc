#include "containments.h"

#include <algorithm>
#include <iterator>
#include <utility>

namespace d4c {

namespace {

constexpr size_t kMost = 65536;
/// Paths of 60 bytes leave room for as many; those who make them may make them longer.
constexpr size_t kMostBytes = kMost * 128;
/// What is taken for one, roughly, beside itself, for the containers and the allocator.
constexpr size_t kNodeBytes = 64;
/// So many paths of one file, for each of which it must not be executed under any, are enough.
constexpr size_t kMostNames = 64;

}  // namespace

bool Containments::add(int64_t birth_ns, Containment containment) {
  const auto isAlike = [&](const Containment& known) {
    return known.inode == containment.inode && known.root == containment.root && known.operations == containment.operations;
  };
  const auto isSame = [&](const Containment& known) { return isAlike(known) && known.path == containment.path; };
  const auto found = by_birth_.find(birth_ns);
  if (found != by_birth_.end()) {
    const auto& [everywhere, only_there, kinds] = found->second;
    if (std::any_of(everywhere.begin(), everywhere.end(), isSame)) return true;
    const auto there = only_there.find(containment.path);
    const bool is_there = there != only_there.end() && std::any_of(there->second.begin(), there->second.end(), isAlike);
    if (containment.only_there && is_there) return true;
    const auto names = static_cast<size_t>(std::count_if(everywhere.begin(), everywhere.end(), isAlike));
    if (!containment.only_there && names >= kMostNames) return true;
  }
  const size_t bytes = sizeof containment + containment.path.size();
  if (count_ >= kMost || bytes_ + bytes > kMostBytes || !purse_.take(bytes + kNodeBytes)) return false;
  ++count_;
  bytes_ += bytes;
  Known& known = by_birth_[birth_ns];
  if (!containment.only_there) {
    known.everywhere.push_back(std::move(containment));
    return true;
  }
  if (std::none_of(known.kinds.begin(), known.kinds.end(), isAlike)) {
    known.kinds.push_back({containment.inode, {}, containment.operations, true, containment.root});
  }
  const std::string path = std::exchange(containment.path, {});
  known.only_there[path].push_back(std::move(containment));
  return true;
}

std::vector<Containment> Containments::of(int64_t birth_ns, uint64_t inode, const std::string& path, dev_t root) const {
  std::vector<Containment> all;
  const auto found = by_birth_.find(birth_ns);
  if (found == by_birth_.end()) return all;
  const Known& known = found->second;
  const auto take = [&](const std::vector<Containment>& some, const auto& isMeant) {
    std::copy_if(some.begin(), some.end(), std::back_inserter(all),
                 [&](const Containment& one) { return one.inode == inode && isMeant(one); });
  };
  const auto takeNamed = [&](const auto& named) {
    for (const Containment& one : named.second) {
      if (one.inode != inode || one.root != root) continue;
      all.push_back(one);
      all.back().path = named.first;
    }
  };
  take(known.everywhere, [](const Containment&) { return true; });
  take(known.kinds, [&](const Containment& one) { return one.root != root; });
  if (!path.empty()) {
    if (const auto there = known.only_there.find(path); there != known.only_there.end()) takeNamed(*there);
    return all;
  }
  // It may have any of its names, of which a few tell enough.
  for (auto there = known.only_there.begin(); there != known.only_there.end() && all.size() < kMostNames; ++there) {
    takeNamed(*there);
  }
  return all;
}

}  // namespace d4c
