/* The members of the objects that pages and studies are made from, by the names that they have in
 * JSON, and how they are looked up.
 *
 * A look-up names the member as C does: report_real(record, bench, step_s.median).  One that the
 * shape lacks, or has as another type, does not compile.  No object of a shape exists; whoever adds
 * a member to an object adds it to its shape. */
#ifndef REPORT_MEMBERS_H
#define REPORT_MEMBERS_H

#include <stdbool.h>

#include "core/json.h"
#include "run/record_fields.h"

/* The path of a member in JSON: "step_s.median". */
#define MEMBER(shape, member) (&(#member)[0 * sizeof(((member_##shape *)0)->member)])
#define MEMBER_OF(shape, member, ...) \
    (&(#member)[0 * _Generic(((member_##shape *)0)->member, __VA_ARGS__)])

/* NULL if there is none; NAN if it is no number; "" if it is no text; false if it is not true. */
#define report_member(json, shape, member) json_at((json), MEMBER(shape, member))
#define report_real(json, shape, member) \
    json_real_at((json), MEMBER_OF(shape, member, double : 1, int64_t : 1))
#define report_string(json, shape, member) \
    json_text_at((json), MEMBER_OF(shape, member, const char * : 1, be_status : 1))
#define report_is(json, shape, member) \
    json_is_true(json_at((json), MEMBER_OF(shape, member, bool : 1)))

/* An estimate with its bounds. */
typedef struct member_bounds {
    double point, low, high;
} member_bounds;

/* ---------------------------------------------------------------- measurements */

typedef record_measured member_bench;
typedef record_environment member_environment;
typedef record_versus member_versus;

/* What a page adds to a record. */
typedef struct member_shown {
    bool best;
} member_shown;

typedef struct member_warned {
    const char *kind;
    double value;
} member_warned;

/* What was tried against a cause. */
typedef struct member_trial {
    const char *action, *error, *implementation, *verdict, *reason;
    double ratio, flip_batch;
    int64_t batch;
} member_trial;

/* What study_explain adds to a record (report/explain.h). */
typedef struct member_explained {
    struct {
        const char *bound, *error;
        struct {
            double left_out;
        } calibration;
        double floor_s, missing, ops_sum_s, phases_sum_s, predicted_error, predicted_s, wall_s,
            launches, synchronisations, upload_bytes, download_bytes;
        const json_t *ops, *notes;
        struct {
            double launch_s, memory_bytes_per_s, round_trip_s;
        } limits;
        struct {
            double data, upload, forward, backward, optimizer, loss_read, idle_host, idle_other;
        } phases_s;
    } explain;
    struct {
        const char *kind, *verdict, *reason;
        double ratio, seconds;
        int64_t loser_index;
        struct {
            double launches;
        } loser;
        member_trial tried;
    } cause;
} member_explained;

typedef struct member_op {
    const char *op, *name, *phase, *bound, *implementation;
    double ns, seconds, share, limit_share, predicted_s;
} member_op;

/* What an engine's answer tells of its phases. */
typedef struct member_traced {
    const json_t *phases;
} member_traced;

/* Who took no part. */
typedef struct member_missing {
    const char *name, *reason;
} member_missing;

/* ---------------------------------------------------------------- advice */

typedef struct member_advice {
    const char *workload, *goal, *from, *verdict;
    int64_t batch;
    double epochs, steps, samples;
    const json_t *candidates, *failed, *scaling;
    member_bounds ratio;
    struct {
        bool paired;
        double point, low, high;
        const char *verdict;
    } step;
    struct {
        double samples, batch_low, batch_high;
        bool sure, start_sure;
        const json_t *batches;
    } flip;
} member_advice;

typedef struct member_candidate {
    const char *engine, *device, *standing, *error;
    int64_t threads;
    member_bounds step_s, start_s, total_s;
    double energy_j, memory_bytes, held_out;
    bool measured, in_range, fits;
} member_candidate;

/* What more workers would make of the best candidate (report/scaling.h). */
typedef struct member_scaling {
    bool shared;
    double bytes_per_s, latency_s, gradient_bytes, batch;
    const json_t *points;
} member_scaling;

typedef struct member_scaled {
    int64_t workers, batch;
    double reduce_s;
    const char *reduce;
    member_bounds step_s, speed_up, efficiency, measured;
} member_scaled;

/* What several workers make of a training, measured (report/workers.h). */
typedef struct member_workers {
    const char *workload, *device, *precision;
    int64_t batch, cores;
    bool each;
    double gradient_bytes, bytes_per_s, latency_s;
    const json_t *points, *peers;
} member_workers;

typedef struct member_peer {
    const char *engine, *implementation;
    const json_t *points;
} member_peer;

typedef struct member_crew {
    int64_t workers, batch;
    const char *engine; /* in the table of several */
    double part_s, reduce_s, model_reduce_s, predicted_s;
    member_bounds step_s, speed_up, efficiency, versus_native;
} member_crew;

/* ---------------------------------------------------------------- sweeps */

typedef struct member_sweep {
    const char *workload, *axis, *noun, *mode, *precision, *data, *ended, *file;
    double from, to;
    int64_t batch, loaded, measured;
    double elapsed_s;
    bool total;
    const json_t *notes, *pairs, *sides;
    member_environment environment;
} member_sweep;

typedef struct member_pair {
    const char *first, *second, *winner;
    bool beside;
    double least_ratio, least_at;
    const json_t *points, *crossings, *undecided, *whole;
} member_pair;

typedef struct member_point {
    const char *workload, *axis, *first, *second, *verdict, *first_setting, *second_setting;
    double x, ratio, low, high, first_s, second_s;
    int64_t runs, runs_agreeing;
} member_point;

typedef struct member_crossing {
    double x, low, high;
    const char *faster_below, *faster_above;
} member_crossing;

/* A part of the axis: undecided, or run with one setting. */
typedef struct member_stretch {
    double from, to, ratio_low, ratio_high;
    const char *setting, *implementation;
} member_stretch;

typedef struct member_side {
    const char *name;
    const json_t *settings;
} member_side;

/* A whole training that was run. */
typedef struct member_whole {
    const char *side;
    double x, seconds, expected_s;
} member_whole;

/* A line of a sweep's file. */
typedef struct member_line {
    const char *kind, *side;
    double x;
    const json_t *contenders, *kept, *identity;
} member_line;

/* ---------------------------------------------------------------- devices */

/* What an engine says of itself. */
typedef struct member_hello {
    const char *version;
    const json_t *devices, *unusable_devices, *forms;
    struct {
        const char *blas;
    } libraries;
} member_hello;

/* A device, as its engine and as study_find_devices tell it. */
typedef struct member_device {
    const char *id, *name, *reason, *bus, *duplicate_of, *engine, *device, *device_name, *version,
        *driver, *compute_capability, *limits_reason, *limits_file, *python;
    bool usable, limits_cached;
    int64_t cores, units;
    double memory_bytes;
    const json_t *device_libraries;
    struct {
        const char *blas;
    } libraries;
    struct {
        int64_t threads, unix_s;
        double flops_fp32, flops_tf32, flops_bf16, memory_bytes_per_s, cache_bytes_per_s, launch_s,
            round_trip_s;
        const json_t *transfers;
    } limits;
    struct {
        double clock_hz, clock_max_hz, temperature_c, power_w;
        const char *energy_sensor;
    } sensors;
} member_device;

typedef struct member_library {
    const char *name, *version, *path, *reason;
} member_library;

/* How fast that many bytes are copied. */
typedef struct member_copy {
    const char *device;
    double bytes, up_s, down_s, up, down;
} member_copy;

/* ---------------------------------------------------------------- the rest */

/* An error of study_parity. */
typedef struct member_compared {
    const char *workload, *data, *engine, *against, *quantity, *where, *precision, *unproven_where;
    int64_t batch, steps, seed, unproven;
    double error, limit, rounding;
    bool good;
} member_compared;

/* A data set, or a file of one. */
typedef struct member_set {
    const char *set, *state, *folder, *problem, *used_by;
    int64_t train, test, bytes, memory_bytes;
    const json_t *files;
} member_set;

/* An epoch of train, or what eval found. */
typedef struct member_epoch {
    const char *workload, *device;
    int64_t epoch, step;
    double loss, accuracy, validation_loss, validation_accuracy, seconds, samples_per_s;
    double perplexity,
        validation_perplexity; /* of workloads whose loss is that of a text's tokens */
    const char *data;
    int64_t count;
    double accuracy_back; /* of captions to pictures, where these look for each other */
} member_epoch;

/* A workload that is listed. */
typedef struct member_listed {
    const char *workload, *data, *optimizer, *summary;
    int64_t params, batch, memory_bytes, nodes, epochs;
    double flops_per_step, bytes_per_step, infer_flops_per_step, learning_rate;
} member_listed;

/* A cause as it is made, before it is put into its record. */
typedef struct member_cause {
    const char *kind, *verdict;
} member_cause;

/* A run that is kept (store/store.h), and a note on one. */
typedef struct member_run {
    const char *time, *command, *source, *workloads, *engines, *devices, *machine, *commit, *note;
    int64_t run, records;
} member_run;

typedef struct member_note {
    const char *time, *text;
} member_note;

/* A record with the run that it is of (store/choose.h). */
typedef struct member_chosen {
    int64_t run;
    const json_t *record;
} member_chosen;

/* A run with all that it has (store/choose.h). */
typedef struct member_collected {
    member_run run;
    const json_t *notes, *records, *lines;
} member_collected;

/* A comparison (study/compare.h): the whole, what is not alike, a mean, a side, a row and a line of
 * a ranking. */
typedef struct member_comparisons {
    const char *baseline;
    int64_t epochs;
    const json_t *sides, *rows, *differences, *means, *missing;
} member_comparisons;

typedef struct member_difference {
    const char *setting, *letter, *value, *baseline;
    int64_t rows, of;
} member_difference;

typedef struct member_mean {
    double ratio, low, high;
    const char *verdict;
    int64_t rows;
} member_mean;

typedef struct member_compare_side {
    const char *letter, *title;
    double price_per_hour;
} member_compare_side;

/* Of the objects that stand here as JSON each letter has its member. */
typedef struct member_compare_row {
    const char *workload, *mode, *engine, *device, *precision, *side;
    int64_t batch;
    const json_t *step_s, *step_low_s, *step_high_s, *samples_per_s, *samples_per_j,
        *samples_per_price, *threads, *device_name, *ratio, *ratio_low, *ratio_high, *verdict,
        *epochs_s, *epochs_j, *epochs_price;
} member_compare_row;

typedef struct member_ranking {
    const char *letter, *engine, *device, *device_name, *precision;
    int64_t batch;
    double epochs_s, epochs_j, epochs_price, speed_up;
} member_ranking;

#endif
