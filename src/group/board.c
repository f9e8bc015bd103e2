/* Boards: rounds, signs of life, last words; and the groups of threads. */
#include "group/board.h"

#include <errno.h>
#include <inttypes.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/memory.h"
#include "group/mean.h"

#define LINE 64             /* bytes of a cache line */
#define SPINS 2000          /* looks at a counter before the waiting rank sleeps … */
#define NAP_NS 50000        /* … so long at a time, … */
#define SOON_NS 20000000    /* … and once it has waited for so long … */
#define LONG_NAP_NS 1000000 /* … so long, looking for signs of life */
#define WORDS_BYTES 900     /* of last words */

/* Of means: what is put down at once, small enough for what is under way to stay in the caches; and
 * the sets of slots. */
#define MEAN_FLOATS ((int64_t)32 << 10)
#define MEAN_SETS 3
#define MEAN_RESULTS 2

/* Rounds of exchanges, and of means. */
enum { EXCHANGES, MEANS, LANES };

typedef struct board_place {
    struct {
        _Alignas(LINE) _Atomic uint64_t rounds; /* that this rank has done its part of */
    } lane[LANES];
    _Alignas(LINE) _Atomic uint64_t beats; /* signs of life */
    _Atomic int64_t pid;
    _Atomic bool has_left; /* in order, when all was done */
} board_place;

struct board {
    _Atomic int open; /* handles of threads; nobody counts those of processes */
    /* How the group ended: 1 + the rank that did, 0 while it lives; then its words, once `written`.
     */
    _Atomic int ended, written;
    _Atomic int told;
    int status;
    char words[WORDS_BYTES];
    board_place places[];
};

/* How long a rank has been silent, as another one sees it. */
typedef struct board_watch {
    uint64_t beats;
    int64_t since_ns;
} board_watch;

typedef struct board_group {
    be_group base;
    board *b;
    char *slots;  /* two sets of base.size slots of GROUP_CHUNK */
    float *means; /* MEAN_SETS sets of base.size slots of MEAN_FLOATS, then MEAN_RESULTS such */
    uint64_t rounds[LANES];
    bool tells; /* it is for this rank to tell how the group ended */
    void (*release)(void *context, bool in_order);
    void *context;
    int64_t looked_ns;     /* the last look at signs of life */
    board_watch watches[]; /* LANES times base.size */
} board_group;

static size_t head_bytes(int size)
{
    size_t bytes = sizeof(board) + (size_t)size * sizeof(board_place);
    return (bytes + LINE - 1) / LINE * LINE;
}

static size_t slots_bytes(int size)
{
    return 2 * (size_t)size * GROUP_CHUNK;
}

size_t board_bytes(int size)
{
    size_t slots = MEAN_SETS * (size_t)size + MEAN_RESULTS;
    return head_bytes(size) + slots_bytes(size) + slots * (size_t)MEAN_FLOATS * sizeof(float);
}

/* The first end is the group's: those that follow from it say nothing.  `told`: the rank that ended
 * lives and tells it. */
static bool post_end(board *b, int rank, be_status status, const char *words, bool is_told)
{
    int none = 0;
    if (!atomic_compare_exchange_strong(&b->ended, &none, rank + 1)) return false;
    b->status = (int)status;
    snprintf(b->words, sizeof b->words, "%.*s", (int)sizeof b->words - 1, words);
    atomic_store(&b->told, is_told);
    atomic_store(&b->written, 1);
    return true;
}

static be_status read_end(const board_group *g, be_error *err)
{
    board *b = g->b;
    while (!atomic_load(&b->written)) sched_yield();
    int rank = atomic_load(&b->ended) - 1;
    if (rank == g->base.rank)
        FAIL(err, BE_FAILED, "the other ranks have ended without this one, rank %d of %d: it %s",
             rank, g->base.size, b->words);
    FAIL(err, (be_status)b->status, "rank %d of %d ended (process %" PRId64 "): %s", rank,
         g->base.size, atomic_load(&b->places[rank].pid), b->words);
}

static bool is_gone(int64_t pid)
{
    return pid && kill((pid_t)pid, 0) != 0 && errno == ESRCH;
}

static void post_late(board *b, int rank, int64_t waited_ns)
{
    char words[100];
    snprintf(words, sizeof words,
             "it hangs or falls behind: the others have waited %.1f s for a sign of it",
             (double)waited_ns * 1e-9);
    post_end(b, rank, BE_FAILED, words, false);
}

