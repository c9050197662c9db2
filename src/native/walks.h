// Looking at all files of a place, where a container can make that take for ever: whoever it has asked about the opening of folders
// (fanotify, with CAP_SYS_ADMIN) need not answer.
//
// Another thread looks for whoever asks, and is left behind when it gets no further. It owns all that it uses, and ends when it is
// let go. KERNEL: what is opened with O_PATH asks nobody, but folders cannot be read so.
#pragma once

#include <chrono>
#include <functional>
#include <string>

#include "container.h"
#include "files.h"
#include "reports.h"

namespace d4c {

class Walks {
 public:
  explicit Walks(Reports* reports) : reports_(reports) {}

  using Work = std::function<void(WalkSteps* steps)>;
  /// Has the work done, and waits for that. False when no thread was granted for it, or it is left behind, since it made no step for
  /// three seconds or takes longer than `longest`: that is counted, and for a minute nothing is looked at for the root filesystem.
  /// `where`: what is looked at. Any thread.
  bool run(Root& root, const std::string& where, std::chrono::seconds longest, Work work) const;

 private:
  Reports* const reports_;
};

}  // namespace d4c
