// How the gate's threads are started.
#pragma once

#include <functional>
#include <thread>

namespace d4c {

/// A thread of this name (at most 15 bytes) that gets no signal: those are for the thread that asked for them.
std::thread startThread(const char* name, std::function<void()> run);

}  // namespace d4c
