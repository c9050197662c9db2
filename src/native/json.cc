#include "json.h"

#include <cstdio>

namespace d4c {

namespace {

void quote(std::string_view text, std::string* into) {
  *into += '"';
  for (const char letter : text) {
    if (letter == '"' || letter == '\\') {
      *into += '\\';
      *into += letter;
    } else if (static_cast<unsigned char>(letter) < 0x20) {
      char escape[8];
      std::snprintf(escape, sizeof escape, "\\u%04x", static_cast<unsigned>(letter));
      *into += escape;
    } else {
      *into += letter;
    }
  }
  *into += '"';
}

}  // namespace

std::string quoted(std::string_view text) {
  std::string value;
  quote(text, &value);
  return value;
}

void Json::begin(const char* name) {
  if (text_.size() > 1) text_ += ',';
  text_ += '"';
  text_ += name;
  text_ += "\":";
}

Json& Json::text(const char* name, std::string_view value) {
  begin(name);
  quote(value, &text_);
  return *this;
}

Json& Json::number(const char* name, uint64_t value) { return raw(name, std::to_string(value)); }

Json& Json::number(const char* name, int64_t value) { return raw(name, std::to_string(value)); }

Json& Json::raw(const char* name, std::string_view value) {
  begin(name);
  text_ += value;
  return *this;
}

std::string Json::done() {
  text_ += '}';
  return std::move(text_);
}

}  // namespace d4c
