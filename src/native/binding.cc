// The addon: what a decision table says, without a kernel. Tests hold it against the reference in TypeScript; the gate
// itself is the keeper's. And what JavaScript cannot do for the agent's memory. The only file that knows Node-API.

#include <malloc.h>
#include <napi.h>

#include "json.h"
#include "report_json.h"
#include "table.h"

namespace d4c {

namespace {

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
  /// (is it a process event, operations, path, mount, interactive): 0 unknown, 1 no, 2 yes. Gives JSON.
  Napi::Value decide(const Napi::CallbackInfo& info) {
    const auto number = [&](size_t i) { return static_cast<uint8_t>(info[i].As<Napi::Number>().Uint32Value()); };
    const Section section = info[0].As<Napi::Boolean>() ? Section::kProcess : Section::kFile;
    const Question question{section, number(1), static_cast<MountKind>(number(3)), static_cast<Interactive>(number(4))};
    table_->look(section, info[2].As<Napi::String>().Utf8Value(), &scratch_);
    const Verdict verdict = table_->decide(question, &scratch_);
    Json decision;
    decision.text("verdict", verdict == Verdict::kDeny ? "deny" : "allow").raw("policies", jsonOf(scratch_.fired));
    return Napi::String::New(info.Env(), decision.done());
  }

  const std::shared_ptr<const Table> table_;
  Scratch scratch_;
};

/// giveMemoryBack(): what the C library keeps of freed memory, from every arena. Takes less than a millisecond of an agent.
void giveMemoryBack(const Napi::CallbackInfo&) { malloc_trim(0); }

Napi::Object init(Napi::Env env, Napi::Object exports) {
  exports["Table"] = TableObject::define(env);
  exports["giveMemoryBack"] = Napi::Function::New<&giveMemoryBack>(env, "giveMemoryBack");
  return exports;
}

}  // namespace

NODE_API_MODULE(d4c_gate, init)

}  // namespace d4c
