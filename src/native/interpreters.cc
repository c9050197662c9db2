#include "interpreters.h"

#include <algorithm>
#include <array>
#include <string>
#include <string_view>
#include <vector>

#include "arguments.h"
#include "memory.h"
#include "proc_file.h"

namespace d4c {

namespace {

constexpr std::array<std::string_view, 13> kInterpreterNames = {"sh",     "bash", "dash", "ash", "hush", "ksh", "mksh",
                                                     "zsh",    "node", "nodejs", "php-cgi", "php-fpm", "luajit"};
/// Which may be followed by a version.
constexpr std::array<std::string_view, 5> kVersioned = {"python", "perl", "ruby", "php", "lua"};

std::string_view baseOf(std::string_view path) {
  path = withoutDeleted(path);
  return path.substr(path.rfind('/') + 1);
}

bool isNamed(std::string_view name) {
  if (std::find(kInterpreterNames.begin(), kInterpreterNames.end(), name) != kInterpreterNames.end()) return true;
  return std::any_of(kVersioned.begin(), kVersioned.end(), [&](std::string_view base) {
    return name.substr(0, base.size()) == base && name.find_first_not_of("0123456789.-", base.size()) == std::string_view::npos;
  });
}

bool isBusybox(std::string_view name) { return name.substr(0, 7) == "busybox"; }

/// What busybox was called as. A shell of a login has a `-` before its name.
std::string_view appletOf(const std::vector<std::string>& args) {
  std::string_view name = args.empty() ? std::string_view() : std::string_view(args[0]);
  if (!name.empty() && name.front() == '-') name.remove_prefix(1);
  name = baseOf(name);
  return isBusybox(name) && args.size() > 1 ? baseOf(args[1]) : name;
}

}  // namespace

bool isInterpreter(pid_t tid) {
  const std::string executable = readProcLink(tid, "exe");
  if (executable.empty()) return true;
  const std::string_view name = baseOf(executable);
  if (!isBusybox(name)) return isNamed(name);
  bool is_cut = false;
  const std::vector<std::string> args = runningArguments(tid, &is_cut);
  return args.empty() || isNamed(appletOf(args));
}

}  // namespace d4c
