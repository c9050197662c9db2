#include "lineage.h"

#include <signal.h>

#include <algorithm>
#include <cerrno>
#include <iterator>
#include <string_view>
#include <vector>

namespace d4c {

namespace {

constexpr size_t kMaxLineage = 16384;
constexpr size_t kMaxEntriesBytes = size_t{4} << 20;
/// Processes that are looked at for one. Somebody may wait for it.
constexpr size_t kMaxSteps = 1024;
/// To a leader of a session or a group, from there to another one, and so on.
constexpr int kMaxJumps = 16;
constexpr pid_t kInit = 1;
constexpr pid_t kThreads = 2;

bool beginsWith(std::string_view text, std::string_view begin) { return text.substr(0, begin.size()) == begin; }

bool isRuntime(std::string_view name) { return beginsWith(name, "containerd-shim") || name == "runc" || name == "conmon"; }

bool isPseudoTerminal(int terminal) {
  const int major = (terminal >> 8) & 0xfff;
  return major >= 136 && major <= 143;
}

/// How a session leader is an entry of its own; null when it is none. `parent` is null when it cannot be read.
const char* typeOf(const Process& leader, const Process* parent) {
  const int major = (leader.terminal >> 8) & 0xfff;
  const int minor = (leader.terminal & 0xff) | ((leader.terminal >> 12) & 0xfff00);
  if (major == 4 && minor >= 64) return "terminal";
  if (major == 4 && leader.name == "login") return "console";
  if (leader.parent == kInit) return "init";
  if (parent == nullptr || isRuntime(leader.name) || leader.name == "calico-node" || leader.name == "check-status") return nullptr;
  // The kernel's names of tasks end after 15 bytes.
  if (parent->name == "ssm-session-wor" && isPseudoTerminal(leader.terminal)) return "ssm";
  if (parent->name == "sshd" && leader.name != "sshd") return "sshd";
  return isRuntime(parent->name) ? "container" : nullptr;
}

}  // namespace

Leaders Lineage::of(const Process& process, const Process* parent) {
  Leaders leaders;
  const auto is_told = [&](pid_t pid) { return pid == process.pid || (parent != nullptr && pid == parent->pid); };
  const auto read = [&](pid_t pid, std::optional<Process>* into) {
    Process found;
    if (pid > 0 && !is_told(pid) && parents_->read(pid, &found)) *into = std::move(found);
  };
  read(process.group, &leaders.group);
  read(process.session, &leaders.session);
  Walk walk;
  const auto entry = process.pid == 0 ? nullptr : entryOf(process, 0, &walk);
  if (entry == nullptr) return leaders;
  leaders.entry_type = entry->type;
  leaders.entry_pid = entry->leader.pid;
  if (is_told(entry->leader.pid)) return leaders;
  // It may run another program by now.
  Process now;
  const bool is_same = parents_->read(entry->leader.pid, &now) && now.start_ticks == entry->leader.start_ticks;
  leaders.entry = is_same ? std::move(now) : entry->leader;
  return leaders;
}

/// Whether it was found before. `entry` is null for one that has none.
bool Lineage::isKnown(const Process& process, std::shared_ptr<const Entry>* entry) {
  const std::lock_guard<std::mutex> lock(mutex_);
  const auto found = known_.find(process.pid);
  if (found == known_.end() || found->second.start_ticks != process.start_ticks) return false;
  // Who has begun a session since may be an entry of its own now.
  if (found->second.leads_session != (process.session == process.pid)) return false;
  *entry = found->second.entry;
  return true;
}

/// Up to the nearest parent that is an entry or has a known one, and down again: each inherits what was found above it, or else
/// by its session or its group. Not by recursion, since a container makes as many generations as it likes.
std::shared_ptr<const Lineage::Entry> Lineage::entryOf(const Process& process, int jumps, Walk* walk) {
  std::vector<Step> steps;
  std::shared_ptr<const Entry> entry;
  for (Process one = process; one.pid > kThreads && one.parent != kThreads && !isKnown(one, &entry);) {
    if (++walk->steps > kMaxSteps) {
      walk->is_guess = true;
      break;
    }
    steps.push_back({one.pid, one.start_ticks, one.group, one.session});
    Process parent;
    const bool has_parent = one.parent > 0 && parents_->read(one.parent, &parent, &walk->is_guess);
    const char* const type = steps.back().leadsSession() ? typeOf(one, has_parent ? &parent : nullptr) : nullptr;
    if (type != nullptr) entry = entryAt(one, type);
    if (type != nullptr || !has_parent) break;
    one = std::move(parent);
  }
  for (; !steps.empty(); steps.pop_back()) {
    const Step& step = steps.back();
    if (entry == nullptr && !step.leadsSession()) entry = entryOfOther(step.session, jumps + 1, walk);
    if (entry == nullptr && step.group != step.pid) entry = entryOfOther(step.group, jumps + 1, walk);
    if (entry == nullptr && step.leadsSession() && !walk->is_guess) {
      Process leader;
      const bool is_first = steps.size() == 1;
      if (is_first || parents_->read(step.pid, &leader, &walk->is_guess)) entry = entryAt(is_first ? process : leader, "unknown");
    }
    if (!walk->is_guess) keep(step, entry);
  }
  return entry;
}

std::shared_ptr<const Lineage::Entry> Lineage::entryOfOther(pid_t pid, int jumps, Walk* walk) {
  Process other;
  if (pid <= 0 || jumps > kMaxJumps || !parents_->read(pid, &other, &walk->is_guess)) return nullptr;
  return entryOf(other, jumps, walk);
}

std::shared_ptr<const Lineage::Entry> Lineage::entryAt(const Process& leader, const char* type) {
  const std::lock_guard<std::mutex> lock(mutex_);
  bytes_ += sizeof(Entry) + bytesOf(leader);
  if (bytes_ > kMaxEntriesBytes) {
    known_.clear();
    bytes_ = sizeof(Entry) + bytesOf(leader);
  }
  return std::make_shared<Entry>(Entry{leader, type});
}

void Lineage::keep(const Step& step, std::shared_ptr<const Entry> entry) {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (known_.size() >= kMaxLineage) {
    for (auto known = known_.begin(); known != known_.end();) {
      const bool has_ended = kill(known->first, 0) != 0 && errno == ESRCH;
      known = has_ended ? known_.erase(known) : std::next(known);
    }
    if (known_.size() > kMaxLineage / 2) known_.clear();
  }
  known_[step.pid] = {step.start_ticks, step.leadsSession(), std::move(entry)};
}

}  // namespace d4c
