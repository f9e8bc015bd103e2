/* Fetching one file through libcurl. */
#include "data/download.h"

#include <curl/curl.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/file.h"
#include "data/sha256.h"

#define CONNECT_SECONDS 20
#define REDIRECTS_MAX 5

#define HTTP_OK 200
#define HTTP_PARTIAL 206
#define HTTP_NO_SUCH_RANGE 416

typedef struct transfer {
    const download *d;
    CURL *curl;
    int fd; /* of the .part file, locked */
    char part[FILE_PATH_BYTES];
    int64_t have;        /* bytes in it */
    int64_t range_start; /* as the server says; -1: it did not */
    bool resumed;        /* some of the bytes come from an earlier transfer */
    bool body_begun;
    bool stalled;       /* on_progress stopped the transfer for that */
    int64_t last_bytes; /* `have` when it last grew, and when that was */
    int64_t last_growth_ns;
    be_status body_status; /* why on_body stopped the transfer, in *err */
    be_error *err;
    char detail[CURL_ERROR_SIZE];
} transfer;

static be_status part_truncate(transfer *t, be_error *err)
{
    t->have = 0;
    t->resumed = false;
    if (ftruncate(t->fd, 0) || lseek(t->fd, 0, SEEK_SET) < 0)
        return file_error(err, "write", t->part, errno);
    return BE_OK;
}

/* The first bytes of an answer: is it the whole file, or the part that was asked for? */
static be_status begin_body(transfer *t, long code, be_error *err)
{
    t->body_begun = true;
    if (code == HTTP_PARTIAL && t->range_start == t->have) return BE_OK;
    if (code == HTTP_PARTIAL)
        FAIL(err, BE_IO,
             "%s: expected the bytes from %" PRId64 ", found the server sends those from %" PRId64
             "; remove %s and try again",
             t->d->url, t->have, t->range_start, t->part);
    return part_truncate(t, err);
}

static be_status take_body(transfer *t, const char *bytes, size_t count, be_error *err)
{
    long code = 0;
    curl_easy_getinfo(t->curl, CURLINFO_RESPONSE_CODE, &code);
    if (code != HTTP_OK && code != HTTP_PARTIAL) return BE_OK; /* an error page */
    if (!t->body_begun) TRY(begin_body(t, code, err));
    if ((int64_t)count > t->d->bytes - t->have)
        FAIL(err, BE_BAD_DATA,
             "%s: expected %" PRId64
             " bytes, found more; the server has another file, check the address",
             t->d->url, t->d->bytes);
    TRY(file_write_fd(t->fd, bytes, count, t->part, err));
    t->have += (int64_t)count;
    return BE_OK;
}

static size_t on_body(char *bytes, size_t item, size_t count, void *context)
{
    transfer *t = context;
    t->body_status = take_body(t, bytes, item * count, t->err);
    return t->body_status == BE_OK ? item * count : 0;
}

/* "Content-Range: bytes START-END/SIZE"; a redirection's headers come first and are forgotten. */
static size_t on_header(char *line, size_t item, size_t count, void *context)
{
    static const char name[] = "content-range: bytes ";
    transfer *t = context;
    size_t length = item * count, prefix = sizeof name - 1;
    if (length > 5 && strncasecmp(line, "http/", 5) == 0) t->range_start = -1;
    if (length > prefix && strncasecmp(line, name, prefix) == 0) {
        t->range_start = 0;
        for (size_t i = prefix; i < length && line[i] >= '0' && line[i] <= '9'; i++)
            if (t->range_start < INT64_MAX / 100)
                t->range_start = t->range_start * 10 + line[i] - '0';
    }
    return length;
}

static int64_t stall_seconds(const transfer *t)
{
    return t->d->stall_seconds ? t->d->stall_seconds : DOWNLOAD_STALL_SECONDS;
}

/* Called by curl about once a second.  Its own limit of speed looks five seconds back, so that a
 * stall of less cannot be told. */
