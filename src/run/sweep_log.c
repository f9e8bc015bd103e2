/* Sweeps on disk. */
#include "run/sweep_log.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/json.h"
#include "core/memory.h"
#include "run/record_read.h"

#define LOG_MAX ((size_t)256 << 20)

static be_status log_folder(char out[FILE_PATH_BYTES], be_error *err)
{
    char state[FILE_PATH_BYTES];
    TRY(file_xdg(state, FILE_STATE, err));
    return file_format_path(out, err, "%s/sweeps", state);
}

static be_status own_name(char out[FILE_PATH_BYTES], const char *name, be_error *err)
{
    char folder[FILE_PATH_BYTES], stamp[32];
    time_t now = (time_t)clock_unix_s();
    struct tm utc;
    TRY(log_folder(folder, err));
    TRY(file_make_folders(folder, err));
    if (!gmtime_r(&now, &utc)) FAIL(err, BE_FAILED, "the system's time is no date");
    strftime(stamp, sizeof stamp, "%Y%m%dT%H%M%SZ", &utc);
    return file_format_path(out, err, "%s/%s-%s-%d.jsonl", folder, name, stamp, (int)getpid());
}

void sweep_log_close(sweep_log *log)
{
    if (log->fd >= 0) close(log->fd);
    log->fd = -1;
}

be_status sweep_log_append(sweep_log *log, const json_t *record, be_error *err)
{
    if (log->fd < 0) return BE_OK;
    char *line = NULL;
    TRY(json_print_line(&line, record, JSON_COMPACT | JSON_REAL_PRECISION(9),
                        "a record of the sweep", err));
    be_status status = file_write_fd(log->fd, line, strlen(line), log->path, err);
    free(line);
    if (status == BE_OK && !log->stream && fdatasync(log->fd) != 0 && errno != EINVAL)
        return file_error(err, "save", log->path, errno);
    return status;
}

be_status sweep_log_create(sweep_log *log, const char *path, const char *name, const json_t *header,
                           be_error *err)
{
    log->fd = -1;
    TRY(path ? file_format_path(log->path, err, "%s", path) : own_name(log->path, name, err));
    TRY(file_open_output(&log->fd, &log->stream, log->path, err));
    off_t bytes = lseek(log->fd, 0, SEEK_END);
    if (bytes > 0 && !log->stream) {
        sweep_log_close(log);
        FAIL(err, BE_USAGE,
             "%s: expected no such file, found one of %lld bytes; go on with that sweep by "
             "--resume, or name another file",
             log->path, (long long)bytes);
    }
    be_status status = sweep_log_append(log, header, err);
    if (status == BE_OK) return BE_OK;
    sweep_log_close(log);
    /* Without its whole header it is of no use, and would be in the way of the next sweep. */
    file_target target;
    if (!log->stream && file_find_target(&target, log->path, NULL) == BE_OK) unlink(target.path);
    return status;
}

/* ---------------------------------------------------------------- open */

/* The last of the names NAME-TIME-….jsonl: the times stand in them so that they sort. */
static be_status newest(char out[FILE_PATH_BYTES], const char *name, be_error *err)
{
    char folder[FILE_PATH_BYTES], best[256] = "";
    size_t length = strlen(name);
    struct dirent *entry;
    TRY(log_folder(folder, err));
    DIR *list = opendir(folder);
    while (list && (entry = readdir(list)))
        if (strncmp(entry->d_name, name, length) == 0 && entry->d_name[length] == '-' &&
            strcmp(entry->d_name, best) > 0)
            snprintf(best, sizeof best, "%s", entry->d_name);
    if (list) closedir(list);
    if (!best[0])
        FAIL(err, BE_USAGE,
             "--resume: expected a sweep %s-….jsonl in %s, found none; leave --resume out, or name "
             "its file",
             name, folder);
    return file_format_path(out, err, "%s/%s", folder, best);
}

bool sweep_log_exists(const char *path, const char *name)
{
    char target[FILE_PATH_BYTES];
    struct stat file;
    if (!path) return newest(target, name, NULL) == BE_OK;
    return stat(path, &file) == 0 && S_ISREG(file.st_mode) && file.st_size > 0;
}

static be_status parse_lines(const sweep_log *log, const char *bytes, size_t count, json_t *lines,
                             size_t *good, be_error *err)
{
    char place[FILE_PATH_BYTES + 40];
    json_source source = {.name = place,
                          .expected = "one JSON object per line",
                          .next = "it is no file of a sweep, or was changed: name another one"};
    for (size_t at = 0, number = 1; at < count; number++) {
        const char *end = memchr(bytes + at, '\n', count - at);
        json_t *line = NULL;
        *good = at;
        if (!end) return BE_OK;
        snprintf(place, sizeof place, "%s, line %zu", log->path, number);
        size_t length = (size_t)(end - bytes) - at;
        be_status status = json_parse(&line, bytes + at, length, &source, err);
        at += length + 1;
        if (status == BE_BAD_DATA && at == count) return BE_OK; /* the last one was cut */
        TRY(status);
        if (json_array_append_new(lines, line) != 0)
            FAIL(err, BE_NO_MEMORY, "%s: no memory left for its lines; free some", log->path);
        *good = at;
    }
    return BE_OK;
}

static be_status read_log(const sweep_log *log, sweep_log_content *out, be_error *err)
{
    void *bytes = NULL;
    size_t count = 0, good = 0;
    TRY(file_read(&bytes, &count, log->path, LOG_MAX, err));
    be_status status = parse_lines(log, bytes, count, out->records, &good, err);
    memory_free(bytes);
    TRY(status);
    out->header = json_incref(json_array_get(out->records, 0));
    const char *kind = json_string_value(json_object_get(out->header, "kind"));
    if (!kind || strcmp(kind, "sweep") != 0)
        FAIL(err, BE_BAD_DATA,
             "%s: expected the header of a sweep in its first line, found none; name another file",
             log->path);
    json_array_remove(out->records, 0);
    for (size_t i = 0; i < json_array_size(out->records); i++)
        TRY(record_check_sweep_line(json_array_get(out->records, i), out->header, log->path, i + 2,
                                    err));
    out->damaged = good < count;
    if (ftruncate(log->fd, (off_t)good) != 0 || lseek(log->fd, 0, SEEK_END) < 0)
        return file_error(err, "cut", log->path, errno);
    return BE_OK;
}

be_status sweep_log_open(sweep_log *log, const char *path, const char *name, sweep_log_content *out,
                         be_error *err)
{
    log->fd = -1;
    *out = (sweep_log_content){.records = json_array()};
    TRY(path ? file_format_path(log->path, err, "%s", path) : newest(log->path, name, err));
    if (!file_exists(log->path))
        FAIL(err, BE_USAGE,
             "--resume: expected the file of a sweep, found none at %s; leave --resume out to "
             "begin one",
             log->path);
    TRY(file_open_output(&log->fd, &log->stream, log->path, err));
    be_status status = read_log(log, out, err);
    if (status != BE_OK) sweep_log_close(log);
    return status;
}
