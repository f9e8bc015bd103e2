/* Whole reads, mappings, durable atomic writes, folders, XDG places. */
#include "core/file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#ifdef __APPLE__
#include <mach-o/dyld.h>
#endif

#include "core/clock.h"
#include "core/lock.h"
#include "core/memory.h"

#define FILE_FIRST_READ 4096 /* bytes, where the size is not known beforehand */
#define FULL_PIPE_NS 1000000000
#define LINKS_MAX 40 /* from a path to its file, as the system's own limit */

static file_faults faults_now;

void file_inject(file_faults faults)
{
    faults_now = faults;
}

void file_fail_after(int64_t bytes)
{
    faults_now.full = bytes >= 0;
    faults_now.full_after = bytes;
}

static const char *advice_for(int error_number)
{
    switch (error_number) {
    case ENOSPC:
    case EDQUOT:
        return "free some space there or choose another folder";
    case EACCES:
    case EPERM:
        return "check its permissions or choose another folder";
    case EROFS:
        return "that disk is read-only; choose another folder";
    case ENOENT:
        return "check the path";
    case ENOTDIR:
        return "a part of the path is not a folder; check the path";
    case EISDIR:
        return "it is a folder; name a file";
    case EMFILE:
    case ENFILE:
        return "too many files are open; raise the limit with ulimit -n";
    case EFBIG:
        return "raise the limit of a file's size with ulimit -f or write less";
    case ELOOP:
        return "its links lead nowhere; check the path";
    case EBUSY:
        return "it is a mount point; name a file in a folder";
    case ENXIO:
    case ECONNREFUSED:
        return "nothing reads there; start its reader or choose another name";
    case EPIPE:
        return "its reader has gone; start it again or choose another name";
    case EBADF:
        return "it is not open for writing; choose another name";
    default:
        return "check the disk and try again";
    }
}

be_status file_error(be_error *err, const char *action, const char *path, int error_number)
{
    FAIL(err, BE_IO, "cannot %s %s: %s; %s", action, path, strerror(error_number),
         advice_for(error_number));
}

be_status file_format_path(char out[FILE_PATH_BYTES], be_error *err, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(out, FILE_PATH_BYTES, format, arguments);
    va_end(arguments);
    if (length < 0 || length >= FILE_PATH_BYTES)
        FAIL(err, BE_USAGE,
             "a path of %d bytes is too long (at most %d): %.60s…; use a shorter one", length,
             FILE_PATH_BYTES - 1, out);
    return BE_OK;
}

bool file_exists(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0 && S_ISREG(info.st_mode);
}

bool file_is_folder(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0 && S_ISDIR(info.st_mode);
}

be_status file_open(int *fd, int64_t *bytes, const char *path, be_error *err)
{
    /* Without O_NONBLOCK a named pipe in the place of a file would wait for ever. */
    *fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (*fd < 0) return file_error(err, "open", path, errno);
    struct stat info;
    int failed = fstat(*fd, &info) ? errno : 0;
    if (!failed && S_ISDIR(info.st_mode)) failed = EISDIR;
    if (failed || !S_ISREG(info.st_mode)) {
        close(*fd);
        *fd = -1;
        if (failed) return file_error(err, "read", path, failed);
        FAIL(err, BE_IO,
             "cannot read %s: expected a regular file, found a device or pipe; "
             "name a file",
             path);
    }
    *bytes = info.st_size;
    return BE_OK;
}

be_status file_read_some(int fd, void *out, size_t room, size_t *got, const char *path,
                         be_error *err)
{
    if (faults_now.fail_read) {
        if (faults_now.read_after <= 0) return file_error(err, "read", path, EIO);
        if ((int64_t)room > faults_now.read_after) room = (size_t)faults_now.read_after;
    }
    ssize_t count;
    do count = read(fd, out, room);
    while (count < 0 && errno == EINTR);
    if (count < 0) return file_error(err, "read", path, errno);
    if (faults_now.fail_read) faults_now.read_after -= count;
    *got = (size_t)count;
    return BE_OK;
}

