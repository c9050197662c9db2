#include "budget.h"

#include <utility>

namespace d4c {

Account::Account(Budget* budget, std::string owner) : budget_(budget), owner_(std::move(owner)) { ++budget_->accounts_; }

Account::~Account() {
  budget_->taken_ -= taken_;
  --budget_->accounts_;
}

bool Account::take(size_t bytes) {
  const size_t own = taken_.fetch_add(bytes, std::memory_order_relaxed) + bytes;
  const size_t all = budget_->taken_.fetch_add(bytes, std::memory_order_relaxed) + bytes;
  if (all <= budget_->bytes_ || own <= budget_->bytes_ / budget_->accounts_) return true;
  give(bytes);
  return false;
}

void Account::takeAnyway(size_t bytes) {
  taken_.fetch_add(bytes, std::memory_order_relaxed);
  budget_->taken_.fetch_add(bytes, std::memory_order_relaxed);
}

void Account::give(size_t bytes) {
  taken_.fetch_sub(bytes, std::memory_order_relaxed);
  budget_->taken_.fetch_sub(bytes, std::memory_order_relaxed);
}

void Account::forgot(const char* what) const {
  budget_->reports_->fail(Failure::kFactsForgotten, "`" + owner_ + "`: " + what);
}

}  // namespace d4c
