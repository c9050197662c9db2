// The threads that compare programs with those of the image while their exec waits.
//
// Own the events that wait for them. Each is handed back with the answer in its notes, once; what is left at the end is
// allowed by its envelope. A reader never compares, since others wait for it.
//
// Of one root filesystem, one program is compared at a time, and after each all others come first: whoever executes many large
// programs waits for himself.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <list>
#include <map>
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
    Envelope envelope;
    std::string path;
  };
  using Jobs = std::map<std::shared_ptr<Root>, std::deque<Job>>;
  void run();
  bool hasThread();

  Reports* const reports_;
  const std::function<void(Root&, Envelope)> judge_;
  std::mutex mutex_;
  std::condition_variable changed_;
  Jobs jobs_;
  /// Of all of them.
  size_t count_ = 0;
  /// Those whose next job no thread has yet, in their order.
  std::deque<Jobs::iterator> waiting_;
  std::list<Thread> threads_;
  /// Threads that have nothing to do.
  size_t idle_ = 0;
  bool is_closing_ = false;
};

}  // namespace d4c
