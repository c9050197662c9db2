#include "mounts.h"

#include <fcntl.h>
#include <sys/sysmacros.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "proc_file.h"

namespace d4c {

namespace {

/// Splits off what stands before the separator.
std::string_view take(std::string_view* text, char separator) {
  const size_t end = std::min(text->find(separator), text->size());
  const std::string_view part = text->substr(0, end);
  text->remove_prefix(std::min(end + 1, text->size()));
  return part;
}

bool isOctal(char c) { return c >= '0' && c <= '7'; }

/// The kernel writes space, tab, line feed, backslash and in options the comma as `\` and three octal digits.
std::string unescaped(std::string_view text) {
  std::string plain;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\' && i + 3 < text.size() && isOctal(text[i + 1]) && isOctal(text[i + 2]) && isOctal(text[i + 3])) {
      plain += static_cast<char>((text[i + 1] - '0') * 64 + (text[i + 2] - '0') * 8 + (text[i + 3] - '0'));
      i += 3;
    } else {
      plain += text[i];
    }
  }
  return plain;
}

/// Splits at colons, of which overlayfs writes those of a name with a `\`.
void addLayers(const std::string& text, std::vector<std::string>* layers) {
  std::string layer;
  for (size_t i = 0; i <= text.size(); ++i) {
    if (i == text.size() || text[i] == ':') {
      if (!layer.empty()) layers->push_back(std::move(layer));
      layer.clear();
    } else {
      if (text[i] == '\\' && i + 1 < text.size()) ++i;
      layer += text[i];
    }
  }
}

dev_t deviceOf(std::string_view text) {
  const std::string major_text(take(&text, ':'));
  return makedev(static_cast<unsigned>(std::strtoul(major_text.c_str(), nullptr, 10)),
                 static_cast<unsigned>(std::strtoul(std::string(text).c_str(), nullptr, 10)));
}

// A line: id, parent, major:minor, root, mount point, options, optional fields, `-`, type, source, super options.
std::optional<Mount> mountOfLine(std::string_view line) {
  constexpr std::string_view kSeparator = " - ";
  const size_t separator = line.find(kSeparator);
  if (separator == std::string_view::npos) return std::nullopt;
  std::string_view rest = line.substr(separator + kSeparator.size());
  Mount mount;
  mount.id = std::strtoull(std::string(take(&line, ' ')).c_str(), nullptr, 10);
  take(&line, ' ');
  mount.device = deviceOf(take(&line, ' '));
  mount.root = unescaped(take(&line, ' '));
  mount.mount_point = unescaped(take(&line, ' '));
  mount.type = std::string(take(&rest, ' '));
  take(&rest, ' ');
  const auto isReadOnly = [](std::string_view options) { return take(&options, ',') == "ro"; };
  mount.is_read_only = isReadOnly(take(&line, ' ')) || isReadOnly(rest);
  return mount;
}

}  // namespace

std::vector<OverlayMount> overlaysOf(std::string_view mountinfo) {
  constexpr std::string_view kSeparator = " - overlay ";
  constexpr std::string_view kUpper = "upperdir=";
  constexpr std::string_view kLower = "lowerdir=";
  // KERNEL: 6.8, for layers that were added one by one.
  constexpr std::string_view kAdded = "lowerdir+=";
  std::vector<OverlayMount> overlays;
  while (!mountinfo.empty()) {
    std::string_view line = take(&mountinfo, '\n');
    const size_t separator = line.find(kSeparator);
    if (separator == std::string_view::npos) continue;
    std::string_view options = line.substr(separator + kSeparator.size());
    take(&options, ' ');
    take(&line, ' ');
    take(&line, ' ');
    OverlayMount mount;
    mount.device = deviceOf(take(&line, ' '));
    const bool is_whole = take(&line, ' ') == "/";
    mount.mount_point = unescaped(take(&line, ' '));
    while (!options.empty()) {
      const std::string_view option = take(&options, ',');
      if (option.substr(0, kUpper.size()) == kUpper) mount.upper_dir = unescaped(option.substr(kUpper.size()));
      if (option.substr(0, kLower.size()) == kLower) addLayers(unescaped(option.substr(kLower.size())), &mount.layers);
      if (option.substr(0, kAdded.size()) == kAdded) mount.layers.push_back(unescaped(option.substr(kAdded.size())));
    }
    if (is_whole) overlays.push_back(std::move(mount));
  }
  return overlays;
}

std::vector<Mount> mountsOf(std::string_view mountinfo, size_t max) {
  std::vector<Mount> mounts;
  while (!mountinfo.empty() && mounts.size() < max) {
    if (auto mount = mountOfLine(take(&mountinfo, '\n'))) mounts.push_back(*std::move(mount));
  }
  return mounts;
}

uint64_t mountIdOf(int file) {
  char name[32];
  char info[1024];
  std::snprintf(name, sizeof name, "fdinfo/%d", file);
  readProcFile(getpid(), name, info, sizeof info);
  const char* id = std::strstr(info, "mnt_id:");
  return id == nullptr ? 0 : std::strtoull(id + std::strlen("mnt_id:"), nullptr, 10);
}

std::optional<Mount> mountOf(int file, pid_t tid) {
  const std::string begin = std::to_string(mountIdOf(file)) + " ";
  const std::string table = readWhole(openProc(tid, "mountinfo", O_RDONLY));
  std::string_view lines = table;
  while (!lines.empty()) {
    const std::string_view line = take(&lines, '\n');
    if (line.substr(0, begin.size()) == begin) return mountOfLine(line);
  }
  return std::nullopt;
}

bool MountTable::open() {
  file_ = Descriptor(::open("/proc/self/mountinfo", O_RDONLY | O_CLOEXEC));
  return static_cast<bool>(file_);
}

std::string MountTable::read() const { return readWhole(file_); }

}  // namespace d4c
