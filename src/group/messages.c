/* See messages.h. */
#include "group/messages.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "core/clock.h"
#include "core/memory.h"
#include "group/mean.h"

_Static_assert(GROUP_MOST <= MPI_RANKS_MOST, "the plugin has room for all ranks");

#define CHUNK ((int64_t)1 << 20) /* floats that are under way as one: the link's time to fill */
#define SLOTS 2                  /* of what comes in swaps */
#define LINE 16                  /* floats of a cache line */
#define MEANS_MOST 64            /* that have begun and were not asked for */
#define SIGN_NS INT64_C(250000000)
/* A rank that waits looks SPINS times, then sleeps so long between two looks. */
#define SPINS 200
#define NAP_NS 50000
#define NOTES_NS INT64_C(5000000) /* between two looks for notes while it waits */
/* Who waits for the same rank notices it one after the other, so that the first can tell. */
#define TURN_NS INT64_C(60000000)
#define TURNS_MOST 10
#define FAREWELL_NS INT64_C(300000000) /* how long a rank that has ended sees to its last words */

/* What a rank tells all others when it, or one that is silent, has ended. */
typedef struct end_note {
    int32_t rank, status;
    char words[MPI_NOTE_BYTES - 8];
} end_note;

typedef struct mean_job {
    float *x; /* NULL: it is free */
    int64_t count;
    int64_t begun_ns, whole_ns; /* 0: it is not */
} mean_job;

/* A chunk of a mean, counted over all of them. */
typedef struct cursor {
    uint64_t job, chunk;
    int64_t at;
} cursor;

typedef struct message_group {
    be_group base;
    const mpi_plugin *plugin;
    char *sets; /* two of base.size times GROUP_CHUNK, which exchanges fill in turn */
    uint64_t exchanges;
    mean_job jobs[MEANS_MOST];
    int open;                    /* jobs */
    mean_job *queue[MEANS_MOST]; /* in the order in which they began, … */
    uint64_t begun;              /* … so many, of which the last ones are not whole */
    int64_t counted_ns;          /* until when the time of means is counted */
    /* The next chunk that is swapped, the next one that is added up, and the next one that is
     * whole.
     */
    cursor swapped, added, whole;
    float *come; /* SLOTS times slot_floats: what came in swaps */
    int64_t slot_floats;
    int64_t told_ns, looked_ns; /* the last sign to the others, and the last look for notes */
    int64_t heard_ns[GROUP_MOST];
    bool ended, tells;
    end_note end;
    pthread_t signs;
    int64_t signs_ns; /* how long it gives them at most */
    atomic_bool signs_over;
} message_group;

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* ---------------------------------------------------------------- signs of life, and ends */

/* Nobody else can tell it. */
static be_status fail(message_group *g, const char *reason, be_error *err)
{
    g->tells |= !g->ended;
    g->ended = true;
    FAIL(err, BE_DRIVER, "rank %d of %d cannot reach the others: %s", g->base.rank, g->base.size,
         reason);
}

static be_status read_end(const message_group *g, be_error *err)
{
    const end_note *e = &g->end;
    if (e->rank == g->base.rank)
        FAIL(err, BE_FAILED, "the other ranks have ended without this one, rank %d of %d: it %s",
             e->rank, g->base.size, e->words);
    FAIL(err, (be_status)e->status, "rank %d of %d ended: %s", e->rank, g->base.size, e->words);
}

/* The first end that this rank knows of is the group's. */
static void set_end(message_group *g, int rank, int status, const char *words)
{
    if (g->ended) return;
    g->ended = true;
    g->end.rank = rank;
    g->end.status = status;
    snprintf(g->end.words, sizeof g->end.words, "%.*s", (int)sizeof g->end.words - 1, words);
}

static be_status tell_all(message_group *g, int kind, const void *note, size_t bytes, be_error *err)
{
    char reason[MPI_REASON_BYTES];
    for (int r = 0; r < g->base.size; r++)
        if (r != g->base.rank && g->plugin->send(kind, r, note, bytes, reason))
            return fail(g, reason, err);
    return BE_OK;
}

static be_status take_notes(message_group *g, int64_t now_ns, be_error *err)
{
    char reason[MPI_REASON_BYTES];
    end_note note;
    int kind = 0, rank = 0;
    while (!g->plugin->take(&kind, &rank, &note, reason)) {
        if (rank < 0) return BE_OK;
        g->heard_ns[rank] = now_ns;
        if (kind == MPI_END) set_end(g, note.rank, note.status, note.words);
    }
    return fail(g, reason, err);
}

