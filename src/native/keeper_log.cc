#include "keeper_log.h"

#include <poll.h>
#include <unistd.h>

#include "json.h"
#include "reports.h"

namespace d4c {

namespace {

void writeLine(int level, const char* message, const std::string& detail) {
  Json line;
  line.number("level", level).number("time", nowUs() / 1000).number("pid", getpid()).text("name", "keeper");
  if (!detail.empty()) line.text("detail", detail);
  const std::string text = line.text("msg", message).done() + "\n";
  pollfd polled{STDERR_FILENO, POLLOUT, 0};
  if (poll(&polled, 1, 0) != 1 || (polled.revents & POLLOUT) == 0) return;
  [[maybe_unused]] const ssize_t written = write(STDERR_FILENO, text.data(), text.size());
}

}  // namespace

void say(const char* message, const std::string& detail) { writeLine(30, message, detail); }

bool sayError(const std::string& message) {
  writeLine(50, message.c_str(), "");
  return false;
}

}  // namespace d4c
