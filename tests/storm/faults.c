/* A disk and a clock that go wrong, preloaded (LD_PRELOAD) beneath Python and SQLite alike.

   Nothing happens until the process calls storm_arm. From then on each system call upon a file below the root may fail
   as the kernel may have it fail: EIO, ENOSPC where a file or a directory grows, EINTR, a short read or write, a sync
   that says EIO whether or not it reached the disk. One numbered call may kill the process before, amid or after it.
   What store/DESIGN.md assumes of a disk still holds: nothing tears a write within a sector, and overwriting and
   truncating need no space. CLOCK_REALTIME, and nothing monotonic, is off by what the clock's file says. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define SECTOR 512
#define MOST_PIECES 1024

enum kind { READS, WRITES, SYNCS, TRUNCATES, NAMES };
enum fate { NOTHING, FAIL, CUT, LATE, DIE_AMID, DIE_AFTER };

long storm_calls, storm_faults;
static char root[PATH_MAX];
static size_t root_length; /* 0: not armed */
static long per_million, kill_at;
static uint64_t state;
static volatile int64_t *ahead_ms;

#define REAL(result, name, ...)                                      \
    static result (*real)(__VA_ARGS__);                              \
    if (!real)                                                       \
        *(void **)&real = dlsym(RTLD_NEXT, name)

static uint64_t next_random(void) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state;
}

int storm_arm(const char *below, const char *clock_path, unsigned long seed, long faults, long kill_number) {
    int file = open(clock_path, O_RDONLY | O_CLOEXEC);
    if (file < 0)
        return -1;
    void *map = mmap(NULL, sizeof(int64_t), PROT_READ, MAP_SHARED, file, 0);
    close(file);
    if (map == MAP_FAILED)
        return -1;
    ahead_ms = map;
    state = seed * 2654435761u + 88172645463325252u;
    for (int i = 0; i < 8; i++)
        next_random();
    storm_calls = storm_faults = 0;
    per_million = faults;
    kill_at = kill_number;
    snprintf(root, sizeof root, "%s", below);
    root_length = strlen(root);
    return 0;
}

static int below(const char *path) { return root_length && path && strncmp(path, root, root_length) == 0; }

static int is_ours(int file) {
    char link[64], path[PATH_MAX];
    if (!root_length || file < 3)
        return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0)
        return 0;
    path[length] = 0;
    return below(path);
}

static void die(void) { kill(getpid(), SIGKILL); }

/* What becomes of this call. errno says how it fails. */
static enum fate turn(enum kind kind, int grows, size_t size) {
    int kept = errno;
    if (kind != READS && storm_calls++ == kill_at) {
        switch (next_random() % 3) {
        case 0:
            die();
            return NOTHING;
        case 1:
            return kind == WRITES && size >= SECTOR ? DIE_AMID : DIE_AFTER;
        default:
            return DIE_AFTER;
        }
    }
    if ((long)(next_random() % 1000000) >= per_million) {
        errno = kept;
        return NOTHING;
    }
    storm_faults++;
    uint64_t which = next_random() % 8;
    errno = EIO;
    if (which < 2 && kind != NAMES) { /* a rename or an unlink is not interrupted */
        errno = EINTR;
        return FAIL;
    }
    if (which < 4 && (kind == WRITES || kind == READS) && size >= SECTOR)
        return CUT;
    if (which < 6 && grows) {
        errno = ENOSPC;
        return FAIL;
    }
    if (which == 6 && (kind == SYNCS || kind == TRUNCATES))
        return LATE;
    return FAIL;
}

static int grows_to(int file, off_t end) {
    struct stat found;
    return fstat(file, &found) == 0 && end > found.st_size;
}

/* -------------------------------------------------------------------------------------------------- reads and writes */

#define MOVE(kind, grows, whole, part)                     \
    do {                                                   \
        enum fate fate = turn(kind, grows, size);          \
        if (fate == FAIL)                                  \
            return -1;                                     \
        if (fate == CUT || fate == DIE_AMID) {             \
            size_t some = size / 2 / SECTOR * SECTOR;      \
            if (!some)                                     \
                some = SECTOR / 2;                         \
            ssize_t done = part;                           \
            if (fate == DIE_AMID)                          \
                die();                                     \
            return done;                                   \
        }                                                  \
        ssize_t done = whole;                              \
        if (fate == DIE_AFTER)                             \
            die();                                         \
        return done;                                       \
    } while (0)

ssize_t read(int file, void *data, size_t size) {
    REAL(ssize_t, "read", int, void *, size_t);
    if (!is_ours(file))
        return real(file, data, size);
    MOVE(READS, 0, real(file, data, size), real(file, data, some));
}

ssize_t write(int file, const void *data, size_t size) {
    REAL(ssize_t, "write", int, const void *, size_t);
    if (!is_ours(file))
        return real(file, data, size);
    MOVE(WRITES, grows_to(file, lseek(file, 0, SEEK_CUR) + size), real(file, data, size), real(file, data, some));
}