/* Between two looks: so the core has more left for its other hardware thread. */
static inline void pause_core(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

/* One look at rank r: is it gone, or has it been silent for too long? */
static void look_at(board_group *g, int lane, int r, int64_t now_ns, int64_t limit_ns)
{
    board_place *place = &g->b->places[r];
    board_watch *w = &g->watches[lane * g->base.size + r];
    uint64_t beats = atomic_load_explicit(&place->beats, memory_order_relaxed);
    if (is_gone(atomic_load(&place->pid)))
        post_end(g->b, r, BE_FAILED, "it is gone without a word: killed, or crashed", false);
    if (beats != w->beats) *w = (board_watch){beats, now_ns};
    if (now_ns - w->since_ns > limit_ns) post_late(g->b, r, now_ns - w->since_ns);
}

/* From now on it is watched. */
static void watch(board_group *g, int lane, int r, int64_t now_ns)
{
    g->watches[lane * g->base.size + r] =
        (board_watch){atomic_load_explicit(&g->b->places[r].beats, memory_order_relaxed), now_ns};
}

/* Until rank r has done its part of as many rounds as this one, or the group has ended. */
static be_status wait_for(board_group *g, int lane, int r, int64_t limit_ns, be_error *err)
{
    board *b = g->b;
    _Atomic uint64_t *rounds = &b->places[r].lane[lane].rounds;
    int64_t start_ns = 0;
    for (int turn = 0; atomic_load_explicit(rounds, memory_order_acquire) < g->rounds[lane];
         turn++) {
        if (atomic_load_explicit(&b->ended, memory_order_relaxed)) return read_end(g, err);
        if (turn < SPINS) {
            pause_core();
            continue;
        }
        int64_t now_ns = clock_now_ns();
        if (!start_ns) {
            start_ns = now_ns;
            watch(g, lane, r, now_ns);
        }
        bool is_soon = now_ns - start_ns < SOON_NS;
        if (!is_soon) look_at(g, lane, r, now_ns, limit_ns);
        clock_sleep_ns(is_soon ? NAP_NS : LONG_NAP_NS);
    }
    return BE_OK;
}

static void end_round(board_group *g, int lane)
{
    g->rounds[lane]++;
    atomic_store_explicit(&g->b->places[g->base.rank].lane[lane].rounds, g->rounds[lane],
                          memory_order_release);
}

static be_status board_exchange(be_group *group, const void *mine, size_t bytes, int64_t limit_ns,
                                const void **all, be_error *err)
{
    board_group *g = (board_group *)group;
    board *b = g->b;
    char *set = g->slots + g->rounds[EXCHANGES] % 2 * (size_t)group->size * GROUP_CHUNK;
    MUST(bytes <= GROUP_CHUNK);
    if (atomic_load(&b->ended)) return read_end(g, err);
    if (bytes) memcpy(set + (size_t)group->rank * GROUP_CHUNK, mine, bytes);
    end_round(g, EXCHANGES);
    for (int r = 0; r < group->size; r++) {
        if (r != group->rank) TRY(wait_for(g, EXCHANGES, r, limit_ns, err));
        all[r] = set + (size_t)r * GROUP_CHUNK;
    }
    return BE_OK;
}

static void board_beat(be_group *group)
{
    board_place *mine = &((board_group *)group)->b->places[group->rank];
    atomic_fetch_add_explicit(&mine->beats, 1, memory_order_relaxed);
}

/* ---------------------------------------------------------------- means */

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* Where rank r's segment of a chunk of `count` floats begins, which ends where the next one does:
 * whole cache lines, as far as there are any. */
static int64_t segment_at(const board_group *g, int r, int64_t count)
{
    int64_t line = LINE / (int64_t)sizeof(float), lines = (count + line - 1) / line;
    return least((lines + g->base.size - 1) / g->base.size * line * r, count);
}

/* What rank r has put down in a round, and what was added up in one. */
static float *mean_slot(const board_group *g, uint64_t round, int r)
{
    return g->means +
           (int64_t)(round % MEAN_SETS * (uint64_t)g->base.size + (uint64_t)r) * MEAN_FLOATS;
}

static float *mean_result(const board_group *g, uint64_t round)
{
    return mean_slot(g, MEAN_SETS - 1, g->base.size) +
           (int64_t)(round % MEAN_RESULTS) * MEAN_FLOATS;
}

/* All but this rank's own segment, from or to its own memory. */
static void copy_others(const board_group *g, float *to, const float *from, int64_t count)
{
    int64_t at = segment_at(g, g->base.rank, count), end = segment_at(g, g->base.rank + 1, count);
    memcpy(to, from, (size_t)at * sizeof *to);
    memcpy(to + end, from + end, (size_t)(count - end) * sizeof *to);
}

/* This rank's segment of a chunk that all have put down in the round before. */
static void add_up(const board_group *g, float *x, int64_t count)
{
    uint64_t round = g->rounds[MEANS];
    int rank = g->base.rank;
    mean_segment s;
    mean_set_weights(&g->base, &s);
    s.x = x;
    s.result = mean_result(g, round);
    for (int r = 0; r < g->base.size; r++) s.all[r] = r == rank ? x : mean_slot(g, round - 1, r);
    mean_add_up(&s, segment_at(g, rank, count), segment_at(g, rank + 1, count));
}

/* A mean under way: its floats in chunks. */
typedef struct mean_chunks {
    float *x;
    int64_t count, chunks;
} mean_chunks;

static float *chunk_at(const mean_chunks *m, int64_t k, int64_t *count)
{
    *count = least(MEAN_FLOATS, m->count - k * MEAN_FLOATS);
    return m->x + k * MEAN_FLOATS;
}

/* Round k of a mean: put down chunk k, add up the one before, take over the one before that. */
static be_status mean_round(board_group *g, const mean_chunks *m, int64_t k, int64_t limit_ns,
                            be_error *err)
{
    uint64_t round = g->rounds[MEANS];
    int64_t count;
    float *x = NULL;
    if (k < m->chunks) {
        x = chunk_at(m, k, &count);
        copy_others(g, mean_slot(g, round, g->base.rank), x, count);
    }
    for (int r = 0; r < g->base.size && k > 0; r++)
        if (r != g->base.rank) TRY(wait_for(g, MEANS, r, limit_ns, err));
    if (k > 0 && k <= m->chunks) {
        x = chunk_at(m, k - 1, &count);
        add_up(g, x, count);
    }
    if (k > 1) {
        x = chunk_at(m, k - 2, &count);
        copy_others(g, x, mean_result(g, round - 1), count);
    }
    end_round(g, MEANS);
    return BE_OK;
}

static be_status board_mean(be_group *group, float *x, int64_t count, int64_t limit_ns,
                            be_error *err)
{
    board_group *g = (board_group *)group;
    mean_chunks m = {x, count, (count + MEAN_FLOATS - 1) / MEAN_FLOATS};
    if (atomic_load(&g->b->ended)) return read_end(g, err);
    for (int64_t k = 0; k < m.chunks + 2; k++) {
        board_beat(group);
        TRY(mean_round(g, &m, k, limit_ns, err));
    }
    return BE_OK;
}

static be_status board_check(be_group *group, int64_t limit_ns, bool first, be_error *err)
{
    board_group *g = (board_group *)group;
    int64_t now_ns = clock_now_ns();
    if (atomic_load(&g->b->ended)) return read_end(g, err);
    if (!first && now_ns - g->looked_ns < LONG_NAP_NS) return BE_OK;
    g->looked_ns = now_ns;
    for (int r = 0; r < group->size; r++) {
        if (r == group->rank || atomic_load(&g->b->places[r].has_left)) continue;
        if (first) watch(g, EXCHANGES, r, now_ns);
        look_at(g, EXCHANGES, r, now_ns, limit_ns);
    }
    return atomic_load(&g->b->ended) ? read_end(g, err) : BE_OK;
}

static void board_end(be_group *group, const be_error *why)
{
    board_group *g = (board_group *)group;
    g->tells = post_end(g->b, group->rank, why->status, why->text, true);
}

static bool board_tells(be_group *group)
{
    board_group *g = (board_group *)group;
    if (!g->tells && atomic_load(&g->b->written)) g->tells = !atomic_exchange(&g->b->told, 1);
    return g->tells;
}

static void board_close(be_group *group)
{
    board_group *g = (board_group *)group;
    if (group->end.status == BE_OK) atomic_store(&g->b->places[group->rank].has_left, true);
    g->release(g->context, group->end.status == BE_OK);
    memory_free(g);
}

static const group_transport board_transport = {.exchange = board_exchange,
                                                .mean = board_mean,
                                                .beat = board_beat,
                                                .check = board_check,
                                                .end = board_end,
                                                .tells = board_tells,
                                                .close = board_close};

void board_expect(board *b, int rank, int64_t pid)
{
    atomic_store(&b->places[rank].pid, pid);
}

bool board_is_told(const board *b)
{
    return atomic_load(&b->told);
}

be_status board_join(board *b, const board_seat *seat, be_group **out, be_error *err)
{
    void *memory = NULL;
    *out = NULL;
    TRY(memory_alloc(&memory,
                     sizeof(board_group) + LANES * (size_t)seat->size * sizeof(board_watch),
                     "a group", err));
    board_group *g = memory;
    *g = (board_group){
        .base = {.transport = &board_transport,
                 .rank = seat->rank,
                 .size = seat->size,
                 .beat_ns = clock_now_ns()},
        .b = b,
        .slots = (char *)b + head_bytes(seat->size),
        .means = (float *)(void *)((char *)b + head_bytes(seat->size) + slots_bytes(seat->size)),
        .release = seat->release,
        .context = seat->context};
    int64_t before = atomic_exchange(&b->places[seat->rank].pid, (int64_t)getpid());
    *out = &g->base;
    if (before == 0 || before == (int64_t)getpid()) return BE_OK;
    memory_free(g);
    *out = NULL;
    FAIL(err, BE_USAGE,
         "rank %d of %d is there twice: expected one process with this number, found process "
         "%" PRId64 " and this one; give each rank its own",
         seat->rank, seat->size, before);
}

/* ---------------------------------------------------------------- processes */

static be_status file_map(int fd, int size, void **out, be_error *err)
{
    *out = mmap(NULL, board_bytes(size), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (*out != MAP_FAILED) return BE_OK;
    *out = NULL;
    FAIL(err, BE_FAILED, "the memory that the workers share is not there: %s", strerror(errno));
}

be_status board_file_new(int size, int *fd, board **b, be_error *err)
{
    void *memory = NULL;
#ifdef __linux__
    *fd = memfd_create("breakeven workers", 0);
#else
    FILE *file = tmpfile();
    *fd = file ? dup(fileno(file)) : -1;
    if (file) fclose(file);
#endif
    if (*fd < 0 || ftruncate(*fd, (off_t)board_bytes(size)) != 0)
        FAIL(
            err, BE_NO_MEMORY,
            "no memory of %zu bytes for the workers to share: %s; free some, or raise the limit of "
            "a file's size with ulimit -f",
            board_bytes(size), strerror(errno));
    TRY(file_map(*fd, size, &memory, err));
    *b = memory;
    return BE_OK;
}

void board_file_free(int fd, board *b, int size)
{
    if (b) munmap(b, board_bytes(size));
    if (fd >= 0) close(fd);
}

typedef struct mapping {
    board *b;
    int size;
} mapping;

static void unmap(void *context, bool in_order)
{
    mapping *m = context;
    (void)in_order;
    board_file_free(-1, m->b, m->size);
    memory_free(m);
}

be_status board_file_join(int fd, int rank, int size, be_group **out, be_error *err)
{
    void *memory = NULL, *block = NULL;
    *out = NULL;
    TRY(memory_alloc(&memory, sizeof(mapping), "the board of a worker", err));
    be_status status = file_map(fd, size, &block, err);
    mapping *m = memory;
    *m = (mapping){block, size};
    if (status == BE_OK) status = board_join(block, &(board_seat){rank, size, unmap, m}, out, err);
    if (status != BE_OK) unmap(m, false);
    return status;
}

/* ---------------------------------------------------------------- threads */

static void leave_threads(void *context, bool in_order)
{
    (void)in_order;
    board *b = context;
    if (atomic_fetch_sub(&b->open, 1) == 1) memory_free(b);
}

be_status group_of_threads(int size, be_group **out, be_error *err)
{
    void *memory = NULL;
    be_status status = BE_OK;
    MUST(size >= 1 && size <= GROUP_MOST);
    for (int r = 0; r < size; r++) out[r] = NULL;
    TRY(memory_alloc(&memory, board_bytes(size), "the board of a group", err));
    board *b = memory;
    atomic_store(&b->open, size);
    for (int r = 0; r < size && status == BE_OK; r++)
        status = board_join(b, &(board_seat){r, size, leave_threads, b}, &out[r], err);
    for (int r = 0; r < size && status != BE_OK; r++) {
        if (out[r])
            be_group_close(out[r]);
        else
            leave_threads(b, false);
        out[r] = NULL;
    }
    return status;
}
