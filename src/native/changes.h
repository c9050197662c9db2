// Changes that raise no permission event: links, renames, deletions, changes of modes, creations without an open.
//
// Owns one notification group for each filesystem that holds upper directories, and one for all others that hold volumes; and the
// thread that reads them. Nobody waits for it: an event comes 3 to 15 us after its operation. Owns no container and no mount; it knows
// root filesystems by a weak pointer, and says what happened on them to whoever decides. Volumes are only handed over by those that
// mark them with permission events, and watched by the thread: a permission mark never waits for what this does.
//
//   a mount table ─▶ expect ─▶ thread: marks, then looks at the files, then the exec that waits for it goes on
//   kernel ─▶ group of a filesystem ─▶ which upper directory or volumes? ─▶ what happened there? ─▶ judge, for each container
//                                         none: of the host                     └▶ an open may have created it: wait for its claim
#pragma once

#include <sys/types.h>

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

#include "budget.h"
#include "change.h"
#include "container.h"
#include "fid_batch.h"
#include "low_descriptor.h"
#include "reports.h"
#include "threads.h"
#include "volumes.h"
#include "walks.h"

namespace d4c {

class Changes {
 public:
  /// What decides. Called by the reading thread only.
  struct Hooks {
    /// Whether a rule may speak of the change.
    std::function<bool(Root&, const Change&)> concerns;
    /// Whether it was a process of a container on the root filesystem. `may_guess`: also of a task of which nothing is known
    /// any more.
    std::function<bool(Root&, const Change&, bool may_guess)> judge;
  };

  Changes(Reports* reports, Budget* budget, Hooks hooks)
      : reports_(reports), walks_(reports), hooks_(std::move(hooks)), common_(budget->open("volumes that several have")) {}
  ~Changes() { close(); }

  /// Begins to watch the root filesystem's upper directory. Twice is fine. False when nothing at all can be watched. Any thread.
  bool cover(const std::shared_ptr<Root>& root);
  /// Has these volumes alone watched of the process's mount namespace; `root.expected` counts it until then. After `cover`. Any thread.
  void expect(Root& root, const std::string& space, pid_t pid, std::vector<FoundVolume> volumes);
  /// Whether what had happened on the filesystem when this was asked for the first time, without a `number`, was told. Any
  /// thread.
  bool hasTold(dev_t device, std::optional<uint64_t>* number) const;
  /// What is remembered of the files of a filesystem on which volumes are; null when there are none. Any thread.
  std::shared_ptr<Files> filesOf(dev_t device) const;
  /// From the beginning: opens are not asked about, so that none of them tells of a creation or a change.
  void tellAll() { tells_all_ = true; }
  /// Ends the thread. What was not read by then is not told.
  void close();

 private:
  /// A mount of a container that is not its root filesystem.
  struct Volume {
    std::weak_ptr<Root> root;
    std::string space;
    /// What of its filesystem is mounted; empty for all of it.
    std::string source;
    std::string mount_point;
    MountKind kind;
    bool is_file;
    /// A process that sees it, and the mount's number there.
    pid_t pid;
    uint64_t mount;
    bool is_uncached;
    Purse purse;
  };
  /// What a folder is called in one container.
  struct Name {
    std::weak_ptr<Root> root;
    /// Null on the root filesystem.
    std::shared_ptr<const Volume> volume;
    /// With a `/` at its end; of a file that is mounted alone, that file's.
    std::string path;
    /// Where no other file of the folder is meant, its name.
    std::string file{};
  };
  /// A folder in the containers that have it: one, unless they share a volume. None: it is of the host alone.
  struct Place {
    std::vector<Name> names;
    /// Of a root filesystem; null on a volume.
    std::shared_ptr<Root> root{};
    std::shared_ptr<Files> files{};
    explicit operator bool() const { return !names.empty(); }
    /// Of a file in it, by the first name.
    std::string pathOf(std::string_view name) const {
      return names.front().file.empty() ? names.front().path + std::string(name) : names.front().path;
    }
  };
  /// A creation that an open may have made, with which it is told then; or a modification, of a file that is known a moment later.
  struct Pending {
    Place place;
    Change change;
    Clock::time_point since;
  };
  /// Where handles of a filesystem are opened from, and how the paths of what they give begin: `seen` stands for `source`.
  struct Anchor {
    Descriptor at;
    uint64_t mount = 0;
    std::string seen;
    std::string source;
  };
  /// What is watched of one filesystem.
  struct Filesystem {
    /// None where it is watched by the group of volumes.
    LowDescriptor group;
    /// By the directory's path with a `/` at its end.
    std::map<std::string, std::weak_ptr<Root>> roots;
    /// Whether roots or volumes have come since they were last looked at.
    bool is_new = false;

    // Of the reading thread: no other one changes these.
    /// Whether some could not be looked at, and are to be once more.
    bool is_unlearned = false;
    std::vector<std::shared_ptr<const Volume>> volumes;
    /// Null before the first volume; and of which filesystem they are, since the number of one that is gone is used again.
    std::shared_ptr<Files> files;
    uint64_t identity = 0;
    /// Folders in which there are more files than are looked at.
    std::set<std::string> too_large;
    /// As it was found last, without a descriptor, which would keep the filesystem from being unmounted.
    Anchor anchor;
  };
  /// A mount table of which volumes are to be watched.
  struct Expected {
    std::weak_ptr<Root> root;
    std::string space;
    pid_t pid;
    std::vector<FoundVolume> volumes;
  };
  /// What others than the reading thread ask about a filesystem with volumes.
  struct Seen {
    std::shared_ptr<Files> files;
    int group;
    uint64_t name;
  };

