#include "threads.h"

#include <signal.h>

#include <cerrno>
#include <memory>

namespace d4c {

namespace {

void* begin(void* run) {
  const std::unique_ptr<std::function<void()>> owned(static_cast<std::function<void()>*>(run));
  (*owned)();
  return nullptr;
}

}  // namespace

Thread startThread(const char* name, std::function<void()> run) {
  auto owned = std::make_unique<std::function<void()>>(std::move(run));
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  // A thread takes the mask of the one that starts it.
  pthread_sigmask(SIG_SETMASK, &all, &before);
  // And its class, which is for those alone that answer.
  pthread_attr_t how;
  pthread_attr_init(&how);
  pthread_attr_setinheritsched(&how, PTHREAD_EXPLICIT_SCHED);
  pthread_t handle{};
  const int error = pthread_create(&handle, &how, begin, owned.get());
  pthread_attr_destroy(&how);
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  if (error != 0) {
    errno = error;
    return Thread();
  }
  // The thread has it now.
  static_cast<void>(owned.release());
  pthread_setname_np(handle, name);
  return Thread(handle);
}

}  // namespace d4c
