/*
 * returning IMAGE FOLDER CGROUP KEEPER ROUNDS
 *
 * Container root filesystems that come and go as fast as they can, always under the same path and as a rule with the same device
 * number. In each round an overlay over IMAGE is mounted at FOLDER/rootfs, and marked by the keeper whose process is KEEPER. Then a
 * process of CGROUP in a mount namespace of its own makes it its root and executes `/bin/opener`, and the overlay is unmounted: in
 * every other round while that goes on.
 * Prints how many execs were refused with EPERM, how many were not, how many ended otherwise, and the longest wait in us.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static long now_us(void) {
  struct timespec at;
  clock_gettime(CLOCK_MONOTONIC, &at);
  return at.tv_sec * 1000000L + at.tv_nsec / 1000;
}

/* Whether a group of the process has marked the filesystem. */
static int is_marked(const char *process, dev_t device) {
  char path[512], wanted[64], line[512];
  int found = 0;
  snprintf(path, sizeof path, "/proc/%s/fdinfo", process);
  /* As the kernel itself encodes a device number. */
  snprintf(wanted, sizeof wanted, "fanotify sdev:%x ", (major(device) << 20) | minor(device));
  DIR *all = opendir(path);
  for (struct dirent *one; all != NULL && !found && (one = readdir(all)) != NULL;) {
    snprintf(path, sizeof path, "/proc/%s/fdinfo/%s", process, one->d_name);
    FILE *info = fopen(path, "r");
    while (info != NULL && !found && fgets(line, sizeof line, info) != NULL) found = strncmp(line, wanted, strlen(wanted)) == 0;
    if (info != NULL) fclose(info);
  }
  if (all != NULL) closedir(all);
  return found;
}

static int await_mark(const char *process, const char *rootfs) {
  struct stat root;
  if (stat(rootfs, &root) != 0) return -1;
  for (int i = 0; i < 10000; i++) {
    if (is_marked(process, root.st_dev)) return 0;
    usleep(500);
  }
  return -1;
}

static int execute(const char *rootfs, int ready) {
  if (unshare(CLONE_NEWNS) != 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0) return 3;
  if (chdir(rootfs) != 0 || syscall(SYS_pivot_root, ".", ".") != 0 || umount2(".", MNT_DETACH) != 0) return 3;
  close(ready);
  execl("/bin/opener", "/bin/opener", "exit", NULL);
  return errno == EPERM ? 1 : 3;
}

int main(int argc, char **argv) {
  char rootfs[4096], layers[8192], tasks[4096];
  long refused = 0, allowed = 0, other = 0, longest = 0;
  if (argc != 6) return 2;
  snprintf(rootfs, sizeof rootfs, "%s/rootfs", argv[2]);
  snprintf(layers, sizeof layers, "lowerdir=%s,upperdir=%s/upper,workdir=%s/work", argv[1], argv[2], argv[2]);
  snprintf(tasks, sizeof tasks, "%s/cgroup.procs", argv[3]);
  int cgroup = open(tasks, O_WRONLY | O_CLOEXEC);
  if (cgroup < 0 || write(cgroup, "0", 1) != 1) return 2;
  for (int round = 0; round < atoi(argv[5]); round++) {
    int ready[2], status = 0;
    if (mount("overlay", rootfs, "overlay", 0, layers) != 0 || await_mark(argv[4], rootfs) != 0 || pipe(ready) != 0) return 2;
    long start = now_us();
    pid_t child = fork();
    if (child == 0) _exit(execute(rootfs, ready[1]));
    close(ready[1]);
    /* Until it is about to execute. */
    while (read(ready[0], &status, 1) > 0) {
    }
    close(ready[0]);
    if (round % 2 == 0 && umount2(rootfs, MNT_DETACH) != 0) return 2;
    if (waitpid(child, &status, 0) != child) return 2;
    if (round % 2 != 0 && umount2(rootfs, MNT_DETACH) != 0) return 2;
    if (now_us() - start > longest) longest = now_us() - start;
    int ended = WIFEXITED(status) ? WEXITSTATUS(status) : 3;
    /* What opener says when it is asked for nothing that it knows. */
    if (ended == 2) allowed++;
    else if (ended == 1) refused++;
    else other++;
  }
  printf("%ld %ld %ld %ld\n", refused, allowed, other, longest);
  return 0;
}
