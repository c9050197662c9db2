// Whether the memory of other tasks may be read. Their pages may be delivered by a program of the container, which can take for
// ever: after it has happened once, nobody waits for that container again while the first one still does.
#pragma once

namespace d4c {

/// Of this thread, as long as it lives.
class MemoryRule {
 public:
  explicit MemoryRule(bool may_read);
  ~MemoryRule();
  MemoryRule(const MemoryRule&) = delete;
  MemoryRule& operator=(const MemoryRule&) = delete;

 private:
  const bool before_;
};

bool mayReadMemory();

}  // namespace d4c
