/* The server: connections by libmicrohttpd, without a thread of its own, in one loop with the study
 * at hand. */
#include <microhttpd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <unistd.h>

#include "asset_icon_svg.h"
#include "asset_page_js.h"
#include "asset_style_css.h"
#include "core/clock.h"
#include "core/memory.h"
#include "report/html.h"
#include "serve/api.h"
#include "serve/door.h"
#include "serve/serve.h"
#include "serve/socket.h"
#include "serve/stream.h"

#define CONNECTIONS 64u
#define CONNECTION_BYTES ((size_t)32768) /* of a request line with its headers */
#define CONNECTION_S 30u                 /* one that says nothing is closed */
#define BODY_BYTES 16384
#define PAGE_COLUMNS 100 /* of what the commands print */
#define SLEEP_NS INT64_C(3600000000000)

struct serve {
    serve_options options;
    door door;
    queue queue;
    struct MHD_Daemon *daemon;
    int listening;
    stream streams[STREAMS];
    char *style; /* of the pages */
};

/* A request while it is read and answered. */
typedef struct request {
    struct MHD_Connection *connection;
    const char *method;
    address address;
    bool too_many, too_large, missing;
    size_t length;
    char body[BODY_BYTES + 1];
} request;

/* ---------------------------------------------------------------- answers */

#define SHUT "default-src 'none'; base-uri 'none'; frame-ancestors 'none'; "
#define POLICY                                                                                   \
    SHUT "script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action " \
         "'self'"
/* Of a report, which is complete in itself: it has its style within, and no script at all. */
#define POLICY_OF_REPORT SHUT "style-src 'unsafe-inline'; form-action 'none'"

static void add_policy(struct MHD_Response *response, const char *type, const char *policy)
{
    static const char *const headers[][2] = {{"X-Content-Type-Options", "nosniff"},
                                             {"Referrer-Policy", "no-referrer"},
                                             {"Cross-Origin-Resource-Policy", "same-origin"},
                                             {"Cross-Origin-Opener-Policy", "same-origin"},
                                             {"Cache-Control", "no-store"}};
    for (size_t i = 0; i < sizeof headers / sizeof *headers; i++)
        MHD_add_response_header(response, headers[i][0], headers[i][1]);
    MHD_add_response_header(response, "Content-Security-Policy", policy);
    MHD_add_response_header(response, "Content-Type", type);
}

static void add_headers(struct MHD_Response *response, const char *type)
{
    add_policy(response, type, POLICY);
}

static enum MHD_Result send_response(request *r, unsigned code, struct MHD_Response *response)
{
    if (!response) return MHD_NO;
    if (code == MHD_HTTP_METHOD_NOT_ALLOWED)
        MHD_add_response_header(response, "Allow", "GET, HEAD, POST");
    if (code == MHD_HTTP_SERVICE_UNAVAILABLE) MHD_add_response_header(response, "Retry-After", "2");
    enum MHD_Result result = MHD_queue_response(r->connection, code, response);
    MHD_destroy_response(response);
    return result;
}

/* Takes the text, which free frees. */
static enum MHD_Result send_text(request *r, unsigned code, const char *type, char *text,
                                 size_t size)
{
    struct MHD_Response *response =
        MHD_create_response_from_buffer(size, text, MHD_RESPMEM_MUST_FREE);
    if (!response) {
        free(text);
        return MHD_NO;
    }
    bool report = code == MHD_HTTP_OK && strcmp(r->address.path, "/report") == 0;
    add_policy(response, type, report ? POLICY_OF_REPORT : POLICY);
    return send_response(r, code, response);
}

static enum MHD_Result send_asset(request *r, const char *type, const void *bytes, size_t size)
{
    struct MHD_Response *response =
        MHD_create_response_from_buffer(size, (void *)bytes, MHD_RESPMEM_PERSISTENT);
    if (response) add_headers(response, type);
    return send_response(r, MHD_HTTP_OK, response);
}

#define HTML "text/html; charset=utf-8"
#define JSON "application/json; charset=utf-8"

static enum MHD_Result send_json(request *r, unsigned code, json_t *value)
{
    char *text = value ? json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY) : NULL;
    json_decref(value);
    return text ? send_text(r, code, JSON, text, strlen(text)) : MHD_NO;
}

static bool wants_json(const request *r)
{
    return strncmp(r->address.path, "/api", 4) == 0 || strcmp(r->method, "POST") == 0;
}

/* A sentence, for people or for programs. */
static enum MHD_Result send_fault(request *r, unsigned code, const char *title, const char *text)
{
    char *page = NULL;
    size_t size = 0;
    if (wants_json(r)) return send_json(r, code, json_pack("{s:o}", "error", json_of_text(text)));
    FILE *out = open_memstream(&page, &size);
    if (!out) return MHD_NO;
    view_write_fault(title, text, out);
    if (fclose(out) != 0) return MHD_NO;
    return send_text(r, code, HTML, page, size);
}