static be_status read_open_file(void **buffer, size_t *bytes, int fd, const char *path,
                                size_t limit_bytes, be_error *err)
{
    size_t capacity = 0, length = 0, got = 0;
    struct stat info;
    if (fstat(fd, &info)) return file_error(err, "read", path, errno);
    if (info.st_size > 0 && (uint64_t)info.st_size <= limit_bytes)
        TRY(memory_grow(buffer, &capacity, (size_t)info.st_size + 2, 1, err));
    do {
        TRY(memory_grow(buffer, &capacity,
                        length + 2 > FILE_FIRST_READ ? length + 2 : FILE_FIRST_READ, 1, err));
        TRY(file_read_some(fd, (char *)*buffer + length, capacity - length - 1, &got, path, err));
        length += got;
        if (length > limit_bytes)
            FAIL(err, BE_BAD_DATA,
                 "%s: expected at most %zu bytes, found more; check that it is the right file",
                 path, limit_bytes);
    } while (got > 0);
    ((char *)*buffer)[length] = 0;
    *bytes = length;
    return BE_OK;
}

be_status file_read(void **out, size_t *bytes, const char *path, size_t limit_bytes, be_error *err)
{
    int fd;
    int64_t size;
    void *buffer = NULL;
    *out = NULL;
    *bytes = 0;
    TRY(file_open(&fd, &size, path, err));
    be_status status = read_open_file(&buffer, bytes, fd, path, limit_bytes, err);
    close(fd);
    if (status == BE_OK)
        *out = buffer;
    else
        memory_free(buffer);
    return status;
}

be_status file_map(const void **out, size_t *bytes, const char *path, be_error *err)
{
    int fd;
    int64_t size;
    *out = NULL;
    *bytes = 0;
    TRY(file_open(&fd, &size, path, err));
    void *mapped = size ? mmap(NULL, (size_t)size, PROT_READ, MAP_PRIVATE, fd, 0) : NULL;
    int failed = mapped == MAP_FAILED ? errno : 0;
    close(fd);
    if (failed) return file_error(err, "map", path, failed);
    *out = mapped;
    *bytes = (size_t)size;
    return BE_OK;
}

void file_unmap(const void *bytes, size_t count)
{
    if (bytes) munmap((void *)(uintptr_t)bytes, count);
}

be_status file_make_folders(const char *path, be_error *err)
{
    char part[FILE_PATH_BYTES];
    TRY(file_format_path(part, err, "%s", path));
    for (char *end = part + 1; *part; end++) {
        if (*end != '/' && *end) continue;
        char end_byte = *end;
        *end = 0;
        if (mkdir(part, 0777) && (errno != EEXIST || !file_is_folder(part)))
            return file_error(err, "make the folder", part, errno == EEXIST ? ENOTDIR : errno);
        if (!end_byte) break;
        *end = end_byte;
    }
    return BE_OK;
}

be_status file_remove(const char *path, be_error *err)
{
    if (unlink(path) && errno != ENOENT) return file_error(err, "remove", path, errno);
    return BE_OK;
}

static int sync_fd(int fd)
{
    if (faults_now.fail_sync) return EIO;
    /* EINVAL, ENOTSUP: this kind of file system has nothing to sync. */
    if (fsync(fd) && errno != EINVAL && errno != ENOTSUP) return errno;
    return 0;
}

static int rename_file(const char *from, const char *to)
{
    if (faults_now.fail_rename) return EIO;
    return rename(from, to) ? errno : 0;
}

/* Make a rename in the folder of `path` survive a power cut. */
static int sync_folder_of(const char *path)
{
    char folder[FILE_PATH_BYTES];
    snprintf(folder, sizeof folder, "%s", path);
    char *slash = strrchr(folder, '/');
    if (!slash)
        strcpy(folder, ".");
    else if (slash == folder)
        slash[1] = 0;
    else
        *slash = 0;
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return errno;
    int failed = sync_fd(fd);
    close(fd);
    return failed;
}

/* Lock what was opened: the errno value, or -1 where the name has come to mean another file. */
static int lock_opened(int fd, const char *path)
{
    struct stat at_file, at_path;
    /* A file system that knows no locks (ENOLCK, ENOTSUP) goes without. */
    if (flock(fd, LOCK_EX | LOCK_NB) && errno == EWOULDBLOCK) return EWOULDBLOCK;
    if (fstat(fd, &at_file)) return errno;
    bool same = stat(path, &at_path) == 0 && at_path.st_ino == at_file.st_ino &&
                at_path.st_dev == at_file.st_dev;
    return same ? 0 : -1;
}

