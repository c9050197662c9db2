#include "group.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>

#include "container.h"
#include "group_limit.h"
#include "low_descriptor.h"
#include "proc_file.h"

namespace d4c {

namespace {

/// As in linux/fanotify.h, which is newer than the headers this may be built with. KERNEL: 6.13
constexpr unsigned kReportFdError = 0x2000;
constexpr unsigned kIgnore = FAN_MARK_IGNORED_MASK | FAN_MARK_IGNORED_SURV_MODIFY;
/// Groups of containers have the lowest numbers that are free, so this is above them all unless as many descriptors are open.
constexpr rlim_t kFirstAboveContainers = 8190;
/// Of groups above those of containers.
constexpr rlim_t kAboveContainers = 2;

Descriptor aboveContainers(Descriptor group) {
  rlimit files{};
  getrlimit(RLIMIT_NOFILE, &files);
  const rlim_t number = std::min(kFirstAboveContainers, files.rlim_cur - kAboveContainers);
  return group ? Descriptor(fcntl(group.get(), F_DUPFD_CLOEXEC, static_cast<int>(number))) : Descriptor();
}

/// A group, and whether it gives the error of an event without a descriptor. None with `errno` set.
std::pair<Descriptor, bool> initialize(unsigned flags) {
  Descriptor group = openFanotify(flags | kReportFdError);
  if (group || errno != EINVAL) return {std::move(group), true};
  return {openFanotify(flags), false};
}

}  // namespace

std::shared_ptr<Group> Group::open(Rank rank) {
  const unsigned priority = rank == Rank::kOfContainer ? FAN_CLASS_CONTENT : FAN_CLASS_PRE_CONTENT;
  // KERNEL: with the default queue limit, permission events beyond it are allowed unseen.
  const unsigned flags = priority | FAN_REPORT_TID | FAN_UNLIMITED_QUEUE | FAN_UNLIMITED_MARKS | FAN_CLOEXEC | FAN_NONBLOCK;
  auto [group, gives_faults] = initialize(flags);
  group = rank == Rank::kOfContainer ? aboveLowNumbers(std::move(group)) : aboveContainers(std::move(group));
  return group ? std::shared_ptr<Group>(new Group(std::move(group), gives_faults, FAN_OPEN_EXEC_PERM, FAN_OPEN_PERM)) : nullptr;
}

std::shared_ptr<Group> Group::openToHear() {
  // Its queue is bounded: what does not fit is counted by the kernel as an overflow. Nobody waits, so nothing passes for that.
  const unsigned flags = FAN_CLASS_NOTIF | FAN_REPORT_TID | FAN_UNLIMITED_MARKS | FAN_CLOEXEC | FAN_NONBLOCK;
  auto [group, gives_faults] = initialize(flags);
  group = aboveLowNumbers(std::move(group));
  return group ? std::shared_ptr<Group>(new Group(std::move(group), gives_faults, FAN_OPEN_EXEC, FAN_CLOSE_WRITE)) : nullptr;
}

int Group::watch(const OverlayPlace& place, Watch watch, bool with_folders) const {
  const Descriptor root = openOverlay(place);
  if (!root) return ESTALE;
  // SAFETY: the descriptor is marked and not the path, which may name the host's own filesystem by now.
  const auto mark = [&](unsigned flags, uint64_t mask) {
    return fanotify_mark(group_.get(), flags | FAN_MARK_FILESYSTEM, mask, root.get(), ".") == 0;
  };
  // Removing what is not there is an error without harm. Adding comes first, so that nothing is missed between.
  switch (watch) {
    case Watch::kExecAndOpen:
      if (!mark(FAN_MARK_ADD, with_folders ? both_ | FAN_ONDIR : both_)) return errno;
      mark(FAN_MARK_REMOVE | kIgnore, both_);
      if (!with_folders) mark(FAN_MARK_REMOVE, FAN_ONDIR);
      return 0;
    case Watch::kExec:
      if (!mark(FAN_MARK_ADD, execs_)) return errno;
      mark(FAN_MARK_REMOVE | kIgnore, both_);
      mark(FAN_MARK_REMOVE, (both_ & ~execs_) | FAN_ONDIR);
      return 0;
    case Watch::kNothing:
      if (!mark(FAN_MARK_ADD | kIgnore, both_)) return errno;
      mark(FAN_MARK_REMOVE, both_ | FAN_ONDIR);
      return 0;
  }
  return 0;
}

int Group::watchVolume(int at, bool whole_filesystem, Watch watch) const {
  const std::string link = linkOf(at);
  const unsigned what = whole_filesystem ? FAN_MARK_FILESYSTEM : FAN_MARK_MOUNT;
  const uint64_t wanted = watch == Watch::kExecAndOpen ? both_ : watch == Watch::kExec ? execs_ : 0;
  if (wanted != 0 && fanotify_mark(group_.get(), FAN_MARK_ADD | what, wanted, AT_FDCWD, link.c_str()) != 0) return errno;
  if (wanted != both_ && roots.load() < 2) {
    fanotify_mark(group_.get(), FAN_MARK_REMOVE | what, both_ & ~wanted, AT_FDCWD, link.c_str());
  }
  return 0;
}

void Group::ignoreDevice(int directory, const char* name) const {
  struct stat found {};
  if (fstatat(directory, name, &found, AT_SYMLINK_NOFOLLOW) != 0 || !S_ISCHR(found.st_mode)) return;
  fanotify_mark(group_.get(), FAN_MARK_ADD | FAN_MARK_DONT_FOLLOW | kIgnore, both_ & ~execs_, directory, name);
}

void Group::forgetMarks() const {
  for (const unsigned kind : {unsigned{0}, unsigned{FAN_MARK_MOUNT}, unsigned{FAN_MARK_FILESYSTEM}}) {
    fanotify_mark(group_.get(), FAN_MARK_FLUSH | kind, 0, AT_FDCWD, nullptr);
  }
}

bool Group::marks(dev_t device) const {
  char name[48];
  std::snprintf(name, sizeof name, "/proc/self/fdinfo/%d", group_.get());
  const std::string text = readWhole(Descriptor(::open(name, O_RDONLY | O_CLOEXEC)));
  // Without a free descriptor, say. Nothing is let go because of what is not known.
  if (text.empty()) return true;
  char mark[48];
  // KERNEL: as the kernel itself encodes a device number: 20 bits of minor.
  std::snprintf(mark, sizeof mark, "fanotify sdev:%x ", (major(device) << 20) | minor(device));
  return text.find(mark) != std::string::npos;
}

void Group::answer(int file, Verdict verdict) const {
  const fanotify_response response{file, verdict == Verdict::kDeny ? uint32_t{FAN_DENY} : uint32_t{FAN_ALLOW}};
  // It fails only when the opener was killed meanwhile, and then nobody waits.
  [[maybe_unused]] const ssize_t written = write(group_.get(), &response, sizeof response);
}

Envelope::Answered Envelope::answer(Verdict* verdict) {
  if (!file_) return Answered::kBefore;
  Turn* const turn = std::exchange(turn_.turn, nullptr);
  const std::optional<Verdict> by_deadline = turn == nullptr ? std::nullopt : turn->claim();
  if (by_deadline) {
    *verdict = *by_deadline;
  } else {
    group_->answer(file_.get(), *verdict);
  }
  file_.reset();
  if (turn != nullptr) turn->end();
  return by_deadline ? Answered::kByDeadline : Answered::kYes;
}

void Envelope::allowAll(std::vector<Envelope>* events) {
  for (const Envelope& event : *events) event.group_->answer(event.file(), Verdict::kAllow);
  for (Envelope& event : *events) event.forget();
}

void Envelope::take(Turn* turn, Root& root) {
  turn_.turn = turn;
  const int file = file_.get();
  turn->begin(root.shared_from_this(), &file, 1, isExec());
}

void Envelope::takeAll(Turn* turn, Root& root, const std::vector<Envelope>& events) {
  std::array<int, Turn::kTogether> files;
  bool has_exec = false;
  for (size_t i = 0; i < events.size(); ++i) {
    files[i] = events[i].file();
    has_exec |= events[i].isExec();
  }
  turn->begin(root.shared_from_this(), files.data(), events.size(), has_exec);
}

bool Envelope::letGo() {
  Turn* const turn = std::exchange(turn_.turn, nullptr);
  if (turn == nullptr) return static_cast<bool>(file_);
  const bool is_answered = turn->claim().has_value();
  if (is_answered) file_.reset();
  turn->end();
  return !is_answered;
}

const Opened& Envelope::opened() {
  if (!opened_) opened_ = d4c::opened(file_.get());
  return *opened_;
}

void Envelope::fallBackTo(Verdict verdict) {
  if (turn_.turn != nullptr) turn_.turn->fallBackTo(verdict);
}

}  // namespace d4c
