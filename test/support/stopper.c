/*
 * stopper TID MS: stops one thread of another process, prints `stopped`, and lets it go on after MS or when it is ended itself;
 * ends when the thread does.
 * A signal would stop the whole process.
 */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <sys/ptrace.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

int main(int argc, char **argv) {
  if (argc != 3) return 2;
  pid_t tid = atoi(argv[1]);
  int status;
  if (ptrace(PTRACE_SEIZE, tid, 0, 0) != 0) return perror("PTRACE_SEIZE"), 1;
  if (ptrace(PTRACE_INTERRUPT, tid, 0, 0) != 0) return perror("PTRACE_INTERRUPT"), 1;
  if (waitpid(tid, &status, __WALL) != tid || !WIFSTOPPED(status)) return perror("waitpid"), 1;
  puts("stopped");
  fflush(stdout);
  for (int ms = atoi(argv[2]); ms > 0; ms -= 10) {
    if (waitpid(tid, &status, __WALL | WNOHANG) != 0) return 0;
    usleep(10000);
  }
  return ptrace(PTRACE_DETACH, tid, 0, 0) == 0 ? 0 : (perror("PTRACE_DETACH"), 1);
}
