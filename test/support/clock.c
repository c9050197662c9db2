/*
 * clock KEEPER    has the keeper of this PID take the machine's clock for set, which it stays clear of.
 *
 * Nobody may set the clock of a machine that does other work. The kernel is asked whether the keeper has a timer that is
 * cancelled when somebody does, and that timer is made readable, as it would be then.
 */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <unistd.h>

static int is_told_of_setting(int keeper, int descriptor) {
  char path[64], text[1024];
  snprintf(path, sizeof path, "/proc/%d/fdinfo/%d", keeper, descriptor);
  FILE *file = fopen(path, "r");
  if (file == NULL) return 0;
  text[fread(text, 1, sizeof text - 1, file)] = 0;
  fclose(file);
  /* TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET, in octal. */
  return strstr(text, "clockid: 0\n") != NULL && strstr(text, "settime flags: 03\n") != NULL;
}

int main(int count, char **arguments) {
  if (count != 2) return 2;
  const int keeper = atoi(arguments[1]);
  char path[64];
  snprintf(path, sizeof path, "/proc/%d/fd", keeper);
  DIR *folder = opendir(path);
  if (folder == NULL) return perror(path), 1;
  for (struct dirent *entry; (entry = readdir(folder)) != NULL;) {
    const int descriptor = atoi(entry->d_name);
    if (entry->d_name[0] == '.' || !is_told_of_setting(keeper, descriptor)) continue;
    const int process = (int)syscall(SYS_pidfd_open, keeper, 0);
    const int timer = (int)syscall(SYS_pidfd_getfd, process, descriptor, 0);
    const struct itimerspec long_ago = {.it_value = {.tv_nsec = 1}};
    if (timer >= 0 && timerfd_settime(timer, TFD_TIMER_ABSTIME, &long_ago, NULL) == 0) return 0;
    return perror("the keeper's timer"), 1;
  }
  fputs("the keeper is not told when the clock is set\n", stderr);
  return 1;
}
