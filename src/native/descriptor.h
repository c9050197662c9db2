// A file descriptor that closes itself, and what it means when there is none.
#pragma once

#include <unistd.h>

#include <cerrno>
#include <utility>

namespace d4c {

class Descriptor {
 public:
  Descriptor() = default;
  explicit Descriptor(int fd) : fd_(fd) {}
  Descriptor(Descriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Descriptor& operator=(Descriptor&& other) noexcept {
    if (this != &other) {
      reset();
      fd_ = std::exchange(other.fd_, -1);
    }
    return *this;
  }
  ~Descriptor() { reset(); }

  int get() const { return fd_; }
  explicit operator bool() const { return fd_ >= 0; }
  void reset() {
    if (fd_ >= 0) close(fd_);
    fd_ = -1;
  }

 private:
  int fd_ = -1;
};

/// Whether the `errno` says that this process, or the machine, has no descriptor left. Another attempt may have one.
inline bool isOutOfDescriptors(int error) { return error == EMFILE || error == ENFILE; }

}  // namespace d4c
