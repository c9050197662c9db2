#include "running.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <utility>

#include "proc_file.h"
#include "proc_stat.h"
#include "processes.h"

namespace d4c {

bool isScript(int file) {
  char head[2];
  return pread(file, head, sizeof head, 0) == sizeof head && head[0] == '#' && head[1] == '!';
}

Running runningOf(pid_t tid) {
  constexpr int kArgumentsAt = 48;
  char text[1024];
  Stat stat;
  if (readProcFile(tid, "stat", text, sizeof text) == 0 || !parseStat(text, &stat)) return {};
  const char* const arguments_at = statField(text, kArgumentsAt);
  if (arguments_at == nullptr) return {};
  return {std::move(stat.name), stat.parent, std::strtoull(arguments_at, nullptr, 10)};
}

bool isUnderWay(pid_t tid, int file, const std::string& path, uint64_t last_arguments) {
  char link[32];
  std::snprintf(link, sizeof link, "/proc/%d/exe", tid);
  struct stat runs {};
  struct stat executed {};
  if (stat(link, &runs) != 0 || fstat(file, &executed) != 0) return false;
  const Running running = runningOf(tid);
  const bool is_on_same = runs.st_dev == executed.st_dev;
  const bool runs_it = is_on_same && runs.st_ino == executed.st_ino;
  // What a task runs comes to be a script's interpreter, as a rule one of the same image, and never the script.
  if (!runs_it && running.name != nameOfProgram(path) && !(is_on_same && isScript(file))) return true;
  // It may execute itself again, as every applet of busybox does.
  const uint64_t now = running.arguments_at;
  return now == 0 || now == last_arguments || now == runningOf(running.parent).arguments_at;
}

}  // namespace d4c
