#include "to_js.h"

#include <sys/sysmacros.h>

namespace d4c {

namespace {

/// Builds one object; saves the names of types at each property.
class Builder {
 public:
  explicit Builder(Napi::Env env) : env_(env), object_(Napi::Object::New(env)) {}

  Builder& text(const char* name, const std::string& value) { return set(name, Napi::String::New(env_, value)); }
  Builder& number(const char* name, double value) { return set(name, Napi::Number::New(env_, value)); }
  Builder& flag(const char* name, bool value) { return set(name, Napi::Boolean::New(env_, value)); }
  Builder& set(const char* name, const Napi::Value& value) {
    object_.Set(name, value);
    return *this;
  }
  Napi::Object done() const { return object_; }

 private:
  Napi::Env env_;
  Napi::Object object_;
};

double numberOf(uint64_t value) { return static_cast<double>(value); }

Napi::Array listOf(Napi::Env env, const std::vector<const char*>& texts) {
  Napi::Array list = Napi::Array::New(env, texts.size());
  for (size_t i = 0; i < texts.size(); ++i) list[static_cast<uint32_t>(i)] = Napi::String::New(env, texts[i]);
  return list;
}

Napi::Value actionsToJs(Napi::Env env, uint8_t actions) {
  std::vector<const char*> names;
  if (actions & kLog) names.push_back("log");
  if (actions & kAlert) names.push_back("alert");
  if (actions & kBlock) names.push_back("block");
  return listOf(env, names);
}

Napi::Value operationsToJs(Napi::Env env, uint8_t operations) {
  std::vector<const char*> names;
  if (operations & kCreateExecutable) names.push_back("createExecutable");
  if (operations & kModifyExecutable) names.push_back("modifyExecutable");
  if (operations & kCreateFile) names.push_back("createFile");
  if (operations & kModifyFile) names.push_back("modifyFile");
  if (operations & kDeleteFile) names.push_back("deleteFile");
  return listOf(env, names);
}

Napi::Value mountToJs(Napi::Env env, MountKind mount) {
  switch (mount) {
    case MountKind::kRoot:
      return Napi::String::New(env, "root");
    case MountKind::kVolume:
      return Napi::String::New(env, "volume");
    case MountKind::kVolumeFile:
      return Napi::String::New(env, "volumeFile");
  }
  return env.Undefined();
}

Napi::Value processToJs(Napi::Env env, const Process& process) {
  Napi::Array args = Napi::Array::New(env, process.args.size());
  for (size_t i = 0; i < process.args.size(); ++i) {
    args[static_cast<uint32_t>(i)] = Napi::String::New(env, process.args[i]);
  }
  const bool is_known = process.interactive != Interactive::kUnknown;
  Builder object(env);
  object.number("pid", process.pid).number("parentPid", process.parent).number("groupPid", process.group);
  object.number("sessionPid", process.session).number("startTicks", numberOf(process.start_ticks));
  object.text("name", process.name).text("executable", process.executable).set("args", args);
  object.flag("argsTruncated", process.args_truncated).text("workingDirectory", process.working_directory);
  object.number("uid", process.uid).number("gid", process.gid).number("euid", process.euid).number("egid", process.egid);
  object.set("interactive",
             is_known ? Napi::Value(Napi::Boolean::New(env, process.interactive == Interactive::kYes)) : env.Undefined());
  return object.done();
}

Napi::Value fileToJs(Napi::Env env, const struct stat& file) {
  Builder object(env);
  object.number("mode", file.st_mode).number("uid", file.st_uid).number("gid", file.st_gid);
  object.number("inode", numberOf(file.st_ino));
  return object.done();
}

const char* nameOf(EventKind kind) {
  switch (kind) {
    case EventKind::kExec:
      return "exec";
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
  }
  return "";
}

Napi::Value rolledBackToJs(Napi::Env env, KernelEvent::RolledBack rolled_back) {
  if (rolled_back == KernelEvent::RolledBack::kNotAsked) return env.Undefined();
  return Napi::Boolean::New(env, rolled_back == KernelEvent::RolledBack::kYes);
}

/// What each kind of report is called, and what it is about.
struct ToJs {
  Napi::Env env;

