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
  const pid_t maker = found->second;
  makers_.erase(found);
  if (maker == tid) return true;
  // Another thread may close what one has opened.
  const pid_t process = processOf(tid);
  return process != 0 && process == processOf(maker);
}

}  // namespace d4c
