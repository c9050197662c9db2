/*
 * Ways around a gate that take more than a shell. Prints `ok`, what the program prints that is executed in the end (a copy of busybox
 * prints `ran`), or the name of the error.
 *
 * attacker late PATH FIFO WORKER    io_uring opens PATH for writing while its maker is in an open that only reads: with WORKER 1 by a
 *                                   worker thread, which is made then, with 0 by the maker itself, on its way out
 * attacker linked PATH OTHER        gives the file another name, takes it away, and opens the file as if it might not be there
 * attacker failing PATH LOADER ARG...   has the exec of a dynamic program fail, and executes its loader
 * attacker loaded LOADER PATH ARG   executes the loader, which runs a copy of PATH that has no name and no execute bit
 * attacker kept PATH GO             maps a script to write, waits until GO exists, touches the mapping and executes the script, changes
 *                                   its `hello` through the mapping and executes it again
 * attacker apart FOLDER             executes a copy of busybox from a filesystem in memory, in namespaces of its own
 * attacker detached                 the same from one that is mounted nowhere
 * attacker mounts FOLDER COUNT      mounts so many filesystems in memory on the folder
 * attacker deaf FOLDER              mounts a filesystem in memory there, and lets whoever opens a folder of it wait
 * attacker watched PATH             has fanotify open the file for writing
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/io_uring.h>
#include <linux/mount.h>
#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/fanotify.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 8
#endif

extern int mount(const char *source, const char *target, const char *type, unsigned long flags, const void *data);

static int say(long result) {
  puts(result >= 0 ? "ok" : strerrorname_np(errno));
  fflush(stdout);
  return 0;
}

static struct {
  unsigned *done;
  struct io_uring_cqe *results;
} ring;

static void *wait_for_open(void *nothing) {
  for (int left = 500; left > 0 && __atomic_load_n(ring.done, __ATOMIC_ACQUIRE) < 2; left--) usleep(10000);
  errno = -ring.results[1].res;
  say(ring.results[1].res);
  _exit(0);
  return nothing;
}

/* The open waits for a timer, and nobody writes to the FIFO. */
static int open_late(const char *path, const char *fifo, int by_worker) {
  static struct __kernel_timespec soon = {0, 100000000};
  struct io_uring_params parameters = {0};
  pthread_t waiter;
  int file = syscall(SYS_io_uring_setup, 4, &parameters);
  if (file < 0) return say(-1);
  char *rings = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, file, IORING_OFF_SQ_RING);
  struct io_uring_sqe *asked = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, file, IORING_OFF_SQES);
  if (rings == MAP_FAILED || asked == MAP_FAILED) return say(-1);
  asked[0] = (struct io_uring_sqe){.opcode = IORING_OP_TIMEOUT, .flags = IOSQE_IO_HARDLINK, .addr = (uintptr_t)&soon, .len = 1};
  asked[1] = (struct io_uring_sqe){.opcode = IORING_OP_OPENAT, .fd = AT_FDCWD, .addr = (uintptr_t)path, .len = 0755};
  asked[1].open_flags = O_WRONLY | (by_worker ? O_CREAT : 0);
  for (int i = 0; i < 2; i++) ((unsigned *)(rings + parameters.sq_off.array))[i] = i;
  __atomic_store_n((unsigned *)(rings + parameters.sq_off.tail), 2, __ATOMIC_RELEASE);
  ring.done = (unsigned *)(rings + parameters.cq_off.tail);
  ring.results = (struct io_uring_cqe *)(rings + parameters.cq_off.cqes);
  if (mkfifo(fifo, 0600) != 0 || pthread_create(&waiter, NULL, wait_for_open, NULL) != 0) return say(-1);
  if (syscall(SYS_io_uring_enter, file, 2, 0, 0, NULL, 0) < 0) return say(-1);
  for (;;) open(fifo, O_RDONLY);
}

static int open_linked(const char *path, const char *other) {
  if (link(path, other) != 0 || unlink(other) != 0) return say(-1);
  return say(open(path, O_CREAT | O_WRONLY, 0644));
}

static int fail_before(char **argv) {
  char *unreadable[] = {(char *)8, NULL};
  execve(argv[0], unreadable, environ);
  execv(argv[1], argv + 1);
  return say(-1);
}

static int load_from_memory(const char *loader, const char *path, const char *argument) {
  char part[65536], name[32];
  ssize_t size;
  int from = open(path, O_RDONLY), file = memfd_create("memory", MFD_NOEXEC_SEAL);
  /* Before Linux 6.3 there is no such flag. */
  if (file < 0) file = memfd_create("memory", 0);
  while ((size = read(from, part, sizeof part)) > 0) {
    if (write(file, part, size) != size) return say(-1);
  }
  snprintf(name, sizeof name, "/proc/self/fd/%d", file);
  execl(loader, loader, name, argument, NULL);
  return say(-1);
}

static void run(char *path) {
  pid_t child = fork();
  if (child == 0) {
    execl(path, path, NULL);
    _exit(say(-1));
  }
  waitpid(child, NULL, 0);
}

