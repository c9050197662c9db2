#include "syscalls.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <cstring>

#include "memory.h"
#include "proc_file.h"

namespace d4c {

namespace {

/// How often a task that has not come to rest is looked at again: at once, when it is on another processor and soon there;
/// then after short naps, since it may wait for this processor; then after longer ones.
constexpr int kLooks = 8;
constexpr int kShortNaps = 8;
constexpr int kNaps = 10;

enum class Form : uint8_t { kFlags, kCreat, kHow, kExec };

struct CallForm {
  long number;
  Form form;
  /// Index of the flags, of the pointer to `open_how`, or of the argument vector.
  int argument;
  int pointer_bytes = sizeof(void*);
};

// The file does not say for which architecture a number is. That is no matter: a number that opens a file in
// one of them does not open any in the other (i386's open is x86-64's fstat).
constexpr CallForm kForms[] = {
#if defined(__x86_64__)
    {2, Form::kFlags, 1},       // open
    {85, Form::kCreat, 0},      // creat
    {257, Form::kFlags, 2},     // openat
    {304, Form::kFlags, 2},     // open_by_handle_at
    {437, Form::kHow, 2},       // openat2
    {59, Form::kExec, 1},       // execve
    {322, Form::kExec, 2},      // execveat
    {520, Form::kExec, 1, 4},   // x32 execve
    {545, Form::kExec, 2, 4},   // x32 execveat
    {5, Form::kFlags, 1},       // i386 open
    {8, Form::kCreat, 0},       // i386 creat
    {295, Form::kFlags, 2},     // i386 openat
    {342, Form::kFlags, 2},     // i386 open_by_handle_at
    {11, Form::kExec, 1, 4},    // i386 execve
    {358, Form::kExec, 2, 4},   // i386 execveat
#elif defined(__aarch64__)
    {56, Form::kFlags, 2},      // openat
    {265, Form::kFlags, 2},     // open_by_handle_at
    {437, Form::kHow, 2},       // openat2
    {221, Form::kExec, 1},      // execve
    {281, Form::kExec, 2},      // execveat
    {5, Form::kFlags, 1},       // arm open
    {8, Form::kCreat, 0},       // arm creat
    {322, Form::kFlags, 2},     // arm openat
    {371, Form::kFlags, 2},     // arm open_by_handle_at
    {11, Form::kExec, 1, 4},    // arm execve
    {387, Form::kExec, 2, 4},   // arm execveat
#else
#error "the numbers of this architecture's system calls are not known"
#endif
};

#if defined(__x86_64__)
constexpr long kX32Bit = 0x40000000;
#else
constexpr long kX32Bit = 0;
#endif

const CallForm* formOf(long number) {
  for (const CallForm& form : kForms) {
    if (form.number == (number & ~kX32Bit)) return &form;
  }
  return nullptr;
}

/// The call's number in decimal; its arguments, where the stack is, and where the task goes on, in hexadecimal.
struct CallLine {
  long number = -1;
  std::array<uint64_t, 8> others{};
};

/// Gives how many numbers were there.
int readNumbers(const char* text, CallLine* line) {
  char* end = nullptr;
  line->number = std::strtol(text, &end, 10);
  if (end == text) return 0;
  int read = 1;
  for (uint64_t& argument : line->others) {
    const char* at = end;
    if (at[0] != ' ' || at[1] != '0' || at[2] != 'x') break;
    argument = 0;
    for (at += 3; std::isxdigit(static_cast<unsigned char>(*at)); ++at) {
      argument = argument << 4 | static_cast<uint64_t>(*at <= '9' ? *at - '0' : (*at | 0x20) - 'a' + 10);
    }
    end = const_cast<char*>(at);
    ++read;
  }
  return read;
}

OpenIntent intentOfFlags(uint64_t flags) {
  OpenIntent intent;
  // O_RDONLY with O_TRUNC truncates too. 3 is neither reading nor writing, for ioctl; it needs both permissions.
  intent.writes = (flags & O_ACCMODE) != O_RDONLY || (flags & O_TRUNC) != 0;
  intent.temporary = (flags & O_TMPFILE) == O_TMPFILE;
  intent.creates = (flags & O_CREAT) != 0;
  intent.exclusive = intent.creates && (flags & O_EXCL) != 0;
  return intent;
}

}  // namespace

size_t CallFiles::read(pid_t tid, char* into, size_t capacity) {
  Entry& entry = entries_[static_cast<size_t>(tid) % entries_.size()];
  for (const bool is_fresh : {false, true}) {
    if (is_fresh || entry.tid != tid) {
      entry = {tid, openProc(tid, "syscall", O_RDONLY)};
    }
    const ssize_t size = entry.file ? pread(entry.file.get(), into, capacity - 1, 0) : 0;
    if (size <= 0) continue;
    into[size] = '\0';
    return static_cast<size_t>(size);
  }
  return 0;
}

BlockedCall blockedCall(pid_t tid, CallFiles* files, Patience patience) {
  const int looks = patience == Patience::kShort ? 1 : kLooks + kShortNaps + kNaps;
  char text[256];
  BlockedCall call;
  for (int tries = 0;; ++tries) {
    if (files->read(tid, text, sizeof text) == 0) return call;
    if (text[0] != 'r') break;
    if (tries == looks) {
      call.rest = BlockedCall::Rest::kRunning;
      return call;
    }
    const timespec nap{0, tries < kLooks + kShortNaps ? 2000 : 50000};
    if (tries < kLooks) {
      sched_yield();
    } else {
      nanosleep(&nap, nullptr);
    }
  }
  CallLine line;
  const int read = readNumbers(text, &line);
  // A task that is in no call shows -1 and two registers. KERNEL: a worker of io_uring, which never runs a program, has the number and
  // arguments of the call in which its maker happened to be, and nowhere to go on (5.13).
  const bool is_in_call = read == 9 && line.number >= 0 && line.others.back() != 0;
  call.number = line.number;
  std::copy_n(line.others.begin(), call.arguments.size(), call.arguments.begin());
  call.rest = is_in_call ? BlockedCall::Rest::kBlocked : BlockedCall::Rest::kNoCall;
  return call;
}

OpenIntent openIntent(pid_t tid, CallFiles* files, Patience patience) {
  OpenIntent intent;
  const BlockedCall call = blockedCall(tid, files, patience);
  const CallForm* form = call.rest == BlockedCall::Rest::kBlocked ? formOf(call.number) : nullptr;
  if (form == nullptr) {
    intent.rest = call.rest;
    return intent;
  }
  const uint64_t argument = call.arguments[static_cast<size_t>(form->argument)];
  switch (form->form) {
    case Form::kFlags:
      intent = intentOfFlags(argument);
      intent.certain = true;
      break;
    case Form::kCreat:
      intent = intentOfFlags(O_CREAT | O_WRONLY | O_TRUNC);
      intent.certain = true;
      break;
    case Form::kExec:
      intent = intentOfFlags(O_RDONLY);
      intent.certain = true;
      break;
    case Form::kHow: {
      // The flags lie in memory that another thread can write: good for a report, never for a verdict.
      uint64_t flags = 0;
      iovec local{&flags, sizeof flags};
      iovec remote{reinterpret_cast<void*>(static_cast<uintptr_t>(argument)), sizeof flags};
      if (mayReadMemory() && process_vm_readv(tid, &local, 1, &remote, 1, 0) == sizeof flags) intent = intentOfFlags(flags);
      break;
    }
  }
  intent.rest = call.rest;
  return intent;
}

std::optional<ExecArguments> execArguments(const BlockedCall& call) {
  const CallForm* form = call.rest == BlockedCall::Rest::kBlocked ? formOf(call.number) : nullptr;
  if (form == nullptr || form->form != Form::kExec) return std::nullopt;
  return ExecArguments{call.arguments[static_cast<size_t>(form->argument)], form->pointer_bytes};
}

}  // namespace d4c