  /// The name of the group of filesystems that only volumes are on; the others go by their device.
  static constexpr uint64_t kOfVolumes = UINT64_MAX - 1;
  /// As many files are looked at while somebody waits: who publishes, or an exec.
  static constexpr size_t kLearnAtOnce = 512;

  bool begin();
  std::optional<uint64_t> watch(const std::string& directory, int at, dev_t device, bool has_root);
  int groupOf(uint64_t name);
  bool poll(int group, uint64_t name);
  LowDescriptor openGroup(const std::string& directory, uint64_t name);
  bool markFilesystem(int group, const std::string& directory, int at);
  void run();
  void read(uint64_t name, int group);
  void forgetLearned(uint64_t name);
  FidBatch readBatch(uint64_t name, int group);
  bool readInto(uint64_t name, int group, FidBatch* batch);
  void takeNext(uint64_t name, FidBatch* batch, size_t at, std::map<dev_t, Anchor>* anchors);
  void take(dev_t device, const Anchor& anchor, const FidEvent& event, const FidBatch::Replaced& replaced);

  // Which volumes are watched (changes_volumes.cc).
  void coverExpected();
  void forgetVolumes(const Root& root, const std::string& space);
  void coverVolume(const std::shared_ptr<Root>& root, const Expected& expected, const FoundVolume& found);
  void renew(Filesystem* filesystem, dev_t device, uint64_t identity, std::shared_ptr<Account> account);
  bool learnRoot(Root& root, size_t max_files);
  bool learnVolume(const Volume& volume, Filesystem* filesystem, size_t max_files, bool is_last);
  static bool anchorAtVolume(const Volume& volume, Anchor* anchor);
  static Descriptor openVolume(const Volume& volume);

  // Where it happened (changes_places.cc).
  /// A path that others are put behind.
  static std::string asPrefix(const std::string& path) { return path == "/" ? std::string() : path; }
  void prepare(dev_t device, Anchor* anchor);
  dev_t deviceOf(uint64_t identity);
  void forgetKnown();
  static void findAnchor(Filesystem* filesystem, const std::string& of_root, dev_t device, Anchor* anchor);
  Place placeOf(dev_t device, const Anchor& anchor, Handle folder);
  Place findPlace(dev_t device, const Anchor& anchor, const std::string& path);
  static Place onlyOf(const Place& place, std::string_view name);

  // What one event says (changes_take.cc).
  void takeName(const Place& place, int mount, const FidEvent& event, std::string_view name, bool was_moved_here);
  void takeCopy(const Place& place, Change change);
  bool settleCopy(const Pending& pending, bool is_over);
  void takeRename(const Place& from, const Place& to, int mount, const FidEvent& event, const FidBatch::Replaced& replaced);
  void takeAttributes(const Place& place, int mount, const FidEvent& event);
  void takeDeletion(const Place& place, int mount, const FidEvent& event, std::string_view name);
  void settle(uint64_t inode);
  bool settleOne(const Pending& pending, bool is_over);

  // To whom it is told (changes_tell.cc).
  static bool hasLearned(const Place& place);
  static bool splitRename(const Place& from, const Place& to, Place* from_only, Place* to_only, Place* both, Place* old);
  static Change asSeen(const Change& change, const Place& place, size_t name, const Place* old);
  bool concerns(const Place& place, const Change& change) const;
  void tell(const Place& place, const Change& change, const Place* old = nullptr);

  Reports* const reports_;
  const Walks walks_;
  const Hooks hooks_;
  /// For what is remembered of volumes that are not of one container alone.
  const std::shared_ptr<Account> common_;
  bool tells_all_ = false;
  /// Of the next three. No thread that judges an event takes it.
  std::mutex mutex_;
  std::map<dev_t, Filesystem> filesystems_;
  LowDescriptor volumes_group_;
  /// The filesystems that it watches, by their identity.
  std::unordered_map<uint64_t, dev_t> devices_;
  Descriptor poll_;
  Descriptor stop_;
  Descriptor has_expected_;
  Thread thread_;

  std::mutex expected_mutex_;
  std::deque<Expected> expected_;

  /// Events of a group that were read, and of those the ones that were told, by the group's name.
  struct Flow {
    uint64_t taken = 0;
    uint64_t told = 0;
  };
  /// Of these two. Held to read events at the most.
  mutable std::mutex seen_mutex_;
  std::map<dev_t, Seen> seen_;
  std::map<uint64_t, Flow> flows_;

  // Of the reading thread.
  CallFiles calls_;
  std::vector<Pending> pending_;
  /// Of each group what the last batch has left to the next one.
  std::map<uint64_t, FidBatch::Rest> left_;
  /// What directories were found to be, by filesystem and handle. Emptied when one is renamed, or a root or a volume comes or goes.
  std::unordered_map<std::string, std::vector<Name>> known_;
  size_t known_bytes_ = 0;
};

}  // namespace d4c
