/*
 * Opens files in every way the kernel knows. Prints `ok` or the name of the error; ends with 0 in both cases.
 *
 * opener open PATH MODE FLAG...     open; MODE is octal; FLAGs as open(2) names them, without `O_`
 * opener creat|openat2|i386|uring PATH MODE FLAG...   the same by another system call
 * opener tmpfile FOLDER MODE        an unnamed file
 * opener deep FLAG...               creates a file whose path is longer than PATH_MAX
 * opener race FOLDER THREADS COUNT  creates COUNT executables with each of THREADS threads, prints how many it got
 * opener mknod PATH MODE            a regular file without an open
 * opener chmod PATH MODE            also of a symlink's target
 * opener link|symlink|rename|exchange PATH OTHER
 * opener truncate PATH SIZE         without an open
 * opener unlink PATH -
 * opener replace FOLDER COUNT       waits as `flood`, and renames COUNT new files over FOLDER/kept, and each once more to a free name
 * opener upgrade FOLDER COUNT       as `replace`, and FOLDER/kept has another name meanwhile, as dpkg does it
 * opener folders FOLDER COUNT       makes and removes COUNT folders with a file, without opens
 * opener flood FOLDER COUNT         makes FOLDER/started, waits for FOLDER/go, makes and removes COUNT files without opens
 * opener programs FOLDER COUNT      makes FOLDER, and COUNT executables without opens below it by a path of 3 KiB
 * opener links PATH FOLDER COUNT    gives a file COUNT further names in the folder
 * opener memory PATH ARG...         executes a copy of the program that has no name
 * opener mapped PATH GO             maps a file to write, waits until GO exists, writes through the mapping, ends
 * opener named FOLDER MODE PATH     an unnamed file of the folder that is given a name
 * opener kept PATH MS               executes PATH with arguments in memory that never comes, and keeps the memory so for MS;
 *                                   prints the outcome and how long it took in us
 * opener poll PATH MS FLAG...       opens again and again; prints opens, refusals and the longest wait in us
 * opener poll PATH FILE FLAG...     the same until FILE, an absolute path, exists
 * opener visit PATH MS|FILE FLAG... as `poll`, with a millisecond's rest after each open
 * opener sheds session|terminal PATH   a child executes PATH with the argument `before`, leaves its session or has the terminal taken
 *                                   from all of it, and executes PATH with `after`
 * opener runs PATH ARG [PATH ARG...]  executes the first one in a child, and goes on as `threaded`
 * opener threaded PATH ARG...       a second thread executes PATH
 * opener outlived GO COUNT          the first thread ends; when GO exists, a second one forks COUNT times
 * opener demoted                    forks, becomes user and group 1000, and forks again
 * opener reborn PATH GO FILE        a child executes PATH and ends; its number is printed. When GO exists, another child gets the same
 *                                   number (in the host's pid namespace, with CAP_SYS_ADMIN), which removes FILE, has a child of its
 *                                   own execute PATH with the argument `after`, and ends. It stays a zombie for as long as GO exists
 * opener storm COUNT                begins and ends so many threads, of which the kernel tells as of processes
 * opener deaf FOLDER                mounts a filesystem of its own there that never answers, and waits to be killed
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/io_uring.h>
#include <linux/openat2.h>
#include <linux/sched.h>
#include <linux/userfaultfd.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static const struct {
  const char *name;
  int flag;
} flags[] = {{"RDONLY", O_RDONLY}, {"WRONLY", O_WRONLY}, {"RDWR", O_RDWR},     {"CREAT", O_CREAT},
             {"EXCL", O_EXCL},     {"TRUNC", O_TRUNC},   {"APPEND", O_APPEND}, {"PATH", O_PATH}};

static int flags_of(char **names) {
  int all = 0;
  for (; *names != NULL; names++) {
    for (size_t i = 0; i < sizeof flags / sizeof *flags; i++) {
      if (strcmp(*names, flags[i].name) == 0) all |= flags[i].flag;
    }
  }
  return all;
}

static int say(int file) {
  puts(file >= 0 ? "ok" : strerrorname_np(errno));
  return 0;
}

static int open_by_openat2(const char *path, int flag, int mode) {
  struct open_how how = {.flags = flag, .mode = flag & O_CREAT ? mode : 0};
  return syscall(SYS_openat2, AT_FDCWD, path, &how, sizeof how);
}

/* The 32-bit entry takes 32-bit pointers: the path is copied to where they reach. */
static int open_by_i386(const char *path, int flag, int mode) {
#ifdef __x86_64__
  char *low = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
  int result;
  if (low == MAP_FAILED) return -1;
  strcpy(low, path);
  __asm__ volatile("int $0x80" : "=a"(result) : "a"(5), "b"(low), "c"(flag), "d"(mode) : "memory", "r8", "r9", "r10", "r11");
  if (result >= 0) return result;
  errno = -result;
  return -1;
#else
  (void)path, (void)flag, (void)mode;
  errno = ENOSYS;
  return -1;
#endif
}