static enum MHD_Result send_status(request *r, be_status status, const be_error *err)
{
    unsigned code = r->missing                 ? MHD_HTTP_NOT_FOUND
                    : status == BE_USAGE       ? MHD_HTTP_BAD_REQUEST
                    : status == BE_UNAVAILABLE ? MHD_HTTP_SERVICE_UNAVAILABLE
                                               : MHD_HTTP_INTERNAL_SERVER_ERROR;
    return send_fault(r, code, "This did not work", err->text);
}

/* ---------------------------------------------------------------- requests */

static enum MHD_Result answer_events(serve *s, request *r)
{
    int64_t job = address_number(address_value(&r->address, "job"));
    if (!job || !queue_find(&s->queue, job))
        return send_fault(r, MHD_HTTP_NOT_FOUND, "No such study",
                          "job: expected the number of a study that is remembered");
    stream *free_one = stream_find_free(s->streams);
    if (!free_one)
        return send_fault(
            r, MHD_HTTP_SERVICE_UNAVAILABLE, "Too many views",
            "expected fewer open views of studies, found the most that there can be; close some");
    struct MHD_Response *response = stream_open(free_one, &s->queue, r->connection, job);
    if (response) add_headers(response, "text/event-stream");
    return send_response(r, MHD_HTTP_OK, response);
}

static enum MHD_Result add_pair(void *context, enum MHD_ValueKind kind, const char *name,
                                const char *value)
{
    request *r = context;
    (void)kind;
    r->too_many |= r->address.count == ADDRESS_PAIRS;
    if (r->too_many) return MHD_NO;
    r->address.pairs[r->address.count].name = name;
    r->address.pairs[r->address.count++].value = value ? value : "";
    return MHD_YES;
}

static const char *header(const request *r, const char *name)
{
    return MHD_lookup_connection_value(r->connection, MHD_HEADER_KIND, name);
}

static door_headers headers_of(const request *r)
{
    return (door_headers){.host = header(r, "Host"),
                          .origin = header(r, "Origin"),
                          .fetch_site = header(r, "Sec-Fetch-Site"),
                          .cookie = header(r, "Cookie"),
                          .authorization = header(r, "Authorization"),
                          .content_type = header(r, "Content-Type")};
}

/* The token of the address becomes a cookie, and the address one without it: by a page of ours, for
 * a browser that came by a link elsewhere sends no strict cookie along with a redirect. */
static enum MHD_Result let_in(serve *s, request *r)
{
    static const char page[] = "<!doctype html><meta charset=utf-8><meta http-equiv=refresh "
                               "content=\"0;url=/\"><title>breakeven</title><a href=/>go on</a>";
    char name[32], cookie[160];
    struct MHD_Response *response =
        MHD_create_response_from_buffer(sizeof page - 1, (void *)page, MHD_RESPMEM_PERSISTENT);
    if (!response) return MHD_NO;
    door_cookie_name(&s->door, name);
    snprintf(cookie, sizeof cookie, "%s=%s; HttpOnly; SameSite=Strict; Path=/", name,
             s->door.session);
    add_headers(response, HTML);
    MHD_add_response_header(response, "Set-Cookie", cookie);
    return send_response(r, MHD_HTTP_OK, response);
}

static enum MHD_Result answer_post(serve *s, request *r)
{
    json_t *out = NULL;
    be_error err = {0};
    be_status status = api_change(&s->queue, r->address.path, r->body, r->length, &out, &err);
    if (status == BE_OK) return send_json(r, MHD_HTTP_ACCEPTED, out);
    json_decref(out);
    return send_status(r, status, &err);
}

static enum MHD_Result answer_api(serve *s, request *r)
{
    const view v = {&s->queue, &r->address, &r->missing};
    int64_t run = address_part(r->address.path, "/api/runs/", "/records");
    json_t *value = NULL;
    be_error err = {0};
    be_status status = BE_OK;
    if (run) {
        char *text = NULL;
        size_t size = 0;
        FILE *out = open_memstream(&text, &size);
        if (!out) return MHD_NO;
        status = api_write_records(run, &r->missing, out, &err);
        if (fclose(out) != 0) return MHD_NO;
        if (status == BE_OK)
            return send_text(r, MHD_HTTP_OK, "application/jsonl; charset=utf-8", text, size);
        free(text);
        return send_status(r, status, &err);
    }
    status = api_read(&v, &value, &err);
    if (status == BE_OK) return send_json(r, MHD_HTTP_OK, value);
    json_decref(value);
    return send_status(r, status, &err);
}

