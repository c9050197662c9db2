// What is remembered of all containers together, in bytes, and how much of it may be whose.
//
// Each table of a container has a bound of its own, which many containers that make files and processes without end could reach at
// the same time. So they share this one, and the greediest are the first to whom it says no: a container may take what is left,
// and in any case its share, the whole divided by their number. All together never take more than twice the whole.
//
// Owns counts alone. Whoever asks keeps what it was given in mind, and gives it back. Every function may be called by any thread.
#pragma once

#include <atomic>
#include <cstddef>
#include <memory>
#include <string>
#include <utility>

#include "reports.h"

namespace d4c {

class Budget;

/// What one container has of it, or whoever has volumes in common. Gives all of it back at its end.
class Account {
 public:
  Account(Budget* budget, std::string owner);
  ~Account();
  Account(const Account&) = delete;
  Account& operator=(const Account&) = delete;

  // As those of `Purse`.
  bool take(size_t bytes);
  void takeAnyway(size_t bytes);
  void give(size_t bytes);
  void forgot(const char* what) const;

 private:
  Budget* const budget_;
  const std::string owner_;
  std::atomic<size_t> taken_{0};
};

/// INVARIANT: outlives its accounts.
class Budget {
 public:
  Budget(size_t bytes, Reports* reports) : bytes_(bytes), reports_(reports) {}

  /// `owner` is for the log.
  std::shared_ptr<Account> open(std::string owner) { return std::make_shared<Account>(this, std::move(owner)); }

 private:
  friend class Account;
  const size_t bytes_;
  Reports* const reports_;
  std::atomic<size_t> taken_{0};
  std::atomic<size_t> accounts_{0};
};

/// What one table has taken, which goes back with it. Under the table's lock.
class Purse {
 public:
  explicit Purse(std::shared_ptr<Account> account) : account_(std::move(account)) {}
  Purse(Purse&& other) noexcept : account_(std::move(other.account_)), bytes_(std::exchange(other.bytes_, 0)) {}
  Purse& operator=(Purse&& other) = delete;
  ~Purse() {
    if (account_ != nullptr) giveAll();
  }

  /// Whether there is room for so much more, which is then taken.
  bool take(size_t bytes) {
    const bool is_taken = account_->take(bytes);
    if (is_taken) bytes_ += bytes;
    return is_taken;
  }
  /// Takes what cannot be done without.
  void takeAnyway(size_t bytes) {
    account_->takeAnyway(bytes);
    bytes_ += bytes;
  }
  void give(size_t bytes) {
    account_->give(bytes);
    bytes_ -= bytes;
  }
  void giveAll() { give(bytes_); }
  size_t bytes() const { return bytes_; }
  /// Counts that something was forgotten, or not remembered.
  void forgot(const char* what) const { account_->forgot(what); }

 private:
  std::shared_ptr<Account> account_;
  size_t bytes_ = 0;
};

}  // namespace d4c