/* Tell the others that this rank lives, and hear of them. */
static be_status keep_in_touch(message_group *g, int64_t now_ns, be_error *err)
{
    if (now_ns - g->told_ns >= SIGN_NS) {
        g->told_ns = now_ns;
        TRY(tell_all(g, MPI_SIGN, "", 1, err));
    }
    g->looked_ns = now_ns;
    TRY(take_notes(g, now_ns, err));
    return g->ended ? read_end(g, err) : BE_OK;
}

/* Last words travel while their sender looks after them. */
static void bid_farewell(message_group *g)
{
    be_error ignored = {0};
    int64_t start_ns = clock_now_ns();
    if (tell_all(g, MPI_END, &g->end, sizeof g->end, &ignored) != BE_OK) return;
    while (clock_now_ns() - start_ns < FAREWELL_NS && take_notes(g, 0, &ignored) == BE_OK)
        clock_sleep_ns(NAP_NS);
}

static be_status end_silent(message_group *g, int rank, int64_t silent_ns, be_error *err)
{
    char words[200];
    snprintf(words, sizeof words,
             "it hangs, falls behind or cannot be reached: the others have waited %.1f s for a "
             "sign of it",
             (double)silent_ns * 1e-9);
    set_end(g, rank, BE_FAILED, words);
    g->tells = true;
    bid_farewell(g);
    return read_end(g, err);
}

/* ---------------------------------------------------------------- waiting */

typedef struct waiting {
    int64_t limit_ns, start_ns;
    int looks;
} waiting;

static be_status find_silent(message_group *g, const waiting *w, int64_t now_ns, be_error *err)
{
    int64_t turn_ns = least(g->base.rank, TURNS_MOST) * TURN_NS;
    for (int r = 0; r < g->base.size; r++) {
        int64_t heard_ns = g->heard_ns[r] > w->start_ns ? g->heard_ns[r] : w->start_ns;
        if (r != g->base.rank && now_ns - heard_ns > w->limit_ns + turn_ns)
            return end_silent(g, r, now_ns - heard_ns, err);
    }
    return BE_OK;
}

/* Between two looks at what is waited for. */
static be_status wait_a_little(message_group *g, waiting *w, be_error *err)
{
    if (w->looks++ < SPINS) return BE_OK;
    int64_t now_ns = clock_now_ns();
    if (!w->start_ns) w->start_ns = now_ns;
    if (now_ns - g->looked_ns >= NOTES_NS) {
        TRY(keep_in_touch(g, now_ns, err));
        TRY(find_silent(g, w, now_ns, err));
    }
    clock_sleep_ns(NAP_NS);
    return BE_OK;
}

static be_status look(message_group *g, int call, bool *is_over, be_error *err)
{
    char reason[MPI_REASON_BYTES];
    int over = 0;
    if (g->plugin->look(call, &over, reason)) return fail(g, reason, err);
    *is_over = over;
    return BE_OK;
}

static be_status message_exchange(be_group *group, const void *mine, size_t bytes, int64_t limit_ns,
                                  const void **all, be_error *err)
{
    message_group *g = (message_group *)group;
    char reason[MPI_REASON_BYTES], *set;
    size_t room = (size_t)group->size * GROUP_CHUNK, here = bytes ? bytes : 1;
    waiting w = {.limit_ns = limit_ns};
    bool is_over = false;
    MUST(bytes <= GROUP_CHUNK);
    if (g->ended) return read_end(g, err);
    set = g->sets + g->exchanges++ % 2 * room;
    for (int r = 0; r < group->size; r++) all[r] = set + (size_t)r * here;
    if (g->plugin->exchange(bytes ? mine : "", set, here, reason)) return fail(g, reason, err);
    while (true) {
        TRY(look(g, MPI_EXCHANGE, &is_over, err));
        if (is_over) return BE_OK;
        TRY(wait_a_little(g, &w, err));
    }
}

/* ---------------------------------------------------------------- means */

static const mean_job *job_of(const message_group *g, const cursor *c)
{
    return g->queue[c->job % MEANS_MOST];
}

static bool is_there(const message_group *g, const cursor *c)
{
    return c->job < g->begun;
}

static void step_on(const message_group *g, cursor *c)
{
    c->chunk++;
    c->at += CHUNK;
    if (c->at < job_of(g, c)->count) return;
    c->job++;
    c->at = 0;
}

