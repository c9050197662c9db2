// What wakes a reader thread.
#pragma once

#include <sched.h>

#include <cstdint>

namespace d4c {

/// What a reader's poll calls the descriptors that are no lane. Lanes count from 1.
constexpr uint64_t kStopName = UINT64_MAX;
constexpr uint64_t kTimerName = UINT64_MAX - 1;
constexpr uint64_t kPutOffName = UINT64_MAX - 2;
/// The lane of files that are opened through a mount of another container's overlay.
constexpr uint64_t kForeignName = UINT64_MAX - 3;
/// A reader takes the duty (duty.h).
constexpr uint64_t kDutyName = UINT64_MAX - 4;

/// A reader's poll, and the processors on which its events are read.
struct ReaderPoll {
  int poll = -1;
  cpu_set_t processors{};
};
/// `flags`: beside EPOLLIN.
bool addToPoll(int poll, int descriptor, uint64_t name, uint32_t flags = 0);

}  // namespace d4c
