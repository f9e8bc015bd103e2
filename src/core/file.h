/* Files: whole reads, mappings, durable atomic writes, folders and the XDG places.
 *
 * A file written here is either the old one or the whole new one, whatever happens in between: the
 * bytes go to PATH.tmp in the same folder, are synced, and are renamed over PATH; then the folder
 * is synced.  A killed writer leaves at most PATH.tmp, which the next writer of PATH takes over.
 * Only regular files are replaced: where PATH is a link, the file that it leads to is, and a
 * device, pipe, FIFO, socket or open descriptor (/dev/stdout, /dev/fd/3) is written to as it
 * stands. Error texts name the path, the system's reason and what to do.  May not know any file
 * format. */
#ifndef CORE_FILE_H
#define CORE_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/status.h"

#define FILE_PATH_BYTES 4096 /* longest path, with its end */

/* BE_IO with "cannot ACTION PATH: reason; what to do" for the errno value `error_number`. */
be_status file_error(be_error *err, const char *action, const char *path, int error_number);

/* Format a path; one that does not fit is BE_USAGE. */
BE_CHECKED be_status file_format_path(char out[FILE_PATH_BYTES], be_error *err, const char *format,
                                      ...) __attribute__((format(printf, 3, 4)));

bool file_exists(const char *path); /* and is a regular file */
bool file_is_folder(const char *path);

/* Open for reading; BE_IO if it is missing, forbidden or not a regular file.  Close with close. */
BE_CHECKED be_status file_open(int *fd, int64_t *bytes, const char *path, be_error *err);

/* Up to `room` bytes from fd; *got is 0 at the end only.  `path` is for the error text. */
BE_CHECKED be_status file_read_some(int fd, void *out, size_t room, size_t *got, const char *path,
                                    be_error *err);

/* Open for reading and writing, made if missing, and lock it: another process that has it open this
 * way makes it fail, and so does what is no regular file, a link among it.  The lock goes with the
 * descriptor.  Close with close. */
BE_CHECKED be_status file_open_locked(int *fd, const char *path, be_error *err);

/* All of the bytes to fd, where it stands.  `path` is for the error text. */
BE_CHECKED be_status file_write_fd(int fd, const void *bytes, size_t count, const char *path,
                                   be_error *err);

/* The whole file and a zero byte after it; more than limit_bytes is BE_BAD_DATA.  Free with
 * memory_free.  Works for /proc and /sys too, whose sizes are not known beforehand. */
BE_CHECKED be_status file_read(void **out, size_t *bytes, const char *path, size_t limit_bytes,
                               be_error *err);

/* Map the whole file for reading.  An empty file maps to NULL and 0 bytes. */
BE_CHECKED be_status file_map(const void **out, size_t *bytes, const char *path, be_error *err);
void file_unmap(const void *bytes, size_t count);

/* Create the folder and its parents (mkdir -p). */
BE_CHECKED be_status file_make_folders(const char *path, be_error *err);

/* Remove a file; one that is not there is no error. */
BE_CHECKED be_status file_remove(const char *path, be_error *err);

/* What a path to be written stands for. */
typedef struct file_target {
    char path[FILE_PATH_BYTES]; /* behind all links */
    bool stream;                /* no regular file: to be written to, never replaced */
    bool is_socket;             /* a stream that is reached by connecting */
    int fd;                     /* the descriptor of ours that the path names, or -1 */
    int mode;                   /* permissions of a file that is there, or -1 */
} file_target;

/* BE_IO for a folder and for links in a circle; what is missing is no error. */
BE_CHECKED be_status file_find_target(file_target *out, const char *path, be_error *err);

/* Open what is to be written piece by piece where it stands, and not by a writer: a regular file as
 * file_open_locked does, *stream for all else.  Close with close. */
BE_CHECKED be_status file_open_output(int *fd, bool *stream, const char *path, be_error *err);

/* Can it be written, as far as can be seen beforehand?  Leaves everything as it was; a FIFO's
 * reader sees nothing. */
BE_CHECKED be_status file_check_output(const char *path, be_error *err);

typedef struct file_writer {
    char *path, *temporary; /* one block, freed by commit or abort; temporary NULL: a stream */
    int fd;                 /* -1: closed */
    int64_t bytes;          /* written so far */
} file_writer;

/* Begin; the folder must exist.  Fails if another process writes the same file now.  After BE_OK,
 * end with file_write_commit or file_write_abort; after a failed commit nothing is left to end. */
BE_CHECKED be_status file_write_begin(file_writer *w, const char *path, be_error *err);
BE_CHECKED be_status file_write(file_writer *w, const void *bytes, size_t count, be_error *err);
BE_CHECKED be_status file_write_commit(file_writer *w, be_error *err);
void file_write_abort(file_writer *w); /* PATH stays as it was; no-op when already ended */

/* All of it in one call. */
BE_CHECKED be_status file_write_whole(const char *path, const void *bytes, size_t count,
                                      be_error *err);

/* Move a finished file over another name, durably: sync it, rename, sync the folder. */
BE_CHECKED be_status file_publish(const char *from, const char *to, be_error *err);

typedef enum file_place { FILE_DATA, FILE_CACHE, FILE_STATE } file_place;

/* "$XDG_DATA_HOME/breakeven" and its kin, or below $HOME as the XDG base directory specification
 * says (a relative value counts as unset).  Creates nothing. */
BE_CHECKED be_status file_xdg(char out[FILE_PATH_BYTES], file_place place, be_error *err);

/* The path of this program; BE_UNAVAILABLE where the system does not tell. */
BE_CHECKED be_status file_own_program(char out[FILE_PATH_BYTES], be_error *err);

/* Test hooks, for the whole process; the all-zero struct turns them off. */
typedef struct file_faults {
    bool full;            /* the disk takes full_after more bytes, then ENOSPC */
    int64_t full_after;   /* bytes */
    size_t write_at_most; /* short writes: bytes per call at most; 0: any */
    bool fail_sync;       /* fsync says EIO */
    bool fail_rename;     /* rename says EIO */
    bool fail_read;       /* reads give read_after more bytes, then EIO */
    int64_t read_after;   /* bytes */
} file_faults;

void file_inject(file_faults faults);
void file_fail_after(int64_t bytes); /* the disk is full after that many bytes; < 0: off */

#endif
