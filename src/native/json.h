// Writes JSON, a value after another. Bytes of text that are no UTF-8 pass as they are: who decodes the whole
// as UTF-8 gets U+FFFD for them.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace d4c {

class Json {
 public:
  /// Opens an object; `done` closes it.
  Json() : text_("{") {}

  Json& text(const char* name, std::string_view value);
  Json& number(const char* name, uint64_t value);
  Json& number(const char* name, int64_t value);
  Json& number(const char* name, uint32_t value) { return number(name, uint64_t{value}); }
  Json& number(const char* name, int value) { return number(name, int64_t{value}); }
  Json& flag(const char* name, bool value) { return raw(name, value ? "true" : "false"); }
  /// `value` is JSON.
  Json& raw(const char* name, std::string_view value);

  std::string done();

 private:
  void begin(const char* name);
  std::string text_;
};

/// A text as JSON, with its quotes.
std::string quoted(std::string_view text);

/// A list, of what `each` gives for the items of `all`: JSON for each.
template <typename All, typename Each>
std::string listOf(const All& all, Each each) {
  std::string list = "[";
  for (const auto& item : all) {
    if (list.size() > 1) list += ',';
    list += each(item);
  }
  return list + ']';
}

}  // namespace d4c
