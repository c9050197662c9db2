/*
 * The least that a listener can do: it allows every open and every exec on one filesystem, and looks at nothing.
 *
 * listener PATH    of the filesystem on which PATH lies. Prints a line when it listens, and ends when it is told to.
 *
 * What any gate with fanotify adds is this, and what it does besides.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <sys/fanotify.h>
#include <unistd.h>

int main(int argc, char **argv) {
  if (argc != 2) return 2;
  int group = fanotify_init(FAN_CLASS_CONTENT | FAN_UNLIMITED_QUEUE | FAN_CLOEXEC, O_RDONLY | O_LARGEFILE | O_CLOEXEC);
  if (group < 0 || fanotify_mark(group, FAN_MARK_ADD | FAN_MARK_FILESYSTEM, FAN_OPEN_PERM | FAN_OPEN_EXEC_PERM, AT_FDCWD, argv[1]) != 0) {
    perror(argv[1]);
    return 1;
  }
  puts("listening");
  fflush(stdout);
  for (;;) {
    struct fanotify_event_metadata events[64];
    ssize_t size = read(group, events, sizeof events);
    if (size < 0) {
      perror("read");
      return 1;
    }
    for (struct fanotify_event_metadata *event = events; FAN_EVENT_OK(event, size); event = FAN_EVENT_NEXT(event, size)) {
      struct fanotify_response allow = {event->fd, FAN_ALLOW};
      if (write(group, &allow, sizeof allow) != sizeof allow) perror("write");
      close(event->fd);
    }
  }
}
