// Changes that raise no permission event: links, renames, deletions, changes of modes, creations without an open.
//
// Owns one notification group for each filesystem that holds upper directories, and the thread that reads them. Nobody
// waits for it: an event comes 3 to 15 us after its operation. Owns no container; it knows root filesystems by a weak
// pointer, and says what happened on them to whoever decides.
//
//   kernel ─▶ group of a filesystem ─▶ which upper directory? ─▶ what happened there? ─▶ judge
//                                         none: of the host            └▶ an open may have created it: wait for its claim
#pragma once

#include <sys/types.h>

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

#include "change.h"
#include "container.h"
#include "low_descriptor.h"
#include "fid_events.h"
#include "reports.h"

namespace d4c {

class Changes {
 public:
  /// What decides. Called by the reading thread only.
  struct Hooks {
    /// Whether a rule may speak of the change.
    std::function<bool(Root&, const Change&)> concerns;
    std::function<void(Root&, const Change&)> judge;
  };

  Changes(Reports* reports, Hooks hooks) : reports_(reports), hooks_(std::move(hooks)) {}
  ~Changes() { close(); }

  /// Begins to watch the root filesystem's upper directory. Twice is fine. Any thread.
  void cover(const std::shared_ptr<Root>& root);
  /// Ends the thread. What was not read by then is not told.
  void close();

 private:
  struct Place {
    std::shared_ptr<Root> root;
    std::string path;
  };
  /// A creation that an open may have made, which is then told with the open; or a modification, of a file of which it is
  /// known only a moment later.
  struct Pending {
    std::shared_ptr<Root> root;
    Change change;
    Clock::time_point since;
  };
  /// The groups of one filesystem, and the upper directories on it.
  struct Filesystem {
    LowDescriptor group;
    /// By the directory's path with a `/` at its end.
    std::map<std::string, std::weak_ptr<Root>> roots;
    /// Whether roots have come since they were last looked at.
    bool has_new_roots = false;
  };

  LowDescriptor openGroup(const std::string& directory, int at);
  void run();
  void read(dev_t device, int group);
  void prepare(dev_t device, bool anew, Descriptor* mount);
  void take(dev_t device, int mount, const FidEvent& event, const FidEvent* next);
  Place placeOf(dev_t device, int mount, Handle folder);
  std::shared_ptr<Root> rootOf(dev_t device, const std::string& path, std::string* rest);

  // What one event says (changes_take.cc).
  void takeName(const Place& place, int mount, const FidEvent& event, std::string_view name, bool was_moved_here);
  void takeCopy(const Place& place, Change change);
  bool settleCopy(const Pending& pending, bool is_over);
  void takeRename(const Place& from, const Place& to, int mount, const FidEvent& event, const FidEvent* next);
  void takeAttributes(const Place& place, int mount, const FidEvent& event);
  void takeDeletion(const Place& place, int mount, const FidEvent& event, std::string_view name);
  void settle(uint64_t inode);
  bool settleOne(const Pending& pending, bool is_over);
  void tell(Root& root, const Change& change);

  Reports* const reports_;
  const Hooks hooks_;
  std::mutex mutex_;
  std::map<dev_t, Filesystem> filesystems_;
  Descriptor poll_;
  Descriptor stop_;
  std::thread thread_;

  // Of the reading thread.
  CallFiles calls_;
  std::vector<Pending> pending_;
  /// What directories were found to be; of no root filesystem when `root` is not set.
  struct Known {
    bool is_of_host;
    std::weak_ptr<Root> root;
    std::string path;
  };
  /// By handle. Emptied when a directory is renamed or a root filesystem comes.
  std::unordered_map<std::string, Known> known_;
};

}  // namespace d4c
