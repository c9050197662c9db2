#include "memory.h"

namespace d4c {

namespace {

thread_local bool may_read_memory = true;

}  // namespace

MemoryRule::MemoryRule(bool may_read) : before_(may_read_memory) { may_read_memory = may_read; }

MemoryRule::~MemoryRule() { may_read_memory = before_; }

bool mayReadMemory() { return may_read_memory; }

}  // namespace d4c
