// The boundary to JavaScript, and the only file that knows Node-API. src/native/binding.ts checks and fills in what
// comes here and gives names to what goes there.

#include <napi.h>

#include "gate.h"
#include "to_js.h"

namespace d4c {

namespace {

/// More reports than this in one go would keep the event loop from other work.
constexpr size_t kReportsPerTurn = 1024;

void throwCoded(Napi::Env env, const char* code, const std::string& message) {
  Napi::Error error = Napi::Error::New(env, message);
  error.Set("code", Napi::String::New(env, code));
  error.ThrowAsJavaScriptException();
}

/// Null after it has thrown.
std::shared_ptr<const Table> tableOf(const Napi::Value& value) {
  const auto bytes = value.As<Napi::Uint8Array>();
  std::string fault;
  auto table = Table::parse(bytes.Data(), bytes.ByteLength(), &fault);
  if (table == nullptr) throwCoded(value.Env(), "GATE_TABLE_INVALID", "cannot read the decision table: " + fault);
  return table;
}

/// new Table(bytes): what a table decides, without a kernel.
class TableObject : public Napi::ObjectWrap<TableObject> {
 public:
  static Napi::Function define(Napi::Env env) {
    return DefineClass(env, "Table", {InstanceMethod<&TableObject::decide>("decide")});
  }
  explicit TableObject(const Napi::CallbackInfo& info) : ObjectWrap(info), table_(tableOf(info[0])) {}

 private:
  /// (is it a process event, operations, path, mount, interactive): 0 unknown, 1 no, 2 yes.
  Napi::Value decide(const Napi::CallbackInfo& info) {
    const auto number = [&](size_t i) { return static_cast<uint8_t>(info[i].As<Napi::Number>().Uint32Value()); };
    const Section section = info[0].As<Napi::Boolean>() ? Section::kProcess : Section::kFile;
    const Question question{section, number(1), static_cast<MountKind>(number(3)), static_cast<Interactive>(number(4))};
    table_->look(section, info[2].As<Napi::String>().Utf8Value(), &scratch_);
    const Verdict verdict = table_->decide(question, &scratch_);
    Napi::Object decision = Napi::Object::New(info.Env());
    decision["verdict"] = verdictToJs(info.Env(), verdict);
    decision["policies"] = firedToJs(info.Env(), scratch_.fired);
    return decision;
  }

  const std::shared_ptr<const Table> table_;
  Scratch scratch_;
};

/// new Gate(enforces, holdMs, deniesUnknown, queueEvents, maxGroups, hostRoot, neverMark, deliver).
///
/// SAFETY: from construction until `close` it keeps itself from being collected, and the environment's clean-up
/// closes it when nobody did. `deliver` is called on the JavaScript thread only, never while the constructor runs.
class GateObject : public Napi::ObjectWrap<GateObject> {
 public:
  static Napi::Function define(Napi::Env env) {
    return DefineClass(env, "Gate",
                       {InstanceMethod<&GateObject::publish>("publish"), InstanceMethod<&GateObject::adopt>("adopt"),
                        InstanceMethod<&GateObject::stats>("stats"), InstanceMethod<&GateObject::close>("close")});
  }

  explicit GateObject(const Napi::CallbackInfo& info) : ObjectWrap(info), env_(info.Env()) {
    const auto number = [&](size_t i) { return info[i].As<Napi::Number>().Uint32Value(); };
    GateOptions options;
    options.settings.enforces = info[0].As<Napi::Boolean>();
    options.settings.hold = std::chrono::milliseconds(number(1));
    options.settings.on_unknown = info[2].As<Napi::Boolean>() ? Verdict::kDeny : Verdict::kAllow;
    options.max_events = number(3);
    options.max_groups = number(4);
    options.host_root = info[5].As<Napi::String>().Utf8Value();
    const auto never = info[6].As<Napi::Array>();
    for (uint32_t i = 0; i < never.Length(); ++i) {
      options.never_mark.push_back(Napi::Value(never[i]).As<Napi::String>().Utf8Value());
    }
    deliver_ = Napi::Persistent(info[7].As<Napi::Function>());
    wake_ = Napi::ThreadSafeFunction::New(env_, Napi::Function::New(env_, [](const Napi::CallbackInfo&) {}), "d4c-gate", 0, 1);
    options.wake = [this] { wakeUp(); };
    GateFault fault{};
    gate_ = Gate::open(std::move(options), &fault);
    if (gate_ == nullptr) {
      wake_.Abort();
      throwCoded(env_, fault.code, fault.message);
      return;
    }
    Ref();
    napi_add_env_cleanup_hook(env_, &GateObject::onTeardown, this);
  }

 private:
  static void onTeardown(void* self) { static_cast<GateObject*>(self)->gate_->close(); }

  /// Any thread. The queue of the function holds at most one call: `Reports` wakes once until it was emptied.
  void wakeUp() {
    wake_.NonBlockingCall([this](Napi::Env, Napi::Function) { deliver(); });
  }

  void deliver() {
    if (gate_ == nullptr || is_closed_) return;
    bool more = false;
    const std::vector<Report> reports = gate_->reports().take(kReportsPerTurn, &more);
    // Before the call, which may throw.
    if (more) wakeUp();
    hand(reports);
  }

  void hand(const std::vector<Report>& reports) {
    if (reports.empty()) return;
    const Napi::HandleScope scope(env_);
    Napi::Array list = Napi::Array::New(env_, reports.size());
    for (size_t i = 0; i < reports.size(); ++i) list[static_cast<uint32_t>(i)] = reportToJs(env_, reports[i]);
    deliver_.Call({list});
  }

  Napi::Value publish(const Napi::CallbackInfo& info) {
    std::shared_ptr<const Table> table;
    if (!info[1].IsNull()) {
      table = tableOf(info[1]);
      if (table == nullptr) return env_.Undefined();
    }
    gate_->publish(static_cast<uint64_t>(info[0].As<Napi::Number>().Int64Value()), std::move(table),
                   static_cast<uint64_t>(info[2].As<Napi::Number>().Int64Value()));
    return env_.Undefined();
  }

  Napi::Value adopt(const Napi::CallbackInfo& info) {
    const std::string cgroup = gate_->adopt(static_cast<uint64_t>(info[0].As<Napi::Number>().Int64Value()),
                                            info[1].As<Napi::Number>().Int32Value());
    return cgroup.empty() ? env_.Undefined() : Napi::Value(Napi::String::New(env_, cgroup));
  }

  Napi::Value stats(const Napi::CallbackInfo&) { return statsToJs(env_, gate_->stats()); }

  Napi::Value close(const Napi::CallbackInfo&) {
    if (is_closed_) return env_.Undefined();
    gate_->close();
    is_closed_ = true;
    wake_.Abort();
    napi_remove_env_cleanup_hook(env_, &GateObject::onTeardown, this);
    // What was decided before is told before `close` returns.
    bool more = true;
    while (more) hand(gate_->reports().take(kReportsPerTurn, &more));
    Unref();
    return env_.Undefined();
  }

  const Napi::Env env_;
  std::unique_ptr<Gate> gate_;
  Napi::FunctionReference deliver_;
  Napi::ThreadSafeFunction wake_;
  bool is_closed_ = false;
};

Napi::Object init(Napi::Env env, Napi::Object exports) {
  exports["Gate"] = GateObject::define(env);
  exports["Table"] = TableObject::define(env);
  return exports;
}

}  // namespace

NODE_API_MODULE(d4c_gate, init)

}  // namespace d4c
