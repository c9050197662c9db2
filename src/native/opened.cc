#include "opened.h"

#include <fcntl.h>
#include <sys/stat.h>

namespace d4c {

Opened opened(int file) {
  // As in linux/stat.h, which is newer than the headers this may be built with.
  constexpr unsigned kUniqueMount = 0x4000;
  constexpr uint64_t kMountRoot = 0x2000;
  struct statx found {};
  if (statx(file, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_INO | STATX_BTIME | kUniqueMount, &found) != 0) return {};
  const int64_t birth_ns = int64_t{found.stx_btime.tv_sec} * 1000000000 + found.stx_btime.tv_nsec;
  return {found.stx_ino, found.stx_mask & kUniqueMount ? found.stx_mnt_id : 0, found.stx_mask & STATX_BTIME ? birth_ns : 0,
          (found.stx_attributes & kMountRoot) != 0};
}

}  // namespace d4c
