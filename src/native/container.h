// A container root filesystem and the containers on it, with what was published for each and what waits for it.
//
// Owns the events that wait. `publish` and `expire` hand them back, each once; what is left when a container is
// dropped is allowed by its envelope. Every function may be called by any thread.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "budget.h"
#include "cgroup.h"
#include "change.h"
#include "execs.h"
#include "group.h"
#include "in_container.h"
#include "ledger.h"
#include "memfd_noexec.h"
#include "mount_kinds.h"
#include "mounts.h"
#include "reports.h"
#include "table.h"
#include "upper.h"

namespace d4c {

/// What decides for a container. Never changes; a new one takes its place.
struct Binding {
  /// False until the first `publish`.
  bool is_published = false;
  /// Null: no policy applies.
  std::shared_ptr<const Table> table;
  uint64_t generation = 0;
  /// Of whoever published it: what its events need to be told. Opaque here.
  std::shared_ptr<const std::string> context{};
  std::shared_ptr<const RuleNames> names{};
};

/// What happened before it was known which rules decide, where nobody waits.
using Kept = std::variant<KernelEvent, Change>;
inline const std::string& pathOf(const Kept& kept) {
  return std::visit([](const auto& one) -> const std::string& { return one.path; }, kept);
}
size_t bytesOf(const Kept& kept);

/// The processes of one cgroup on one root filesystem.
class Container {
 public:
  /// What is remembered is taken from the account.
  Container(uint64_t container_key, Clock::duration hold, const std::shared_ptr<Account>& account)
      : key(container_key), execs(account), hold_(hold), kept_purse_(account) {}

  const uint64_t key;
  Execs execs;

  std::shared_ptr<const Binding> binding() const;

  /// From now on nothing waits. Gives what waited.
  std::vector<Envelope> publish(std::shared_ptr<const Binding> binding);

  enum class Wait : uint8_t {
    /// It waits now, as the first: somebody must be told.
    kFirst,
    kFurther,
    /// Nothing to wait for: a binding is there.
    kPublished,
    /// Nothing to wait for any more, or too many wait.
    kInVain,
  };
  /// Takes the event over when the answer is `kFirst` or `kFurther`.
  Wait wait(Envelope* envelope);

  /// As `wait`, of what nobody waits for: it is kept until the first binding comes. `kInVain`: too much is kept.
  Wait keep(const Kept& what);
  std::vector<Kept> takeKept();

  /// When the events that wait are in vain; the far future when none waits.
  Clock::time_point due() const;
  /// Gives what waited in vain. From now on nothing waits, until something is published.
  std::vector<Envelope> expire(Clock::time_point now);

  /// By which members are known; null until one was seen.
  std::shared_ptr<const Cgroup> cgroup() const;
  /// Whether it is now known by this cgroup; false when it is by another one.
  bool seat(const Cgroup& cgroup);
  /// The number of a cgroup (task.h) that is its own or below it. The last one is remembered.
  std::atomic<uint64_t> cgroup_number{0};

  /// Whether its processes were looked for, so that their forks are known.
  std::atomic<bool> has_followed{false};
  /// Whether programs without a file are forbidden in it by the kernel.
  std::atomic<MemfdNoexec> memfd_noexec{MemfdNoexec::kNotAsked};

  /// A process of it that was seen last; 0 when none was.
  std::atomic<pid_t> pid{0};

  /// Remembers a mount that members use. It is in a mount namespace of the container.
  void rememberMount(uint64_t mount);
  bool hasMount(uint64_t mount) const;
  /// The next exec through any mount is looked at as the first one was.
  void forgetMounts();

  size_t waiting() const;

 private:
  const Clock::duration hold_;
  mutable std::mutex mutex_;
  std::shared_ptr<const Binding> binding_ = std::make_shared<Binding>();
  std::shared_ptr<const Cgroup> cgroup_;
  std::vector<uint64_t> mounts_;
  std::vector<Envelope> waiting_;
  std::vector<Kept> kept_;
  Purse kept_purse_;
  bool was_waited_for_ = false;
  Clock::time_point deadline_{};
};

using Containers = std::vector<std::shared_ptr<Container>>;

class Creations;

/// One overlay superblock with its group.
class Root : public std::enable_shared_from_this<Root> {
 public:
  Root(const OverlayMount& mount, const std::string& host_root, bool runs, std::shared_ptr<const Group> its_group,
       std::shared_ptr<Account> its_account)
      : account(std::move(its_account)),
        place{mount.mount_point, mount.device},
        upper_dir(mount.upper_dir),
        upper(mount.upper_dir, host_root, mount.layers, account),
        may_run(runs),
        group(std::move(its_group)) {}

  /// From which is taken what is remembered of all that is done on it.
  const std::shared_ptr<Account> account;
  const OverlayPlace place;
  /// As the mount table says it.
  const std::string upper_dir;
  Upper upper;
  /// Whether a first exec may have been missed: it was there before the gate, or was left without marks for a time.
  std::atomic<bool> may_run;
  const std::shared_ptr<const Group> group;

  /// The first is there from the beginning; further ones are those of other cgroups that execute here.
  std::shared_ptr<const Containers> containers() const;
  void add(std::shared_ptr<Container> container);
  /// The container with this cgroup: one that has it, or the first one if it has none yet, or what `make` makes. The
  /// new one is announced before any other thread can find it.
  std::shared_ptr<Container> admit(const Cgroup& cgroup, const std::function<std::shared_ptr<Container>()>& make,
                                   const std::function<void(const Container&)>& announce);

  /// Whether programs may lie on a volume of it that is not watched, so that executing them is not told.
  std::atomic<bool> has_unwatched{false};

  /// Threads that are kept beyond the deadline by tasks on it. While there are any, nobody reads the memory of one.
  std::atomic<int> keeps{0};

  /// Until when none of its files are looked at for what raises no permission event, since that took too long (walks.h).
  std::atomic<Clock::time_point> not_walked_until{};

  /// Whether rules speak of what raises no permission event, on the root filesystem and on volumes.
  std::atomic<bool> tells_changes{false};
  /// How many mount tables there are of which the volumes are about to be watched for that.
  std::atomic<int> expected{0};

  /// What watches where `upper_dir` is; null while nothing does. Outlives the readers.
  std::atomic<Creations*> creations{nullptr};

  /// What is watched now.
  Watch watched();
  /// Since when opens are watched without a break, as a number: another one than before tells that there was a break. 0 when they
  /// are not.
  uint64_t opensSince() const { return opens_since_; }
  /// What the containers' bindings need, all together.
  Watch needed() const;
  /// Watches that. 0 or an `errno`.
  int watchWhatIsNeeded();

  /// Whether its runtime is setting it up: nothing was executed on it.
  bool isSetUp() const;
  /// Whether a container on it has executed something.
  bool hasRun() const;
  /// Whether a task with these cgroups is of a container on it.
  bool hasMember(std::string_view cgroups) const;

  MountKinds kinds;

 private:
  mutable std::mutex mutex_;
  std::shared_ptr<const Containers> containers_ = std::make_shared<Containers>();
  std::mutex watch_mutex_;
  std::optional<Watch> watched_;
  std::atomic<uint64_t> opens_since_{0};
  uint64_t times_opened_ = 0;
  bool watches_folders_ = false;
};

}  // namespace d4c