static int open_by_uring(const char *path, int flag, int mode) {
  struct io_uring_params parameters = {0};
  int ring = syscall(SYS_io_uring_setup, 4, &parameters);
  if (ring < 0) return -1;
  size_t size = parameters.cq_off.cqes + parameters.cq_entries * sizeof(struct io_uring_cqe);
  size_t sq_size = parameters.sq_off.array + parameters.sq_entries * sizeof(unsigned);
  if (sq_size > size) size = sq_size;
  char *rings = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, ring, IORING_OFF_SQ_RING);
  struct io_uring_sqe *sqe = mmap(NULL, parameters.sq_entries * sizeof *sqe, PROT_READ | PROT_WRITE,
                                  MAP_SHARED | MAP_POPULATE, ring, IORING_OFF_SQES);
  if (rings == MAP_FAILED || sqe == MAP_FAILED) return -1;
  memset(sqe, 0, sizeof *sqe);
  sqe->opcode = IORING_OP_OPENAT;
  sqe->fd = AT_FDCWD;
  sqe->addr = (uintptr_t)path;
  sqe->len = mode;
  sqe->open_flags = flag;
  ((unsigned *)(rings + parameters.sq_off.array))[0] = 0;
  __atomic_store_n((unsigned *)(rings + parameters.sq_off.tail), 1, __ATOMIC_RELEASE);
  if (syscall(SYS_io_uring_enter, ring, 1, 1, IORING_ENTER_GETEVENTS, NULL, 0) < 0) return -1;
  int result = ((struct io_uring_cqe *)(rings + parameters.cq_off.cqes))[0].res;
  if (result >= 0) return result;
  errno = -result;
  return -1;
}

static int open_deep(int flag) {
  char name[201];
  memset(name, 'd', 200);
  name[200] = 0;
  for (int i = 0; i < 25; i++) {
    if (mkdir(name, 0755) != 0 && errno != EEXIST) return -1;
    if (chdir(name) != 0) return -1;
  }
  return open("file", flag, 0755);
}

static struct {
  const char *folder;
  int count;
  int made;
} race;

static void *create(void *thread) {
  char path[256];
  for (int i = 0; i < race.count; i++) {
    snprintf(path, sizeof path, "%s/%ld-%d", race.folder, (long)(intptr_t)thread, i);
    int file = open(path, O_CREAT | O_WRONLY | (i % 2 ? O_EXCL : 0), 0755);
    if (file < 0) continue;
    __atomic_add_fetch(&race.made, 1, __ATOMIC_RELAXED);
    close(file);
  }
  return NULL;
}

static int create_racing(const char *folder, int threads, int count) {
  pthread_t all[64];
  race.folder = folder;
  race.count = count;
  for (int i = 0; i < threads; i++) pthread_create(&all[i], NULL, create, (void *)(intptr_t)i);
  for (int i = 0; i < threads; i++) pthread_join(all[i], NULL);
  printf("%d\n", race.made);
  return 0;
}

static long now_us(void) {
  struct timespec at;
  clock_gettime(CLOCK_MONOTONIC, &at);
  return at.tv_sec * 1000000L + at.tv_nsec / 1000;
}

/* Who reads the page waits until this process ends. */
static int exec_kept(char *path, int ms) {
  long page = sysconf(_SC_PAGESIZE);
  struct uffdio_api api = {.api = UFFD_API};
  int faults = syscall(SYS_userfaultfd, O_CLOEXEC);
  char **args = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  struct uffdio_register missing = {.range = {(uintptr_t)args, page}, .mode = UFFDIO_REGISTER_MODE_MISSING};
  if (faults < 0 || ioctl(faults, UFFDIO_API, &api) != 0 || ioctl(faults, UFFDIO_REGISTER, &missing) != 0) return say(-1);
  long start = now_us();
  execve(path, args, NULL);
  printf("%s %ld\n", strerrorname_np(errno), now_us() - start);
  fflush(stdout);
  usleep(ms * 1000);
  return 0;
}

