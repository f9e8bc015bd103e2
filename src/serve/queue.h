/* Studies that the page asked for: one at a time, the others wait.  Each runs as the command line's
 * do, as child processes of this program that write what happens (--events).
 *
 * Owns the children and all that they told.  Works by its owner's calls alone and never waits: the
 * owner sleeps until a descriptor of queue_watch is ready, which a child that times blocks of steps
 * leaves alone. */
#ifndef SERVE_QUEUE_H
#define SERVE_QUEUE_H

#include <jansson.h>

#include "run/child.h"
#include "serve/settings.h"

#define QUEUE_KEPT 32      /* studies that are remembered; the oldest that has ended goes first */
#define QUEUE_WAITING 8    /* more are refused */
#define QUEUE_STAGES 9     /* commands of a study */
#define QUEUE_CURVE 600    /* points of a curve: then every other one goes */
#define QUEUE_RECORDS 4000 /* of a stage: later ones are in the store alone */

/* id, its name in the API, what it is called */
#define JOB_KIND_LIST(X)                    \
    X(MACHINE, "machine", "machine")        \
    X(TRY, "try", "Try")                    \
    X(BREAKEVEN, "breakeven", "Break-even") \
    X(EXPLAIN, "explain", "Explain")

typedef enum job_kind {
#define X(id, ...) JOB_##id,
    JOB_KIND_LIST(X)
#undef X
        JOB_KINDS
} job_kind;

extern const char *const job_names[JOB_KINDS], *const job_titles[JOB_KINDS];

/* The kind of a name; JOB_KINDS: none. */
job_kind job_find_kind(const char *name);

typedef enum job_state { JOB_WAITING, JOB_RUNNING, JOB_DONE, JOB_FAILED, JOB_STOPPED } job_state;

const char *job_state_name(job_state state);

/* One command of a study. */
typedef struct stage {
    char verb[16];
    char device[32]; /* that is trained on; "": not a training */
    command command;
    job_state state;
    json_t *step;        /* where a training is: the newest event; NULL: nowhere yet */
    json_t *curve;       /* of a training: a list of [step, loss, accuracy, seconds] */
    int64_t apart, next; /* steps between two points of the curve; the next one's */
    json_t *records;     /* a list */
    json_t *result;      /* of a sweep also what was found so far; NULL: nothing yet */
    char fault[1000];    /* why it failed */
} stage;

typedef struct job {
    int64_t id;
    job_kind kind;
    settings settings;
    stage stages[QUEUE_STAGES];
    int count, at; /* stages; the one at hand */
    job_state state;
    bool stopping;
    char line[400], note[700]; /* what it does; the newest note */
    int64_t version;           /* of the queue when it changed last */
} job;

typedef struct queue {
    const char *program; /* whose commands are run */
    job *jobs[QUEUE_KEPT];
    int count; /* in the order in which they came */
    int64_t last_id, version;
    child *child;                  /* of the job at hand; NULL: none runs */
    int64_t kill_ns;               /* when a child that was asked to end is killed; 0: it was not */
    int64_t done, failed, stopped; /* since the start */
    json_t *machine;               /* records of its devices; NULL: not known yet */
} queue;

/* Remembers nothing; the first study asks for the devices of the machine.  `program` stays. */
BE_CHECKED be_status queue_open(queue *q, const char *program, be_error *err);

/* Ends the child. */
void queue_close(queue *q);

/* A new study; BE_USAGE where the settings do not fit, BE_UNAVAILABLE where too many wait. */
BE_CHECKED be_status queue_add(queue *q, job_kind kind, const settings *s, int64_t *id,
                               be_error *err);

/* One that waits is dropped, one that runs saves and ends; BE_USAGE for one that is not there or
 * has ended. */
BE_CHECKED be_status queue_stop(queue *q, int64_t id, be_error *err);

job *queue_find(const queue *q, int64_t id); /* NULL: none */
const job *queue_running(const queue *q);    /* NULL: none */
int queue_ahead(const queue *q, int64_t id); /* how many come before it */
int queue_waiting(const queue *q);

/* What to wait for, and until when (clock_now_ns; 0: any time).  Their number, at most 2. */
int queue_watch(const queue *q, struct pollfd out[2], int64_t *until_ns);

/* Take what the child wrote, and go on with the next one if it has ended. */
void queue_work(queue *q);

#endif