static int on_progress(void *context, curl_off_t total, curl_off_t now, curl_off_t up_total,
                       curl_off_t up_now)
{
    transfer *t = context;
    (void)total, (void)now, (void)up_total, (void)up_now;
    int64_t time_ns = clock_now_ns();
    if (t->have != t->last_bytes || t->last_growth_ns == 0) {
        t->last_bytes = t->have;
        t->last_growth_ns = time_ns;
    }
    t->stalled = time_ns - t->last_growth_ns > stall_seconds(t) * INT64_C(1000000000);
    return t->stalled || (t->d->progress && !t->d->progress(t->d->context, t->have));
}

/* curl_easy_setopt fails only for an option that the library was built without. */
static be_status set_options(transfer *t, be_error *err)
{
    CURL *c = t->curl;
    CURLcode failed = 0;
    failed |= curl_easy_setopt(c, CURLOPT_URL, t->d->url);
#if LIBCURL_VERSION_NUM >= 0x075500
    failed |= curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, "http,https");
#else
    failed |= curl_easy_setopt(c, CURLOPT_PROTOCOLS, CURLPROTO_HTTP | CURLPROTO_HTTPS);
#endif
    failed |= curl_easy_setopt(c, CURLOPT_FOLLOWLOCATION, 1L);
    failed |= curl_easy_setopt(c, CURLOPT_MAXREDIRS, (long)REDIRECTS_MAX);
    failed |= curl_easy_setopt(c, CURLOPT_USERAGENT, "breakeven");
    failed |= curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
    failed |= curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT, (long)CONNECT_SECONDS);
    /* Not CURLOPT_RESUME_FROM, which gives up where a server sends the whole file instead. */
    char range[32];
    snprintf(range, sizeof range, "%" PRId64 "-", t->have);
    failed |= curl_easy_setopt(c, CURLOPT_RANGE, t->have > 0 ? range : NULL);
    failed |= curl_easy_setopt(c, CURLOPT_ERRORBUFFER, t->detail);
    failed |= curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, on_body);
    failed |= curl_easy_setopt(c, CURLOPT_WRITEDATA, t);
    failed |= curl_easy_setopt(c, CURLOPT_HEADERFUNCTION, on_header);
    failed |= curl_easy_setopt(c, CURLOPT_HEADERDATA, t);
    failed |= curl_easy_setopt(c, CURLOPT_NOPROGRESS, 0L);
    failed |= curl_easy_setopt(c, CURLOPT_XFERINFOFUNCTION, on_progress);
    failed |= curl_easy_setopt(c, CURLOPT_XFERINFODATA, t);
    if (failed)
        FAIL(err, BE_DRIVER, "libcurl %s lacks an option that downloads need; install a newer one",
             curl_version());
    return BE_OK;
}

/* A failed transfer, as curl names it.  *again: another attempt may help. */
static be_status explain(const transfer *t, CURLcode result, bool *again, be_error *err)
{
    const char *advice = "run the same command again to go on";
    if (t->stalled) {
        *again = true;
        FAIL(err, BE_IO,
             "%s: expected data, found none for %" PRId64 " seconds; %" PRId64 " of %" PRId64
             " bytes are kept, %s",
             t->d->url, stall_seconds(t), t->have, t->d->bytes, advice);
    }
    if (result == CURLE_ABORTED_BY_CALLBACK)
        FAIL(err, BE_INTERRUPTED, "%s: stopped; %" PRId64 " of %" PRId64 " bytes are kept, %s",
             t->d->url, t->have, t->d->bytes, advice);
    *again = result == CURLE_PARTIAL_FILE || result == CURLE_OPERATION_TIMEDOUT ||
             result == CURLE_RECV_ERROR || result == CURLE_SEND_ERROR ||
             result == CURLE_GOT_NOTHING || result == CURLE_COULDNT_CONNECT;
    if (result == CURLE_COULDNT_RESOLVE_HOST || result == CURLE_COULDNT_CONNECT)
        advice = "check the network connection and try again";
    FAIL(err, BE_IO, "%s: the transfer failed: %s; %" PRId64 " of %" PRId64 " bytes are kept, %s",
         t->d->url, t->detail[0] ? t->detail : curl_easy_strerror(result), t->have, t->d->bytes,
         advice);
}