/* Of a page that was written to, and not to the disk since, the kernel takes no further note: the file’s times stay. */
static int keep_mapped(char *path, const char *go) {
  int file = open(path, O_RDWR);
  char *at = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  if (file < 0 || at == MAP_FAILED) return say(-1);
  close(file);
  say(0);
  for (int left = 2000; left > 0 && access(go, F_OK) != 0; left--) usleep(10000);
  char *text = strstr(at, "hello");
  __atomic_store_n(text, 'h', __ATOMIC_RELAXED);
  run(path);
  memcpy(text, "other", 5);
  run(path);
  return 0;
}

static void write_whole(const char *path, const char *text) {
  int file = open(path, O_WRONLY);
  if (file < 0 || write(file, text, strlen(text)) < 0) perror(path);
  close(file);
}

/* Into the folder. What is read has to be read before nothing more is to be opened. */
static int run_copy(int folder, const char *from, ssize_t size) {
  static char *args[] = {"busybox", "echo", "ran", NULL};
  int file = openat(folder, "busybox-x", O_CREAT | O_WRONLY, 0755);
  if (file < 0 || write(file, from, size) != size) return say(-1);
  close(file);
  syscall(SYS_execveat, folder, "busybox-x", args, environ, 0);
  return say(-1);
}

static int run_apart(const char *where) {
  char *program = malloc(8 << 20);
  ssize_t size = read(open("/bin/busybox", O_RDONLY), program, 8 << 20);
  if (unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0) return say(-1);
  write_whole("/proc/self/setgroups", "deny");
  write_whole("/proc/self/uid_map", "0 0 1");
  write_whole("/proc/self/gid_map", "0 0 1");
  if (where != NULL) {
    if (mount("memory", where, "tmpfs", 0, NULL) != 0) return say(-1);
    return run_copy(open(where, O_PATH), program, size);
  }
  int made = syscall(SYS_fsopen, "tmpfs", 0);
  if (made < 0 || syscall(SYS_fsconfig, made, FSCONFIG_CMD_CREATE, NULL, NULL, 0) != 0) return say(-1);
  return run_copy(syscall(SYS_fsmount, made, 0, 0), program, size);
}

static int mount_many(const char *where, int count) {
  for (; count > 0; count--) {
    if (mount("memory", where, "tmpfs", 0, NULL) != 0) return say(-1);
  }
  return say(0);
}

/* Marked before it is mounted, so that nobody comes first. */
static int mount_deaf(const char *where) {
  int made = syscall(SYS_fsopen, "tmpfs", 0), group = fanotify_init(FAN_CLASS_CONTENT, O_RDONLY);
  if (made < 0 || group < 0 || syscall(SYS_fsconfig, made, FSCONFIG_CMD_CREATE, NULL, NULL, 0) != 0) return say(-1);
  int mounted = syscall(SYS_fsmount, made, 0, 0);
  if (fchdir(mounted) != 0) return say(-1);
  if (fanotify_mark(group, FAN_MARK_ADD | FAN_MARK_FILESYSTEM, FAN_OPEN_PERM | FAN_ONDIR, AT_FDCWD, ".") != 0) return say(-1);
  if (syscall(SYS_move_mount, mounted, "", AT_FDCWD, where, MOVE_MOUNT_F_EMPTY_PATH) != 0) return say(-1);
  say(0);
  sleep(60);
  return 0;
}

static int write_watched(const char *path) {
  struct fanotify_event_metadata event;
  int group = fanotify_init(FAN_CLASS_NOTIF, O_WRONLY);
  if (group < 0 || fanotify_mark(group, FAN_MARK_ADD, FAN_OPEN, AT_FDCWD, path) != 0 || open(path, O_RDONLY) < 0) return say(-1);
  if (read(group, &event, sizeof event) != sizeof event || event.fd < 0) return say(-1);
  return say(write(event.fd, "changed\n", 8));
}

int main(int argc, char **argv) {
  const char *how = argc > 1 ? argv[1] : "";
  umask(0);
  if (strcmp(how, "late") == 0 && argc == 5) return open_late(argv[2], argv[3], atoi(argv[4]));
  if (strcmp(how, "linked") == 0 && argc == 4) return open_linked(argv[2], argv[3]);
  if (strcmp(how, "failing") == 0 && argc > 3) return fail_before(argv + 2);
  if (strcmp(how, "loaded") == 0 && argc == 5) return load_from_memory(argv[2], argv[3], argv[4]);
  if (strcmp(how, "kept") == 0 && argc == 4) return keep_mapped(argv[2], argv[3]);
  if (strcmp(how, "apart") == 0 && argc == 3) return run_apart(argv[2]);
  if (strcmp(how, "detached") == 0) return run_apart(NULL);
  if (strcmp(how, "mounts") == 0 && argc == 4) return mount_many(argv[2], atoi(argv[3]));
  if (strcmp(how, "deaf") == 0 && argc == 3) return mount_deaf(argv[2]);
  if (strcmp(how, "watched") == 0 && argc == 3) return write_watched(argv[2]);
  return 2;
}
