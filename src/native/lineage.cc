#include "lineage.h"

#include <signal.h>

#include <algorithm>
#include <cerrno>
#include <iterator>
#include <string_view>

namespace d4c {

namespace {

constexpr size_t kMaxKnown = 16384;
constexpr size_t kMaxEntriesBytes = size_t{4} << 20;
/// Steps to a parent, a session leader and so on.
constexpr int kMaxDepth = 64;
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
  const auto entry = process.pid == 0 ? nullptr : entryOf(process, 0);
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

std::shared_ptr<const Lineage::Entry> Lineage::entryOf(const Process& process, int depth) {
  if (process.pid <= kThreads || process.parent == kThreads || depth > kMaxDepth) return nullptr;
  const bool leads_session = process.session == process.pid;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    const auto found = known_.find(process.pid);
    const bool is_same = found != known_.end() && found->second.start_ticks == process.start_ticks;
    // Who has begun a session since may be an entry of its own now.
    if (is_same && found->second.leads_session == leads_session) return found->second.entry;
  }
  std::shared_ptr<const Entry> entry;
  Process parent;
  const bool has_parent = process.parent > 0 && parents_->read(process.parent, &parent);
  const char* type = leads_session ? typeOf(process, has_parent ? &parent : nullptr) : nullptr;
  if (type != nullptr) entry = entryAt(process, type);
  if (entry == nullptr && has_parent) entry = entryOf(parent, depth + 1);
  if (entry == nullptr && !leads_session) entry = entryOfOther(process.session, depth + 1);
  if (entry == nullptr && process.group != process.pid) entry = entryOfOther(process.group, depth + 1);
  if (entry == nullptr && leads_session) entry = entryAt(process, "unknown");
  keep(process, entry);
  return entry;
}

std::shared_ptr<const Lineage::Entry> Lineage::entryOfOther(pid_t pid, int depth) {
  Process other;
  return pid > 0 && parents_->read(pid, &other) ? entryOf(other, depth) : nullptr;
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

void Lineage::keep(const Process& process, std::shared_ptr<const Entry> entry) {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (known_.size() >= kMaxKnown) {
    for (auto known = known_.begin(); known != known_.end();) {
      const bool has_ended = kill(known->first, 0) != 0 && errno == ESRCH;
      known = has_ended ? known_.erase(known) : std::next(known);
    }
    if (known_.size() > kMaxKnown / 2) known_.clear();
  }
  known_[process.pid] = {process.start_ticks, process.session == process.pid, std::move(entry)};
}

}  // namespace d4c
