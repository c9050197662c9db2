/*
 * Times one kind of operation in a container and prints every latency in nanoseconds, one a line.
 *
 * probe open PATH COUNT    opens PATH for reading and closes it
 * probe write PATH COUNT   opens PATH for writing and closes it
 * probe exec PATH COUNT    forks, executes PATH and waits for its end
 *
 * probe rush open|write PATH OPENERS AT MS   so many processes open PATH again and again from AT (milliseconds since 1970) on,
 *                                            for MS; prints for each how often, and its longest wait in microseconds
 *
 * Static and without a C library's buffers in the timed part, so that nothing but the kernel is measured.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static long now(void) {
  struct timespec at;
  clock_gettime(CLOCK_MONOTONIC, &at);
  return at.tv_sec * 1000000000L + at.tv_nsec;
}

static int open_and_close(const char *path, int flags) {
  int file = open(path, flags | O_CLOEXEC);
  return file < 0 ? -1 : close(file);
}

static int fork_and_exec(const char *path) {
  char *const argv[] = {(char *)path, (char *)"one", (char *)"two", NULL};
  char *const environment[] = {NULL};
  int status = -1;
  pid_t child = vfork();
  if (child == 0) {
    execve(path, argv, environment);
    _exit(127);
  }
  return child > 0 && waitpid(child, &status, 0) == child && status == 0 ? 0 : -1;
}

static int rush(const char *path, int flags, int openers, long at_ms, long ms) {
  struct timespec at = {at_ms / 1000, at_ms % 1000 * 1000000L};
  while (openers-- > 0) {
    if (fork() != 0) continue;
    clock_nanosleep(CLOCK_REALTIME, TIMER_ABSTIME, &at, NULL);
    long opens = 0, longest = 0, took = 0;
    for (long start = now(), end = start + ms * 1000000L; start < end; start = now(), opens++) {
      open_and_close(path, flags); /* also one that is refused has been answered */
      took = now() - start;
      if (took > longest) longest = took;
    }
    char line[64];
    int length = snprintf(line, sizeof line, "%ld %ld\n", opens, longest / 1000);
    _exit(write(STDOUT_FILENO, line, length) != length);
  }
  int status = 0, failed = 0;
  while (wait(&status) > 0) failed |= status;
  return failed != 0;
}

int main(int argc, char **argv) {
  if (argc == 3) return 0; /* as `exec` executes a program, which may be this one */
  if (argc == 7 && strcmp(argv[1], "rush") == 0) {
    return rush(argv[3], strcmp(argv[2], "write") == 0 ? O_WRONLY : O_RDONLY, atoi(argv[4]), atol(argv[5]), atol(argv[6]));
  }
  int count = argc == 4 ? atoi(argv[3]) : 0;
  if (count <= 0) return 2;
  long *taken = calloc(count, sizeof *taken);
  for (int i = 0; i < count; i++) {
    long start = now();
    int failed = strcmp(argv[1], "exec") == 0
                     ? fork_and_exec(argv[2])
                     : open_and_close(argv[2], strcmp(argv[1], "write") == 0 ? O_WRONLY : O_RDONLY);
    taken[i] = now() - start;
    if (failed) {
      perror(argv[2]);
      return 1;
    }
  }
  for (int i = 0; i < count; i++) printf("%ld\n", taken[i]);
  return 0;
}
