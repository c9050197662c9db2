// One fanotify permission group, and the marks by which container root filesystems come to it.
#pragma once

#include <sys/fanotify.h>
#include <sys/types.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "descriptor.h"
#include "in_container.h"
#include "opened.h"
#include "syscalls.h"
#include "table.h"
#include "turn.h"

namespace d4c {

/// What of a root filesystem comes to its group.
enum class Watch : uint8_t {
  /// Nothing, and it costs nothing. A mark with nothing but an ignore mask stays, as a sign of life.
  kNothing,
  kExec,
  kExecAndOpen,
};

/// Which groups are asked before others, and let go before others when this process ends: those of containers come last.
/// `kOfForeign` is for the mounts of overlays that are marked as some container's root filesystem, too.
enum class Rank : uint8_t { kOfContainer, kOfForeign, kOfRuntimes };

/// SAFETY: when the last descriptor of a group is closed, the kernel allows everything that is pending, so
/// nobody is left asleep whatever happens to this process. Hence CLOEXEC, and no copy anywhere.
///
/// KERNEL: whoever waits for an answer keeps all groups that are asked later and have marks on its way (the file, its mount, its
/// filesystem), and to close one of these takes until the answer is there. Groups of one class are asked in an order that nobody
/// knows. So no two groups of containers may have marks of different kinds on one way; and those that are asked first must be
/// closed before those of containers, as these before notification groups: they have the highest numbers, since the kernel begins
/// with those when this process is killed (low_descriptor.h).
class Group {
 public:
  /// Null with `errno` set when the kernel grants no group.
  static std::shared_ptr<Group> open(Rank rank = Rank::kOfContainer);
  /// One that asks nobody: it tells of execs, and of files that were open for writing when they are closed. As `open`.
  static std::shared_ptr<Group> openToHear();

  int descriptor() const { return group_.get(); }
  /// Whether an event for which no descriptor could be made is given with the error in its place, also among others.
  bool givesFaults() const { return gives_faults_; }

  /// Answers the event that the kernel knows by this descriptor.
  void answer(int file, Verdict verdict) const;

  /// Changes what of the overlay comes to this group; `with_folders`: also opens of folders, where opens do. 0 or an `errno`;
  /// ESTALE when another filesystem is mounted there by now.
  int watch(const OverlayPlace& place, Watch watch, bool with_folders) const;

  /// As `watch`, of the mount through which `at` was opened (O_PATH), or of its whole filesystem. Where roots share the
  /// group, what one does not need may be needed by another, so nothing is taken away.
  int watchVolume(int at, bool whole_filesystem, Watch watch) const;
  /// Opens of this device cost nothing from now on.
  void ignoreDevice(int directory, const char* name) const;

  /// Nothing more comes to it. What is pending still wants its answer.
  void forgetMarks() const;

  /// How many root filesystems come to it.
  mutable std::atomic<int> roots{0};

  /// Whether the superblock still lives: the kernel drops the mark with it. It may live on in a container's
  /// mount namespace after the host has unmounted it.
  bool marks(dev_t device) const;

 private:
  Group(Descriptor group, bool gives_faults, uint64_t execs, uint64_t opens)
      : group_(std::move(group)), gives_faults_(gives_faults), execs_(execs), both_(execs | opens) {}
  const Descriptor group_;
  const bool gives_faults_;
  /// The events by which it hears of execs, and of those and opens.
  const uint64_t execs_;
  const uint64_t both_;
};

using Clock = std::chrono::steady_clock;

/// What was found out of an event before it was put off.
struct EventNotes {
  /// Since it was read.
  Clock::time_point since = Clock::now();
  /// It waited for its container's first table.
  bool has_waited = false;
  /// How its task opens the file, if that is certain.
  std::optional<OpenIntent> intent;
  std::optional<bool> is_loader;
  /// It may be the loader of a program that raises no event.
  bool is_unannounced = false;
  /// The filesystem says that its task created the file.
  std::optional<bool> was_created;
  /// Its file was compared with that of the image.
  std::optional<bool> is_unchanged;
  /// The last change on its volume before it, and until when it waits for changes to be judged.
  std::optional<uint64_t> last_change;
  std::optional<Clock::time_point> waits_until;
};

/// A turn that is taken, by whoever holds the event.
struct Taken {
  Turn* turn = nullptr;
  Taken() = default;
  Taken(Taken&& other) noexcept : turn(std::exchange(other.turn, nullptr)) {}
};

/// One permission event. Exactly one answer: by `answer`, or allow when it is dropped without one.
///
/// Owns the event's descriptor, by whose number the kernel knows the event, and a share of the group, so that
/// the group is open as long as something waits.
class Envelope {
 public:
  Envelope(std::shared_ptr<const Group> group, const fanotify_event_metadata& event)
      : group_(std::move(group)), file_(event.fd), mask_(event.mask), tid_(event.pid) {}
  Envelope(Envelope&&) noexcept = default;
  Envelope& operator=(Envelope&&) = delete;
  ~Envelope() { answer(Verdict::kAllow); }

  enum class Answered : uint8_t { kYes, kBefore, kByDeadline };
  /// Only the first call answers. When the deadline was first, `verdict` becomes what it answered.
  Answered answer(Verdict* verdict);
  Answered answer(Verdict verdict) { return answer(&verdict); }

  /// Allows all of them, which are of one group. KERNEL: each answer wakes all who wait in the group, and none of them when it
  /// follows at once upon another. So no time passes between these.
  static void allowAll(std::vector<Envelope>* events);
  /// The deadline has answered it.
  void forget() { file_.reset(); }

  /// From now on the turn's deadline counts, until the answer or `letGo`.
  void take(Turn* turn, Root& root);
  /// As `take`, for all of them. The turn is then claimed for all of them, too.
  static void takeAll(Turn* turn, Root& root, const std::vector<Envelope>& events);
  /// It waits elsewhere from now on. False when the deadline has answered it meanwhile.
  bool letGo();
  void fallBackTo(Verdict verdict);

  /// The opened file, until the answer.
  int file() const { return file_.get(); }
  /// Its numbers, asked for once.
  const Opened& opened();
  /// The task that waits; 0 when it is not visible in this process's pid namespace.
  pid_t tid() const { return tid_; }
  bool isExec() const { return (mask_ & FAN_OPEN_EXEC_PERM) != 0; }

  EventNotes notes;

 private:
  std::shared_ptr<const Group> group_;
  Descriptor file_;
  uint64_t mask_;
  pid_t tid_;
  std::optional<Opened> opened_;
  Taken turn_;
};

}  // namespace d4c
