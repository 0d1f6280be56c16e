/* Stands between a process and the C library: the Nth call that changes what lies in one folder fails, is cut
   short, or is the last thing that the process does. Loaded by LD_PRELOAD, armed by `fault_arm`. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

enum { NONE, KILL, FULL, BROKEN, SHORT };

static atomic_long calls;
static long target = -1;
static int action = NONE;
static char folder[PATH_MAX];

void fault_arm(const char *of, long number, int what) {
    snprintf(folder, sizeof folder, "%s", of);
    atomic_store(&calls, 0);
    target = number;
    action = what;
}

long fault_calls(void) { return atomic_load(&calls); }

static int is_inside(const char *path) { return folder[0] && strncmp(path, folder, strlen(folder)) == 0; }

static int is_file_inside(int fd) {
    char link[64], path[PATH_MAX];
    int saved = errno;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = folder[0] ? readlink(link, path, sizeof path - 1) : -1;
    errno = saved;
    if (length < 0) return 0;
    path[length] = 0;
    return is_inside(path);
}

/* What to do with a call that counts. A disk that is full stays so; the others happen once. */
static int now(void) {
    long number = atomic_fetch_add(&calls, 1);
    return number == target || (action == FULL && target >= 0 && number > target) ? action : NONE;
}

#define NEXT(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

/* A call that cannot be cut: it fails, or the process is gone before it. */
#define WHOLE(inside, fails_when_full, call)                          \
    do {                                                              \
        int what = (inside) ? now() : NONE;                           \
        if (what == KILL) raise(SIGKILL);                             \
        if (what == BROKEN) { errno = EIO; return -1; }               \
        if (what == FULL && fails_when_full) { errno = ENOSPC; return -1; } \
        return call;                                                  \
    } while (0)

/* A write: a kill or a short write leaves half of it. */
#define WRITTEN(fd, count, one, all)                                  \
    do {                                                              \
        int what = is_file_inside(fd) ? now() : NONE;                 \
        size_t half = (count) / 2;                                    \
        if (what == KILL) { if (half) (void)!(one); raise(SIGKILL); } \
        if (what == BROKEN) { errno = EIO; return -1; }               \
        if (what == FULL) { errno = ENOSPC; return -1; }              \
        if (what == SHORT && half) return one;                        \
        return all;                                                   \
    } while (0)

ssize_t write(int fd, const void *data, size_t count) {
    WRITTEN(fd, count, NEXT(write)(fd, data, half), NEXT(write)(fd, data, count));
}
ssize_t pwrite(int fd, const void *data, size_t count, off_t at) {
    WRITTEN(fd, count, NEXT(pwrite)(fd, data, half, at), NEXT(pwrite)(fd, data, count, at));
}
ssize_t pwrite64(int fd, const void *data, size_t count, off64_t at) {
    WRITTEN(fd, count, NEXT(pwrite64)(fd, data, half, at), NEXT(pwrite64)(fd, data, count, at));
}
int fsync(int fd) { WHOLE(is_file_inside(fd), 0, NEXT(fsync)(fd)); }
int fdatasync(int fd) { WHOLE(is_file_inside(fd), 0, NEXT(fdatasync)(fd)); }
int ftruncate(int fd, off_t size) { WHOLE(is_file_inside(fd), 0, NEXT(ftruncate)(fd, size)); }
int ftruncate64(int fd, off64_t size) { WHOLE(is_file_inside(fd), 0, NEXT(ftruncate64)(fd, size)); }
int rename(const char *from, const char *to) { WHOLE(is_inside(to), 0, NEXT(rename)(from, to)); }
int unlink(const char *path) { WHOLE(is_inside(path), 0, NEXT(unlink)(path)); }
int rmdir(const char *path) { WHOLE(is_inside(path), 0, NEXT(rmdir)(path)); }
int mkdir(const char *path, mode_t mode) { WHOLE(is_inside(path), 1, NEXT(mkdir)(path, mode)); }

static int opened(const char *path, int flags, mode_t mode) {
    WHOLE((flags & O_CREAT) && is_inside(path), 1, NEXT(open)(path, flags, mode));
}
#define OPENS(name)                                    \
    int name(const char *path, int flags, ...) {       \
        va_list rest;                                  \
        va_start(rest, flags);                         \
        mode_t mode = va_arg(rest, mode_t);            \
        va_end(rest);                                  \
        return opened(path, flags, mode);              \
    }
OPENS(open)
OPENS(open64)
