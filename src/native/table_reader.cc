// From bytes to a table. The format is little-endian and is described in src/node/flatten.ts.

#include "table.h"

namespace d4c {

namespace {

constexpr uint32_t kMagic = 0x54433444;  // "D4CT"
constexpr uint16_t kVersion = 2;

enum SelectorFlag : uint8_t {
  kAsMatch = 1,
  kAsExclude = 2,
  kHasPaths = 4,
  kHasNames = 8,
  kIgnoreVolumeMounts = 16,
  kIgnoreVolumeFiles = 32,
  kNotInteractive = 64,
  kOnlyInteractive = 128,
};

}  // namespace

/// Reads forward only. After the first fault everything reads as zero, so that a caller may check once.
class TableReader {
 public:
  TableReader(const uint8_t* bytes, size_t size, std::string* fault) : at_(bytes), end_(bytes + size), fault_(fault) {}

  std::shared_ptr<const Table> read() {
    if (number(4) != kMagic) fail("it does not begin with its magic number");
    if (number(2) != kVersion) fail("its version is not known");
    auto table = std::make_shared<Table>();
    const uint64_t mode = number(1);
    if (mode > 1) fail("its mode is not known");
    table->enforces_ = mode == 1;
    const uint64_t policies = number(2);
    for (uint64_t i = 0; i < policies && ok_; ++i) {
      readRules(table.get(), Section::kFile, static_cast<uint16_t>(i));
      readRules(table.get(), Section::kProcess, static_cast<uint16_t>(i));
    }
    if (at_ != end_) fail("something follows its end");
    return ok_ ? table : nullptr;
  }

 private:
  void fail(const char* why) {
    if (ok_) *fault_ = why;
    ok_ = false;
    at_ = end_;
  }

  uint64_t number(size_t bytes) {
    if (static_cast<size_t>(end_ - at_) < bytes) {
      fail("it is cut short");
      return 0;
    }
    uint64_t value = 0;
    for (size_t i = 0; i < bytes; ++i) value |= uint64_t{at_[i]} << (8 * i);
    at_ += bytes;
    return value;
  }

  std::string text() {
    const size_t size = number(2);
    if (static_cast<size_t>(end_ - at_) < size) {
      fail("it is cut short");
      return {};
    }
    std::string value(reinterpret_cast<const char*>(at_), size);
    at_ += size;
    return value;
  }

  void readRules(Table* table, Section section, uint16_t policy) {
    Table::Rules rules;
    const uint64_t selectors = number(1);
    const uint64_t responses = number(1);
    if (selectors > 64) fail("a section has more than 64 selectors");
    for (uint64_t i = 0; i < selectors && ok_; ++i) readSelector(table, section, policy, uint64_t{1} << i, &rules);
    const uint64_t known = selectors == 64 ? ~uint64_t{0} : (uint64_t{1} << selectors) - 1;
    for (uint64_t i = 0; i < responses && ok_; ++i) {
      const uint64_t match = number(8);
      const uint64_t exclude = number(8);
      const uint64_t actions = number(1);
      if ((match | exclude) & ~known) fail("a response names a selector that is not there");
      if (actions == 0 || actions > (kLog | kAlert | kBlock)) fail("a response has an unknown action");
      if (actions & kBlock) table->blocks_[static_cast<size_t>(section)] = true;
      rules.responses.push_back({match, exclude, static_cast<uint8_t>(actions)});
      rules.in_match |= match;
    }
    for (int bit = 0; bit < kOperationCount; ++bit) {
      if (rules.by_operation[static_cast<size_t>(bit)] & rules.in_match & rules.as_match) {
        table->operations_ |= static_cast<uint8_t>(1 << bit);
      }
      for (const Table::Rules::Response& response : rules.responses) {
        const bool fires = rules.by_operation[static_cast<size_t>(bit)] & response.match & rules.as_match;
        if (fires && response.actions & kBlock) table->blocked_operations_ |= static_cast<uint8_t>(1 << bit);
      }
    }
    table->rules_[static_cast<size_t>(section)].push_back(std::move(rules));
  }

  void readSelector(Table* table, Section section, uint16_t policy, uint64_t self, Table::Rules* rules) {
    const uint64_t flags = number(1);
    const uint64_t operations = number(1);
    if (flags & kAsMatch) rules->as_match |= self;
    if (flags & kAsExclude) rules->as_exclude |= self;
    for (size_t bit = 0; bit < kOperationCount; ++bit) {
      if (operations & (uint64_t{1} << bit)) rules->by_operation[bit] |= self;
    }
    rules->by_mount[static_cast<size_t>(MountKind::kRoot)] |= self;
    if (!(flags & kIgnoreVolumeMounts)) {
      rules->by_mount[static_cast<size_t>(MountKind::kVolume)] |= self;
      if (!(flags & kIgnoreVolumeFiles)) rules->by_mount[static_cast<size_t>(MountKind::kVolumeFile)] |= self;
    }
    const bool asks = flags & (kNotInteractive | kOnlyInteractive);
    if (!asks) rules->by_interactive[static_cast<size_t>(Interactive::kUnknown)] |= self;
    if (!asks || flags & kNotInteractive) rules->by_interactive[static_cast<size_t>(Interactive::kNo)] |= self;
    if (!asks || flags & kOnlyInteractive) rules->by_interactive[static_cast<size_t>(Interactive::kYes)] |= self;
    table->asks_interactive_ |= asks;

    if (!(flags & kHasPaths)) rules->without_path |= self;
    const uint64_t paths = flags & kHasPaths ? number(4) : 0;
    for (uint64_t i = 0; i < paths && ok_; ++i) {
      const std::vector<Component> pattern = readPattern();
      if (ok_) table->tries_[static_cast<size_t>(section)].add(pattern, policy, self);
    }
    if (!(flags & kHasNames)) rules->without_name |= self;
    const uint64_t names = flags & kHasNames ? number(4) : 0;
    for (uint64_t i = 0; i < names && ok_; ++i) rules->names[text()] |= self;
  }

  std::vector<Component> readPattern() {
    std::vector<Component> pattern;
    const uint64_t components = number(4);
    if (components == 0) fail("a pattern has no component");
    for (uint64_t i = 0; i < components && ok_; ++i) {
      const uint64_t pieces = number(4);
      // No piece is `**`, one is text, more are the text between stars.
      Component component{Component::Kind::kDeep, {}};
      if (pieces > 0) component.kind = pieces == 1 ? Component::Kind::kText : Component::Kind::kStars;
      for (uint64_t j = 0; j < pieces && ok_; ++j) component.pieces.push_back(text());
      pattern.push_back(std::move(component));
    }
    return pattern;
  }

  const uint8_t* at_;
  const uint8_t* const end_;
  std::string* const fault_;
  bool ok_ = true;
};

std::shared_ptr<const Table> Table::parse(const uint8_t* bytes, size_t size, std::string* fault) {
  return TableReader(bytes, size, fault).read();
}

}  // namespace d4c
