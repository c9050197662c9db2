// Groups of fanotify, of which the kernel grants so many to one user.
#pragma once

#include "descriptor.h"

namespace d4c {

/// fanotify_init(2), with descriptors of events for reading. Where no further group is granted it raises `fs.fanotify.max_user_groups`
/// and says so in the log, unless that may not be done (/proc/sys is read-only in a pod) or has been done often enough. None with
/// `errno` set.
Descriptor openFanotify(unsigned flags);

}  // namespace d4c