static be_status refuse_locked(const char *path, long holder, be_error *err)
{
    char who[40] = "another process";
    if (holder > 0) snprintf(who, sizeof who, "process %ld", holder);
    FAIL(err, BE_IO, "cannot write %s: %s is writing it; wait for it or choose another name", path,
         who);
}

/* If the file is renamed away between open and lock, the lock is on the wrong one: again then. */
be_status file_open_locked(int *fd, const char *path, be_error *err)
{
    struct stat at_file;
    int failed = -1;
    while (failed < 0) {
        *fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0666);
        bool is_link = *fd < 0 && errno == ELOOP;
        if (*fd < 0 && !is_link) return file_error(err, "write", path, errno);
        if (is_link || fstat(*fd, &at_file) || !S_ISREG(at_file.st_mode)) {
            if (*fd >= 0) close(*fd);
            *fd = -1;
            FAIL(err, BE_IO,
                 "cannot write %s: expected a regular file or none, found a link, device or pipe; "
                 "remove it or choose another name",
                 path);
        }
        failed = lock_opened(*fd, path);
        if (failed == 0) return BE_OK;
        long holder = failed == EWOULDBLOCK ? lock_holder(*fd) : 0;
        close(*fd);
        *fd = -1;
        if (failed == EWOULDBLOCK) return refuse_locked(path, holder, err);
    }
    return file_error(err, "write", path, failed);
}

/* ---------------------------------------------------------------- where an output goes */

/* The whole number that is all of the text, or -1. */
static int whole_number(const char *text)
{
    char *end = NULL;
    long number = text[0] >= '0' && text[0] <= '9' ? strtol(text, &end, 10) : -1;
    return end && !*end && number <= INT_MAX ? (int)number : -1;
}

/* The descriptor of this process that a path names, as /dev/stdout and /dev/fd/3 do; -1: none. What
 * lies behind such a name must not be opened anew: a socket cannot be, and a file would be written
 * from its start. */
static int descriptor_named(const char *path)
{
    char folder[FILE_PATH_BYTES], real[PATH_MAX], own[64];
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    int length = slash ? (int)(slash - path) + 1 : 0;
    if (strncmp(path, "/dev/fd/", 8) == 0) return whole_number(path + 8);
    snprintf(folder, sizeof folder, "%.*s.", length, path);
    snprintf(own, sizeof own, "/proc/%ld/fd", (long)getpid());
    if (!realpath(folder, real)) return -1;
    if (strcmp(real, "/dev") == 0)
        return strcmp(name, "stdout") == 0   ? STDOUT_FILENO
               : strcmp(name, "stderr") == 0 ? STDERR_FILENO
                                             : -1;
    return strcmp(real, "/dev/fd") == 0 || strcmp(real, own) == 0 ? whole_number(name) : -1;
}

/* Put what the link at `path` says in its place; false where it is no link. */
static bool follow_link(char path[FILE_PATH_BYTES], be_status *status, be_error *err)
{
    char link[FILE_PATH_BYTES], from[FILE_PATH_BYTES];
    ssize_t length = readlink(path, link, sizeof link - 1);
    if (length < 0) return false;
    link[length] = 0;
    strcpy(from, path);
    char *slash = strrchr(from, '/');
    if (slash) slash[1] = 0;
    *status = file_format_path(path, err, "%s%s", link[0] == '/' || !slash ? "" : from, link);
    return true;
}

be_status file_find_target(file_target *out, const char *path, be_error *err)
{
    struct stat info;
    be_status status = BE_OK;
    *out = (file_target){.fd = descriptor_named(path), .mode = -1};
    TRY(file_format_path(out->path, err, "%s", path));
    bool there = stat(path, &info) == 0;
    if (there && S_ISDIR(info.st_mode)) return file_error(err, "write", path, EISDIR);
    out->stream = out->fd >= 0 || (there && !S_ISREG(info.st_mode));
    out->is_socket = out->fd < 0 && there && S_ISSOCK(info.st_mode);
    if (there) out->mode = (int)(info.st_mode & 0777);
    for (int links = 0; status == BE_OK && !out->stream && follow_link(out->path, &status, err);) {
        if (++links > LINKS_MAX) return file_error(err, "write", path, ELOOP);
        out->fd = descriptor_named(out->path);
        out->stream = out->fd >= 0;
    }
    return status;
}

