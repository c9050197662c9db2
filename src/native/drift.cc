#include "drift.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <string_view>
#include <vector>

#include "opened.h"
#include "proc_file.h"

namespace d4c {

namespace {

constexpr off_t kMaxProgramBytes = off_t{512} << 20;
constexpr std::chrono::seconds kLongestCompare(5);
constexpr size_t kMaxNames = 200000;
constexpr size_t kPart = size_t{128} << 10;

/// How overlayfs names a file, in `trusted.overlay.origin` and in its handles.
struct __attribute__((packed)) OriginHead {
  uint8_t version;
  uint8_t magic;
  uint8_t size;
  uint8_t flags;
  uint8_t handle_type;
  std::array<uint8_t, 16> filesystem;
};
constexpr uint8_t kOriginMagic = 0xfb;
constexpr uint8_t kOfUpper = 0x04;
// Of its handles (OVL_FILEID_V1), and what they have before that name.
constexpr int kOverlayHandle = 0xf8;
constexpr size_t kPadding = 3;
/// As in linux/fcntl.h, which is newer than the headers this may be built with.
constexpr int kHandleFid = 0x200;

bool hasAttribute(int at, const char* name) { return getxattr(linkOf(at).c_str(), name, nullptr, 0) >= 0; }

/// Opens for reading what a descriptor with O_PATH stands for. SAFETY: only in directories that are not marked.
Descriptor readable(const Descriptor& at) {
  if (!at) return Descriptor();
  const std::string link = linkOf(at.get());
  constexpr int kHow = O_RDONLY | O_CLOEXEC | O_NONBLOCK;
  // Without CAP_FOWNER the time of access is left alone for files of this user only.
  Descriptor file(open(link.c_str(), kHow | O_NOATIME));
  return file ? std::move(file) : Descriptor(open(link.c_str(), kHow));
}

/// The image's file that overlayfs names so, whatever it is called now.
Descriptor openNamed(const Upper& upper, std::string_view name) {
  OriginHead head{};
  if (name.size() < sizeof head || name.size() > sizeof head + MAX_HANDLE_SZ) return Descriptor();
  std::memcpy(&head, name.data(), sizeof head);
  if (head.magic != kOriginMagic || head.size != name.size() || (head.flags & kOfUpper)) return Descriptor();
  alignas(file_handle) char room[sizeof(file_handle) + MAX_HANDLE_SZ];
  auto* handle = reinterpret_cast<file_handle*>(room);
  handle->handle_bytes = static_cast<unsigned>(name.size() - sizeof head);
  handle->handle_type = head.handle_type;
  std::memcpy(handle->f_handle, name.data() + sizeof head, handle->handle_bytes);
  for (const std::string& layer : upper.layers) {
    const Descriptor mount(open(layer.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    Descriptor origin(mount ? open_by_handle_at(mount.get(), handle, O_PATH | O_CLOEXEC) : -1);
    struct stat found {};
    if (origin && fstat(origin.get(), &found) == 0 && S_ISREG(found.st_mode)) return origin;
  }
  return Descriptor();
}

/// The image's file from which this one was copied up.
Descriptor openOrigin(const Upper& upper, int at) {
  std::array<char, sizeof(OriginHead) + MAX_HANDLE_SZ> value;
  const ssize_t size = getxattr(linkOf(at).c_str(), "trusted.overlay.origin", value.data(), value.size());
  return size > 0 ? openNamed(upper, {value.data(), static_cast<size_t>(size)}) : Descriptor();
}

/// The image's file that the container's is, or from which that was copied up. KERNEL: 6.6
Descriptor openLower(const Upper& upper, int file) {
  alignas(file_handle) char room[sizeof(file_handle) + MAX_HANDLE_SZ];
  auto* handle = reinterpret_cast<file_handle*>(room);
  handle->handle_bytes = MAX_HANDLE_SZ;
  int mount = 0;
  if (name_to_handle_at(file, "", handle, &mount, AT_EMPTY_PATH | kHandleFid) != 0) return Descriptor();
  if (handle->handle_type != kOverlayHandle || handle->handle_bytes < kPadding) return Descriptor();
  return openNamed(upper, {reinterpret_cast<const char*>(handle->f_handle) + kPadding, handle->handle_bytes - kPadding});
}

/// Whether somebody has the file open for writing, or mapped so. KERNEL: a lease for reading is not given then. Of a file of another
/// user that takes CAP_LEASE, and without it nothing is known.
bool hasWriter(const Descriptor& file) {
  // SAFETY: whoever opens the file to write right now has a signal sent to this process, which is one that nobody heeds.
  fcntl(file.get(), F_SETSIG, SIGURG);
  if (fcntl(file.get(), F_SETLEASE, F_RDLCK) != 0) return errno == EAGAIN;
  fcntl(file.get(), F_SETLEASE, F_UNLCK);
  return false;
}

enum class Sameness : uint8_t { kSame, kOther, kUnknown };

Sameness compare(int one, int other, off_t size) {
  if (size > kMaxProgramBytes) return Sameness::kUnknown;
  std::vector<char> parts(2 * kPart);
  const auto end = std::chrono::steady_clock::now() + kLongestCompare;
  for (off_t at = 0; at < size;) {
    const size_t wanted = static_cast<size_t>(std::min<off_t>(size - at, kPart));
    if (pread(one, parts.data(), wanted, at) != static_cast<ssize_t>(wanted)) return Sameness::kUnknown;
    if (pread(other, parts.data() + kPart, wanted, at) != static_cast<ssize_t>(wanted)) return Sameness::kUnknown;
    if (std::memcmp(parts.data(), parts.data() + kPart, wanted) != 0) return Sameness::kOther;
    if (std::chrono::steady_clock::now() > end) return Sameness::kUnknown;
    at += static_cast<off_t>(wanted);
  }
  return Sameness::kSame;
}

}  // namespace

Origin originOf(const Upper& upper, const std::string& path, int file, int64_t birth_ns, std::optional<bool> is_unchanged) {
  const Descriptor at = Upper::openIn(upper.directory, path);
  const Descriptor image = upper.openInImage(path);
  struct stat found {};
  if (!at || opened(at.get()).birth_ns != birth_ns || fstat(at.get(), &found) != 0) {
    // Image files may be younger than the upper directory, for example on a disk that was copied. What is in neither place has
    // another path here than for the container. SAFETY: a copy names the image's file, too, and was born at another time.
    const auto isIt = [&](const Descriptor& one) { return one && opened(one.get()).birth_ns == birth_ns; };
    return isIt(image) || (birth_ns != 0 && isIt(openLower(upper, file))) ? Origin::kImage : Origin::kCreated;
  }
  // KERNEL: a file whose mode alone has changed has no content of its own where overlayfs was told so.
  if (hasAttribute(at.get(), "trusted.overlay.metacopy")) return Origin::kImage;
  const bool is_of_image = image || upper.isCopiedUp(at.get(), found.st_ino);
  // With a further name it may be one of the image.
  if (!is_of_image && found.st_nlink == 1) return Origin::kCreated;
  const auto known = is_unchanged ? is_unchanged : upper.comparedBefore(found);
  if (!known) return Origin::kAsk;
  if (*known) return Origin::kImage;
  return is_of_image ? Origin::kModified : Origin::kCreated;
}

bool isUnchanged(Upper& upper, const std::string& path, bool* is_certain) {
  *is_certain = true;
  const Descriptor at = Upper::openIn(upper.directory, path);
  struct stat found {};
  if (!at || fstat(at.get(), &found) != 0 || !S_ISREG(found.st_mode)) return false;
  // Several may have waited for the same answer.
  if (const auto known = upper.comparedBefore(found)) return *known;
  const auto compareWith = [&](const Descriptor& image) {
    struct stat image_found {};
    if (!image || fstat(image.get(), &image_found) != 0 || !S_ISREG(image_found.st_mode)) return Sameness::kOther;
    if (found.st_size != image_found.st_size) return Sameness::kOther;
    const Descriptor one = readable(at);
    const Descriptor other = readable(image);
    // KERNEL: of the files of an overlay, a mapping keeps only the one below open for writing, so that the exec is not refused.
    if (!one || !other || hasWriter(one)) return Sameness::kUnknown;
    return compare(one.get(), other.get(), found.st_size);
  };
  Descriptor image = openOrigin(upper, at.get());
  if (!image) image = upper.openInImage(path);
  Sameness sameness = compareWith(image);
  // One after the other: a container can give a file as many names as the image has files.
  std::vector<std::string> names;
  if (!image) names = upper.namesInImage(found.st_ino, kMaxNames);
  for (auto name = names.begin(); name != names.end() && sameness == Sameness::kOther; ++name) {
    sameness = compareWith(upper.openInImage(*name));
  }
  *is_certain = sameness != Sameness::kUnknown;
  if (*is_certain) upper.rememberCompared(found, sameness == Sameness::kSame);
  return sameness == Sameness::kSame;
}

}  // namespace d4c
