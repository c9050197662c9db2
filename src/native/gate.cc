#include "gate.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <sys/vfs.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "low_descriptor.h"

namespace d4c {

namespace {

/// More readers than this only wake each other.
constexpr size_t kMaxReaders = 8;
/// What is remembered of containers. Beside twice as much the chart's limit of 256 MiB has room for a full queue of events with
/// the longest texts (64), for begun processes whose end is to be told (32), and for what is not of single containers.
constexpr size_t kRemembered = size_t{40} << 20;
GateFault faultOf(const char* what, const char* call, int error) {
  std::string why = std::strerror(error);
  why[0] = static_cast<char>(std::tolower(why[0]));
  const bool is_refused = error == EPERM || error == EACCES;
  const char* advice = is_refused ? "; run as root with CAP_SYS_ADMIN in the first user namespace" : "";
  return {is_refused ? "GATE_NOT_PERMITTED" : "GATE_UNSUPPORTED", std::string(what) + ": " + call + ": " + why + advice};
}

/// A mark that can never raise an event tells whether the kernel has permission events at all. 0 or an `errno`.
int probe(GateFault* fault) {
  const auto group = Group::open();
  if (group == nullptr) {
    const int error = errno;
    *fault = faultOf("cannot open a permission group", "fanotify_init", error);
    return error;
  }
  // SAFETY: the inode of a directory, without FAN_ONDIR and without FAN_EVENT_ON_CHILD: no open matches it.
  if (fanotify_mark(group->descriptor(), FAN_MARK_ADD, FAN_OPEN_PERM | FAN_OPEN_EXEC_PERM, AT_FDCWD, "/") != 0) {
    const int error = errno;
    *fault = faultOf("this kernel refuses permission events", "fanotify_mark", error);
    return error;
  }
  return 0;
}

/// The sets of processors on which each reader may run. Every processor has one reader, so that the answer comes
/// from the processor on which the opener went to sleep: that is four times as fast as from another one.
std::vector<cpu_set_t> readerProcessors(size_t most) {
  cpu_set_t usable;
  CPU_ZERO(&usable);
  sched_getaffinity(0, sizeof usable, &usable);
  const auto count = static_cast<size_t>(std::max(CPU_COUNT(&usable), 1));
  std::vector<cpu_set_t> sets(std::min(count, most));
  size_t next = 0;
  for (cpu_set_t& set : sets) CPU_ZERO(&set);
  for (size_t cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (CPU_ISSET(cpu, &usable)) CPU_SET(cpu, &sets[next++ % sets.size()]);
  }
  return sets;
}

}  // namespace

Gate::Gate(GateOptions options)
    : options_(std::move(options)),
      settings_(options_.settings),
      reports_(options_.max_events, options_.wake),
      budget_(kRemembered, &reports_),
      spaces_(&reports_,
              [this](Root& root, const std::string& space, pid_t pid, std::vector<FoundVolume> volumes) {
                changes_.expect(root, space, pid, std::move(volumes));
              },
              [this](Root& root, pid_t pid) {
                settings_.can_refuse ? takeMissed(root, pid) : note({root.shared_from_this(), nullptr, pid});
              }),
      runtimes_(options_.host_root, &reports_),
      judge_(settings_, &reports_,
             {[this](Root& root) { return makeContainer(root); },
              [this](const Root& root, const Container& container) { announce(root, container, false); },
              [this] { armTimer(); },
              [this](Root& root, Container& container) { forbidMemfd(root, container); },
              [this](pid_t pid, uint64_t key) { forks_.note(pid, key); },
              [this](std::shared_ptr<const KernelEvent> begin) { forks_.began(std::move(begin)); },
              [this](Root& root, pid_t tid) { return coverVolumes(root, tid); },
              [this](Root& root, pid_t tid) { coverSetUp(root, tid); },
              [this](Root& root, std::shared_ptr<Container> container, Envelope envelope) {
                putOff(root, std::move(container), std::move(envelope));
              },
              [this](Root& root, Envelope envelope) { handOver(root, std::move(envelope)); },
              [this](Root& root, Envelope* envelope, const std::string& path) { return comparing_.add(root, envelope, path); },
              [this](dev_t device, std::optional<uint64_t>* number) { return changes_.hasTold(device, number); },
              [this](dev_t device) { return changes_.filesOf(device); }}),
      comparing_(&reports_, [this](Root& root, Envelope envelope) { putOff(root, nullptr, std::move(envelope)); }),
      forks_(&reports_,
             [this](uint64_t key, pid_t parent, pid_t child, Forks::Clock::time_point at, const Forks::Program& inherited) {
               return tellFork(key, parent, child, at, inherited);
             }),
      changes_(&reports_, &budget_, {[this](Root& root, const Change& change) { return judge_.concerns(root, change, &changes_desk_); },
                           [this](Root& root, const Change& change, bool may_guess) {
                             return judge_.judgeChange(root, change, may_guess, &changes_desk_);
                           }}),
      stop_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
      timer_(timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK)),
      put_off_timer_(timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK)),
      house_changed_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {}

std::unique_ptr<Gate> Gate::open(GateOptions options, GateFault* fault) {
  std::unique_ptr<Gate> gate(new Gate(std::move(options)));
  return gate->start(fault) ? std::move(gate) : nullptr;
}