#define POSITIONED(reads, writes)                                                                          \
    ssize_t reads(int file, void *data, size_t size, off_t at) {                                           \
        REAL(ssize_t, #reads, int, void *, size_t, off_t);                                                 \
        if (!is_ours(file))                                                                                \
            return real(file, data, size, at);                                                             \
        MOVE(READS, 0, real(file, data, size, at), real(file, data, some, at));                            \
    }                                                                                                      \
    ssize_t writes(int file, const void *data, size_t size, off_t at) {                                    \
        REAL(ssize_t, #writes, int, const void *, size_t, off_t);                                          \
        if (!is_ours(file))                                                                                \
            return real(file, data, size, at);                                                             \
        MOVE(WRITES, grows_to(file, at + size), real(file, data, size, at), real(file, data, some, at));   \
    }
POSITIONED(pread, pwrite)
POSITIONED(pread64, pwrite64)

static size_t sum(const struct iovec *pieces, int count) {
    size_t size = 0;
    for (int i = 0; i < count; i++)
        size += pieces[i].iov_len;
    return size;
}

/* The first bytes of all pieces, as other pieces. */
static int first_of(const struct iovec *pieces, int count, size_t some, struct iovec *into) {
    int used = 0;
    while (used < count && used < MOST_PIECES && some) {
        into[used] = pieces[used];
        if (into[used].iov_len > some)
            into[used].iov_len = some;
        some -= into[used++].iov_len;
    }
    return used;
}

#define PIECES(name, parameters, arguments)                                                                \
    ssize_t name(int file, const struct iovec *pieces, int count, off_t at parameters) {                   \
        REAL(ssize_t, #name, int, const struct iovec *, int, off_t parameters);                            \
        struct iovec cut[MOST_PIECES];                                                                     \
        if (!is_ours(file))                                                                                \
            return real(file, pieces, count, at arguments);                                                \
        size_t size = sum(pieces, count);                                                                  \
        MOVE(WRITES, grows_to(file, at + size), real(file, pieces, count, at arguments),                   \
             real(file, cut, first_of(pieces, count, some, cut), at arguments));                           \
    }
#define NONE
#define FLAGS , int flags
#define THEM , flags
PIECES(pwritev, NONE, NONE)
PIECES(pwritev64, NONE, NONE)
PIECES(pwritev2, FLAGS, THEM)
PIECES(pwritev64v2, FLAGS, THEM)

/* ------------------------------------------------------------------------------------------- all that returns 0 or -1 */

#define DO(ours, kind, grows, call)          \
    do {                                     \
        if (!(ours))                         \
            return call;                     \
        enum fate fate = turn(kind, grows, 0); \
        if (fate == FAIL)                    \
            return -1;                       \
        int kept = errno, done = call;       \
        if (fate == DIE_AFTER)               \
            die();                           \
        if (fate != LATE)                    \
            return done;                     \
        errno = kept;                        \
        return -1;                           \
    } while (0)

#define SYNC(name)                                        \
    int name(int file) {                                  \
        REAL(int, #name, int);                            \
        DO(is_ours(file), SYNCS, 0, real(file));          \
    }
SYNC(fsync)
SYNC(fdatasync)

#define TRUNCATE(name)                                              \
    int name(int file, off_t size) {                                \
        REAL(int, #name, int, off_t);                               \
        DO(is_ours(file), TRUNCATES, 0, real(file, size));          \
    }
TRUNCATE(ftruncate)
TRUNCATE(ftruncate64)

int rename(const char *old, const char *new) {
    REAL(int, "rename", const char *, const char *);
    DO(below(old), NAMES, 1, real(old, new));
}

int unlink(const char *path) {
    REAL(int, "unlink", const char *);
    DO(below(path), NAMES, 0, real(path));
}

int mkdir(const char *path, mode_t mode) {
    REAL(int, "mkdir", const char *, mode_t);
    DO(below(path), NAMES, 1, real(path, mode));
}

#define OPEN(name)                                                            \
    int name(const char *path, int flags, ...) {                              \
        REAL(int, #name, const char *, int, ...);                             \
        va_list rest;                                                         \
        va_start(rest, flags);                                                \
        mode_t mode = flags & (O_CREAT | __O_TMPFILE) ? va_arg(rest, mode_t) : 0; \
        va_end(rest);                                                         \
        DO(below(path) && flags & O_CREAT && access(path, F_OK) != 0, NAMES, 1, real(path, flags, mode)); \
    }
OPEN(open)
OPEN(open64)

/* ------------------------------------------------------------------------------------------------------------- clocks */

static void put_ahead(struct timespec *at) {
    int64_t nanoseconds = at->tv_nsec + *ahead_ms % 1000 * 1000000;
    at->tv_sec += *ahead_ms / 1000 + (nanoseconds < 0 ? -1 : nanoseconds / 1000000000);
    at->tv_nsec = (nanoseconds + 1000000000) % 1000000000;
}

int clock_gettime(clockid_t clock, struct timespec *at) {
    REAL(int, "clock_gettime", clockid_t, struct timespec *);
    int done = real(clock, at);
    if (done == 0 && ahead_ms && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
        put_ahead(at);
    return done;
}

int gettimeofday(struct timeval *restrict at, void *restrict zone) {
    REAL(int, "gettimeofday", struct timeval *, void *);
    struct timespec now;
    int done = real(at, zone);
    if (done == 0 && ahead_ms) {
        now = (struct timespec){at->tv_sec, at->tv_usec * 1000};
        put_ahead(&now);
        *at = (struct timeval){now.tv_sec, now.tv_nsec / 1000};
    }
    return done;
}

time_t time(time_t *at) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (at)
        *at = now.tv_sec;
    return now.tv_sec;
}
