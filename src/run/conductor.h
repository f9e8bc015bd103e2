/* The conductor: measures contenders side by side, each in a runner of its own.
 *
 * It starts the runners, has them prepare, takes the first step apart, holds what they compute
 * against the reference (run/gate.h), warms up, checks that each one waits for its device and that
 * twice the work takes twice the time, and then interleaves blocks of steps (A B C | C B A | …)
 * until every contender meets the stop rule.  Only one runner works at a time; the others sleep in
 * a read, and a runner whose threads still spin after its block is waited for, as is a device that
 * has grown slow (measure/heat.h).  In the end each one proves where it worked (run/proof.h).  A
 * contender that dies, hangs, prints rubbish or is caught computing or measuring wrongly is
 * reported with its reason, and the others go on.
 *
 * Owns the runners while it runs, and the report until conductor_report_free.  Prints nothing:
 * who wants to show progress gets calls. */
#ifndef RUN_CONDUCTOR_H
#define RUN_CONDUCTOR_H

#include <jansson.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

#include "core/memory.h"
#include "core/status.h"
#include "measure/budget.h"
#include "measure/heat.h"
#include "measure/stats.h"
#include "measure/stop.h"
#include "protocol/protocol.h"
#include "run/gate.h"
#include "run/pool.h"
#include "run/proof.h"
#include "run/warning.h"

/* Who is measured: an engine on a device with its job.  Jobs may differ in batch, precision and
 * threads; contenders are compared by their time for one sample. */
typedef struct conductor_contender {
    const char *engine;        /* native, torch, …: what hello must answer */
    const char *const *argv;   /* the runner's program and arguments, NULL at the end */
    const char *const *env;    /* NAME=VALUE beyond our own environment; may be NULL */
    protocol_job job;          /* device and threads among it */
    bool computes_nothing;     /* its times are shown and never compared */
    gate *gate;                /* without one its result carries a warning: it was not checked */
    const gate_result *passed; /* it was checked before, in this measurement; or NULL */
    double flops_per_step, bytes_per_step;       /* of the model; 0 or NAN: unknown */
    double limit_flops_per_s, limit_bytes_per_s; /* of the device, measured; 0 or NAN: unknown */
    const char *bus; /* of the device, for its energy counter; NULL: none but the processor's */
    /* What it stands beside, as a yardstick: the user's own model that its record is filed under,
     * while its job is a workload of the ladder; or NULL. */
    const protocol_job *beside;
} conductor_contender;

#define CONDUCTOR_PHASE_LIST(X) \
    X(START, "starting")        \
    X(PREPARE, "preparing")     \
    X(FIRST_STEP, "first step") \
    X(PARITY, "comparing")      \
    X(WARM_UP, "warming up")    \
    X(CHECK, "checking")        \
    X(MEASURE, "measuring")     \
    X(PROVE, "proving")         \
    X(FAILED, "failed")         \
    X(DONE, "done")

typedef enum conductor_phase {
#define X(name, text) CONDUCTOR_##name,
    CONDUCTOR_PHASE_LIST(X)
#undef X
} conductor_phase;

const char *conductor_phase_text(conductor_phase phase);

typedef struct conductor_progress {
    conductor_phase phase;
    int contender, contenders;
    int32_t blocks;        /* of this contender so far */
    double step_s;         /* its median so far; NAN before the first block */
    double elapsed_s;      /* since the conductor began */
    const be_error *error; /* FAILED: why; else NULL */
} conductor_progress;

typedef struct conductor_options {
    stop_rule stop;
    uint64_t seed;        /* of the bootstraps */
    double block_s;       /* wished length of a block */
    double warm_up_s;     /* least time of warm-up steps per contender */
    double start_limit_s; /* hello */
    double prepare_limit_s;
    double first_limit_s;  /* the first step: compiles, uploads */
    double run_limit_s;    /* any later block, beyond 20 times what it should take */
    double settle_limit_s; /* for the threads of a runner to fall asleep after its block */
    double cool_limit_s; /* for the recovery of a device that has grown slow, before a block … */
    double cool_share;   /* … and for all of a contender's blocks, as a share of max_time_s */
    double phases_s;     /* of steps whose phases are asked about in the end, three at least, or two
                          * seconds of them; 0: those that passed before are not asked */
    json_t *answers;  /* list: gets each contender's answer to `phases`, null for none; or NULL */
    double loss_band; /* the first step's losses of contenders with like jobs may differ by
                       * this, relative; 0: not compared (dropout draws differ by engine) */
    double reference_loss; /* what they are compared with; NAN: the first contender's */
    pool *pool; /* takes part with runners that are there already, and keeps those that are sound;
                 * or NULL.  Of a runner that was there start and first step are not known. */
    budget budget;            /* for all that is done from … */
    int64_t budget_from_ns;   /* … this reading of the clock: who gets no time is left out */
    const char *sensors_root; /* see sensors_read, load_take */
    void (*progress)(void *context, const conductor_progress *progress); /* may be NULL */
    void *context;
    const volatile sig_atomic_t *interrupted; /* may be NULL */
} conductor_options;