bool Gate::start(GateFault* fault) {
  reserveLowNumbers();
  if (const int error = probe(fault); error != 0) {
    if (error != EINVAL || !options_.may_only_hear || !mayHear()) return false;
    unenforceable_ = fault->message;
    settings_.can_refuse = false;
    settings_.set(options_.settings);
    changes_.tellAll();
  }
  if (!mounts_.open() || !stop_ || !timer_ || !put_off_timer_ || !house_changed_) {
    *fault = faultOf("cannot open `/proc/self/mountinfo`", "open", errno);
    return false;
  }
  // The filesystems that this process and its host live on. Their root may be an overlay, too.
  std::vector<std::string> never = options_.never_mark;
  never.insert(never.end(), {"/", "/proc/1/root", "/proc/self/exe", "/usr", "/etc", "/bin", "/lib", "/opt", "/var", "/home",
                             "/root", "/run", "/tmp", options_.host_root});
  for (const std::string& path : never) {
    struct stat found {};
    struct statfs filesystem {};
    // KERNEL: the number of one that is unmounted later is used again, so only what could be taken for a container's is noted.
    const bool is_there = stat(path.c_str(), &found) == 0 && statfs(path.c_str(), &filesystem) == 0;
    if (is_there && filesystem.f_type == OVERLAYFS_SUPER_MAGIC) never_marked_.insert(found.st_dev);
  }
  const std::vector<cpu_set_t> processors = readerProcessors(settings_.can_refuse ? kMaxReaders : 1);
  reader_count_ = processors.size();
  for (size_t i = 0; i < processors.size(); ++i) {
    poll_descriptors_.emplace_back(epoll_create1(EPOLL_CLOEXEC));
    const int poll = poll_descriptors_.back().get();
    polls_.push_back({poll, processors[i]});
    if (!addToPoll(poll, stop_.get(), kStopName) || !addToPoll(poll, timer_.get(), kTimerName) ||
        !addToPoll(poll, put_off_timer_.get(), kPutOffName) || !addToPoll(poll, duty_.taken(), kDutyName, EPOLLET)) {
      *fault = faultOf("cannot wait for events", "epoll_ctl", errno);
      return false;
    }
  }
  openForeign();
  const auto giveUp = [&](const char* what, const char* call) {
    *fault = faultOf(what, call, errno);
    close();
    return false;
  };
  for (size_t i = 0; i < processors.size(); ++i) {
    if (!startReader(i)) return giveUp("cannot read events", "clone");
  }
  if (!spaces_.start(foreign_ == nullptr ? nullptr : foreign_->group)) {
    return giveUp("cannot follow the mounts of containers", "eventfd or clone");
  }
  // Marks come after the readers: what is marked must be answered. Who starts a container from now on waits until it is.
  if (settings_.can_refuse) runtimes_.open();
  scan(true);
  const auto startOwn = [this](const char* name, void (Gate::*run)()) {
    threads_.push_back(startThread(name, [this, run] { (this->*run)(); }));
    return threads_.back().joinable();
  };
  const bool is_whole = startOwn("d4c-watcher", &Gate::watchMounts) && startOwn("d4c-house", &Gate::keepHouse) &&
                        startOwn("d4c-watchdog", &Gate::watchDeadlines);
  return is_whole || giveUp("cannot watch containers", "clone");
}

/// Without it, such volumes are counted as not watched.
void Gate::openForeign() {
  std::shared_ptr<const Group> group = openGroup(Rank::kOfForeign);
  if (group == nullptr || !pollLane(kForeignName, group->descriptor(), true)) return;
  foreign_ = std::make_shared<const Lane>(Lane{std::move(group), {}});
}

std::vector<Gate::Known> Gate::allKnown() const {
  const std::shared_lock<std::shared_mutex> lock(mutex_);
  std::vector<Known> all;
  for (const auto& [key, known] : known_) all.push_back(known);
  return all;
}

void Gate::attend(bool has_agent) {
  settings_.has_agent = has_agent;
  reports_.listen(has_agent);
}

std::vector<FoundContainer> Gate::found() const {
  std::vector<FoundContainer> all;
  for (const auto& [root, container] : allKnown()) {
    const bool is_first = container == root->containers()->front();
    // One that has executed something may have processes by which it can be told.
    const bool may_run = root->may_run || container->cgroup() != nullptr;
    all.push_back({container->key, root->place.mount_point, root->place.device, root->upper_dir, may_run, is_first,
                   container->pid.load(std::memory_order_relaxed), container->binding()->context});
  }
  return all;
}

void Gate::close() {
  const uint64_t one = 1;
  [[maybe_unused]] const ssize_t written = write(stop_.get(), &one, sizeof one);
  for (Thread& thread : threads_) thread.join();
  threads_.clear();
  runtimes_.close();
  // SAFETY: a reader that a task keeps cannot be waited for. What it uses is not freed before the process ends, which is
  // right after.
  for (Reader& reader : readers_) {
    if (reader.is_kept && !reader.has_ended) {
      reader.thread.detach();
      is_kept_ = true;
    } else {
      reader.thread.join();
    }
  }
  // They give it volumes.
  spaces_.stop();
  changes_.close();
  comparing_.close();
  forks_.close();
  const std::unique_lock<std::shared_mutex> lock(mutex_);
  // Each envelope that waits is answered as it goes, and the groups are closed with the last of them: those first that are
  // asked first.
  put_off_.clear();
  for (const auto& [key, known] : known_) known.container->expire(Clock::time_point::max());
  foreign_.reset();
  known_.clear();
  roots_.clear();
  lanes_.clear();
  // What is left are notification groups, which must come last (low_descriptor.h): here by the order of the members.
}

}  // namespace d4c
