/* A group of work items on the processor, each one a fiber: between two barriers they run in an
 * order that differs from round to round.  At a word that the lanes of a warp answer together they
 * wait for one another alone, so that a warp may be far in front of the others, as on a device. */
#ifndef TESTS_FIBERS_H
#define TESTS_FIBERS_H

#include <stdbool.h>
#include <stdlib.h>
#include <ucontext.h>

#define FIBERS_MAX 1024
#define FIBER_STACK_BYTES (256 * 1024)
#define FIBER_LANES 32

typedef enum fiber_order { FIBERS_FORWARD, FIBERS_REVERSE, FIBERS_SHUFFLED } fiber_order;

/* Why a fiber stands still: what dialect_wait is given, or that it is done. */
typedef enum fiber_state { FIBER_AT_BARRIER, FIBER_AT_WARP, FIBER_DONE } fiber_state;

/* The group that runs now. */
static struct {
    ucontext_t main, at[FIBERS_MAX];
    char *stack[FIBERS_MAX];
    fiber_state state[FIBERS_MAX];
    bool has_run[FIBERS_MAX]; /* in this round, or to this meeting of its warp */
    int order[FIBERS_MAX], size, now;
    int *item; /* where the kernel looks who it is */
    void (*call)(void *const *);
    void *const *arguments;
} fibers;

static void fiber_wait(int state)
{
    fibers.state[fibers.now] = (fiber_state)state;
    swapcontext(&fibers.at[fibers.now], &fibers.main);
}

static void fiber_entry(void)
{
    fibers.call(fibers.arguments);
    fibers.state[fibers.now] = FIBER_DONE;
}

static void fiber_run(int item)
{
    *fibers.item = fibers.now = item;
    fibers.has_run[item] = true;
    swapcontext(&fibers.main, &fibers.at[item]);
}

static void fibers_start(void)
{
    for (int i = 0; i < fibers.size; i++) {
        if (!fibers.stack[i]) fibers.stack[i] = malloc(FIBER_STACK_BYTES);
        if (!fibers.stack[i]) abort();
        getcontext(&fibers.at[i]);
        fibers.at[i].uc_stack.ss_sp = fibers.stack[i];
        fibers.at[i].uc_stack.ss_size = FIBER_STACK_BYTES;
        fibers.at[i].uc_link = &fibers.main;
        makecontext(&fibers.at[i], fiber_entry, 0);
    }
}

/* With the program, or with the kernel's own library when it is unloaded. */
__attribute__((destructor)) static void fibers_free(void)
{
    for (int i = 0; i < FIBERS_MAX; i++) free(fibers.stack[i]);
}

static void fibers_make_order(fiber_order kind, unsigned round)
{
    int size = fibers.size, *order = fibers.order;
    for (int i = 0; i < size; i++) order[i] = kind == FIBERS_REVERSE ? size - 1 - i : i;
    unsigned state = round * 2654435761u + 12345u;
    for (int i = size - 1; kind == FIBERS_SHUFFLED && i > 0; i--) {
        state = state * 1664525u + 1013904223u;
        int j = (int)((state >> 8) % (unsigned)(i + 1)), kept = order[i];
        order[i] = order[j];
        order[j] = kept;
    }
}

/* The warp of an item that waits for its lanes, up to the next barrier of the group; false if a
 * lane is not where the others wait. */
static bool fibers_meet(int warp)
{
    for (;;) {
        int lanes = 0, waiting = 0;
        for (int k = 0; k < fibers.size; k++) {
            int i = fibers.order[k];
            if (i / FIBER_LANES != warp) continue;
            if (!fibers.has_run[i]) fiber_run(i);
            lanes++;
            waiting += fibers.state[i] == FIBER_AT_WARP;
        }
        if (waiting == 0) return true;
        if (waiting < lanes) return false;
        for (int lane = 0; lane < FIBER_LANES; lane++)
            fibers.has_run[warp * FIBER_LANES + lane] = false;
    }
}

/* One group of `size` items; NULL, or what is wrong with where they wait. */
static const char *fibers_run(int size, fiber_order kind, int *item, void (*call)(void *const *),
                              void *const *arguments)
{
    if (size > FIBERS_MAX) abort();
    fibers.size = size, fibers.item = item, fibers.call = call, fibers.arguments = arguments;
    fibers_start();
    for (unsigned round = 0;; round++) {
        int done = 0;
        fibers_make_order(kind, round);
        for (int i = 0; i < size; i++) fibers.has_run[i] = false;
        for (int k = 0; k < size; k++) {
            int i = fibers.order[k];
            if (!fibers.has_run[i]) fiber_run(i);
            if (fibers.state[i] == FIBER_AT_WARP && !fibers_meet(i / FIBER_LANES))
                return "some lanes wait for their warp, the others are elsewhere";
        }
        for (int i = 0; i < size; i++) done += fibers.state[i] == FIBER_DONE;
        if (done == size) return NULL;
        if (done > 0) return "some items wait at a barrier, the others are done";
    }
}

#endif