/* An answer that came whole: is it one with the file, and all of it? */
static be_status check_answer(transfer *t, bool *again, be_error *err)
{
    long code = 0;
    curl_easy_getinfo(t->curl, CURLINFO_RESPONSE_CODE, &code);
    if (code == HTTP_NO_SUCH_RANGE) {
        *again = true;
        TRY(part_truncate(t, err));
    }
    if (code != HTTP_OK && code != HTTP_PARTIAL) {
        if (code >= 500 || code == 429) *again = true;
        FAIL(err, BE_IO,
             "%s: expected the file, found HTTP status %ld; check the address, or try again later",
             t->d->url, code);
    }
    if (t->have == t->d->bytes) return BE_OK;
    int64_t size = t->have;
    TRY(part_truncate(t, err));
    FAIL(err, BE_BAD_DATA,
         "%s: expected %" PRId64 " bytes, found %" PRId64
         "; the server has another file, check the address",
         t->d->url, t->d->bytes, size);
}

static be_status attempt(transfer *t, bool *again, be_error *err)
{
    *again = false;
    t->range_start = -1;
    t->body_begun = false;
    t->stalled = false;
    t->last_growth_ns = 0;
    t->body_status = BE_OK;
    t->err = err;
    t->detail[0] = 0;
    t->resumed |= t->have > 0;
    t->curl = curl_easy_init();
    if (!t->curl) FAIL(err, BE_NO_MEMORY, "libcurl has no memory left; free some");
    be_status status = set_options(t, err);
    if (status == BE_OK) {
        CURLcode result = curl_easy_perform(t->curl);
        if (t->body_status != BE_OK)
            status = t->body_status;
        else if (result != CURLE_OK)
            status = explain(t, result, again, err);
        else
            status = check_answer(t, again, err);
    }
    curl_easy_cleanup(t->curl);
    t->curl = NULL;
    return status;
}

/* All bytes are there: are they the right ones?  A part of an earlier transfer may be to blame for
 * wrong ones, and then another attempt may help. */
static be_status check_sum(transfer *t, bool *again, be_error *err)
{
    char sum[SHA256_TEXT_BYTES];
    *again = false;
    TRY(sha256_file(t->part, sum, err));
    if (strcmp(sum, t->d->sha256) == 0) return BE_OK;
    *again = t->resumed;
    TRY(part_truncate(t, err));
    FAIL(err, BE_BAD_DATA,
         "%s: expected the SHA-256 %s, found %s; the server has another file or the transfer was "
         "damaged, try again",
         t->d->url, t->d->sha256, sum);
}

static be_status fetch(transfer *t, be_error *err)
{
    int attempts = t->d->attempts ? t->d->attempts : DOWNLOAD_ATTEMPTS;
    be_status status = BE_OK;
    bool again = true;
    t->have = lseek(t->fd, 0, SEEK_END);
    if (t->have < 0) return file_error(err, "read", t->part, errno);
    /* A part with all bytes, or with too many, is judged by its sum alone. */
    t->resumed = t->have > 0;
    for (int i = 0; i < attempts && again; i++) {
        again = false;
        status = t->have < t->d->bytes ? attempt(t, &again, err) : BE_OK;
        if (status == BE_OK) status = check_sum(t, &again, err);
        if (status == BE_OK) return BE_OK;
    }
    return status;
}

/* The part lies beside what it becomes, which is behind the link where the path is one. */
be_status download_file(const download *d, be_error *err)
{
    transfer t = {.d = d, .fd = -1};
    file_target target;
    TRY(file_find_target(&target, d->path, err));
    if (target.stream)
        FAIL(err, BE_IO,
             "%s: expected a regular file or none, found a device or pipe; remove it, or fetch "
             "into another folder by --data",
             d->path);
    TRY(file_format_path(t.part, err, "%s.part", target.path));
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
        FAIL(err, BE_DRIVER, "libcurl %s could not be initialised; check its installation",
             curl_version());
    be_status status = file_open_locked(&t.fd, t.part, err);
    if (status == BE_OK) {
        status = fetch(&t, err);
        if (status == BE_OK) status = file_publish(t.part, target.path, err);
        /* An empty part is of no use to anyone. */
        if (status != BE_OK && t.have == 0) unlink(t.part);
        close(t.fd);
    }
    curl_global_cleanup();
    return status;
}