static int connect_to(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof address.sun_path) {
        errno = ENAMETOOLONG;
        return -1;
    }
    strcpy(address.sun_path, path);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    if (fd < 0 || (fcntl(fd, F_SETFD, FD_CLOEXEC) == 0 &&
                   connect(fd, (struct sockaddr *)&address, sizeof address) == 0))
        return fd;
    int failed = errno;
    close(fd);
    errno = failed;
    return -1;
}

/* A FIFO is waited for until something reads it. */
static be_status open_stream(int *fd, const file_target *target, be_error *err)
{
    if (target->fd >= 0)
        *fd = fcntl(target->fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
    else if (target->is_socket)
        *fd = connect_to(target->path);
    else
        *fd = open(target->path, O_WRONLY | O_CLOEXEC | O_NOCTTY);
    if (*fd >= 0) return BE_OK;
    if (errno == EINTR)
        FAIL(err, BE_INTERRUPTED, "stopped by a signal while nothing read %s", target->path);
    return file_error(err, "write", target->path, errno);
}

be_status file_open_output(int *fd, bool *stream, const char *path, be_error *err)
{
    file_target target;
    *fd = -1;
    TRY(file_find_target(&target, path, err));
    *stream = target.stream;
    return target.stream ? open_stream(fd, &target, err) : file_open_locked(fd, target.path, err);
}

be_status file_check_output(const char *path, be_error *err)
{
    file_target target;
    file_writer writer;
    TRY(file_find_target(&target, path, err));
    if (target.fd >= 0) {
        int flags = fcntl(target.fd, F_GETFL);
        bool good = flags >= 0 && (flags & O_ACCMODE) != O_RDONLY;
        return good ? BE_OK : file_error(err, "write", path, EBADF);
    }
    if (target.stream)
        return access(target.path, W_OK) ? file_error(err, "write", path, errno) : BE_OK;
    TRY(file_write_begin(&writer, path, err));
    file_write_abort(&writer);
    return BE_OK;
}

/* ---------------------------------------------------------------- writing */

static be_status open_temporary(file_writer *w, const file_target *target, be_error *err)
{
    TRY(file_open_locked(&w->fd, w->temporary, err));
    if (ftruncate(w->fd, 0)) return file_error(err, "write", w->temporary, errno);
    /* Who may read the old file may read the new one, and nobody else. */
    if (target->mode >= 0 && fchmod(w->fd, (mode_t)target->mode))
        return file_error(err, "write", w->temporary, errno);
    return BE_OK;
}

be_status file_write_begin(file_writer *w, const char *path, be_error *err)
{
    file_target target;
    void *memory = NULL;
    *w = (file_writer){.fd = -1};
    TRY(file_find_target(&target, path, err));
    size_t length = strlen(target.path);
    if (length + sizeof ".tmp" > FILE_PATH_BYTES) /* a path to be synced must fit */
        FAIL(err, BE_USAGE, "a path of %zu bytes is too long: %.60s…; use a shorter one", length,
             path);
    TRY(memory_alloc(&memory, 2 * length + sizeof ".tmp" + 1, "a file's path", err));
    w->path = memory;
    memcpy(w->path, target.path, length);
    w->temporary = target.stream ? NULL : w->path + length + 1;
    if (w->temporary) sprintf(w->temporary, "%s.tmp", target.path);
    be_status status =
        target.stream ? open_stream(&w->fd, &target, err) : open_temporary(w, &target, err);
    if (status != BE_OK) file_write_abort(w);
    return status;
}

static ssize_t write_some(int fd, const void *bytes, size_t count)
{
    if (faults_now.write_at_most && count > faults_now.write_at_most)
        count = faults_now.write_at_most;
    if (faults_now.full) {
        if (faults_now.full_after <= 0) {
            errno = ENOSPC;
            return -1;
        }
        if ((int64_t)count > faults_now.full_after) count = (size_t)faults_now.full_after;
        faults_now.full_after -= (int64_t)count;
    }
    return write(fd, bytes, count);
}

be_status file_write_fd(int fd, const void *bytes, size_t count, const char *path, be_error *err)
{
    for (size_t at = 0; at < count;) {
        ssize_t wrote = write_some(fd, (const char *)bytes + at, count - at);
        if (wrote < 0 && errno == EINTR) continue;
        if (wrote < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
            /* A pipe that somebody set to non-blocking is full. */
            clock_wait_ready(&(struct pollfd){.fd = fd, .events = POLLOUT}, 1, FULL_PIPE_NS);
            continue;
        }
        if (wrote < 0) return file_error(err, "write", path, errno);
        at += (size_t)wrote;
    }
    return BE_OK;
}

be_status file_write(file_writer *w, const void *bytes, size_t count, be_error *err)
{
    MUST(w->fd >= 0);
    TRY(file_write_fd(w->fd, bytes, count, w->path, err));
    w->bytes += (int64_t)count;
    return BE_OK;
}

/* Close it, whatever happened, and let go of its path. */
static void forget(file_writer *w)
{
    if (w->fd >= 0) close(w->fd);
    memory_free(w->path);
    *w = (file_writer){.fd = -1};
}

be_status file_write_commit(file_writer *w, be_error *err)
{
    MUST(w->fd >= 0);
    be_status status = BE_OK;
    int failed = w->temporary ? sync_fd(w->fd) : 0;
    /* Renamed before it is closed: the lock still keeps other writers from the temporary file. */
    if (!failed && w->temporary) failed = rename_file(w->temporary, w->path);
    if (failed) {
        status = file_error(err, "write", w->path, failed);
        file_write_abort(w);
        return status;
    }
    failed = w->temporary ? sync_folder_of(w->path) : 0;
    if (failed) status = file_error(err, "sync the folder of", w->path, failed);
    int fd = w->fd;
    w->fd = -1;
    if (close(fd) && status == BE_OK && errno != EINTR)
        status = file_error(err, "close", w->path, errno);
    forget(w);
    return status;
}

void file_write_abort(file_writer *w)
{
    if (w->fd >= 0 && w->temporary) unlink(w->temporary);
    forget(w);
}

be_status file_write_whole(const char *path, const void *bytes, size_t count, be_error *err)
{
    file_writer w;
    TRY(file_write_begin(&w, path, err));
    be_status status = file_write(&w, bytes, count, err);
    if (status != BE_OK) {
        file_write_abort(&w);
        return status;
    }
    return file_write_commit(&w, err);
}

be_status file_publish(const char *from, const char *to, be_error *err)
{
    int fd;
    int64_t bytes;
    TRY(file_open(&fd, &bytes, from, err));
    int failed = sync_fd(fd);
    close(fd);
    if (!failed) failed = rename_file(from, to);
    if (!failed) failed = sync_folder_of(to);
    return failed ? file_error(err, "write", to, failed) : BE_OK;
}

be_status file_xdg(char out[FILE_PATH_BYTES], file_place place, be_error *err)
{
    static const char *const variables[] = {"XDG_DATA_HOME", "XDG_CACHE_HOME", "XDG_STATE_HOME"};
    static const char *const below_home[] = {".local/share", ".cache", ".local/state"};
    const char *base = getenv(variables[place]);
    if (base && base[0] == '/') return file_format_path(out, err, "%s/breakeven", base);
    const char *home = getenv("HOME");
    if (!home || home[0] != '/') {
        const struct passwd *user = getpwuid(getuid());
        home = user ? user->pw_dir : NULL;
    }
    if (!home || !*home)
        FAIL(err, BE_IO, "expected a home folder, found neither HOME nor %s; set one of them",
             variables[place]);
    return file_format_path(out, err, "%s/%s/breakeven", home, below_home[place]);
}

be_status file_own_program(char out[FILE_PATH_BYTES], be_error *err)
{
#ifdef __APPLE__
    uint32_t room = FILE_PATH_BYTES;
    if (_NSGetExecutablePath(out, &room) == 0) return BE_OK;
#else
    ssize_t length = readlink("/proc/self/exe", out, FILE_PATH_BYTES - 1);
    if (length > 0) {
        out[length] = 0;
        return BE_OK;
    }
#endif
    FAIL(err, BE_UNAVAILABLE, "the system does not tell where this program is; is /proc there?");
}
