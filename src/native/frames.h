// How the keeper and an agent speak: frames, each its length in 4 bytes, little-endian, and that many bytes.
//
// What the keeper says is one JSON object in each frame. What an agent says begins with one byte for its kind; numbers
// are little-endian. Whoever does not keep to it is cut off; nobody else notices.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "descriptor.h"

namespace d4c {

/// The longest frame that is accepted: a decision table with the largest policies takes a fraction of it.
constexpr size_t kMaxFrameBytes = size_t{16} << 20;

/// One end of a connection. Owns its socket, which never blocks. Of one thread.
class Connection {
 public:
  explicit Connection(Descriptor socket);

  int descriptor() const { return socket_.get(); }

  /// Takes in what has come. False when the other side has ended or does not keep to the form.
  bool receive();
  /// The next frame that is whole; valid until the next call.
  std::optional<std::string_view> next();

  void send(std::string_view frame);
  /// Gives the kernel what it takes. False when the other side has ended.
  bool flush();
  /// Throws away what has come. False when the other side has ended.
  bool discard();
  /// Nothing more is sent. Twice is fine.
  void finish();
  /// Bytes that the kernel has not taken.
  size_t unsent() const { return out_.size() - sent_; }

 private:
  Descriptor socket_;
  std::string in_;
  size_t taken_ = 0;
  std::string out_;
  size_t sent_ = 0;
};

/// Reads the fields of a frame, forward only. After the first one that is missing everything reads as nothing.
class Fields {
 public:
  explicit Fields(std::string_view bytes) : rest_(bytes) {}

  uint64_t number(size_t bytes);
  /// A text or a table: its length in 4 bytes, and those bytes.
  std::string_view bytes();
  /// Whether everything was there until now.
  bool isOk() const { return is_ok_; }
  /// Whether everything was there, and nothing more.
  bool isWhole() const { return is_ok_ && rest_.empty(); }

 private:
  std::string_view take(size_t size);
  std::string_view rest_;
  bool is_ok_ = true;
};

}  // namespace d4c
