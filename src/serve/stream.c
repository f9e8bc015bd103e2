/* See stream.h. */
#include "serve/stream.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "core/json.h"
#include "core/memory.h"
#include "serve/panel.h"

#define PAUSE_NS INT64_C(100000000) /* between two events of a stream */
#define PIECE_BYTES 65536

int stream_count(const stream streams[STREAMS])
{
    int count = 0;
    for (int i = 0; i < STREAMS; i++) count += streams[i].queue != NULL;
    return count;
}

stream *stream_find_free(stream streams[STREAMS])
{
    for (int i = 0; i < STREAMS; i++)
        if (!streams[i].queue) return &streams[i];
    return NULL;
}

/* {"state": …, "html": …} of the study as it stands; NULL without memory. */
static char *draw(const stream *t)
{
    char *html = NULL, *data = NULL;
    size_t size = 0;
    const job *j = queue_find(t->queue, t->job);
    FILE *out = open_memstream(&html, &size);
    if (!out) return NULL;
    panel_write(t->queue, t->job, out);
    if (fclose(out) == 0) {
        json_t *event = json_pack("{s:s, s:o}", "state", j ? job_state_name(j->state) : "gone",
                                  "html", json_of_text(html));
        data = event ? json_dumps(event, JSON_COMPACT) : NULL;
        json_decref(event);
    }
    free(html);
    return data;
}

static void make_event(stream *t)
{
    be_error unused;
    char *data = draw(t);
    void *text = NULL;
    size_t room = data ? strlen(data) + 32 : 0;
    if (data && memory_alloc(&text, room, "an event of the page", &unused) == BE_OK) t->text = text;
    t->size = t->text ? (size_t)snprintf(t->text, room, "event: study\ndata: %s\n\n", data) : 0;
    t->sent = 0;
    t->version = t->queue->version;
    t->next_ns = clock_now_ns() + PAUSE_NS;
    free(data);
}

static bool has_news(const stream *t)
{
    const job *j = queue_find(t->queue, t->job);
    /* Who waits is told how many come before it, which others change. */
    bool own = j && j->state != JOB_WAITING;
    return t->version < 0 || (own ? j->version : t->queue->version) > t->version;
}

static ssize_t read_stream(void *context, uint64_t position, char *out, size_t room)
{
    stream *t = context;
    (void)position;
    if (t->gone) return MHD_CONTENT_READER_END_OF_STREAM;
    if (!t->text && has_news(t) && clock_now_ns() >= t->next_ns) make_event(t);
    if (!t->text) {
        t->asleep = true;
        MHD_suspend_connection(t->connection);
        return 0;
    }
    size_t count = t->size - t->sent < room ? t->size - t->sent : room;
    memcpy(out, t->text + t->sent, count);
    t->sent += count;
    if (t->sent == t->size) {
        memory_free(t->text);
        t->text = NULL;
    }
    return (ssize_t)count;
}

static void free_stream(void *context)
{
    stream *t = context;
    memory_free(t->text);
    *t = (stream){0};
}

struct MHD_Response *stream_open(stream *t, const queue *q, struct MHD_Connection *connection,
                                 int64_t job)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    *t = (stream){.queue = q,
                  .connection = connection,
                  .fd = info->connect_fd,
                  .place = -1,
                  .job = job,
                  .version = -1};
    struct MHD_Response *response = MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, PIECE_BYTES,
                                                                      read_stream, t, free_stream);
    if (!response) *t = (stream){0};
    return response;
}

static void wake(stream *t)
{
    t->asleep = false;
    MHD_resume_connection(t->connection);
}

bool stream_wake_due(stream streams[STREAMS], int64_t *until_ns)
{
    int64_t now_ns = clock_now_ns();
    bool woken = false;
    for (int i = 0; i < STREAMS; i++) {
        stream *t = &streams[i];
        if (!t->queue || !t->asleep) continue;
        bool due = t->gone || (has_news(t) && now_ns >= t->next_ns);
        woken |= due;
        if (due)
            wake(t);
        else if (has_news(t) && t->next_ns < *until_ns)
            *until_ns = t->next_ns;
    }
    return woken;
}

int stream_watch(stream streams[STREAMS], struct pollfd out[STREAMS])
{
    int count = 0;
    for (int i = 0; i < STREAMS; i++) {
        stream *t = &streams[i];
        t->place = -1;
        if (!t->queue || !t->asleep || t->gone) continue;
        t->place = count;
        out[count++] = (struct pollfd){.fd = t->fd, .events = POLLIN};
    }
    return count;
}

/* One that has only to listen and says something is none of ours. */
void stream_look(stream streams[STREAMS], const struct pollfd watched[STREAMS])
{
    for (int i = 0; i < STREAMS; i++)
        if (streams[i].queue && streams[i].place >= 0 && watched[streams[i].place].revents)
            streams[i].gone = true;
}

void stream_end_all(stream streams[STREAMS])
{
    for (int i = 0; i < STREAMS; i++) {
        if (!streams[i].queue || !streams[i].asleep) continue;
        streams[i].gone = true;
        wake(&streams[i]);
    }
}