  Napi::Value report(const char* type, Napi::Value value) const {
    return Builder(env).text("type", type).set("value", value).done();
  }

  Napi::Value operator()(const FoundContainer& found) const {
    const std::string device = std::to_string(major(found.device)) + ":" + std::to_string(minor(found.device));
    Builder object(env);
    object.number("key", numberOf(found.key)).text("mountPoint", found.mount_point).text("device", device);
    object.text("upperDir", found.upper_dir).flag("mayRun", found.may_run).flag("first", found.first);
    return report("container", object.done());
  }

  Napi::Value operator()(const FirstExec& first) const {
    Builder object(env);
    object.number("key", numberOf(first.key)).number("pid", first.pid);
    object.text("cgroup", first.cgroup).text("path", first.path);
    return report("firstExec", object.done());
  }

  Napi::Value operator()(const ContainerGone& gone) const {
    return report("gone", Napi::Number::New(env, numberOf(gone.key)));
  }

  Napi::Value operator()(const FailureReport& failure) const {
    Builder object(env);
    object.text("failure", nameOf(failure.failure)).number("count", numberOf(failure.count)).text("detail", failure.detail);
    return report("failure", object.done());
  }

  Napi::Value operator()(const KernelEvent& event) const {
    const bool is_denied = event.verdict == Verdict::kDeny;
    Builder object(env);
    object.number("key", numberOf(event.key)).number("sequence", numberOf(event.sequence));
    object.number("timeUs", static_cast<double>(event.time_us)).number("generation", numberOf(event.generation));
    object.text("kind", nameOf(event.kind)).set("operations", operationsToJs(env, event.operations));
    if (!event.old_path.empty()) object.text("oldPath", event.old_path);
    object.text("path", event.path).set("mount", mountToJs(env, event.mount));
    object.set("verdict", verdictToJs(env, event.verdict)).text("decidedBy", event.by_rule ? "rule" : "unknown");
    object.text("outcome", is_denied ? "prevented" : "detected").set("rolledBack", rolledBackToJs(env, event.rolled_back));
    object.set("policies", firedToJs(env, event.fired)).text("cgroup", event.cgroup).number("threadId", event.tid);
    object.set("process", processToJs(env, event.process)).set("file", fileToJs(env, event.file));
    object.set("parent", event.has_parent ? processToJs(env, event.parent) : env.Undefined());
    return report("event", object.done());
  }
};

}  // namespace

Napi::Value verdictToJs(Napi::Env env, Verdict verdict) {
  return Napi::String::New(env, verdict == Verdict::kDeny ? "deny" : "allow");
}

Napi::Value firedToJs(Napi::Env env, const std::vector<Fired>& fired) {
  Napi::Array list = Napi::Array::New(env, fired.size());
  for (size_t i = 0; i < fired.size(); ++i) {
    Napi::Array selectors = Napi::Array::New(env);
    for (uint32_t bit = 0; bit < 64; ++bit) {
      if (fired[i].selectors & (uint64_t{1} << bit)) selectors[selectors.Length()] = Napi::Number::New(env, bit);
    }
    Builder object(env);
    object.number("policy", fired[i].policy).set("actions", actionsToJs(env, fired[i].actions));
    list[static_cast<uint32_t>(i)] = object.set("selectors", selectors).done();
  }
  return list;
}

Napi::Value reportToJs(Napi::Env env, const Report& report) { return std::visit(ToJs{env}, report); }

Napi::Value statsToJs(Napi::Env env, const GateStats& stats) {
  Builder object(env);
  object.number("verdicts", numberOf(stats.verdicts)).number("denied", numberOf(stats.denied));
  object.number("unknown", numberOf(stats.unknown)).number("held", numberOf(stats.held));
  object.number("groups", numberOf(stats.groups)).number("roots", numberOf(stats.roots));
  object.number("eventsDropped", numberOf(stats.dropped));
  return object.done();
}

}  // namespace d4c
