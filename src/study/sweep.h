/* A sweep: who is compared with whom over an axis, what was measured, and what it shows.
 *
 * A side is an engine on a device; on the CPU it is the best of several settings (threads,
 * kernels), found anew along the axis.  A pair is two sides whose break-even points are searched.
 * All that is measured is a list of records, each in the sweep's file as soon as it is there;
 * ratios and results are made from these records alone, so that a resumed sweep is the same as one
 * in one go. */
#ifndef STUDY_SWEEP_H
#define STUDY_SWEEP_H

#include "measure/crossing.h"
#include "run/sweep_log.h"
#include "study/axis.h"
#include "study/measurement.h"

#define SWEEP_SIDES_MAX 10
#define SWEEP_PAIRS_MAX 16
#define SWEEP_SETTINGS_MAX 36
#define SWEEP_VARIANTS 3
#define SWEEP_NAME 48

/* Two runs of one program differ by what no repetition removes (measure/stats.h). */
#define SWEEP_FLOOR (STATS_SAME_BAND / 2)
#define SWEEP_LANE_OVERHEAD_S 0.9 /* prepare, first step, warm-up, checks, waits */
#define SWEEP_RUNS_MOST 60        /* of a pair */

typedef struct sweep_setting {
    int contender; /* in the plan of contenders */
    char name[SWEEP_NAME];
} sweep_setting;

typedef struct sweep_side {
    char name[SWEEP_NAME]; /* "native cpu", "native cpu 2 threads", "PyTorch cuda:0" */
    const char *device;
    sweep_setting settings[SWEEP_SETTINGS_MAX];
    int setting_count;
    bool is_cpu;      /* the processor, also behind OpenCL */
    int failures;     /* in a row: a second one makes it missing */
    bool missing;     /* dropped out: measured no more */
    double limit;     /* of the axis that it can hold */
    char reason[400]; /* why it is missing, or why it holds no more */
} sweep_side;

typedef struct sweep_pair {
    int first, second; /* sides */
    bool is_yardstick; /* shown for what the framework costs; no break-even point is searched */
    bool is_done;      /* nothing is left to gain, or one side is missing */
    double to;         /* end of the range, where one side cannot hold all of it */
    int count;
    crossing_point points[CROSSING_RUNS_MAX];
} sweep_pair;

/* An engine as it can be set beside its own choice: another library, other threads. */
typedef struct sweep_variant {
    engine engine;
    const char *name;
    int least_threads; /* with fewer it is the same as without */
} sweep_variant;

typedef struct sweep {
    measurement m;
    /* sweep_whole; a test plants its own, as in measurement_hands. */
    be_status (*whole)(measurement *m, const measurement_point *point, int64_t steps,
                       double *seconds, be_error *err);
    const workload *workload;
    axis_range range;
    int64_t batch;                          /* where the axis is another one */
    sweep_variant variants[SWEEP_VARIANTS]; /* of engines on the processor */
    int variant_count;
    sweep_side sides[SWEEP_SIDES_MAX];
    int side_count;
    sweep_pair pairs[SWEEP_PAIRS_MAX];
    int pair_count;
    bool has_gpu;
    json_t *records, *notes; /* lists */
    sweep_log log;
    double limit_s; /* for all of it */
    int64_t began_ns;
    int loaded;       /* records of an earlier run */
    bool out_of_time; /* the time ended it */
    be_error refusal; /* of the first side of which no setting could be measured */
} sweep;

/* Below, a file calls those before it, never those behind. */

/* sweep_records.c */
void sweep_note(sweep *s, const char *format, ...) __attribute__((format(printf, 2, 3)));
double sweep_elapsed_s(const sweep *s);
bool sweep_time_is_up(const sweep *s);
crossing_options sweep_options(const sweep *s, const sweep_pair *pair);
/* The contender of a side that was the fastest of a record, NULL if none has a speed. */
const json_t *sweep_best(const sweep *s, const json_t *record, int side);
/* log(time of a / time of b) of two contenders of one record, and its standard error. */
BE_CHECKED be_status sweep_compare(const json_t *a, const json_t *b, uint64_t seed,
                                   crossing_point *out, be_error *err);
/* Add a record that was measured (or loaded): to the list and to the pairs' points. */
void sweep_take(sweep *s, json_t *record);
int sweep_runs_at(const sweep_pair *pair, double x);
/* The range of a pair ends below x: at the next place of its grid. */
void sweep_end_below(const sweep *s, sweep_pair *pair, double x);
/* Make x the axis's value at a point, and of the workload where that is what it changes. */
BE_CHECKED be_status sweep_go_to(sweep *s, double x, measurement_point *point, be_error *err);

/* sweep_lines.c: of the axis of which no point is measured, the lines of a pair and where they
 * cross; NAN and no crossing where a side was not measured. */
BE_CHECKED be_status sweep_lines(const sweep *s, const sweep_pair *pair, crossing_line lines[2],
                                 crossing_result *out, be_error *err);

/* sweep_sides.c: find sides, settings and pairs.  BE_USAGE where there is nothing to compare. */
BE_CHECKED be_status sweep_find_sides(sweep *s, be_error *err);

/* sweep_settings.c: the settings of a side that take part at x, as contenders; all that a short run
 * found within noise of the best one, nearby. */
int sweep_candidates(const sweep *s, const sweep_side *side, double x, int *out);
/* Try all settings of all sides with several, in short runs, unless that was done at x. */
BE_CHECKED be_status sweep_screen(sweep *s, double x, be_error *err);

/* sweep_result.c: what the report shows (report/sweep.h). */
BE_CHECKED be_status sweep_result(const sweep *s, be_status reason, json_t **out, be_error *err);

/* sweep_measure.c: measure sides at x side by side; keeps the record.  One that fails twice in a
 * row is left out from then on, or from this x on at once if it has no room. */
BE_CHECKED be_status sweep_measure(sweep *s, double x, const int *sides, int count, be_error *err);

/* sweep_search.c: all rounds: the coarse grid with all sides, then each pair's own points. */
BE_CHECKED be_status sweep_search(sweep *s, be_error *err);

/* sweep_steps.c: the axis of which no point is measured. */
#define SWEEP_STEPS_RUNS 6 /* start-ups that are timed */
/* A whole training of one contender: its seconds. */
BE_CHECKED be_status sweep_whole(measurement *m, const measurement_point *point, int64_t steps,
                                 double *seconds, be_error *err);
BE_CHECKED be_status sweep_steps(sweep *s, be_error *err);

#endif
