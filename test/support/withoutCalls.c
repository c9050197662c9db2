/*
 * withoutCalls permission|classes|fanotify PROGRAM ARG...
 *
 * Executes the program as on a kernel that was built without fanotify permission events (which refuses their marks, or already their
 * groups), or without fanotify: to ask for one fails with the error of such a kernel, for the program and all that it starts.
 */
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/fanotify.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define LOAD(field) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, field))
#define FAIL(error) BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (error))
#define ALLOW BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)

/* The kinds of events are in the lower half of the third argument; both architectures are little-endian. */
static struct sock_filter permission[] = {
    LOAD(nr),      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_fanotify_mark, 0, 3),
    LOAD(args[2]), BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, FAN_OPEN_PERM | FAN_ACCESS_PERM | FAN_OPEN_EXEC_PERM, 0, 1),
    FAIL(EINVAL),  ALLOW,
};
static struct sock_filter classes[] = {
    LOAD(nr),      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_fanotify_init, 0, 3),
    LOAD(args[0]), BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, FAN_CLASS_CONTENT | FAN_CLASS_PRE_CONTENT, 0, 1),
    FAIL(EINVAL),  ALLOW,
};
static struct sock_filter fanotify[] = {
    LOAD(nr),
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_fanotify_init, 0, 1),
    FAIL(ENOSYS),
    ALLOW,
};

int main(int argc, char **argv) {
  struct sock_fprog filter = {sizeof permission / sizeof *permission, permission};
  if (argc < 3) return 125;
  if (strcmp(argv[1], "classes") == 0) filter = (struct sock_fprog){sizeof classes / sizeof *classes, classes};
  if (strcmp(argv[1], "fanotify") == 0) filter = (struct sock_fprog){sizeof fanotify / sizeof *fanotify, fanotify};
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) != 0) {
    perror("prctl");
    return 125;
  }
  execvp(argv[2], argv + 2);
  perror(argv[2]);
  return 125;
}
