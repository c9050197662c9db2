/*
 * clock    sets the machine's clock forward by a nanosecond, which nobody sees but who asks to be told when it is set.
 */
#include <stdio.h>
#include <sys/timex.h>

int main(void) {
  struct timex forward = {.modes = ADJ_SETOFFSET | ADJ_NANO, .time = {.tv_usec = 1}};
  if (adjtimex(&forward) >= 0) return 0;
  perror("adjtimex");
  return 1;
}
