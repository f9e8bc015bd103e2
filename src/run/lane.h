/* One contender's way through a measurement: open, blocks, close.  Inner part of the conductor.
 *
 * Owns its runner and fills its result; knows nothing of the other lanes. */
#ifndef RUN_LANE_H
#define RUN_LANE_H

#include "run/conductor.h"
#include "run/runner.h"

typedef struct lane {
    const conductor_contender *contender;
    const conductor_options *options;
    conductor_result *result;
    arena *memory;
    int index, lanes;
    int64_t began_ns; /* of the whole measurement, for progress */
    runner runner;
    char name[96];

    bool leaving;        /* has reached a limit of the stop rule */
    bool active;         /* takes part in the next round */
    bool refused;        /* the failure is a refusal: it measured wrongly */
    double step_s;       /* latest estimate of one step */
    double measured_s;   /* sum of the measured blocks */
    int short_strikes;   /* blocks in a row whose claim was far below our own clock */
    int pending_strikes; /* looks in a row that found work left behind */
    int64_t cpu_ns;      /* the runner's processor time so far, -1 unknown */
    int64_t block_cpu_ns, block_wall_ns; /* sums over the measured blocks */
    int64_t idle_from_ns, idle_from_cpu_ns, idle_cpu_ns, idle_wall_ns;
    int restless; /* blocks after which its threads did not fall asleep in time */
} lane;

/* Start the runner, prepare, first step, warm-up, checks.  On an error call lane_fail. */
BE_CHECKED be_status lane_open(lane *l, be_error *err);

/* One measured block of result->block_steps steps. */
BE_CHECKED be_status lane_block(lane *l, be_error *err);

/* End it without a speed: the status, text and stop reason go to the result. */
void lane_fail(lane *l, const be_error *err);

/* Stop the runner; memory, threads at work, last words and warnings go to the result. */
void lane_close(lane *l);

/* Add a warning; one that finds no memory is lost. */
void lane_warn(lane *l, const char *format, ...) __attribute__((format(printf, 2, 3)));

void lane_progress(const lane *l, conductor_phase phase);

#endif