/* Where the segment of each rank begins in the chunk at a cursor. */
static void cut_chunk(const message_group *g, const cursor *c, int64_t at[GROUP_MOST + 1])
{
    int64_t count = least(CHUNK, job_of(g, c)->count - c->at), lines = (count + LINE - 1) / LINE;
    int64_t each = (lines + g->base.size - 1) / g->base.size * LINE;
    for (int r = 0; r <= g->base.size; r++) at[r] = least(each * r, count);
}

static be_status begin_swap(message_group *g, be_error *err)
{
    char reason[MPI_REASON_BYTES];
    int64_t at[GROUP_MOST + 1];
    int slot = (int)(g->swapped.chunk % SLOTS);
    cut_chunk(g, &g->swapped, at);
    if (g->plugin->swap(MPI_SWAP + slot, job_of(g, &g->swapped)->x + g->swapped.at, at,
                        g->come + slot * g->slot_floats, reason))
        return fail(g, reason, err);
    step_on(g, &g->swapped);
    return BE_OK;
}

static be_status add_and_gather(message_group *g, be_error *err)
{
    char reason[MPI_REASON_BYTES];
    int64_t at[GROUP_MOST + 1];
    int rank = g->base.rank;
    float *x = job_of(g, &g->added)->x + g->added.at;
    const float *come = g->come + (int64_t)(g->added.chunk % SLOTS) * g->slot_floats;
    mean_segment s;
    cut_chunk(g, &g->added, at);
    int64_t own = at[rank + 1] - at[rank];
    mean_set_weights(&g->base, &s);
    for (int r = 0; r < s.size; r++) s.all[r] = come + r * own;
    s.x = s.result = x + at[rank];
    mean_add_up(&s, 0, own);
    if (g->plugin->gather(x, at, reason)) return fail(g, reason, err);
    step_on(g, &g->added);
    return BE_OK;
}

static void end_chunk(message_group *g)
{
    mean_job *job = g->queue[g->whole.job % MEANS_MOST];
    uint64_t before = g->whole.job;
    step_on(g, &g->whole);
    if (g->whole.job != before) job->whole_ns = clock_now_ns();
}

/* Do what can be done now for the means that have begun. */
static be_status go_on(message_group *g, be_error *err)
{
    bool is_over = false;
    for (bool moves = true; moves;) {
        moves = false;
        if (g->whole.chunk < g->added.chunk) {
            TRY(look(g, MPI_GATHER, &is_over, err));
            if (is_over) end_chunk(g);
            moves |= is_over;
        }
        if (g->added.chunk < g->swapped.chunk && g->whole.chunk == g->added.chunk) {
            TRY(look(g, MPI_SWAP + (int)(g->added.chunk % SLOTS), &is_over, err));
            if (is_over) TRY(add_and_gather(g, err));
            moves |= is_over;
        }
        if (is_there(g, &g->swapped) && g->swapped.chunk < g->added.chunk + SLOTS) {
            TRY(begin_swap(g, err));
            moves = true;
        }
    }
    return BE_OK;
}

/* The mean of these floats, or, for NULL, a free place; NULL where there is none. */
static mean_job *find_job(message_group *g, const float *x)
{
    for (int j = 0; j < MEANS_MOST; j++)
        if (g->jobs[j].x == x) return &g->jobs[j];
    return NULL;
}

static be_status begin_job(message_group *g, float *x, int64_t count, be_error *err)
{
    mean_job *job = find_job(g, NULL);
    MUST(job);
    *job = (mean_job){x, count, clock_now_ns(), 0};
    g->queue[g->begun++ % MEANS_MOST] = job;
    g->open++;
    return go_on(g, err);
}

/* Whether there is room is the same on all ranks: it follows from what they have asked for.  One
 * place is for a mean that begins when it is asked for. */
static be_status message_mean_begin(be_group *group, float *x, int64_t count, be_error *err)
{
    message_group *g = (message_group *)group;
    return g->ended || g->open == MEANS_MOST - 1 ? BE_OK : begin_job(g, x, count, err);
}

/* What was waited for since, or counted before, is not hidden. */
static void count_hidden(message_group *g, const mean_job *job, int64_t asked_ns)
{
    int64_t end_ns = least(asked_ns, job->whole_ns);
    int64_t begin_ns = job->begun_ns > g->counted_ns ? job->begun_ns : g->counted_ns;
    if (end_ns > begin_ns) g->base.hidden_ns += end_ns - begin_ns;
    g->counted_ns = clock_now_ns();
}