static int poll_open(const char *path, const char *until, int flag, int rest_us) {
  long end = *until == '/' ? LONG_MAX : now_us() + atoi(until) * 1000L, longest = 0, opens = 0, refused = 0;
  for (long start = now_us(); start < end; start = now_us()) {
    if (*until == '/' && access(until, F_OK) == 0) break;
    start = now_us();
    int file = open(path, flag, 0755);
    long took = now_us() - start;
    if (took > longest) longest = took;
    opens++;
    if (file < 0) refused++;
    else close(file);
    if (rest_us > 0) usleep(rest_us);
  }
  printf("%ld %ld %ld\n", opens, refused, longest);
  return 0;
}

static int name_unnamed(const char *folder, int mode, const char *path) {
  char link[64];
  int file = open(folder, O_TMPFILE | O_WRONLY, mode);
  if (file < 0) return -1;
  snprintf(link, sizeof link, "/proc/self/fd/%d", file);
  return linkat(AT_FDCWD, link, AT_FDCWD, path, AT_SYMLINK_FOLLOW);
}

static int make_links(const char *path, const char *folder, int count) {
  char name[256];
  for (int i = 0; i < count; i++) {
    snprintf(name, sizeof name, "%s/a-further-name-of-this-program-%05d", folder, i);
    if (link(path, name) != 0) return say(-1);
  }
  return say(0);
}

static int make_programs(const char *folder, int count) {
  char name[251];
  if (mkdir(folder, 0755) != 0 || chdir(folder) != 0) return say(-1);
  memset(name, 'x', sizeof name - 1);
  name[sizeof name - 1] = 0;
  for (int depth = 0; depth < 12; depth++) {
    if (mkdir(name, 0755) != 0 || chdir(name) != 0) return say(-1);
  }
  for (int i = 0; i < count; i++) {
    snprintf(name, sizeof name, "%d", i);
    if (mknod(name, S_IFREG | 0755, 0) != 0) return say(-1);
  }
  return say(0);
}

static int await_go(const char *folder) {
  char path[256];
  snprintf(path, sizeof path, "%s/started", folder);
  if (mkdir(path, 0755) != 0) return -1;
  snprintf(path, sizeof path, "%s/go", folder);
  for (int i = 0; i < 1000 && access(path, F_OK) != 0; i++) usleep(10000);
  return 0;
}

static int replace(const char *folder, int count, int keeps_old) {
  char name[256], free_name[256], kept[256], old[256];
  if (await_go(folder) != 0) return say(-1);
  snprintf(kept, sizeof kept, "%s/kept", folder);
  snprintf(old, sizeof old, "%s/old", folder);
  for (int i = 0; i < count; i++) {
    snprintf(name, sizeof name, "%s/new-%d", folder, i);
    snprintf(free_name, sizeof free_name, "%s/free-%d", folder, i);
    if (mknod(name, S_IFREG | 0644, 0) != 0 || rename(name, free_name) != 0) return say(-1);
    if ((keeps_old && link(kept, old) != 0) || rename(free_name, kept) != 0) return say(-1);
    if (keeps_old && unlink(old) != 0) return say(-1);
  }
  return say(0);
}

static int make_folders(const char *folder, int count) {
  char path[256], file[260];
  for (int i = 0; i < count; i++) {
    snprintf(path, sizeof path, "%s/folder-%d", folder, i);
    snprintf(file, sizeof file, "%s/x", path);
    if (mkdir(path, 0755) != 0 || mknod(file, S_IFREG | 0644, 0) != 0) return say(-1);
    if (unlink(file) != 0 || rmdir(path) != 0) return say(-1);
  }
  return say(0);
}

static int flood(const char *folder, int count) {
  char path[256];
  if (await_go(folder) != 0) return say(-1);
  for (int i = 0; i < count; i++) {
    snprintf(path, sizeof path, "%s/%d", folder, i);
    if (mknod(path, S_IFREG | 0644, 0) != 0 || unlink(path) != 0) return say(-1);
  }
  return say(0);
}

