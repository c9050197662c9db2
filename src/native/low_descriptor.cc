#include "low_descriptor.h"

#include <fcntl.h>

#include <algorithm>
#include <cerrno>
#include <mutex>
#include <vector>

namespace d4c {

namespace {

constexpr size_t kNumbers = 32;

/// Owns the numbers that no group has: each is open on nothing that matters.
struct Reserve {
  std::mutex mutex;
  std::vector<int> free;
  int highest = -1;
};

Reserve& reserve() {
  static Reserve reserve;
  return reserve;
}

int openNothing() { return open("/", O_PATH | O_CLOEXEC); }

}  // namespace

void reserveLowNumbers() {
  Reserve& numbers = reserve();
  const std::lock_guard<std::mutex> lock(numbers.mutex);
  if (numbers.highest >= 0) return;
  for (size_t i = 0; i < kNumbers; ++i) {
    const int number = openNothing();
    if (number < 0) break;
    numbers.free.push_back(number);
    numbers.highest = std::max(numbers.highest, number);
  }
}

Descriptor aboveLowNumbers(Descriptor group) {
  return group ? Descriptor(fcntl(group.get(), F_DUPFD_CLOEXEC, reserve().highest + 1)) : Descriptor();
}

LowDescriptor::LowDescriptor(Descriptor descriptor) {
  if (!descriptor) return;
  Reserve& numbers = reserve();
  const std::lock_guard<std::mutex> lock(numbers.mutex);
  if (numbers.free.empty()) {
    errno = EMFILE;
    return;
  }
  const int number = numbers.free.back();
  if (dup3(descriptor.get(), number, O_CLOEXEC) != number) return;
  numbers.free.pop_back();
  fd_ = number;
}

LowDescriptor::~LowDescriptor() {
  if (fd_ < 0) return;
  Reserve& numbers = reserve();
  const std::lock_guard<std::mutex> lock(numbers.mutex);
  // In one step, so that the number is never anybody else's. Without a descriptor to put there, it is reserved no more.
  const Descriptor nothing(openNothing());
  if (nothing && dup3(nothing.get(), fd_, O_CLOEXEC) == fd_) {
    numbers.free.push_back(fd_);
  } else {
    close(fd_);
  }
}

}  // namespace d4c
