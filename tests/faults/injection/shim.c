/*
 * Stands between a process and its C library (LD_PRELOAD), and does what the control block says to calls on files
 * under one folder: counts them, lets them fail, cuts writes short, delays them, kills the process before or after
 * one, and records what reaches the disk. Calls on anything else go through untouched.
 *
 * The control block and the log lie in one file that every process maps, so that the test can change its mind while
 * they run, counters count over all of them, and a process that is killed leaves nothing half written: a record
 * counts once `used` is past it.
 *
 * Not seen: io_uring, sendfile, copy_file_range, pwritev, and paths relative to a folder's descriptor.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* In step with shim.py. */
enum kind { OPEN, CLOSE, READ, WRITE, SYNC, TRUNCATE, UNLINK, LINK, RENAME, MKDIR, MAP, LOCK, LOOK, UNLOCK };
enum action { COUNT, FAIL, SHORTEN, LIE, KILL_BEFORE, KILL_AFTER, DELAY };
enum record { CREATED = 1, WRITTEN, TRUNCATED, SYNCED, SYNC_LOST, UNLINKED, LINKED, RENAMED, FOLDER_MADE, MARK };

struct rule {
    atomic_uint kinds;  /* a bit for each; 0 while the rule is off */
    uint32_t action;
    int32_t error;
    uint32_t delay_us;
    uint64_t first, every, last;  /* of the calls that match, counted from 1 */
    atomic_ulong seen, done;
    char suffix[48];  /* of the path; empty for all */
};

#define RULES 4
#define LOG_START 4096

struct block {
    pthread_mutex_t order;  /* robust, over all processes: calls and their records are in the same order */
    char spare[64 - sizeof(pthread_mutex_t)];
    atomic_uint state;  /* 0 new, 1 being made, 2 ready */
    uint32_t is_recording;
    uint64_t size;
    atomic_ulong used;
    uint32_t is_full;
    char folder[1024];
    struct rule rules[RULES];
};

struct entry {
    uint32_t total, kind;
    uint64_t file, offset;
    uint32_t path_bytes, data_bytes;
};

static struct block *block;

/* Paths that were opened, for their descriptors; never freed, so that no thread finds one gone. */
#define DESCRIPTORS 65536
#define PATHS 1024
static char *paths[PATHS];
static atomic_int path_count;
static atomic_int path_of[DESCRIPTORS];  /* index + 1 */
static pthread_mutex_t naming = PTHREAD_MUTEX_INITIALIZER;

#define REAL(name) ({ \
    static __typeof__(&name) real; \
    if (!real) real = (__typeof__(&name))dlsym(RTLD_NEXT, #name); \
    real; })

static int has_suffix(const char *path, const char *suffix) {
    size_t length = strlen(path), wanted = strlen(suffix);
    return wanted <= length && strcmp(path + length - wanted, suffix) == 0;
}

static int is_watched(const char *path) {
    if (!block || !path || path[0] != '/') return 0;
    size_t length = strlen(block->folder);
    return length && strncmp(path, block->folder, length) == 0 && (path[length] == '/' || path[length] == 0);
}

static const char *path_behind(int fd) {
    if (!block || fd < 0 || fd >= DESCRIPTORS) return NULL;
    int index = path_of[fd];
    return index ? paths[index - 1] : NULL;
}

static void remember(int fd, const char *path) {
    if (fd < 0 || fd >= DESCRIPTORS) return;
    pthread_mutex_lock(&naming);
    int index = 0;
    while (index < path_count && strcmp(paths[index], path)) index++;
    if (index == path_count && index < PATHS) paths[path_count++] = strdup(path);
    path_of[fd] = index < PATHS ? index + 1 : 0;
    pthread_mutex_unlock(&naming);
}

static void die(void) {
    kill(getpid(), SIGKILL);
    for (;;) pause();
}

