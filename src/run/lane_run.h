/* A lane as its parts share it: its struct, one run of its runner, and what is told of it.
 *
 * Below lane.c, lane_checks.c and lane_energy.c; calls none of them. */
#ifndef RUN_LANE_RUN_H
#define RUN_LANE_RUN_H

#include "machine/load.h"
#include "machine/sensors.h"
#include "run/conductor.h"
#include "run/runner.h"

#define LANE_CROWDED 0.2 /* of the processors, for others */
#define LANE_SLOW_S 1.0  /* of a step: beyond it no more are done than are measured or needed */

/* Who used the processors, from a moment on. */
typedef struct lane_load {
    load_sample from;
    int64_t own_ns; /* this program's and all runners' processor time until then */
} lane_load;

typedef struct lane {
    const conductor_contender *contender;
    const conductor_options *options;
    conductor_result *result;
    arena *memory;
    int index, lanes;
    int64_t began_ns; /* of the whole measurement, for progress */
    int64_t until_ns; /* no answer is waited for beyond this */
    int processors;   /* threads that the machine runs at a time */
    runner runner;
    bool is_reused; /* its runner comes from the pool */
    char name[96];

    bool leaving;           /* has reached a limit of the stop rule */
    bool active;            /* takes part in the next round */
    bool left_out;          /* the failure is that there was no time for it */
    bool refused;           /* the failure is a refusal: it measured wrongly */
    double step_s;          /* latest estimate of one step */
    double measured_s;      /* sum of the measured blocks */
    int short_strikes;      /* blocks in a row whose claim was far below our own clock … */
    int64_t missing_ns;     /* … and by how much, together … */
    lane_load short_load;   /* … and from the first of them on */
    bool is_late;           /* the machine was too busy to judge its claims */
    int pending_strikes;    /* looks in a row that found work left behind … */
    lane_load pending_load; /* … and from the first of them on */
    double others;          /* what other programs had in the rounds; NAN unknown */
    int64_t cpu_ns;         /* the runner's processor time so far, -1 unknown */
    int64_t block_cpu_ns, block_wall_ns; /* sums over the measured blocks */
    int64_t idle_from_ns, idle_from_cpu_ns, idle_cpu_ns, idle_wall_ns;
    int restless;           /* blocks after which its threads did not fall asleep in time */
    int rising_strikes;     /* blocks in a row whose loss was far above the first one … */
    int64_t rising_steps;   /* … and the steps of these */
    bool is_cpu;            /* the device is the processor, directly or behind OpenCL */
    bool has_no_reference;  /* its runner said so */
    heat heat;              /* the readings of its reference kernel */
    int64_t peak_rss_bytes; /* before the phases were asked; -1 unknown */
    sensors energy_from;    /* of before the block at hand */
    double energy_j;        /* sum over the measured blocks; NAN: no counter */
    int64_t energy_steps;
} lane;

/* Add a warning; value: its size as a share, NAN where it has none.  One that finds no memory is
 * lost. */
void lane_warn(lane *l, warning_kind kind, double value, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

void lane_progress(const lane *l, conductor_phase phase);

/* Share of the processors that other programs and other virtual machines had since then; 0 where
 * the system does not tell.  What is late may be so for want of a processor if it is above
 * LANE_CROWDED: a refusal must be sure, so none for lateness is made then. */
lane_load lane_load_take(const lane *l);
double lane_others_since(const lane *l, const lane_load *load);

/* `steps` steps with the checks that every block must pass: its claim fits our own clock, and the
 * loss is a number. */
BE_CHECKED be_status lane_run(lane *l, int64_t steps, double limit_s, int64_t *wall_ns,
                              be_error *err);

/* Whether the runner had left work behind when it answered to the run before, which claimed
 * wall_ns. */
BE_CHECKED be_status lane_look_behind(lane *l, int64_t wall_ns, be_error *err);

/* A time limit, or what is left until until_ns. */
double lane_within_s(const lane *l, double limit_s);

/* The time limit of a run that should take expected_s. */
double lane_limit_s(const lane *l, double expected_s);

/* Processor time / wall time of its measured blocks; NAN unknown. */
double lane_busy_threads(const lane *l);

#endif
