// How the gate's threads are started.
#pragma once

#include <pthread.h>

#include <functional>
#include <utility>

namespace d4c {

/// A thread, or none. As `std::thread`, with which the process would end where the kernel grants none: a container that forks
/// without end takes the machine's last numbers of tasks.
class Thread {
 public:
  Thread() = default;
  explicit Thread(pthread_t handle) : handle_(handle), is_joinable_(true) {}
  Thread(Thread&& other) noexcept : handle_(other.handle_), is_joinable_(std::exchange(other.is_joinable_, false)) {}
  Thread& operator=(Thread&& other) noexcept {
    handle_ = other.handle_;
    is_joinable_ = std::exchange(other.is_joinable_, false);
    return *this;
  }

  bool joinable() const { return is_joinable_; }
  pthread_t native_handle() const { return handle_; }
  /// Does nothing where there is none.
  void join() {
    if (std::exchange(is_joinable_, false)) pthread_join(handle_, nullptr);
  }
  void detach() {
    if (std::exchange(is_joinable_, false)) pthread_detach(handle_);
  }

 private:
  pthread_t handle_{};
  bool is_joinable_ = false;
};

/// A thread of this name (at most 15 bytes), of the ordinary class, that gets no signal: those are for the thread that asked for
/// them. None with `errno` set when the kernel grants none.
Thread startThread(const char* name, std::function<void()> run);

}  // namespace d4c
