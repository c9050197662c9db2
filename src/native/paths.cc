#include "paths.h"

#include <algorithm>
#include <cstring>

namespace d4c {

namespace {

/// Whether the component consists of the pieces with anything between them. Takes the leftmost fit of each.
bool fits(const std::vector<std::string>& pieces, std::string_view component) {
  const std::string& head = pieces.front();
  const std::string& tail = pieces.back();
  if (component.size() < head.size() + tail.size()) return false;
  if (component.substr(0, head.size()) != head) return false;
  if (component.substr(component.size() - tail.size()) != tail) return false;
  const char* at = component.data() + head.size();
  const char* end = component.data() + component.size() - tail.size();
  for (size_t i = 1; i + 1 < pieces.size(); ++i) {
    if (pieces[i].empty()) continue;
    at = static_cast<const char*>(memmem(at, static_cast<size_t>(end - at), pieces[i].data(), pieces[i].size()));
    if (at == nullptr) return false;
    at += pieces[i].size();
  }
  return true;
}

}  // namespace

void PathTrie::add(const std::vector<Component>& pattern, uint16_t policy, uint64_t selector) {
  uint32_t node = 0;
  for (const Component& component : pattern) node = childOf(node, component);
  // At a pattern's end `**` asks for at least one component: as if `*` followed.
  if (!pattern.empty() && pattern.back().kind == Component::Kind::kDeep) {
    node = childOf(node, {Component::Kind::kStars, {"", ""}});
  }
  std::vector<Ending>& endings = nodes_[node].endings;
  if (endings.empty() || endings.back().policy != policy) endings.push_back({policy, 0});
  endings.back().selectors |= selector;
}

uint32_t PathTrie::childOf(uint32_t node, const Component& component) {
  const auto created = static_cast<uint32_t>(nodes_.size());
  switch (component.kind) {
    case Component::Kind::kText: {
      const auto [found, is_new] = nodes_[node].texts.emplace(component.pieces.front(), created);
      if (!is_new) return found->second;
      break;
    }
    case Component::Kind::kStars: {
      const auto [found, is_new] = nodes_[node].stars.emplace(component.pieces, created);
      if (!is_new) return found->second;
      break;
    }
    case Component::Kind::kDeep:
      if (nodes_[node].deep != 0) return nodes_[node].deep;
      nodes_[node].deep = created;
      break;
  }
  nodes_.emplace_back();
  nodes_.back().is_deep = component.kind == Component::Kind::kDeep;
  return created;
}

/// A `**` below the node may stand for no component, so it becomes active too.
void PathTrie::activate(uint32_t node, PathScratch* scratch, std::vector<uint32_t>* into) const {
  do {
    if (scratch->reached[node] == scratch->step) return;
    scratch->reached[node] = scratch->step;
    into->push_back(node);
    node = nodes_[node].deep;
  } while (node != 0);
}

void PathTrie::match(std::string_view path, PathScratch* scratch, uint64_t* masks) const {
  if (nodes_.size() == 1) return;
  // A path has at most one component for every two bytes; starting over keeps `step` from wrapping in between.
  if (scratch->reached.size() < nodes_.size() || scratch->step > UINT32_MAX - path.size() - 2) {
    scratch->reached.assign(nodes_.size(), 0);
    scratch->step = 0;
  }
  std::vector<uint32_t>* active = &scratch->active;
  std::vector<uint32_t>* next = &scratch->next;
  active->clear();
  ++scratch->step;
  activate(0, scratch, active);

  size_t at = 0;
  while (at < path.size() && !active->empty()) {
    const size_t from = at + (path[at] == '/' ? 1 : 0);
    if (from == path.size()) break;
    at = std::min(path.find('/', from), path.size());
    const std::string_view component = path.substr(from, at - from);
    next->clear();
    ++scratch->step;
    for (const uint32_t index : *active) {
      const Node& node = nodes_[index];
      if (const auto found = node.texts.find(component); found != node.texts.end()) {
        activate(found->second, scratch, next);
      }
      for (const auto& [pieces, child] : node.stars) {
        if (fits(pieces, component)) activate(child, scratch, next);
      }
      if (node.is_deep) activate(index, scratch, next);
    }
    std::swap(active, next);
  }
  for (const uint32_t index : *active) {
    for (const Ending& ending : nodes_[index].endings) masks[ending.policy] |= ending.selectors;
  }
}

}  // namespace d4c
