// A trie over path components: which selectors' path conditions a path meets. It means the same as `parseGlob`
// in src/policy/glob.ts, from which its patterns come.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace d4c {

/// One component of a pattern. `kText` has one piece; `kStars` has the text between its stars, at least two
/// pieces; `kDeep` has none: any number of components, also none, but at least one at a pattern's end.
struct Component {
  enum class Kind : uint8_t { kText, kStars, kDeep };
  Kind kind;
  std::vector<std::string> pieces;
};

/// What a lookup works in. One for each thread, used again and again, so that a lookup allocates nothing.
struct PathScratch {
  std::vector<uint32_t> active;
  std::vector<uint32_t> next;
  /// For each node, the step at which it was last made active.
  std::vector<uint32_t> reached;
  uint32_t step = 0;
};

class PathTrie {
 public:
  PathTrie() : nodes_(1) {}

  /// `selector` is one bit of the mask of its policy. Policies come in ascending order.
  void add(const std::vector<Component>& pattern, uint16_t policy, uint64_t selector);

  /// Adds to `masks`, indexed by policy, the selectors of every pattern that the path fits. Time is the number
  /// of the path's bytes times the number of patterns at most, whatever the path is.
  void match(std::string_view path, PathScratch* scratch, uint64_t* masks) const;

 private:
  struct Ending {
    uint16_t policy;
    uint64_t selectors;
  };
  struct Node {
    std::map<std::string, uint32_t, std::less<>> texts;
    std::map<std::vector<std::string>, uint32_t> stars;
    /// 0 is none: the root is nobody's child.
    uint32_t deep = 0;
    bool is_deep = false;
    std::vector<Ending> endings;
  };

  uint32_t childOf(uint32_t node, const Component& component);
  void activate(uint32_t node, PathScratch* scratch, std::vector<uint32_t>* into) const;

  std::vector<Node> nodes_;
};

}  // namespace d4c
