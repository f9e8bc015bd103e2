/* Boards: rounds, signs of life, last words; and the groups of threads. */
#include "group/board.h"

#include <errno.h>
#include <inttypes.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/memory.h"

#define LINE 64             /* bytes of a cache line */
#define SPINS 2000          /* looks at a counter before the waiting rank sleeps … */
#define NAP_NS 50000        /* … so long at a time, … */
#define SOON_NS 20000000    /* … and once it has waited for so long … */
#define LONG_NAP_NS 1000000 /* … so long, looking for signs of life */
#define WORDS_BYTES 900     /* of last words */

typedef struct board_place {
    _Alignas(LINE) _Atomic uint64_t rounds; /* in which this rank has arrived */
    _Atomic uint64_t beats;                 /* signs of life */
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
    char *slots; /* two sets of base.size slots of GROUP_CHUNK */
    uint64_t rounds;
    bool tells; /* it is for this rank to tell how the group ended */
    void (*release)(void *context, bool in_order);
    void *context;
    int64_t looked_ns; /* the last look at signs of life */
    board_watch watches[];
} board_group;

static size_t head_bytes(int size)
{
    size_t bytes = sizeof(board) + (size_t)size * sizeof(board_place);
    return (bytes + LINE - 1) / LINE * LINE;
}

size_t board_bytes(int size)
{
    return head_bytes(size) + 2 * (size_t)size * GROUP_CHUNK;
}

/* The first end is the group's: those that follow from it say nothing.  `told`: the rank that ended
 * lives and tells it. */
static bool post_end(board *b, int rank, be_status status, const char *words, bool told)
{
    int none = 0;
    if (!atomic_compare_exchange_strong(&b->ended, &none, rank + 1)) return false;
    b->status = (int)status;
    snprintf(b->words, sizeof b->words, "%.*s", (int)sizeof b->words - 1, words);
    atomic_store(&b->told, told);
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
static void look_at(board_group *g, int r, int64_t now_ns, int64_t limit_ns)
{
    board_place *place = &g->b->places[r];
    board_watch *w = &g->watches[r];
    uint64_t beats = atomic_load_explicit(&place->beats, memory_order_relaxed);
    if (is_gone(atomic_load(&place->pid)))
        post_end(g->b, r, BE_FAILED, "it is gone without a word: killed, or crashed", false);
    if (beats != w->beats) *w = (board_watch){beats, now_ns};
    if (now_ns - w->since_ns > limit_ns) post_late(g->b, r, now_ns - w->since_ns);
}

/* From now on it is watched. */
static void watch(board_group *g, int r, int64_t now_ns)
{
    g->watches[r] =
        (board_watch){atomic_load_explicit(&g->b->places[r].beats, memory_order_relaxed), now_ns};
}

/* Until rank r has arrived in this round, or the group has ended. */
static be_status wait_for(board_group *g, int r, int64_t limit_ns, be_error *err)
{
    board *b = g->b;
    board_place *place = &b->places[r];
    int64_t start_ns = 0;
    for (int turn = 0; atomic_load_explicit(&place->rounds, memory_order_acquire) < g->rounds;
         turn++) {
        if (atomic_load_explicit(&b->ended, memory_order_relaxed)) return read_end(g, err);
        if (turn < SPINS) {
            pause_core();
            continue;
        }
        int64_t now_ns = clock_now_ns();
        if (!start_ns) {
            start_ns = now_ns;
            watch(g, r, now_ns);
        }
        bool is_soon = now_ns - start_ns < SOON_NS;
        if (!is_soon) look_at(g, r, now_ns, limit_ns);
        clock_sleep_ns(is_soon ? NAP_NS : LONG_NAP_NS);
    }
    return BE_OK;
}

static be_status board_exchange(be_group *group, const void *mine, size_t bytes, int64_t limit_ns,
                                const void **all, be_error *err)
{
    board_group *g = (board_group *)group;
    board *b = g->b;
    char *set = g->slots + g->rounds % 2 * (size_t)group->size * GROUP_CHUNK;
    MUST(bytes <= GROUP_CHUNK);
    if (atomic_load(&b->ended)) return read_end(g, err);
    if (bytes) memcpy(set + (size_t)group->rank * GROUP_CHUNK, mine, bytes);
    g->rounds++;
    atomic_store_explicit(&b->places[group->rank].rounds, g->rounds, memory_order_release);
    for (int r = 0; r < group->size; r++) {
        if (r != group->rank) TRY(wait_for(g, r, limit_ns, err));
        all[r] = set + (size_t)r * GROUP_CHUNK;
    }
    return BE_OK;
}

static void board_beat(be_group *group)
{
    board_place *mine = &((board_group *)group)->b->places[group->rank];
    atomic_fetch_add_explicit(&mine->beats, 1, memory_order_relaxed);
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
        if (first) watch(g, r, now_ns);
        look_at(g, r, now_ns, limit_ns);
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
    if (group->ended.status == BE_OK) atomic_store(&g->b->places[group->rank].has_left, true);
    g->release(g->context, group->ended.status == BE_OK);
    memory_free(g);
}

static const group_transport board_transport = {.exchange = board_exchange,
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
    TRY(memory_alloc(&memory, sizeof(board_group) + (size_t)seat->size * sizeof(board_watch),
                     "a group", err));
    board_group *g = memory;
    *g = (board_group){.base = {.transport = &board_transport,
                                .rank = seat->rank,
                                .size = seat->size,
                                .beat_ns = clock_now_ns()},
                       .b = b,
                       .slots = (char *)b + head_bytes(seat->size),
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
