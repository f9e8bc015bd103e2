/* One runner: a child process that speaks the runner protocol.
 *
 * Owns the child.  A call sends one request, waits for its answer within a time limit, and checks
 * it; the errors say which runner they are about.  May not decide what is measured, and prints
 * nothing. */
#ifndef RUN_RUNNER_H
#define RUN_RUNNER_H

#include <signal.h>
#include <stdint.h>

#include "protocol/protocol.h"
#include "run/child.h"

typedef struct runner {
    char name[96]; /* "torch cuda:0", for errors */
    child *child;  /* NULL once it has ended */
    const volatile sig_atomic_t *interrupted;
    bool spoiled;             /* a call broke the order of requests and answers: no more calls */
    protocol_answer hello;    /* filled by runner_start, owned */
    protocol_answer prepared; /* filled by runner_prepare, owned */
    int64_t peak_rss_bytes;   /* largest seen, -1 unknown; see runner_stop */
    char processors[128];     /* that it is pinned to, "" for none; see topology_bind */
    char ending[200];         /* how it ended, after runner_stop */
    char log[4096];           /* its last lines, after runner_stop */
} runner;

typedef struct runner_options {
    const char *name;
    const char *const *argv, *const *env; /* as in child_options */
    const char *device; /* the one it is for: it need not start the drivers of others; or NULL */
    /* Cores that it shall be pinned to, if the system can; 0: none.  Cores of one machine differ by
     * some percent, for as long as a neighbour on the other thread of one is at work: who is
     * compared gets the same. */
    int cores;
    bool try_devices;     /* compute something on each; afterwards it may be unable to prepare */
    double start_limit_s; /* for the answer to hello: engines load slowly */
    const volatile sig_atomic_t *interrupted;
} runner_options;

/* Start the program and greet it.  On an error *r is stopped already.  In two steps where several
 * programs are to load at a time: the first does not wait. */
BE_CHECKED be_status runner_start(runner *r, const runner_options *options, be_error *err);
BE_CHECKED be_status runner_begin(runner *r, const runner_options *options, be_error *err);
BE_CHECKED be_status runner_greet(runner *r, const runner_options *options, be_error *err);

/* One call.  *outside_ns (may be NULL) is the time from before the request was written to after
 * the answer was read, by our own clock.  The error of {"ok": false} leaves the runner usable, any
 * other spoils it.  Clear *answer with protocol_answer_clear. */
BE_CHECKED be_status runner_call(runner *r, const protocol_call *call, double limit_s,
                                 protocol_answer *answer, int64_t *outside_ns, be_error *err);

/* prepare, kept in r->prepared.  BE_UNAVAILABLE with the list if the job's device is not one that
 * hello named. */
BE_CHECKED be_status runner_prepare(runner *r, const protocol_job *job, double limit_s,
                                    be_error *err);

/* run `steps` steps. */
BE_CHECKED be_status runner_run(runner *r, int64_t steps, double limit_s, protocol_answer *answer,
                                int64_t *outside_ns, be_error *err);

/* Ask it to quit, else kill it; fills peak_rss_bytes, ending and log.  The answers in *r stay until
 * runner_clear.  Does nothing to one that was stopped or never started. */
void runner_stop(runner *r);
void runner_clear(runner *r);

#endif
