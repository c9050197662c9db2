#include "keeper_log.h"

#include <poll.h>
#include <unistd.h>

#include <algorithm>

#include "json.h"
#include "reports.h"

namespace d4c {

namespace {

/// KERNEL: a pipe that says it takes something takes this much (PIPE_BUF, less what JSON adds), and a longer write would wait for its reader.
constexpr size_t kLongestText = 512;

void writeLine(int level, std::string message, std::string detail) {
  message.resize(std::min(message.size(), kLongestText));
  detail.resize(std::min(detail.size(), kLongestText));
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
  writeLine(50, message, "");
  return false;
}

}  // namespace d4c