/* The stop rule's defaults, blocks of 0.04 s, warm-up of 0.3 s, no band of losses, phases of 0.2 s,
 * waits of 1 s and of a fifth of the time limit for a device that has grown slow. */
conductor_options conductor_options_default(void);

/* What came out for one contender.  Strings and lists live as long as the report.  Times that were
 * never taken are NAN, counts -1, strings NULL. */
/* A doubt about a result, for people; its kind and size for programs. */
typedef struct conductor_warning {
    warning_kind kind;
    double value; /* a share, NAN where the kind has none */
    const char *text;
} conductor_warning;

typedef struct conductor_result {
    be_status status; /* BE_OK, else why there is no speed; error.text says it in words */
    be_error error;
    stop_reason stop;

    const char *engine, *engine_version;      /* as hello said */
    json_t *libraries;                        /* as hello said; NULL before it */
    const char *device_name, *implementation; /* as the answer to prepare said */
    const char *precision;                    /* really used */
    int threads;                              /* really used */
    const char *processors; /* to which its process was pinned, as "2" or "8-15"; NULL: to none */
    int64_t parameters;

    double start_s;      /* from the start of the process to its greeting */
    double prepare_s;    /* by its own clock */
    double first_step_s; /* never part of the blocks */
    double first_loss, last_loss;

    int64_t block_steps;
    int32_t count;    /* of blocks */
    double *blocks_s; /* time of one step in each block, in the order of the rounds */
    size_t capacity;
    stats_summary step; /* of blocks_s; count 0 if there is none */
    double samples_per_s;
    double busy_threads;      /* processor time / wall time of the blocks: threads really at work */
    double energy_per_step_j; /* of the whole device during the blocks */
    const char *energy_sensor; /* NULL: there is none */

    gate_result parity; /* steps 0: it was not checked */
    proof proof;
    double flops_per_step; /* as its runner counts a user's own model; NAN: it does not */
    json_t *phases;        /* the answer to the request; NULL: none */
    int64_t phases_steps;

    bool has_reference; /* its runner has a reference kernel: the next four are known */
    heat_summary heat;
    int32_t slow_blocks;
    double waited_s;

    int64_t launches; /* kernels or calls a step, 0: the runner does not tell */
    int64_t peak_rss_bytes;
    int64_t device_bytes; /* that it holds on a device with memory of its own */
    const char *title;    /* of a user's own model; NULL: it has none */
    const char *unit;     /* that a user's own model counts; NULL: samples, or the workload's */
    double units_a_sample;
    const char *log;    /* last lines of its standard error */
    const char *ending; /* how the process ended; NULL: it lives on in the pool */

    /* Against the fastest contender that has a speed (itself: the runner-up); ratio of the times of
     * one sample, this one's first.  UNSURE and NAN where there is none. */
    int versus; /* index of that one; -1 where there is none */
    stats_interval ratio;
    stats_verdict verdict;
    const char *unsure; /* UNSURE: why, in words; else NULL */

    conductor_warning *warnings;
    size_t warning_count, warning_capacity;
} conductor_result;

typedef struct conductor_report {
    arena *memory;
    int count;
    conductor_result *results; /* one per contender, in their order */
    int fastest;               /* index of the least time per sample, -1 if none has a speed */
    int rounds;
    double elapsed_s;
    double other_load; /* share of all processors used by other programs meanwhile; NAN unknown */
    double steal;      /* share taken by other virtual machines; NAN unknown */
    uint64_t seed;
    int64_t *batches; /* of the contenders' jobs */
} conductor_report;

/* Measure all contenders.  BE_OK as soon as a report can be made, however many of them failed (see
 * each result's status); BE_INTERRUPTED if a signal ended it, the report then holds what there is;
 * BE_USAGE for no contenders; BE_NO_MEMORY.  *out is NULL after the latter two. */
BE_CHECKED be_status conductor_run(const conductor_contender *contenders, int count,
                                   const conductor_options *options, conductor_report **out,
                                   be_error *err);

/* The ratio of the times of one sample of results a and b (indexes), and its verdict: FASTER if a
 * is.  UNSURE with NAN if one of them has no speed. */
BE_CHECKED be_status conductor_compare(const conductor_report *report, int a, int b,
                                       stats_interval *ratio, stats_verdict *verdict,
                                       be_error *err);

/* Was a contender refused for what the limits say?  A machine that was busy when they were measured
 * has too low ones. */
bool conductor_report_is_over(const conductor_report *report);

void conductor_report_free(conductor_report *report);

#endif