/* Counts the call under each rule that matches; the first that acts decides. Waits, or ends the process, as told. */
static struct rule *judge(enum kind kind, const char *path) {
    struct rule *acting = NULL;
    for (int each = 0; each < RULES; each++) {
        struct rule *rule = &block->rules[each];
        if (!(rule->kinds & (1u << kind)) || !has_suffix(path, rule->suffix)) continue;
        uint64_t number = ++rule->seen;
        if (acting || rule->action == COUNT || number < rule->first || number > rule->last) continue;
        if ((number - rule->first) % rule->every) continue;
        rule->done++;
        acting = rule;
    }
    if (acting && acting->action == KILL_BEFORE) die();
    if (acting && acting->action == DELAY) usleep(acting->delay_us);
    return acting;
}

static int is(struct rule *rule, enum action action) { return rule && rule->action == action; }

static void enter(void) {
    if (block->is_recording && pthread_mutex_lock(&block->order) == EOWNERDEAD) pthread_mutex_consistent(&block->order);
}

static void leave(void) {
    if (block->is_recording) pthread_mutex_unlock(&block->order);
}

/* Between `enter` and `leave`. */
static void note(enum record kind, uint64_t file, uint64_t offset, const char *path, const void *data, size_t bytes) {
    if (!block->is_recording) return;
    size_t path_bytes = strlen(path);
    size_t total = (sizeof(struct entry) + path_bytes + bytes + 7) & ~7ul;
    if (block->used + total > block->size - LOG_START) {
        block->is_full = 1;
        return;
    }
    char *place = (char *)block + LOG_START + block->used;
    *(struct entry *)place = (struct entry){total, kind, file, offset, path_bytes, bytes};
    memcpy(place + sizeof(struct entry), path, path_bytes);
    memcpy(place + sizeof(struct entry) + path_bytes, data, bytes);
    block->used += total;
}

static uint64_t inode_of(int fd) {
    struct stat status;
    return fstat(fd, &status) ? 0 : status.st_ino;
}

static uint64_t inode_at(const char *path) {
    struct stat status;
    return lstat(path, &status) ? 0 : status.st_ino;
}

/* A call on a watched path: judged, made unless it is to fail, and recorded by `recording` when it succeeded. */
#define CALL(kind, path, call, recording) ({ \
    struct rule *rule = judge(kind, path); \
    __typeof__(call) result = (__typeof__(call))-1; \
    int error; \
    if (is(rule, FAIL)) { \
        error = rule->error; \
    } else { \
        enter(); \
        result = call; \
        error = errno; \
        if (result != (__typeof__(call))-1) { recording; } \
        leave(); \
        if (is(rule, KILL_AFTER)) die(); \
    } \
    errno = error; \
    result; })

/* For the test's own process to say in the log what it was told. */
void shim_mark(const char *text) {
    if (!block) return;
    enter();
    note(MARK, 0, 0, "", text, strlen(text));
    leave();
}

/* Puts this process under a control block; -1 when it cannot be mapped. */
int shim_attach(const char *control) {
    struct stat status;
    int fd = REAL(open)(control, O_RDWR | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &status)) return -1;
    void *place = REAL(mmap)(NULL, status.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    REAL(close)(fd);
    if (place == MAP_FAILED) return -1;
    struct block *found = place;
    unsigned fresh = 0;
    if (atomic_compare_exchange_strong(&found->state, &fresh, 1)) {
        pthread_mutexattr_t attributes;
        pthread_mutexattr_init(&attributes);
        pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
        pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
        pthread_mutex_init(&found->order, &attributes);
        found->state = 2;
    }
    while (found->state != 2) usleep(100);
    block = found;
    return 0;
}

__attribute__((constructor)) static void attach_from_environment(void) {
    const char *control = getenv("FAULT_CONTROL");
    if (control && shim_attach(control)) {
        static const char complaint[] = "shim: FAULT_CONTROL cannot be mapped\n";
        (void)!REAL(write)(2, complaint, sizeof complaint - 1);
        _exit(70);
    }
}

