/* System calls that fail at their Nth time on files below one folder: for LD_PRELOAD.
 *
 * It stands in front of libc, so that it sees what Python and SQLite do alike. Until it is armed,
 * and for files elsewhere, every call goes through. Counting is atomic: calls come from any thread.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

enum { OPEN = 1, WRITE = 2, FSYNC = 4, RENAME = 8, LINK = 16, MKDIR = 32, UNLINK = 64 };

static char folder[PATH_MAX];
static int armed_calls, armed_error, armed_once;
static long armed_at;
static atomic_long count;

/* Begin to count the `calls` below `below`; the `at`th fails with `error`, if not `once` also
 * every later one. */
void faults_arm(const char *below, int calls, long at, int error, int once) {
    snprintf(folder, sizeof folder, "%s", below);
    armed_at = at, armed_error = error, armed_once = once;
    atomic_store(&count, 0);
    armed_calls = calls;
}

/* Let every call through again; how many were counted. */
long faults_disarm(void) {
    armed_calls = 0;
    return atomic_load(&count);
}

static int fails(int call, const char *path) {
    if (!(armed_calls & call) || strncmp(path, folder, strlen(folder)) != 0) return 0;
    long now = atomic_fetch_add(&count, 1) + 1;
    if (now != armed_at && (now < armed_at || armed_once)) return 0;
    errno = armed_error;
    return 1;
}

static int fails_on(int call, int descriptor) {
    if (!(armed_calls & call)) return 0;
    char link[64], path[PATH_MAX];
    snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0) return 0;
    path[length] = 0;
    return fails(call, path);
}

#define NEXT(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

#define OPENING(name)                                          \
    int name(const char *path, int flags, ...) {               \
        va_list rest;                                          \
        va_start(rest, flags);                                 \
        mode_t mode = va_arg(rest, mode_t);                    \
        va_end(rest);                                          \
        return fails(OPEN, path) ? -1 : NEXT(name)(path, flags, mode); \
    }
OPENING(open)
OPENING(open64)

#define ON_DESCRIPTOR(result, name, call, parameters, ...)       \
    result name parameters {                                     \
        return fails_on(call, fd) ? -1 : NEXT(name)(__VA_ARGS__); \
    }
ON_DESCRIPTOR(ssize_t, write, WRITE, (int fd, const void *data, size_t size), fd, data, size)
ON_DESCRIPTOR(ssize_t, pwrite, WRITE, (int fd, const void *data, size_t size, off_t at), fd, data, size, at)
ON_DESCRIPTOR(ssize_t, pwrite64, WRITE, (int fd, const void *data, size_t size, off64_t at), fd, data, size, at)
ON_DESCRIPTOR(int, ftruncate, WRITE, (int fd, off_t size), fd, size)
ON_DESCRIPTOR(int, ftruncate64, WRITE, (int fd, off64_t size), fd, size)
ON_DESCRIPTOR(int, fsync, FSYNC, (int fd), fd)
ON_DESCRIPTOR(int, fdatasync, FSYNC, (int fd), fd)

#define ON_PATH(name, call, parameters, path, ...)            \
    int name parameters {                                     \
        return fails(call, path) ? -1 : NEXT(name)(__VA_ARGS__); \
    }
ON_PATH(rename, RENAME, (const char *from, const char *to), to, from, to)
ON_PATH(renameat, RENAME, (int a, const char *from, int b, const char *to), to, a, from, b, to)
ON_PATH(renameat2, RENAME, (int a, const char *from, int b, const char *to, unsigned flags), to, a, from, b, to, flags)
ON_PATH(link, LINK, (const char *from, const char *to), to, from, to)
ON_PATH(linkat, LINK, (int a, const char *from, int b, const char *to, int flags), to, a, from, b, to, flags)
ON_PATH(mkdir, MKDIR, (const char *path, mode_t mode), path, path, mode)
ON_PATH(mkdirat, MKDIR, (int at, const char *path, mode_t mode), path, at, path, mode)
ON_PATH(unlink, UNLINK, (const char *path), path, path)
ON_PATH(unlinkat, UNLINK, (int at, const char *path, int flags), path, at, path, flags)
