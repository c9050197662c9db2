/*
 * detainer PROCESS THREAD SUFFIX [fails]
 *
 * Watches the threads of the process that are called THREAD, and detains the first one that is about to open a file whose path ends
 * with SUFFIX. Says `watching` when it does, and `detained` then; lets go of all of them when its standard input ends.
 * With `fails` nobody is detained: each such open finds no descriptor left (EMFILE).
 * With `child` for SUFFIX it is what such a thread starts that is detained, once it runs its program; with `fails` whoever wants a
 * descriptor of that finds none left.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <linux/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

static int has_name(const char *process, const char *tid, const char *name) {
  char path[512], text[64] = "";
  snprintf(path, sizeof path, "/proc/%s/task/%s/comm", process, tid);
  FILE *file = fopen(path, "r");
  if (file == NULL) return 0;
  if (fgets(text, sizeof text, file) != NULL) text[strcspn(text, "\n")] = 0;
  fclose(file);
  return strcmp(text, name) == 0;
}

/* What was started last. */
static unsigned long child;
static int fails;

/* Whether the thread, which has stopped, begins to open such a file. */
static int opens(pid_t tid, const char *suffix) {
  struct ptrace_syscall_info info = {0};
  char text[256] = "";
  if (ptrace(PTRACE_GET_SYSCALL_INFO, tid, sizeof info, &info) <= 0) return 0;
  if (info.op != PTRACE_SYSCALL_INFO_ENTRY) return 0;
  if (info.entry.nr == SYS_pidfd_open) return fails && info.entry.args[0] == child;
  if (info.entry.nr != SYS_openat) return 0;
  struct iovec local = {text, sizeof text - 1}, remote = {(void *)info.entry.args[1], sizeof text - 1};
  if (process_vm_readv(tid, &local, 1, &remote, 1, 0) <= 0) return 0;
  size_t size = strlen(text), wanted = strlen(suffix);
  return size >= wanted && strcmp(text + size - wanted, suffix) == 0;
}

/* Leaves the process no descriptor until the thread's system call is over; those that it has stay of use, also to poll(2). */
static void fail_open(pid_t process, pid_t tid) {
  struct rlimit usual, none;
  int status, lowest = 0;
  for (char path[64] = "/proc"; access(path, F_OK) == 0; lowest++) snprintf(path, sizeof path, "/proc/%d/fd/%d", process, lowest);
  prlimit(process, RLIMIT_NOFILE, NULL, &usual);
  none = (struct rlimit){lowest - 1, usual.rlim_max};
  prlimit(process, RLIMIT_NOFILE, &none, NULL);
  ptrace(PTRACE_SYSCALL, tid, NULL, NULL);
  waitpid(tid, &status, __WALL);
  prlimit(process, RLIMIT_NOFILE, &usual, NULL);
}

static void say(const char *what) {
  puts(what);
  fflush(stdout);
}

int main(int argc, char **argv) {
  char folder[64];
  int detained = 0, count = 0;
  fails = argc == 5 && strcmp(argv[4], "fails") == 0;
  int options = PTRACE_O_TRACESYSGOOD;
  if (argc > 3 && strcmp(argv[3], "child") == 0) options |= PTRACE_O_TRACEVFORK | PTRACE_O_TRACEEXEC;
  if (argc != 4 && !fails) return 2;
  snprintf(folder, sizeof folder, "/proc/%s/task", argv[1]);
  DIR *tasks = opendir(folder);
  for (struct dirent *task; tasks != NULL && (task = readdir(tasks)) != NULL;) {
    if (!has_name(argv[1], task->d_name, argv[2])) continue;
    pid_t tid = atoi(task->d_name);
    if (ptrace(PTRACE_SEIZE, tid, NULL, options) != 0 || ptrace(PTRACE_INTERRUPT, tid, NULL, NULL) != 0) return 1;
    count++;
  }
  if (count == 0) return 1;
  say("watching");
  for (struct pollfd input = {0, POLLIN, 0}; poll(&input, 1, 0) == 0;) {
    int status = 0;
    pid_t tid = waitpid(-1, &status, __WALL | WNOHANG);
    if (tid < 0) return 1;
    if (tid == 0) {
      usleep(20);
    } else if (status >> 16 == PTRACE_EVENT_EXEC) {
      continue;
    } else if (WIFSTOPPED(status) && !detained && WSTOPSIG(status) == (SIGTRAP | 0x80) && opens(tid, argv[3])) {
      say("detained");
      detained = !fails;
      if (!fails) continue;
      fail_open(atoi(argv[1]), tid);
      ptrace(PTRACE_SYSCALL, tid, NULL, NULL);
    } else if (WIFSTOPPED(status)) {
      if (status >> 16 == PTRACE_EVENT_VFORK) ptrace(PTRACE_GETEVENTMSG, tid, NULL, &child);
      /* Once one is detained, the others need not stop any more. */
      ptrace(detained ? PTRACE_CONT : PTRACE_SYSCALL, tid, NULL, NULL);
    }
  }
  /* With its end the kernel lets go of all of them. */
  return 0;
}
