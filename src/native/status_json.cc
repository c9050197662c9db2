// The status as `d4c-gate status` reads it (src/native/keeperStatus.ts).

#include "json.h"
#include "report_json.h"

namespace d4c {

namespace {

const char* nameOf(Watch watch) {
  switch (watch) {
    case Watch::kNothing:
      return "nothing";
    case Watch::kExec:
      return "exec";
    case Watch::kExecAndOpen:
      return "execAndOpen";
  }
  return "";
}

const char* nameOf(Verdict verdict) { return verdict == Verdict::kDeny ? "deny" : "allow"; }

const char* nameOf(OnAgentLoss decides) {
  return decides == OnAgentLoss::kKeep ? "keep" : decides == OnAgentLoss::kDeny ? "deny" : "allow";
}

const char* nameOf(OnDeadline decides) {
  return decides == OnDeadline::kRules ? "rules" : decides == OnDeadline::kDeny ? "deny" : "allow";
}

void writeOutcomes(const Outcomes& outcomes, Json* object) {
  for (size_t i = 0; i < outcomes.size(); ++i) object->number(nameOf(static_cast<Outcome>(i)), outcomes[i]);
}

std::string jsonOf(const LedgerLine& line) {
  Json object;
  object.text("policy", line.policy).text("section", line.section == Section::kFile ? "file" : "process");
  object.text("selector", line.selector);
  writeOutcomes(line.outcomes, &object);
  return object.done();
}

std::string jsonOf(const ContainerStatus& container) {
  Json object;
  object.number("key", container.key).text("mountPoint", container.mount_point).text("cgroup", container.cgroup);
  object.number("pid", container.pid).flag("isPublished", container.is_published).flag("hasTable", container.has_table);
  object.flag("enforces", container.enforces).number("generation", container.generation);
  object.text("watch", nameOf(container.watch)).flag("sharesGroup", container.shares_group);
  object.number("held", uint64_t{container.held}).text("memfdNoexec", nameOf(container.memfd_noexec));
  object.raw("ledger", listOf(container.ledger, [](const LedgerLine& line) { return jsonOf(line); }));
  if (container.context != nullptr) object.text("context", *container.context);
  return object.done();
}

}  // namespace

std::string jsonOf(const GateStatus& status) {
  Json failures;
  for (const auto& [name, count] : status.failures) failures.number(name, count);
  Json object;
  object.raw("containers", listOf(status.containers, [](const ContainerStatus& one) { return jsonOf(one); }));
  object.raw("latencies", listOf(status.latencies, [](uint64_t count) { return std::to_string(count); }));
  object.raw("failures", failures.done()).number("readers", status.readers).number("keptReaders", status.kept_readers);
  Json outcomes;
  writeOutcomes(status.outcomes, &outcomes);
  object.raw("outcomes", outcomes.done());
  if (!status.unenforceable.empty()) object.text("unenforceable", status.unenforceable);
  return object.number("eventsWaiting", status.events_waiting).done();
}

std::string jsonOf(const LiveSettings& settings) {
  Json object;
  object.text("mode", settings.asks_to_enforce ? "enforce" : "observe").number("holdMs", settings.hold_ms.load());
  object.text("onUnknown", nameOf(settings.on_unknown.load())).text("onAgentLoss", nameOf(settings.on_agent_loss.load()));
  object.number("silenceMs", settings.silence_ms.load());
  object.number("deadlineMs", settings.deadline_ms.load()).text("onDeadline", nameOf(settings.on_deadline.load()));
  object.flag("blockScripts", settings.blocks_scripts).flag("memfdNoexec", settings.forbids_memfd);
  return object.flag("processEnds", settings.tells_ends).done();
}

}  // namespace d4c
