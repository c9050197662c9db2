// Reports and decisions as the objects that src/native/binding.ts declares.
#pragma once

#include <napi.h>

#include <vector>

#include "gate.h"
#include "reports.h"

namespace d4c {

Napi::Value verdictToJs(Napi::Env env, Verdict verdict);
Napi::Value firedToJs(Napi::Env env, const std::vector<Fired>& fired);
/// An object with `type` (`container`, `firstExec`, `gone`, `event` or `failure`) and what it is about as `value`.
Napi::Value reportToJs(Napi::Env env, const Report& report);
Napi::Value statsToJs(Napi::Env env, const GateStats& stats);

}  // namespace d4c