static enum MHD_Result answer_page(serve *s, request *r)
{
    const view v = {&s->queue, &r->address, &r->missing};
    bool metrics = strcmp(r->address.path, "/metrics") == 0;
    char *text = NULL;
    size_t size = 0;
    be_error err = {0};
    be_status status = BE_OK;
    FILE *out = open_memstream(&text, &size);
    if (!out) return MHD_NO;
    if (metrics)
        api_write_metrics(&s->queue, stream_count(s->streams), out);
    else
        status = view_write(&v, out, &err);
    if (fclose(out) != 0) return MHD_NO;
    if (status == BE_OK)
        return send_text(r, MHD_HTTP_OK, metrics ? "text/plain; version=0.0.4" : HTML, text, size);
    free(text);
    return send_status(r, status, &err);
}

static enum MHD_Result answer_get(serve *s, request *r)
{
    const char *path = r->address.path;
    if (strcmp(path, "/style.css") == 0)
        return send_asset(r, "text/css; charset=utf-8", s->style, strlen(s->style));
    if (strcmp(path, "/page.js") == 0)
        return send_asset(r, "text/javascript; charset=utf-8", asset_page_js,
                          sizeof asset_page_js - 1);
    if (strcmp(path, "/icon.svg") == 0)
        return send_asset(r, "image/svg+xml", asset_icon_svg, sizeof asset_icon_svg - 1);
    if (strcmp(path, "/events") == 0) return answer_events(s, r);
    if (strncmp(path, "/api", 4) == 0) return answer_api(s, r);
    return answer_page(s, r);
}

static enum MHD_Result answer(serve *s, request *r)
{
    bool post = strcmp(r->method, "POST") == 0;
    const char *why = NULL, *token = address_value(&r->address, "token");
    door_headers headers = headers_of(r);
    if (!post && strcmp(r->method, "GET") != 0 && strcmp(r->method, "HEAD") != 0)
        return send_fault(r, MHD_HTTP_METHOD_NOT_ALLOWED, "No such method",
                          "expected GET, HEAD or POST, found another method");
    if (r->too_many)
        return send_fault(r, MHD_HTTP_BAD_REQUEST, "Too much", "expected fewer settings");
    bool enters = !post && *token && strcmp(r->address.path, "/") == 0;
    if (enters) headers.fetch_site = NULL; /* a link may lead here from anywhere */
    if (!door_is_from_here(&s->door, &headers, post, &why))
        return send_fault(r, MHD_HTTP_FORBIDDEN, "Not from here", why);
    if (enters && door_takes_token(&s->door, token)) return let_in(s, r);
    if (!door_has_cookie(&s->door, headers.cookie) &&
        !door_has_bearer(&s->door, headers.authorization))
        return send_fault(r, MHD_HTTP_UNAUTHORIZED, "Who is there?",
                          "this page is for whoever started it: open the address with the token "
                          "that 'breakeven serve' printed");
    if (r->too_large)
        return send_fault(r, MHD_HTTP_CONTENT_TOO_LARGE, "Too much",
                          "expected a request of at most 16 KiB, found a larger one");
    return post ? answer_post(s, r) : answer_get(s, r);
}

static enum MHD_Result take_request(void *context, struct MHD_Connection *connection,
                                    const char *path, const char *method, const char *version,
                                    const char *bytes, size_t *count, void **state)
{
    request *r = *state;
    (void)version;
    if (!r) {
        if (memory_alloc(state, sizeof *r, "a request", NULL) != BE_OK) return MHD_NO;
        r = *state;
        r->connection = connection;
        r->method = method;
        r->address.path = path;
        MHD_get_connection_values(connection, MHD_GET_ARGUMENT_KIND, add_pair, r);
        return MHD_YES;
    }
    if (!*count) return answer(context, r);
    r->too_large |= *count > BODY_BYTES - r->length;
    if (!r->too_large) {
        memcpy(r->body + r->length, bytes, *count);
        r->length += *count;
    }
    *count = 0;
    return MHD_YES;
}

static void end_request(void *context, struct MHD_Connection *connection, void **state,
                        enum MHD_RequestTerminationCode code)
{
    (void)context;
    (void)connection;
    (void)code;
    memory_free(*state);
    *state = NULL;
}

/* ---------------------------------------------------------------- the server */

static be_status make_style(serve *s, be_error *err)
{
    size_t size = 0;
    FILE *out = open_memstream(&s->style, &size);
    if (!out) FAIL(err, BE_NO_MEMORY, "no memory left for a page; free some");
    html_style(out);
    fputs(asset_style_css, out);
    if (fclose(out) != 0) FAIL(err, BE_NO_MEMORY, "no memory left for a page; free some");
    return BE_OK;
}

