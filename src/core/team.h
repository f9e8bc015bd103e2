/* The threads that OpenMP gives to a region: whether as many come as work is cut for.
 *
 * OpenMP may give a region fewer threads than it asks for: inside of another region, beyond a
 * limit, where the number of threads is dynamic.  Libraries that cut their work for a number and
 * then run it in such a region compute only a part of it.  So whoever calls them asks first. */
#ifndef CORE_TEAM_H
#define CORE_TEAM_H

#include <stdbool.h>

#include "core/rounding.h"
#include "core/status.h"

#define TEAM_MOST 1024

/* What a team found and has to put back. */
typedef struct team {
    int threads;
    int dynamic;                /* OpenMP's setting of the caller */
    bool odd;                   /* a thread computed by other rules than ours */
    rounding before[TEAM_MOST]; /* those rules, a thread each */
} team;

/* The most threads that OpenMP's own settings allow a region that the calling thread starts: its
 * thread limit, and 1 inside of a parallel region, where libraries use one too.  At least 1. */
int team_most(void);

/* From here to team_end every region of the calling thread that asks for `threads` gets them, and
 * they all round to nearest and keep denormal numbers, whatever the caller had set. BE_UNAVAILABLE,
 * and nothing is changed, where that cannot be: the text says why, how many there could be, and
 * what to do. */
BE_CHECKED be_status team_begin(team *t, int threads, be_error *err);
void team_end(const team *t);

/* Of `count` threads, how many can be had for a region that is right with any number: it comes
 * next. */
int team_possible(int count);

#endif