static int run_from_memory(char **argv) {
  char part[65536];
  ssize_t size;
  int from = open(argv[0], O_RDONLY), file = memfd_create("memory", MFD_CLOEXEC);
  while ((size = read(from, part, sizeof part)) > 0) {
    if (write(file, part, size) != size) return say(-1);
  }
  fexecve(file, argv, environ);
  return say(-1);
}

/* Looking whether a file is there raises no event, so this goes on while a gate opens. */
static int write_mapped(const char *path, const char *go) {
  int file = open(path, O_RDWR);
  char *at = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  if (file < 0 || at == MAP_FAILED) return say(-1);
  close(file);
  for (int i = 0; i < 2000 && access(go, F_OK) != 0; i++) usleep(10000);
  at[10] ^= 1;
  msync(at, 4096, MS_SYNC);
  munmap(at, 4096);
  return say(0);
}

static int mount_deaf(const char *folder) {
  char options[80];
  if (mknod("/dev/deaf", S_IFCHR | 0600, makedev(10, 229)) != 0) return say(-1);
  int server = open("/dev/deaf", O_RDWR);
  snprintf(options, sizeof options, "fd=%d,rootmode=40000,user_id=0,group_id=0", server);
  if (server < 0 || mount("deaf", folder, "fuse", 0, options) != 0) return say(-1);
  say(0);
  fflush(stdout);
  pause();
  return 0;
}

static void run_to_end(const char *path, const char *argument) {
  pid_t child = fork();
  if (child == 0) {
    execl(path, path, argument, NULL);
    _exit(127);
  }
  waitpid(child, NULL, 0);
}

/* None but the leader of a session takes the terminal from all of it, and a leader cannot leave it. */
static int shed(int whole_terminal, const char *path) {
  int before[2], after[2];
  char none;
  signal(SIGHUP, SIG_IGN);
  if (pipe(before) != 0 || pipe(after) != 0) return 1;
  pid_t child = fork();
  if (child == 0) {
    close(after[1]);
    run_to_end(path, "before");
    close(before[1]);
    if (read(after[0], &none, 1) != 0 || (!whole_terminal && setsid() < 0)) _exit(1);
    run_to_end(path, "after");
    _exit(0);
  }
  close(before[1]);
  if (read(before[0], &none, 1) != 0 || (whole_terminal && ioctl(0, TIOCNOTTY) != 0)) return 1;
  close(after[1]);
  waitpid(child, NULL, 0);
  return 0;
}

static void *exec_now(void *argv) {
  execv(((char **)argv)[0], argv);
  _exit(127);
}

static int exec_threaded(char **argv) {
  pthread_t thread;
  if (pthread_create(&thread, NULL, exec_now, argv) != 0) return 1;
  pthread_join(thread, NULL);
  return 1;
}

static void fork_once(void) {
  pid_t child = fork();
  if (child == 0) _exit(0);
  waitpid(child, NULL, 0);
}

static void *fork_later(void *argv) {
  while (access(((char **)argv)[0], F_OK) != 0) usleep(10000);
  for (int left = atoi(((char **)argv)[1]); left > 0; left--) fork_once();
  _exit(7);
}

static int outlive(char **argv) {
  pthread_t thread;
  if (pthread_create(&thread, NULL, fork_later, argv) != 0) return 1;
  pthread_exit(NULL);
}

static int demote(void) {
  fork_once();
  /* So that whoever looks at who has forked sees that. */
  usleep(300000);
  if (setgid(1000) != 0 || setuid(1000) != 0) return 1;
  fork_once();
  usleep(300000);
  return 0;
}

static int be_reborn(const char *path, const char *go, const char *file) {
  pid_t number = fork();
  if (number == 0) execl(path, path, "before", NULL);
  waitpid(number, NULL, 0);
  printf("%d\n", number);
  fflush(stdout);
  while (access(go, F_OK) != 0) usleep(10000);
  struct clone_args how = {.exit_signal = SIGCHLD, .set_tid = (uintptr_t)&number, .set_tid_size = 1};
  pid_t child = (pid_t)syscall(SYS_clone3, &how, sizeof how);
  if (child < 0) return perror("clone3"), 1;
  if (child == 0) {
    unlink(file);
    run_to_end(path, "after");
    _exit(0);
  }
  while (access(go, F_OK) == 0) usleep(10000);
  waitpid(child, NULL, 0);
  return 0;
}

static void *do_nothing(void *nothing) { return nothing; }

