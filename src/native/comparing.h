// The thread that compares programs with those of the image while their exec waits.
//
// Owns the events that wait for it. Each is handed back with the answer in its notes, once; what is left at the end is
// allowed by its envelope. A reader never compares, since others wait for it.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <string>

#include "container.h"
#include "reports.h"
#include "threads.h"

namespace d4c {

class Comparing {
 public:
  Comparing(Reports* reports, std::function<void(Root&, Envelope)> judge) : reports_(reports), judge_(std::move(judge)) {}
  ~Comparing() { close(); }

  /// Takes the event over, to have `judge` called with it; false when too many wait or there is no thread, and the event stays. No
  /// deadline counts meanwhile, but comparing ends after a bounded time.
  bool add(Root& root, Envelope* envelope, const std::string& path);
  void close();

 private:
  struct Job {
    std::shared_ptr<Root> root;
    Envelope envelope;
    std::string path;
  };
  void run();

  Reports* const reports_;
  const std::function<void(Root&, Envelope)> judge_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Job> jobs_;
  bool is_closing_ = false;
  Thread thread_;
};

}  // namespace d4c
