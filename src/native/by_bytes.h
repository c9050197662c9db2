// What is made of bytes that come again and again: containers with the same policies share it.
//
// Knows what somebody still uses, and keeps nothing alive itself. Not thread-safe: whoever owns it has one thread.
#pragma once

#include <iterator>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>

namespace d4c {

template <typename Made>
class ByBytes {
 public:
  /// What was made of these bytes and is still used, or else what `make` makes of them; null when that is.
  template <typename Make>
  std::shared_ptr<const Made> of(std::string_view bytes, Make make) {
    std::string text(bytes);
    if (const auto found = known_.find(text); found != known_.end()) {
      if (auto made = found->second.lock()) return made;
    }
    for (auto one = known_.begin(); one != known_.end();) one = one->second.expired() ? known_.erase(one) : std::next(one);
    std::shared_ptr<const Made> made = make(bytes);
    if (made != nullptr) known_[std::move(text)] = made;
    return made;
  }

 private:
  std::unordered_map<std::string, std::weak_ptr<const Made>> known_;
};

}  // namespace d4c