static int storm(int count) {
  pthread_t thread;
  for (; count > 0; count--) {
    if (pthread_create(&thread, NULL, do_nothing, NULL) != 0) return 1;
    pthread_join(thread, NULL);
  }
  return 0;
}

int main(int argc, char **argv) {
  const char *how = argc > 1 ? argv[1] : "";
  umask(0);
  if (strcmp(how, "deep") == 0) return say(open_deep(flags_of(argv + 2)));
  if (strcmp(how, "race") == 0 && argc == 5) return create_racing(argv[2], atoi(argv[3]), atoi(argv[4]));
  if (strcmp(how, "kept") == 0 && argc > 3) return exec_kept(argv[2], atoi(argv[3]));
  if (strcmp(how, "poll") == 0 && argc > 3) return poll_open(argv[2], argv[3], flags_of(argv + 4), 0);
  if (strcmp(how, "visit") == 0 && argc > 3) return poll_open(argv[2], argv[3], flags_of(argv + 4), 1000);
  if (strcmp(how, "memory") == 0 && argc > 2) return run_from_memory(argv + 2);
  if (strcmp(how, "sheds") == 0 && argc > 3) return shed(strcmp(argv[2], "terminal") == 0, argv[3]);
  if (strcmp(how, "runs") == 0 && argc > 3) {
    run_to_end(argv[2], argv[3]);
    return argc > 4 ? exec_threaded(argv + 4) : 0;
  }
  if (strcmp(how, "threaded") == 0 && argc > 2) return exec_threaded(argv + 2);
  if (strcmp(how, "outlived") == 0 && argc == 4) return outlive(argv + 2);
  if (strcmp(how, "demoted") == 0) return demote();
  if (strcmp(how, "reborn") == 0 && argc == 5) return be_reborn(argv[2], argv[3], argv[4]);
  if (strcmp(how, "storm") == 0 && argc == 3) return storm(atoi(argv[2]));
  if (strcmp(how, "deaf") == 0 && argc == 3) return mount_deaf(argv[2]);
  if (argc < 4) return 2;
  if (strcmp(how, "links") == 0 && argc == 5) return make_links(argv[2], argv[3], atoi(argv[4]));
  if (strcmp(how, "programs") == 0) return make_programs(argv[2], atoi(argv[3]));
  if (strcmp(how, "replace") == 0) return replace(argv[2], atoi(argv[3]), 0);
  if (strcmp(how, "upgrade") == 0) return replace(argv[2], atoi(argv[3]), 1);
  if (strcmp(how, "folders") == 0) return make_folders(argv[2], atoi(argv[3]));
  if (strcmp(how, "flood") == 0) return flood(argv[2], atoi(argv[3]));
  if (strcmp(how, "mapped") == 0) return write_mapped(argv[2], argv[3]);
  if (strcmp(how, "link") == 0) return say(link(argv[2], argv[3]));
  if (strcmp(how, "symlink") == 0) return say(symlink(argv[2], argv[3]));
  if (strcmp(how, "rename") == 0) return say(rename(argv[2], argv[3]));
  if (strcmp(how, "exchange") == 0) return say(renameat2(AT_FDCWD, argv[2], AT_FDCWD, argv[3], RENAME_EXCHANGE));
  if (strcmp(how, "truncate") == 0) return say(truncate(argv[2], atol(argv[3])));
  if (strcmp(how, "unlink") == 0) return say(unlink(argv[2]));
  int mode = strtol(argv[3], NULL, 8), flag = flags_of(argv + 4);
  if (strcmp(how, "mknod") == 0) return say(mknod(argv[2], S_IFREG | mode, 0));
  if (strcmp(how, "chmod") == 0) return say(chmod(argv[2], mode));
  if (strcmp(how, "named") == 0 && argc == 5) return say(name_unnamed(argv[2], mode, argv[4]));
  if (strcmp(how, "open") == 0) return say(open(argv[2], flag, mode));
  if (strcmp(how, "creat") == 0) return say(creat(argv[2], mode));
  if (strcmp(how, "tmpfile") == 0) return say(open(argv[2], O_TMPFILE | O_WRONLY, mode));
  if (strcmp(how, "openat2") == 0) return say(open_by_openat2(argv[2], flag, mode));
  if (strcmp(how, "i386") == 0) return say(open_by_i386(argv[2], flag, mode));
  if (strcmp(how, "uring") == 0) return say(open_by_uring(argv[2], flag, mode));
  return 2;
}