static be_status message_mean(be_group *group, float *x, int64_t count, int64_t limit_ns,
                              be_error *err)
{
    message_group *g = (message_group *)group;
    waiting w = {.limit_ns = limit_ns};
    if (g->ended) return read_end(g, err);
    mean_job *job = find_job(g, x);
    bool is_begun = job;
    int64_t asked_ns = clock_now_ns();
    if (!is_begun) TRY(begin_job(g, x, count, err));
    if (!is_begun) job = find_job(g, x);
    while (true) {
        TRY(go_on(g, err));
        if (job->whole_ns) break;
        TRY(wait_a_little(g, &w, err));
    }
    if (is_begun) count_hidden(g, job, asked_ns);
    job->x = NULL;
    g->open--;
    return BE_OK;
}

/* ---------------------------------------------------------------- signs from a thread */

static void *give_signs(void *argument)
{
    message_group *g = argument;
    be_error ignored = {0};
    int64_t now_ns = clock_now_ns(), end_ns = now_ns + g->signs_ns;
    while (!atomic_load(&g->signs_over) && now_ns < end_ns &&
           keep_in_touch(g, now_ns, &ignored) == BE_OK) {
        clock_sleep_ns(NOTES_NS);
        now_ns = clock_now_ns();
    }
    return NULL;
}

static be_status message_signs(be_group *group, int64_t limit_ns, be_error *err)
{
    message_group *g = (message_group *)group;
    g->signs_ns = limit_ns;
    atomic_store(&g->signs_over, false);
    if (pthread_create(&g->signs, NULL, give_signs, g) == 0) return BE_OK;
    FAIL(err, BE_UNAVAILABLE, "rank %d of %d: no thread to give signs of life", group->rank,
         group->size);
}

static void message_signs_end(be_group *group)
{
    message_group *g = (message_group *)group;
    atomic_store(&g->signs_over, true);
    pthread_join(g->signs, NULL);
}

/* ---------------------------------------------------------------- the group */

/* Whatever fails here fails again when somebody waits. */
static void message_beat(be_group *group)
{
    message_group *g = (message_group *)group;
    be_error ignored = {0};
    int64_t now_ns = clock_now_ns();
    if (go_on(g, &ignored) != BE_OK) return;
    if (now_ns - g->told_ns >= SIGN_NS) (void)keep_in_touch(g, now_ns, &ignored);
}

static void message_end(be_group *group, const be_error *why)
{
    message_group *g = (message_group *)group;
    if (g->ended) return;
    set_end(g, group->rank, (int)why->status, why->text);
    g->tells = true;
    bid_farewell(g);
}

static bool message_tells(be_group *group)
{
    return ((message_group *)group)->tells;
}

static void message_close(be_group *group)
{
    message_group *g = (message_group *)group;
    if (group->end.status == BE_OK) g->plugin->close();
    memory_free(g);
}

/* Without `check`, which is for GPUs: those are of one machine. */
static const group_transport message_transport = {.exchange = message_exchange,
                                                  .mean = message_mean,
                                                  .mean_begin = message_mean_begin,
                                                  .beat = message_beat,
                                                  .signs = message_signs,
                                                  .signs_end = message_signs_end,
                                                  .end = message_end,
                                                  .tells = message_tells,
                                                  .close = message_close};

be_status messages_join(const mpi_plugin *plugin, int rank, int size, be_group **out, be_error *err)
{
    char reason[MPI_REASON_BYTES];
    void *memory = NULL;
    int64_t now_ns = clock_now_ns();
    int64_t slot_floats = (CHUNK / LINE + size) * LINE;
    size_t head = (sizeof(message_group) + 63) / 64 * 64;
    size_t sets = 2 * (size_t)size * GROUP_CHUNK;
    *out = NULL;
    TRY(memory_alloc(&memory, head + sets + SLOTS * (size_t)slot_floats * sizeof(float),
                     "the messages of a group", err));
    message_group *g = memory;
    g->base = (be_group){.transport = &message_transport,
                         .rank = rank,
                         .size = size,
                         .is_apart = true,
                         .beat_ns = now_ns};
    g->plugin = plugin;
    g->sets = (char *)memory + head;
    g->come = (float *)(void *)(g->sets + sets);
    g->slot_floats = slot_floats;
    if (!plugin->prepare(reason)) {
        *out = &g->base;
        return BE_OK;
    }
    be_status status = fail(g, reason, err);
    memory_free(memory);
    return status;
}
