#include "makers.h"

#include "processes.h"

namespace d4c {

void Makers::note(uint64_t inode, pid_t tid) {
  makers_[inode] = tid;
  made_.push_back(inode);
  if (made_.size() <= most_) return;
  makers_.erase(made_.front());
  made_.pop_front();
}

bool Makers::take(pid_t tid, uint64_t inode) {
  const auto found = makers_.find(inode);
  if (found == makers_.end()) return false;
  // Another thread may close what one has opened. Another process may be asked for before the one that has created it.
  const pid_t process = found->second == tid ? 0 : processOf(tid);
  const bool is_maker = found->second == tid || (process != 0 && process == processOf(found->second));
  if (is_maker) makers_.erase(found);
  return is_maker;
}

}  // namespace d4c