static int open_watched(int folder, const char *path, int flags, mode_t mode) {
    int existed = !REAL(access)(path, F_OK);
    int fd = CALL(OPEN, path, REAL(openat)(folder, path, flags, mode), {
        if (!existed) note(CREATED, inode_of(result), 0, path, "", 0);
        else if (flags & O_TRUNC) note(TRUNCATED, inode_of(result), 0, path, "", 0);
    });
    if (fd >= 0) remember(fd, path);
    return fd;
}

#define OPENING(name, parameters, folder) \
    int name parameters { \
        va_list rest; \
        va_start(rest, flags); \
        mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, mode_t) : 0; \
        va_end(rest); \
        if (is_watched(path)) return open_watched(folder, path, flags, mode); \
        return REAL(openat)(folder, path, flags, mode); \
    }
OPENING(open, (const char *path, int flags, ...), AT_FDCWD)
OPENING(open64, (const char *path, int flags, ...), AT_FDCWD)
OPENING(openat, (int folder, const char *path, int flags, ...), folder)
OPENING(openat64, (int folder, const char *path, int flags, ...), folder)

int close(int fd) {
    const char *path = path_behind(fd);
    if (!path) return REAL(close)(fd);
    path_of[fd] = 0;
    struct rule *rule = judge(CLOSE, path);
    /* As Linux does it: a close that fails has closed all the same. */
    int result = REAL(close)(fd);
    if (is(rule, KILL_AFTER)) die();
    if (!is(rule, FAIL)) return result;
    errno = rule->error;
    return -1;
}

#define READING(name, parameters, arguments) \
    ssize_t name parameters { \
        const char *path = path_behind(fd); \
        return path ? CALL(READ, path, REAL(name) arguments, ) : REAL(name) arguments; \
    }
READING(read, (int fd, void *data, size_t bytes), (fd, data, bytes))
READING(pread, (int fd, void *data, size_t bytes, off_t offset), (fd, data, bytes, offset))
READING(pread64, (int fd, void *data, size_t bytes, off64_t offset), (fd, data, bytes, offset))

static ssize_t write_watched(int fd, const char *path, const void *data, size_t bytes, off_t offset) {
    struct rule *rule = judge(WRITE, path);
    if (is(rule, FAIL)) {
        errno = rule->error;
        return -1;
    }
    if (is(rule, SHORTEN)) bytes /= 2;
    enter();
    ssize_t result = offset < 0 ? REAL(write)(fd, data, bytes) : REAL(pwrite)(fd, data, bytes, offset);
    int error = errno;
    if (result > 0) {
        off_t begin = offset < 0 ? lseek(fd, 0, SEEK_CUR) - result : offset;
        note(WRITTEN, inode_of(fd), begin, path, data, result);
    }
    leave();
    if (is(rule, KILL_AFTER)) die();
    errno = error;
    return result;
}

#define WRITING(name, parameters, arguments, offset) \
    ssize_t name parameters { \
        const char *path = path_behind(fd); \
        return path ? write_watched(fd, path, data, bytes, offset) : REAL(name) arguments; \
    }
WRITING(write, (int fd, const void *data, size_t bytes), (fd, data, bytes), -1)
WRITING(pwrite, (int fd, const void *data, size_t bytes, off_t offset), (fd, data, bytes, offset), offset)
WRITING(pwrite64, (int fd, const void *data, size_t bytes, off64_t offset), (fd, data, bytes, offset), offset)

/* After a sync that failed, as Linux has it, what it should have written is gone, and the next one says nothing. */
static int sync_watched(int fd, const char *path, int (*real)(int)) {
    struct rule *rule = judge(SYNC, path);
    int is_lost = is(rule, FAIL) || is(rule, LIE);
    enter();
    int result = is_lost ? 0 : real(fd);
    int error = errno;
    if (!result) note(is_lost ? SYNC_LOST : SYNCED, inode_of(fd), 0, path, "", 0);
    leave();
    if (is(rule, KILL_AFTER)) die();
    errno = is(rule, FAIL) ? rule->error : error;
    return is(rule, FAIL) ? -1 : result;
}

#define SYNCING(name) \
    int name(int fd) { \
        const char *path = path_behind(fd); \
        return path ? sync_watched(fd, path, REAL(name)) : REAL(name)(fd); \
    }
