#include "arguments.h"

#include <sys/uio.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>

#include "memory.h"
#include "proc_file.h"

namespace d4c {

namespace {

constexpr size_t kMaxArguments = 256;
constexpr size_t kMaxArgumentBytes = 16384;
constexpr uint64_t kPageBytes = 4096;
/// Arguments are read this many at a time, and of each so many bytes at first.
constexpr size_t kAtATime = 32;
constexpr size_t kFirstBytes = 128;

/// Bytes from `address` that one page holds, at most `wanted`: what lies beyond may not be there.
size_t withinPage(uint64_t address, size_t wanted) {
  return std::min<size_t>(wanted, kPageBytes - address % kPageBytes);
}

size_t readMemory(pid_t tid, uint64_t address, void* into, size_t size) {
  iovec local{into, size};
  iovec remote{reinterpret_cast<void*>(static_cast<uintptr_t>(address)), size};
  const ssize_t got = process_vm_readv(tid, &local, 1, &remote, 1, 0);
  return got < 0 ? 0 : static_cast<size_t>(got);
}

/// The pointers of the vector up to its end; false when it could not be read to its end.
bool readPointers(pid_t tid, const ExecArguments& where, std::vector<uint64_t>* pointers) {
  std::array<uint8_t, kPageBytes> bytes;
  const auto step = static_cast<size_t>(where.pointer_bytes);
  uint64_t address = where.vector;
  while (address != 0 && pointers->size() < kMaxArguments) {
    // One page at a time. A pointer that straddles two pages is no compiler's work; it ends the reading.
    const size_t got = readMemory(tid, address, bytes.data(), withinPage(address, step * kAtATime));
    if (got < step) return false;
    for (size_t at = 0; at + step <= got; at += step) {
      uint64_t pointer = 0;
      std::memcpy(&pointer, bytes.data() + at, step);
      if (pointer == 0) return true;
      pointers->push_back(pointer);
    }
    address += got - got % step;
  }
  return false;
}

/// Reads on until the text's end. False when it was cut.
bool readRest(pid_t tid, uint64_t address, size_t budget, std::string* text) {
  std::array<char, kPageBytes> bytes;
  while (text->size() < budget) {
    const uint64_t at = address + text->size();
    const size_t got = readMemory(tid, at, bytes.data(), withinPage(at, bytes.size()));
    if (got == 0) return false;
    const size_t length = strnlen(bytes.data(), got);
    text->append(bytes.data(), length);
    if (length < got) break;
  }
  if (text->size() <= budget) return true;
  text->resize(budget);
  return false;
}

}  // namespace

std::vector<std::string> runningArguments(pid_t pid, bool* truncated) {
  std::array<char, kMaxArgumentBytes> text;
  *truncated = true;
  if (!mayReadMemory()) return {};
  const size_t size = readProcFile(pid, "cmdline", text.data(), text.size());
  std::vector<std::string> args;
  size_t at = 0;
  while (at < size && args.size() < kMaxArguments) {
    args.emplace_back(text.data() + at);
    at += args.back().size() + 1;
  }
  *truncated = at < size || size + 1 == text.size();
  return args;
}

std::vector<std::string> newArguments(pid_t tid, const BlockedCall& call, bool* truncated) {
  std::vector<std::string> args;
  std::vector<uint64_t> pointers;
  const auto where = mayReadMemory() ? execArguments(call) : std::nullopt;
  *truncated = !where || !readPointers(tid, *where, &pointers);
  pointers.resize(std::min(pointers.size(), kMaxArguments));
  size_t budget = kMaxArgumentBytes;
  std::array<std::array<char, kFirstBytes>, kAtATime> texts;
  for (size_t from = 0; from < pointers.size() && budget > 0; from += kAtATime) {
    const size_t count = std::min(kAtATime, pointers.size() - from);
    std::array<iovec, kAtATime> local;
    std::array<iovec, kAtATime> remote;
    for (size_t i = 0; i < count; ++i) {
      const uint64_t address = pointers[from + i];
      const size_t size = withinPage(address, kFirstBytes);
      local[i] = {texts[i].data(), size};
      remote[i] = {reinterpret_cast<void*>(static_cast<uintptr_t>(address)), size};
    }
    const ssize_t all = process_vm_readv(tid, local.data(), count, remote.data(), count, 0);
    size_t got = all < 0 ? 0 : static_cast<size_t>(all);
    for (size_t i = 0; i < count && budget > 0; ++i) {
      const size_t size = std::min(got, local[i].iov_len);
      got -= size;
      std::string text(texts[i].data(), strnlen(texts[i].data(), size));
      if (text.size() == size && !readRest(tid, pointers[from + i], budget, &text)) *truncated = true;
      text.resize(std::min(text.size(), budget));
      budget -= std::min(budget, text.size() + 1);
      args.push_back(std::move(text));
    }
  }
  if (args.size() < pointers.size()) *truncated = true;
  return args;
}

}  // namespace d4c
