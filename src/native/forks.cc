#include "forks.h"

#include <linux/cn_proc.h>
#include <linux/connector.h>
#include <linux/netlink.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <iterator>

namespace d4c {

namespace {

constexpr int kBufferBytes = 16 << 20;
/// A process whose first thread has ended is looked at so often, and processes are looked for that could not be.
constexpr int kLookMs = 100;

/// As a shell counts it.
int exitCodeOf(uint32_t status) {
  const int signal = static_cast<int>(status & 0x7f);
  return signal != 0 ? 128 + signal : static_cast<int>((status >> 8) & 0xff);
}

}  // namespace

void Forks::listen() {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (is_settled_) return;
  is_settled_ = true;
  if (!open()) return cannotListen("", errno);
  // Those of containers for which it could not listen.
  seek({followed_.begin(), followed_.end()});
  thread_ = startThread("d4c-forks", [this] { run(); });
  if (!thread_.joinable()) cannotListen("clone: ", errno);
}

void Forks::cannotListen(const std::string& why, int error) {
  reports_->fail(Failure::kForksUnseen, why + std::strerror(error));
  socket_.reset();
  // What is missing may be there when the next table comes.
  is_settled_ = !isOutOfDescriptors(error) && error != EAGAIN && error != ENOMEM && error != ENOBUFS;
}

bool Forks::open() {
  stop_ = Descriptor(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  wake_ = Descriptor(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  socket_ = Descriptor(socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_CONNECTOR));
  if (!stop_ || !wake_ || !socket_) return false;
  // The machine may fork faster than this thread is scheduled.
  if (setsockopt(socket_.get(), SOL_SOCKET, SO_RCVBUFFORCE, &kBufferBytes, sizeof kBufferBytes) != 0) {
    setsockopt(socket_.get(), SOL_SOCKET, SO_RCVBUF, &kBufferBytes, sizeof kBufferBytes);
  }
  sockaddr_nl address{};
  address.nl_family = AF_NETLINK;
  address.nl_groups = CN_IDX_PROC;
  if (bind(socket_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) return false;
  const proc_cn_mcast_op operation = PROC_CN_MCAST_LISTEN;
  alignas(nlmsghdr) char text[NLMSG_SPACE(sizeof(cn_msg) + sizeof operation)] = {};
  auto* header = reinterpret_cast<nlmsghdr*>(text);
  header->nlmsg_len = NLMSG_LENGTH(sizeof(cn_msg) + sizeof operation);
  header->nlmsg_type = NLMSG_DONE;
  cn_msg message{};
  message.id = {CN_IDX_PROC, CN_VAL_PROC};
  message.len = sizeof operation;
  std::memcpy(NLMSG_DATA(header), &message, sizeof message);
  std::memcpy(static_cast<char*>(NLMSG_DATA(header)) + sizeof message, &operation, sizeof operation);
  return send(socket_.get(), text, header->nlmsg_len, 0) == static_cast<ssize_t>(header->nlmsg_len);
}

void Forks::close() {
  if (!thread_.joinable()) return;
  const uint64_t one = 1;
  [[maybe_unused]] const ssize_t written = write(stop_.get(), &one, sizeof one);
  thread_.join();
}

void Forks::run() {
  pollfd polled[] = {{stop_.get(), POLLIN, 0}, {socket_.get(), POLLIN, 0}, {wake_.get(), POLLIN, 0}};
  alignas(nlmsghdr) char text[4096];
  for (;;) {
    const bool is_to_look_again = look_again_at_ != Clock::time_point::max();
    poll(polled, 3, ending_.empty() && !is_to_look_again ? -1 : kLookMs);
    if (polled[0].revents != 0) return;
    // Before the forks that have come meanwhile: their parents are among those who are found.
    if (polled[2].revents != 0 || Clock::now() >= look_again_at_) lookForMembers();
    bool has_lost = false;
    for (;;) {
      sockaddr_nl from{};
      socklen_t size = sizeof from;
      const ssize_t got = recvfrom(socket_.get(), text, sizeof text, 0, reinterpret_cast<sockaddr*>(&from), &size);
      if (got < 0 && errno == ENOBUFS) {
        reports_->fail(Failure::kForksLost, "more than the buffer holds");
        has_lost = true;
        continue;
      }
      if (got < 0) break;
      // Others may send here, too; the kernel is 0.
      if (from.nl_pid == 0) take(text, static_cast<size_t>(got));
    }
    // KERNEL: what was before the loss comes after the word of it, and until that is read everything more is lost.
    if (has_lost) {
      sweep();
      findAgain();
    }
    // Behind what their last threads said.
    if (!ending_.empty()) {
      const std::lock_guard<std::mutex> lock(mutex_);
      tellEnded();
    }
  }
}

void Forks::take(const char* message, size_t size) {
  nlmsghdr header;
  proc_event event{};
  constexpr size_t kBefore = NLMSG_HDRLEN + sizeof(cn_msg);
  if (size < kBefore) return;
  std::memcpy(&header, message, sizeof header);
  if (header.nlmsg_type != NLMSG_DONE) return;
  std::memcpy(&event, message + kBefore, std::min(sizeof event, size - kBefore));
  // KERNEL: by the clock that std::chrono calls steady.
  const Clock::time_point at{std::chrono::nanoseconds(event.timestamp_ns)};
  if (event.what == proc_event::PROC_EVENT_NONE && event.event_data.ack.err != 0) {
    reports_->fail(Failure::kForksUnseen, std::strerror(static_cast<int>(event.event_data.ack.err)));
  } else if (event.what == proc_event::PROC_EVENT_EXIT) {
    const auto& ended = event.event_data.exit;
    const End end{exitCodeOf(ended.exit_code), usOf(at)};
    if (ended.process_pid != ended.process_tgid) {
      // A process whose first thread has gone ends as a later one does.
      const auto ending = ending_.find(ended.process_tgid);
      if (ending != ending_.end()) ending->second = end;
      return;
    }
    const std::lock_guard<std::mutex> lock(mutex_);
    const auto member = members_.find(ended.process_pid);
    if (member == members_.end()) return;
    const Rest rest = member->second.may_have_threads ? restOf(ended.process_pid) : Rest::kNothing;
    if (rest == Rest::kThreads) ending_[ended.process_pid] = end;
    if (rest == Rest::kNothing || isOther(member->second, ended.process_pid)) drop(member, end);
  } else if (event.what == proc_event::PROC_EVENT_FORK) {
    const auto& fork = event.event_data.fork;
    // A thread is no process.
    if (fork.child_pid != fork.child_tgid) {
      const std::lock_guard<std::mutex> lock(mutex_);
      if (const auto its = members_.find(fork.child_tgid); its != members_.end()) its->second.may_have_threads = true;
      return;
    }
    uint64_t key = 0;
    Program inherited;
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      // The end of who had the number before was lost; or this one has executed something before its fork was read.
      const auto before = members_.find(fork.child_tgid);
      if (before != members_.end() && isOther(before->second, fork.child_tgid)) drop(before, {});
      const auto parent = members_.find(fork.parent_tgid);
      if (parent == members_.end()) return;
      key = parent->second.key;
      inherited = parent->second.inherited;
      memberAt(fork.child_tgid).key = key;
    }
    Program program = tell_(key, fork.parent_tgid, fork.child_tgid, at, inherited);
    const std::lock_guard<std::mutex> lock(mutex_);
    if (const auto child = members_.find(fork.child_tgid); child != members_.end()) child->second.inherited = std::move(program);
  }
}

}  // namespace d4c