SYNCING(fsync)
SYNCING(fdatasync)

#define TRUNCATING(name, offset_type) \
    int name(int fd, offset_type size) { \
        const char *path = path_behind(fd); \
        if (!path) return REAL(name)(fd, size); \
        return CALL(TRUNCATE, path, REAL(name)(fd, size), note(TRUNCATED, inode_of(fd), size, path, "", 0)); \
    }
TRUNCATING(ftruncate, off_t)
TRUNCATING(ftruncate64, off64_t)

int unlink(const char *path) {
    if (!is_watched(path)) return REAL(unlink)(path);
    return CALL(UNLINK, path, REAL(unlink)(path), note(UNLINKED, 0, 0, path, "", 0));
}

int link(const char *from, const char *to) {
    if (!is_watched(to)) return REAL(link)(from, to);
    return CALL(LINK, to, REAL(link)(from, to), note(LINKED, inode_at(to), 0, to, "", 0));
}

int rename(const char *from, const char *to) {
    if (!is_watched(to)) return REAL(rename)(from, to);
    return CALL(RENAME, to, REAL(rename)(from, to), note(RENAMED, inode_at(to), 0, to, from, strlen(from)));
}

int mkdir(const char *path, mode_t mode) {
    if (!is_watched(path)) return REAL(mkdir)(path, mode);
    return CALL(MKDIR, path, REAL(mkdir)(path, mode), note(FOLDER_MADE, inode_at(path), 0, path, "", 0));
}

#define MAPPING(name, offset_type) \
    void *name(void *where, size_t bytes, int protection, int flags, int fd, offset_type offset) { \
        const char *path = path_behind(fd); \
        return path ? CALL(MAP, path, REAL(name)(where, bytes, protection, flags, fd, offset), ) \
                    : REAL(name)(where, bytes, protection, flags, fd, offset); \
    }
MAPPING(mmap, off_t)
MAPPING(mmap64, off64_t)

#define LOCKING(name) \
    int name(int fd, int command, ...) { \
        va_list rest; \
        va_start(rest, command); \
        void *argument = va_arg(rest, void *); \
        va_end(rest); \
        const char *path = path_behind(fd); \
        int is_lock = command == F_SETLK || command == F_SETLKW || command == F_GETLK || command == F_OFD_SETLK; \
        int is_end = is_lock && ((struct flock *)argument)->l_type == F_UNLCK; \
        return path && is_lock ? CALL(is_end ? UNLOCK : LOCK, path, REAL(name)(fd, command, argument), ) \
                               : REAL(name)(fd, command, argument); \
    }
LOCKING(fcntl)
LOCKING(fcntl64)

/* By path, and by descriptor; the names with an x are those of programs built for older C libraries. */
#define LOOKING(name, parameters, arguments) \
    int name parameters { return is_watched(path) ? CALL(LOOK, path, REAL(name) arguments, ) : REAL(name) arguments; }
#define LOOKING_BEHIND(name, parameters, arguments) \
    int name parameters { \
        const char *path = path_behind(fd); \
        return path ? CALL(LOOK, path, REAL(name) arguments, ) : REAL(name) arguments; \
    }
int __xstat64(int, const char *, struct stat64 *), __lxstat64(int, const char *, struct stat64 *);
int __fxstat64(int, int, struct stat64 *);
LOOKING(access, (const char *path, int mode), (path, mode))
LOOKING(stat64, (const char *path, struct stat64 *status), (path, status))
LOOKING(lstat64, (const char *path, struct stat64 *status), (path, status))
LOOKING(__xstat64, (int version, const char *path, struct stat64 *status), (version, path, status))
LOOKING(__lxstat64, (int version, const char *path, struct stat64 *status), (version, path, status))
LOOKING_BEHIND(fstat64, (int fd, struct stat64 *status), (fd, status))
LOOKING_BEHIND(__fxstat64, (int version, int fd, struct stat64 *status), (version, fd, status))