static be_status start(serve *s, be_error *err)
{
    if (s->options.listen && !s->options.token)
        FAIL(err, BE_USAGE,
             "--listen: others reach the page then: expected --token T beside it, found none; add "
             "one of %d characters at least",
             DOOR_TOKEN_LEAST);
    TRY(door_make(&s->door, s->options.listen, s->options.token, err));
    TRY(make_style(s, err));
    report_look = (report_style){.utf8 = true, .columns = PAGE_COLUMNS};
    s->door.port = s->options.port;
    TRY(socket_listen(s->options.listen, &s->door.port, &s->listening, err));
    s->daemon = MHD_start_daemon(
        MHD_ALLOW_SUSPEND_RESUME, 0, NULL, NULL, take_request, s, MHD_OPTION_LISTEN_SOCKET,
        s->listening, MHD_OPTION_CONNECTION_LIMIT, CONNECTIONS, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
        CONNECTION_BYTES, MHD_OPTION_CONNECTION_TIMEOUT, CONNECTION_S, MHD_OPTION_NOTIFY_COMPLETED,
        end_request, NULL, MHD_OPTION_END);
    if (!s->daemon)
        FAIL(err, BE_IO, "serve: libmicrohttpd could not start; raise `ulimit -n`, or free memory");
    s->listening = -1; /* it is the daemon's now */
    return queue_open(&s->queue, s->options.program, err);
}

be_status serve_open(serve **out, const serve_options *options, be_error *err)
{
    void *memory = NULL;
    TRY(memory_alloc(&memory, sizeof(serve), "the server", err));
    *out = memory;
    (*out)->options = *options;
    (*out)->listening = -1;
    be_status status = start(*out, err);
    if (status == BE_OK) return BE_OK;
    serve_close(*out);
    *out = NULL;
    return status;
}

const char *serve_address(const serve *s, bool once, char out[256])
{
    const char *listen = s->door.listen;
    bool any = !*listen || strcmp(listen, "0.0.0.0") == 0 || strcmp(listen, "::") == 0;
    snprintf(out, 256,
             strchr(any ? "" : listen, ':') ? "http://[%s]:%d/?token=%s" : "http://%s:%d/?token=%s",
             any ? "127.0.0.1" : listen, s->door.port, once ? s->door.once : s->door.token);
    return out;
}

/* What the library, the streams that sleep and the child want to be woken for. */
typedef struct waiting {
    struct pollfd fds[CONNECTIONS + STREAMS + 8];
    int count;
    int64_t until_ns;
} waiting;

static void watch_library(serve *s, waiting *w)
{
    fd_set sets[3];
    int highest = -1;
    unsigned long long left_ms = 0;
    for (int i = 0; i < 3; i++) FD_ZERO(&sets[i]);
    if (MHD_get_fdset(s->daemon, &sets[0], &sets[1], &sets[2], &highest) != MHD_YES) return;
    for (int fd = 0; fd <= highest; fd++) {
        short events =
            (short)((FD_ISSET(fd, &sets[0]) ? POLLIN : 0) | (FD_ISSET(fd, &sets[1]) ? POLLOUT : 0));
        if ((events || FD_ISSET(fd, &sets[2])) && w->count < (int)CONNECTIONS + 4)
            w->fds[w->count++] = (struct pollfd){.fd = fd, .events = events};
    }
    if (MHD_get_timeout(s->daemon, &left_ms) != MHD_YES) return;
    int64_t until_ns = clock_now_ns() + (int64_t)left_ms * 1000000;
    if (until_ns < w->until_ns) w->until_ns = until_ns;
}

be_status serve_run(serve *s, be_error *err)
{
    while (!*s->options.stop) {
        waiting w = {.until_ns = clock_now_ns() + SLEEP_NS};
        int64_t kill_ns = INT64_MAX;
        if (stream_wake_due(s->streams, &w.until_ns)) MHD_run(s->daemon);
        watch_library(s, &w);
        int streams = w.count;
        w.count += stream_watch(s->streams, w.fds + w.count);
        w.count += queue_watch(&s->queue, w.fds + w.count, &kill_ns);
        if (kill_ns < w.until_ns) w.until_ns = kill_ns;
        int64_t left_ns = w.until_ns - clock_now_ns();
        clock_wait_ready(w.fds, w.count, left_ns > 0 ? left_ns : 0);
        stream_look(s->streams, w.fds + streams);
        queue_work(&s->queue);
        MHD_run(s->daemon);
    }
    FAIL(err, BE_INTERRUPTED, "serve: ended by a signal");
}

void serve_close(serve *s)
{
    if (!s) return;
    stream_end_all(s->streams);
    if (s->daemon) {
        MHD_run(s->daemon); /* those that were woken end */
        MHD_stop_daemon(s->daemon);
    }
    if (s->listening >= 0) close(s->listening);
    queue_close(&s->queue);
    free(s->style);
    memory_free(s);
}
