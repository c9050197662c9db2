// What the operator chose for the gate. It may change while the gate is open: another agent may come with other settings.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "table.h"

namespace d4c {

/// What decides for a container with a table while no agent is there.
enum class OnAgentLoss : uint8_t {
  /// The table, as always.
  kKeep,
  kAllow,
  /// What a `block` rule of the table could concern is refused.
  kDeny,
};

/// What decides an event whose deadline has passed.
enum class OnDeadline : uint8_t {
  /// Deny where the container has a `block` rule about such operations, else allow.
  kRules,
  kAllow,
  kDeny,
};

struct Settings {
  /// False: nothing is ever denied, whatever a table says.
  bool enforces = true;
  std::chrono::milliseconds hold{2000};
  Verdict on_unknown = Verdict::kAllow;
  OnAgentLoss on_agent_loss = OnAgentLoss::kKeep;
  /// How long an agent may say nothing before it counts as absent.
  std::chrono::milliseconds silence{10000};
  std::chrono::milliseconds deadline{200};
  OnDeadline on_deadline = OnDeadline::kRules;
  /// Interpreters are refused what is not of the image, as a program would be.
  bool blocks_scripts = false;
  /// Where rules block new programs, the container's kernel settings forbid programs without a file.
  bool forbids_memfd = false;
  /// The end of a process whose start was told is told.
  bool tells_ends = false;
  /// Whose pods do not wait while no agent is there: they may be what brings it back.
  std::vector<std::string> spare_namespaces{};
};

/// Any thread reads them, each by itself.
struct LiveSettings {
  explicit LiveSettings(const Settings& settings) { set(settings); }

  void set(const Settings& settings) {
    asks_to_enforce = settings.enforces;
    enforces = settings.enforces && can_refuse;
    hold_ms = settings.hold.count();
    on_unknown = settings.on_unknown;
    on_agent_loss = settings.on_agent_loss;
    silence_ms = settings.silence.count();
    deadline_ms = settings.deadline.count();
    on_deadline = settings.on_deadline;
    blocks_scripts = settings.blocks_scripts;
    forbids_memfd = settings.forbids_memfd;
    tells_ends = settings.tells_ends;
    std::atomic_store(&spare_namespaces_, std::make_shared<const std::vector<std::string>>(settings.spare_namespaces));
  }

  std::shared_ptr<const std::vector<std::string>> spareNamespaces() const { return std::atomic_load(&spare_namespaces_); }

  /// False where the kernel asks nobody: then nothing is refused or taken back, and what happened is told. Not a setting either.
  std::atomic<bool> can_refuse{true};
  /// What the operator said; `enforces` is what is done.
  std::atomic<bool> asks_to_enforce{true};
  std::atomic<bool> enforces{true};
  std::atomic<int64_t> hold_ms{0};
  std::atomic<Verdict> on_unknown{Verdict::kAllow};
  std::atomic<OnAgentLoss> on_agent_loss{OnAgentLoss::kKeep};
  std::atomic<int64_t> silence_ms{0};
  std::atomic<int64_t> deadline_ms{0};
  std::atomic<OnDeadline> on_deadline{OnDeadline::kRules};
  std::atomic<bool> blocks_scripts{false};
  std::atomic<bool> forbids_memfd{false};
  std::atomic<bool> tells_ends{false};
  /// Whether an agent is there and answers. Not a setting, but it decides like one.
  std::atomic<bool> has_agent{true};

 private:
  std::shared_ptr<const std::vector<std::string>> spare_namespaces_;
};

}  // namespace d4c
