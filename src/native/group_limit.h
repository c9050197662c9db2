// How many fanotify groups the kernel grants to one user.
#pragma once

namespace d4c {

/// After a group was refused: raises `fs.fanotify.max_user_groups` and says so in the log. False when that is not the
/// reason, may not be done (/proc/sys is read-only in a pod), or has been done often enough.
bool raiseGroupLimit();

}  // namespace d4c
