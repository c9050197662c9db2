#include "machine_load.h"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cstdint>
#include <cstdlib>
#include <cstring>

namespace d4c {

namespace {

/// The kernel counts in hundredths of a second.
constexpr std::chrono::milliseconds kLooksApart(500);
constexpr uint64_t kBusyBelowPercent = 10;
constexpr uint64_t kIdleAbovePercent = 30;
constexpr char kOfAll[] = "cpu ";

/// What all processors did together: user, nice, system, idle, iowait, irq, softirq, steal. Not by `sscanf`, with which the
/// program gets 100 KiB larger: it reads numbers of every kind.
bool readTimes(const char* text, std::array<uint64_t, 8>* times) {
  if (std::strncmp(text, kOfAll, sizeof kOfAll - 1) != 0) return false;
  const char* at = text + sizeof kOfAll - 1;
  for (uint64_t& time : *times) {
    char* end = nullptr;
    time = std::strtoull(at, &end, 10);
    if (end == at) return false;
    at = end;
  }
  return true;
}

}  // namespace

MachineLoad::MachineLoad() : file_(open("/proc/stat", O_RDONLY | O_CLOEXEC)) {}

bool MachineLoad::isBusy() {
  const auto now = Clock::now();
  if (now - looked_ < kLooksApart) return is_busy_;
  looked_ = now;
  char text[256];
  const ssize_t size = file_ ? pread(file_.get(), text, sizeof text - 1, 0) : 0;
  text[size > 0 ? size : 0] = '\0';
  std::array<uint64_t, 8> times{};
  if (!readTimes(text, &times)) return is_busy_;
  const uint64_t idle = times[3] + times[4];
  uint64_t all = 0;
  for (const uint64_t time : times) all += time;
  const uint64_t passed = all - all_;
  // KERNEL: the time that was spent idle may be seen to go back.
  const uint64_t rested = idle > idle_ ? idle - idle_ : 0;
  const bool is_first = all_ == 0;
  all_ = all;
  idle_ = idle;
  if (!is_first && passed > 0) is_busy_ = rested * 100 < passed * (is_busy_ ? kIdleAbovePercent : kBusyBelowPercent);
  return is_busy_;
}

}  // namespace d4c
