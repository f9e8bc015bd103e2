/* Temporary folders and locked ones. */
#include "core/folder.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/memory.h"

#define PREFIX "breakeven-"
#define PATTERN PREFIX "XXXXXX"
#define LOCK_NAME "lock"
#define OPEN_MOST 16 /* descriptors that the removal of a folder may use */
#define HOST_BYTES 256

/* Who holds a lock, as it stands in the lock's file: process, time, machine. */
typedef struct holder {
    long pid;
    int64_t since_s;
    char host[HOST_BYTES];
} holder;

static void own_host(char out[HOST_BYTES])
{
    if (gethostname(out, HOST_BYTES - 1) != 0 || !*out) strcpy(out, "?");
    out[HOST_BYTES - 1] = 0;
}

static be_status holder_write(int fd, const char *path, be_error *err)
{
    char text[HOST_BYTES + 60], host[HOST_BYTES];
    own_host(host);
    int length =
        snprintf(text, sizeof text, "%ld %" PRId64 " %s\n", (long)getpid(), clock_unix_s(), host);
    if (ftruncate(fd, 0)) return file_error(err, "write", path, errno);
    return file_write_fd(fd, text, (size_t)length, path, err);
}

/* False where not all of it stands there yet. */
static bool holder_read(int fd, holder *out)
{
    char text[HOST_BYTES + 60];
    ssize_t got = pread(fd, text, sizeof text - 1, 0);
    if (got <= 0 || text[got - 1] != '\n') return false;
    text[got - 1] = 0;
    return sscanf(text, "%ld %" SCNd64 " %255s", &out->pid, &out->since_s, out->host) == 3;
}

static bool is_here(const holder *h)
{
    char host[HOST_BYTES];
    own_host(host);
    return strcmp(h->host, host) == 0;
}

/* ---------------------------------------------------------------- temporary folders */

static int remove_one(const char *path, const struct stat *info, int kind, struct FTW *place)
{
    (void)info, (void)kind, (void)place;
    (void)!remove(path);
    return 0;
}

static void remove_all(const char *folder)
{
    nftw(folder, remove_one, OPEN_MOST, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
}

/* A folder of ours whose process has gone.  Where the name of the machine in it is another, its
 * process may live there and its lock may not be seen here. */
static void remove_if_stale(const char *folder)
{
    char path[FILE_PATH_BYTES];
    struct stat info;
    holder who;
    if (lstat(folder, &info) || !S_ISDIR(info.st_mode) || info.st_uid != geteuid()) return;
    if (file_format_path(path, NULL, "%s/" LOCK_NAME, folder) != BE_OK) return;
    int fd = open(path, O_RDWR | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) return;
    if (flock(fd, LOCK_EX | LOCK_NB) == 0 && holder_read(fd, &who) && is_here(&who))
        remove_all(folder);
    close(fd);
}

static void remove_stale_ones(const char *place)
{
    char path[FILE_PATH_BYTES];
    DIR *list = opendir(place);
    for (struct dirent *entry; list && (entry = readdir(list));)
        if (strncmp(entry->d_name, PREFIX, sizeof PREFIX - 1) == 0 &&
            strlen(entry->d_name) == sizeof PATTERN - 1 &&
            file_format_path(path, NULL, "%s/%s", place, entry->d_name) == BE_OK)
            remove_if_stale(path);
    if (list) closedir(list);
}

/* Held before it is written who holds it: nobody takes a folder for stale in between.  Where the
 * file system knows no locks nothing is written, and nobody removes it but its process. */
static be_status hold(folder_temporary *f, be_error *err)
{
    char path[FILE_PATH_BYTES];
    TRY(file_format_path(path, err, "%s/" LOCK_NAME, f->path));
    f->lock = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (f->lock < 0) return file_error(err, "write", path, errno);
    return flock(f->lock, LOCK_EX) ? BE_OK : holder_write(f->lock, path, err);
}

be_status folder_temporary_new(folder_temporary *out, be_error *err)
{
    const char *variable = getenv("TMPDIR"), *place = variable && *variable ? variable : "/tmp";
    *out = (folder_temporary){.lock = -1};
    remove_stale_ones(place);
    TRY(file_format_path(out->path, err, "%s/" PATTERN, place));
    if (!mkdtemp(out->path)) {
        int reason = errno;
        out->path[0] = 0;
        FAIL(err, BE_IO,
             "cannot make a temporary folder in %s: %s; set TMPDIR to a folder that can be written",
             place, strerror(reason));
    }
    be_status status = hold(out, err);
    if (status != BE_OK) folder_temporary_remove(out);
    return status;
}

void folder_temporary_remove(folder_temporary *f)
{
    if (f->path[0]) {
        remove_all(f->path);
        if (f->lock >= 0) close(f->lock);
    }
    *f = (folder_temporary){.lock = -1};
}

/* ---------------------------------------------------------------- locks */

/* Another process holds it.  False where it has let go meanwhile. */
static bool find_holder(const char *path, holder *out)
{
    *out = (holder){.pid = 0};
    int fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) return false;
    bool is_held = flock(fd, LOCK_SH | LOCK_NB) && errno == EWOULDBLOCK;
    if (is_held && !holder_read(fd, out)) out->pid = 0;
    close(fd);
    return is_held;
}

static be_status refuse(const folder_lock *l, const holder *h, const char *who, const char *advice,
                        be_error *err)
{
    char since[64] = "", place[HOST_BYTES + 8] = "";
    time_t time_s = (time_t)h->since_s;
    struct tm local;
    if (!h->pid)
        FAIL(err, BE_FAILED, "%s: expected no other %s there, found one that has just begun; %s",
             l->folder, who, advice);
    if (localtime_r(&time_s, &local))
        strftime(since, sizeof since, " since %Y-%m-%d %H:%M:%S", &local);
    if (!is_here(h)) snprintf(place, sizeof place, " on %s", h->host);
    FAIL(err, BE_FAILED, "%s: expected no other %s there, found that of process %ld%s%s; %s",
         l->folder, who, h->pid, place, since, advice);
}

be_status folder_lock_take(folder_lock *out, const char *folder, const char *name, const char *who,
                           const char *advice, be_error *err)
{
    holder other;
    be_error reason = {0};
    *out = (folder_lock){.fd = -1, .made = !file_is_folder(folder)};
    TRY(file_format_path(out->folder, err, "%s", folder));
    TRY(file_format_path(out->file, err, "%s/%s.lock", folder, name));
    TRY(file_make_folders(folder, err));
    be_status status = file_open_locked(&out->fd, out->file, &reason);
    if (status != BE_OK && find_holder(out->file, &other))
        return refuse(out, &other, who, advice, err);
    /* It was let go meanwhile, or cannot be written at all. */
    if (status != BE_OK) status = file_open_locked(&out->fd, out->file, err);
    out->is_held = status == BE_OK;
    /* The lock is what counts; on a full disk another process is not told whose it is. */
    if (out->is_held) (void)!holder_write(out->fd, out->file, NULL);
    return status;
}

void folder_lock_release(folder_lock *l)
{
    if (l->is_held) {
        unlink(l->file); /* while it is held: who waits for it sees that it is another one then */
        close(l->fd);
        if (l->made) rmdir(l->folder);
    }
    *l = (folder_lock){.fd = -1};
}
