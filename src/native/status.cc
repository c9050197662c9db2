#include "status.h"

#include <algorithm>

#include "gate.h"

namespace d4c {

void Latencies::add(Clock::duration took) {
  auto us = static_cast<uint64_t>(std::max<int64_t>(std::chrono::duration_cast<std::chrono::microseconds>(took).count(), 0));
  size_t bucket = 0;
  for (; us > 0 && bucket + 1 < kBuckets; us >>= 1) ++bucket;
  counts_[bucket].fetch_add(1, std::memory_order_relaxed);
}

std::array<uint64_t, Latencies::kBuckets> Latencies::counts() const {
  std::array<uint64_t, kBuckets> counts{};
  for (size_t i = 0; i < kBuckets; ++i) counts[i] = counts_[i].load(std::memory_order_relaxed);
  return counts;
}

GateStats Gate::stats() const {
  GateStats stats;
  stats.verdicts = judge_.tallies().verdicts.load();
  stats.denied = judge_.tallies().denied.load();
  stats.unknown = judge_.tallies().unknown.load();
  stats.dropped = reports_.dropped();
  stats.late = judge_.tallies().late.load();
  for (const Known& known : allKnown()) stats.held += known.container->waiting();
  const std::shared_lock<std::shared_mutex> lock(mutex_);
  stats.groups = static_cast<uint64_t>(
      std::count_if(lanes_.begin(), lanes_.end(), [](const auto& lane) { return !lane.second->roots.empty(); }));
  stats.roots = roots_.size();
  return stats;
}

GateStatus Gate::status() const {
  GateStatus status{};
  status.latencies = judge_.latencies().counts();
  status.failures = reports_.totals();
  status.events_waiting = reports_.waiting();
  status.outcomes = reports_.outcomes();
  status.unenforceable = unenforceable_;
  status.readers = reader_count_;
  status.kept_readers = 0;
  std::vector<std::pair<Known, bool>> all;
  {
    const std::shared_lock<std::shared_mutex> lock(mutex_);
    for (const auto& [key, known] : known_) {
      bool shares = false;
      for (const auto& [name, lane] : lanes_) shares |= lane->group == known.root->group && lane->roots.size() > 1;
      all.emplace_back(known, shares);
    }
    for (const auto& [device, root] : roots_) status.kept_readers += static_cast<uint64_t>(root->keeps.load());
  }
  for (const auto& [known, shares] : all) {
    const auto& [root, container] = known;
    const auto binding = container->binding();
    const auto cgroup = container->cgroup();
    const bool has_table = binding->table != nullptr;
    status.containers.push_back({container->key, root->place.mount_point, cgroup == nullptr ? "" : cgroup->path,
                                 container->pid.load(), binding->is_published, has_table,
                                 has_table && binding->table->enforces() && settings_.asks_to_enforce, binding->generation,
                                 binding->context, root->watched(), shares, container->waiting(),
                                 container->memfd_noexec.load(), reports_.ledgerOf(container->key)});
  }
  return status;
}

}  // namespace d4c
