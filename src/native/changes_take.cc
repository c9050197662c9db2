// From one event of a filesystem to what happened in a container.

#include <sys/stat.h>

#include <algorithm>
#include <cerrno>

#include "changes.h"
#include "opened.h"

namespace d4c {

namespace {

/// An open that has created a file is decided right after; a task that is not on its way there by then has used mknod.
constexpr std::chrono::milliseconds kShortest(3);
/// On a machine that is overloaded an open may be put off for a second.
constexpr std::chrono::milliseconds kLongestPutOff(2000);
/// More do not wait at once. What is made so fast may be told twice, with its open and without.
constexpr size_t kMaxPending = 1024;

/// What the event is about, with O_PATH, as it is now. By its handle, so that it may have another name by now; without
/// CAP_DAC_READ_SEARCH by its name, on a root filesystem.
Descriptor openTarget(int mount, const FidEvent& event, const Root* root, const std::string& path, struct stat* file) {
  Descriptor target = openHandle(mount, event.target);
  if (!target && errno == EPERM && !path.empty() && root != nullptr) {
    target = Upper::openIn(root->upper.directory, path);
    if (target && fstat(target.get(), file) == 0 && file->st_ino != inodeOf(event.target)) target.reset();
  }
  return target && fstat(target.get(), file) == 0 ? std::move(target) : Descriptor();
}

bool isExecutable(const struct stat& file) { return S_ISREG(file.st_mode) && (file.st_mode & 0111) != 0; }

uint8_t creationOf(const struct stat& file) {
  return isExecutable(file) ? kCreateFile | kCreateExecutable : kCreateFile;
}

// A volume is of no image.
bool isInImage(const Root* root, const std::string& path) { return root != nullptr && root->upper.openInImage(path); }

bool isExecutableInImage(const Root* root, const std::string& path) {
  const Descriptor file = root == nullptr ? Descriptor() : root->upper.openInImage(path);
  struct stat found {};
  return file && fstat(file.get(), &found) == 0 && isExecutable(found);
}

bool isCopiedUp(const Root* root, const Descriptor& target, const struct stat& file) {
  return root != nullptr && target && S_ISREG(file.st_mode) && root->upper.isCopiedUp(target.get(), file.st_ino);
}

}  // namespace

void Changes::takeName(const Place& place, int mount, const FidEvent& event, std::string_view name, bool was_moved_here) {
  if (!place) return;
  const Root* const root = place.root.get();
  Change change{ChangeKind::kCreation, event.tid, place.pathOf(name)};
  const Descriptor target = openTarget(mount, event, root, change.path, &change.file);
  if (!target) {
    // What is gone again is of no more use than what never was. Its claim must not be taken for a later one.
    place.files->takeClaim(event.tid, inodeOf(event.target));
    return;
  }
  if (root != nullptr && isWhiteout(change.file)) {
    if (was_moved_here) takeDeletion(place, mount, event, name);
    return;
  }
  if (!S_ISREG(change.file.st_mode) && !S_ISLNK(change.file.st_mode)) return;
  change.has_file = true;
  change.birth_ns = opened(target.get()).birth_ns;
  change.is_copied_up = isCopiedUp(root, target, change.file);
  const bool is_linked = S_ISREG(change.file.st_mode) && change.file.st_nlink > 1;
  // KERNEL: a file of the image appears under its own name when it is copied up, and under another one when it is linked.
  // What is made where a name of the image was deleted comes from overlayfs's own folder.
  if (was_moved_here ? change.is_copied_up && !is_linked : isInImage(root, change.path) && root->upper.showsImage(change.path)) {
    if (S_ISREG(change.file.st_mode)) takeCopy(place, std::move(change));
    return;
  }
  // Who closes it may be heard before this is told.
  if (tells_all_ && root == nullptr && !is_linked) place.files->noteMaker(change.file.st_ino, change.tid);
  change.operations = creationOf(change.file);
  if (is_linked) change.kind = ChangeKind::kLink;
  if (is_linked || !S_ISREG(change.file.st_mode)) {
    tell(place, change);
    return;
  }
  Pending pending{place, std::move(change), Clock::now()};
  if (settleOne(pending, pending_.size() >= kMaxPending)) return;
  // It may have ended when it is known what the creation was.
  Process process;
  if (readProcess(event.tid, &process)) pending.change.process = std::move(process);
  pending_.push_back(std::move(pending));
}

/// A file of the image was copied up: by an open to write, which is told as such, by a change of its attributes, or by
/// truncate(2), which nothing else tells of. Watching for writes would: it doubles the cost of every write on the node.
void Changes::takeCopy(const Place& place, Change change) {
  place.root->upper.noteCopiedUp(change.file.st_ino);
  // Where no open is asked about, it is told when the file is closed.
  if (tells_all_ || place.root->upper.isWriter(change.tid, change.path)) return;
  change.kind = ChangeKind::kModification;
  change.is_copied_up = true;
  change.operations = change.isExecutable() ? kModifyFile | kModifyExecutable : kModifyFile;
  if (!concerns(place, change)) return;
  Process process;
  if (readProcess(change.tid, &process)) change.process = std::move(process);
  Pending pending{place, std::move(change), Clock::now()};
  if (!settleCopy(pending, pending_.size() >= kMaxPending)) pending_.push_back(std::move(pending));
}

/// Whether it is known what was copied for.
bool Changes::settleCopy(const Pending& pending, bool is_over) {
  const Change& change = pending.change;
  const Upper& upper = pending.place.root->upper;
  const Descriptor now = Upper::openIn(upper.directory, change.path);
  const Descriptor image = upper.openInImage(change.path);
  struct stat found {};
  struct stat of_image {};
  const bool is_there = now && image && fstat(now.get(), &found) == 0 && fstat(image.get(), &of_image) == 0;
  if (!is_there || found.st_ino != change.file.st_ino) return true;
  // First it is copied, and then it gets its new size.
  if (found.st_size == of_image.st_size) return is_over || Clock::now() - pending.since > kShortest;
  Change changed = change;
  changed.file = found;
  tell(pending.place, changed);
  return true;
}

/// Whether it is known what the creation was, and was told or need not be. `is_over`: its task went on since.
bool Changes::settleOne(const Pending& pending, bool is_over) {
  if (pending.change.kind == ChangeKind::kModification) return settleCopy(pending, is_over);
  const Change& change = pending.change;
  Files& files = *pending.place.files;
  const auto isClaimed = [&] {
    const auto mode = files.takeClaim(change.tid, change.file.st_ino);
    if (mode) files.noteExecutable(change.file.st_ino, (*mode & 0111) != 0);
    return mode.has_value();
  };
  if (isClaimed()) return true;
  const Clock::duration age = Clock::now() - pending.since;
  if (!is_over && !tells_all_ && age < kLongestPutOff && concerns(pending.place, change)) {
    if (age < kShortest) return false;
    // It is asked for again soon: a task that makes files without end must not keep this thread with each of them.
    const OpenIntent intent = openIntent(change.tid, &calls_, Patience::kShort);
    const bool is_creating = intent.rest == BlockedCall::Rest::kBlocked && intent.certain && intent.creates;
    if (intent.rest == BlockedCall::Rest::kRunning || is_creating) return false;
    // Its open may have been decided before that look.
    if (isClaimed()) return true;
  }
  files.noteExecutable(change.file.st_ino, change.isExecutable());
  tell(pending.place, change);
  return true;
}

/// Those that are known by now; those of the inode in any case, since something further was done with it.
void Changes::settle(uint64_t inode) {
  const auto is_settled = [&](const Pending& pending) {
    return (inode == 0 || pending.change.file.st_ino == inode) && settleOne(pending, inode != 0);
  };
  pending_.erase(std::remove_if(pending_.begin(), pending_.end(), is_settled), pending_.end());
}

void Changes::takeAttributes(const Place& place, int mount, const FidEvent& event) {
  if (!place) return;
  const Root* const root = place.root.get();
  Change change{ChangeKind::kAttributes, event.tid, place.pathOf(event.name)};
  const Descriptor target = openTarget(mount, event, root, change.path, &change.file);
  if (!target || !S_ISREG(change.file.st_mode)) return;
  const uint64_t inode = change.file.st_ino;
  settle(inode);
  change.has_file = true;
  change.birth_ns = opened(target.get()).birth_ns;
  change.is_copied_up = isCopiedUp(root, target, change.file);
  std::optional<bool> was = place.files->wasExecutable(inode);
  if (!was && change.is_copied_up) was = isExecutableInImage(root, change.path);
  // Of what was never looked at the event does not say what it was before.
  if (!was) was = hasLearned(place) ? false : change.isExecutable();
  place.files->noteExecutable(inode, change.isExecutable());
  if (*was || !change.isExecutable()) return;
  change.operations = kCreateExecutable;
  tell(place, change);
}

void Changes::takeDeletion(const Place& place, int mount, const FidEvent& event, std::string_view name) {
  if (!place) return;
  struct stat file {};
  Change change{ChangeKind::kDeletion, event.tid, place.pathOf(name)};
  const Descriptor target = openTarget(mount, event, place.root.get(), change.path, &file);
  const uint64_t inode = inodeOf(event.target);
  const bool is_of_overlay = place.root != nullptr && target && isWhiteout(file);
  // A whiteout that is deleted stands for what had been deleted before.
  if (is_of_overlay && (event.mask & FAN_DELETE)) return;
  if (!is_of_overlay) settle(inode);
  if (!target) {
    // On a root filesystem the same object, and then it knows more to forget.
    if (place.root != nullptr) place.root->upper.forget(inode);
    else place.files->forget(inode);
  }
  change.operations = kDeleteFile;
  if (target && !is_of_overlay) {
    change.has_file = true;
    change.file = file;
  }
  tell(place, change);
}

void Changes::takeRename(const Place& from, const Place& to, int mount, const FidEvent& event, const FidBatch::Replaced& before) {
  Place from_only;
  Place to_only;
  Place both;
  Place old;
  const bool is_within = splitRename(from, to, &from_only, &to_only, &both, &old);
  // From overlayfs's own folder: a whiteout, or what was made over one. To elsewhere: of no name in the container.
  takeName(to_only, mount, event, event.new_name, true);
  takeDeletion(from_only, mount, event, event.name);
  if (!is_within) return;
  const Root* const root = both.root.get();
  Change change{ChangeKind::kRename, event.tid, both.pathOf(event.new_name), old.pathOf(event.name)};
  const Descriptor target = openTarget(mount, event, root, change.path, &change.file);
  if (root != nullptr && target && isWhiteout(change.file)) return;
  settle(inodeOf(event.target));
  change.old_operations = kDeleteFile;
  change.has_file = static_cast<bool>(target);
  change.birth_ns = target ? opened(target.get()).birth_ns : 0;
  change.is_copied_up = isCopiedUp(root, target, change.file);
  struct stat replaced {};
  std::optional<bool> was_executable;
  if (before.event != nullptr) {
    const bool is_there = static_cast<bool>(openTarget(mount, *before.event, root, {}, &replaced));
    if (!is_there || S_ISREG(replaced.st_mode)) {
      was_executable = is_there ? isExecutable(replaced) : both.files->wasExecutable(inodeOf(before.event->target)).value_or(false);
    }
  } else if (isInImage(root, change.path)) {
    was_executable = isExecutableInImage(root, change.path);
  }
  if (target && !S_ISREG(change.file.st_mode) && !S_ISLNK(change.file.st_mode)) {
    change.operations = 0;
  } else if (!was_executable) {
    change.operations = creationOf(change.file);
  } else {
    change.operations = *was_executable ? kModifyFile | kModifyExecutable : kModifyFile;
    // A program under a name that was none is as good as a new one.
    if (!*was_executable && change.isExecutable()) change.operations |= kCreateExecutable;
    if (!before.is_certain) change.operations |= creationOf(change.file);
  }
  tell(both, change, &old);
}

}  // namespace d4c
