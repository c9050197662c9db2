#include "report_json.h"

#include <sys/sysmacros.h>

#include "json.h"

namespace d4c {

namespace {

std::string namesOf(const std::vector<const char*>& names) {
  return listOf(names, [](const char* name) { return quoted(name); });
}

std::string actionsOf(uint8_t actions) {
  std::vector<const char*> names;
  if (actions & kLog) names.push_back("log");
  if (actions & kAlert) names.push_back("alert");
  if (actions & kBlock) names.push_back("block");
  return namesOf(names);
}

std::string operationsOf(uint8_t operations) {
  std::vector<const char*> names;
  if (operations & kCreateExecutable) names.push_back("createExecutable");
  if (operations & kModifyExecutable) names.push_back("modifyExecutable");
  if (operations & kCreateFile) names.push_back("createFile");
  if (operations & kModifyFile) names.push_back("modifyFile");
  if (operations & kDeleteFile) names.push_back("deleteFile");
  return namesOf(names);
}

const char* nameOf(EventKind kind) {
  switch (kind) {
    case EventKind::kExec:
      return "exec";
    case EventKind::kLoad:
      return "load";
    case EventKind::kOpen:
      return "open";
    case EventKind::kCreation:
      return "creation";
    case EventKind::kLink:
      return "link";
    case EventKind::kRename:
      return "rename";
    case EventKind::kAttributes:
      return "attributes";
    case EventKind::kDeletion:
      return "deletion";
    case EventKind::kModification:
      return "modification";
    case EventKind::kFork:
      return "fork";
    case EventKind::kEnd:
      return "end";
  }
  return "";
}

const char* nameOf(MountKind mount) {
  switch (mount) {
    case MountKind::kRoot:
      return "root";
    case MountKind::kVolume:
      return "volume";
    case MountKind::kVolumeFile:
      return "volumeFile";
  }
  return "";
}

const char* nameOf(KernelEvent::DecidedBy decided_by) {
  switch (decided_by) {
    case KernelEvent::DecidedBy::kRule:
      return "rule";
    case KernelEvent::DecidedBy::kUnknown:
      return "unknown";
    case KernelEvent::DecidedBy::kDeadline:
      return "deadline";
    case KernelEvent::DecidedBy::kAgentLoss:
      return "agentLoss";
  }
  return "";
}

std::string jsonOf(const Process& process) {
  Json object;
  object.number("pid", process.pid).number("parentPid", process.parent).number("groupPid", process.group);
  object.number("sessionPid", process.session).number("startTicks", process.start_ticks);
  object.text("name", process.name).text("executable", process.executable);
  object.raw("args", listOf(process.args, [](const std::string& argument) { return quoted(argument); }));
  object.flag("argsTruncated", process.args_truncated).text("workingDirectory", process.working_directory);
  // All of them were read together, or none.
  if (process.euid != kNoId) {
    object.number("uid", process.uid).number("gid", process.gid).number("euid", process.euid).number("egid", process.egid);
  }
  if (process.interactive != Interactive::kUnknown) object.flag("interactive", process.interactive == Interactive::kYes);
  return object.done();
}

std::string jsonOf(const struct stat& file) {
  Json object;
  object.number("mode", file.st_mode).number("uid", file.st_uid).number("gid", file.st_gid);
  object.number("inode", uint64_t{file.st_ino});
  return object.done();
}

std::string jsonOf(const Fired& fired) {
  std::vector<int> selectors;
  for (int bit = 0; bit < 64; ++bit) {
    if (fired.selectors & (uint64_t{1} << bit)) selectors.push_back(bit);
  }
  Json object;
  object.number("policy", int{fired.policy}).raw("actions", actionsOf(fired.actions));
  return object.raw("selectors", listOf(selectors, [](int bit) { return std::to_string(bit); })).done();
}

/// What each kind of report is called, and what it is about.
struct ToJson {
  static std::string report(const char* type, std::string_view value) {
    return Json().text("type", type).raw("value", value).done();
  }

  std::string operator()(const FoundContainer& found) const {
    const std::string device = std::to_string(major(found.device)) + ":" + std::to_string(minor(found.device));
    Json object;
    object.number("key", found.key).text("mountPoint", found.mount_point).text("device", device);
    object.text("upperDir", found.upper_dir).flag("mayRun", found.may_run).flag("first", found.first);
    if (found.pid != 0) object.number("pid", found.pid);
    if (found.context != nullptr) object.text("context", *found.context);
    return report("container", object.done());
  }

  std::string operator()(const FirstExec& first) const {
    Json object;
    object.number("key", first.key).number("pid", first.pid);
    object.text("cgroup", first.cgroup).text("path", first.path);
    return report("firstExec", object.done());
  }

  std::string operator()(const ContainerGone& gone) const { return report("gone", std::to_string(gone.key)); }

  std::string operator()(const FailureReport& failure) const {
    Json object;
    object.text("failure", nameOf(failure.failure)).number("count", failure.count).text("detail", failure.detail);
    return report("failure", object.done());
  }

  std::string operator()(const KernelEvent& event) const {
    const bool is_denied = event.verdict == Verdict::kDeny;
    Json object;
    object.number("key", event.key).number("sequence", event.sequence);
    object.number("timeUs", event.time_us).number("generation", event.generation);
    object.text("kind", nameOf(event.kind)).raw("operations", operationsOf(event.operations));
    if (!event.old_path.empty()) object.text("oldPath", event.old_path);
    object.text("path", event.path).text("mount", nameOf(event.mount));
    object.text("verdict", is_denied ? "deny" : "allow").text("decidedBy", nameOf(event.decided_by));
    object.text("outcome", nameOf(is_denied ? Outcome::kPrevented : event.outcome));
    if (event.reason != Reason::kNone) object.text("reason", nameOf(event.reason));
    if (event.rolled_back != KernelEvent::RolledBack::kNotAsked) {
      object.flag("rolledBack", event.rolled_back == KernelEvent::RolledBack::kYes);
    }
    object.raw("policies", d4c::jsonOf(event.fired));
    object.text("cgroup", event.cgroup).number("threadId", event.tid);
    if (event.is_heard) object.flag("isHeard", true);
    if (event.exit_code >= 0) object.number("exitCode", event.exit_code);
    object.raw("process", jsonOf(event.process)).raw("file", jsonOf(event.file));
    if (event.has_parent) object.raw("parent", jsonOf(event.parent));
    const Leaders& leaders = event.leaders;
    if (leaders.group) object.raw("groupLeader", jsonOf(*leaders.group));
    if (leaders.session) object.raw("sessionLeader", jsonOf(*leaders.session));
    if (leaders.entry_type != nullptr) {
      const std::string entry = leaders.entry ? jsonOf(*leaders.entry) : Json().number("pid", leaders.entry_pid).done();
      object.raw("entryLeader", entry).text("entryType", leaders.entry_type);
    }
    return report("event", object.done());
  }
};

}  // namespace

std::string jsonOf(const std::vector<Fired>& fired) {
  return listOf(fired, [](const Fired& one) { return jsonOf(one); });
}

std::string jsonOf(const Report& report) { return std::visit(ToJson{}, report); }

std::string jsonOf(const GateStats& stats) {
  Json object;
  object.number("verdicts", stats.verdicts).number("denied", stats.denied).number("unknown", stats.unknown);
  object.number("held", stats.held).number("late", stats.late).number("groups", stats.groups).number("roots", stats.roots);
  return object.number("eventsDropped", stats.dropped).done();
}

}  // namespace d4c
