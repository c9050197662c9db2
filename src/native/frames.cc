#include "frames.h"

#include <fcntl.h>
#include <sys/socket.h>

#include <cerrno>

namespace d4c {

namespace {

constexpr size_t kHeadBytes = 4;
constexpr size_t kFrameReadBytes = 16384;
/// A buffer that a flood has made larger than this is given back.
constexpr size_t kKeptBytes = 16384;

uint32_t lengthAt(const char* at) {
  uint32_t value = 0;
  for (int i = 3; i >= 0; --i) value = value << 8 | static_cast<unsigned char>(at[i]);
  return value;
}

/// Forgets the first bytes, and gives memory back when nothing is left.
void drop(std::string* buffer, size_t* used) {
  buffer->erase(0, *used);
  *used = 0;
  if (buffer->empty() && buffer->capacity() > kKeptBytes) buffer->shrink_to_fit();
}

}  // namespace

Connection::Connection(Descriptor socket) : socket_(std::move(socket)) {
  fcntl(socket_.get(), F_SETFL, fcntl(socket_.get(), F_GETFL) | O_NONBLOCK);
  fcntl(socket_.get(), F_SETFD, FD_CLOEXEC);
}

bool Connection::receive() {
  drop(&in_, &taken_);
  for (;;) {
    const size_t before = in_.size();
    in_.resize(before + kFrameReadBytes);
    const ssize_t size = recv(socket_.get(), in_.data() + before, kFrameReadBytes, 0);
    in_.resize(before + static_cast<size_t>(size > 0 ? size : 0));
    if (size < 0) return errno == EAGAIN || errno == EINTR;
    if (size == 0) return false;
    if (in_.size() < kHeadBytes) continue;
    if (lengthAt(in_.data()) > kMaxFrameBytes) return false;
    // What has come is worked on before more is taken: the bound of one frame is the bound of the buffer.
    if (in_.size() >= kHeadBytes + lengthAt(in_.data())) return true;
  }
}

std::optional<std::string_view> Connection::next() {
  const std::string_view rest = std::string_view(in_).substr(taken_);
  if (rest.size() < kHeadBytes) return std::nullopt;
  const size_t length = lengthAt(rest.data());
  if (rest.size() - kHeadBytes < length) return std::nullopt;
  taken_ += kHeadBytes + length;
  return rest.substr(kHeadBytes, length);
}

void Connection::send(std::string_view frame) {
  const auto length = static_cast<uint32_t>(frame.size());
  for (int i = 0; i < 4; ++i) out_ += static_cast<char>(length >> (8 * i) & 0xff);
  out_ += frame;
}

bool Connection::flush() {
  while (unsent() > 0) {
    const ssize_t size = ::send(socket_.get(), out_.data() + sent_, unsent(), MSG_NOSIGNAL);
    if (size < 0 && errno == EINTR) continue;
    if (size < 0) {
      if (errno != EAGAIN) return false;
      break;
    }
    sent_ += static_cast<size_t>(size);
  }
  if (unsent() == 0 || sent_ > kFrameReadBytes) drop(&out_, &sent_);
  return true;
}

bool Connection::discard() {
  char bytes[4096];
  for (;;) {
    const ssize_t size = recv(socket_.get(), bytes, sizeof bytes, 0);
    if (size == 0) return false;
    if (size < 0) return errno == EAGAIN || errno == EINTR;
  }
}

void Connection::finish() { shutdown(socket_.get(), SHUT_WR); }

uint64_t Fields::number(size_t bytes) {
  const std::string_view taken = take(bytes);
  uint64_t value = 0;
  for (size_t i = 0; i < taken.size(); ++i) value |= uint64_t{static_cast<unsigned char>(taken[i])} << (8 * i);
  return value;
}

std::string_view Fields::bytes() { return take(number(4)); }

std::string_view Fields::take(size_t size) {
  if (size > rest_.size()) {
    is_ok_ = false;
    rest_ = {};
    return {};
  }
  const std::string_view taken = rest_.substr(0, size);
  rest_.remove_prefix(size);
  return taken;
}

}  // namespace d4c
