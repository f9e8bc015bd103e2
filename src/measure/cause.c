/* See cause.h. */
#include "measure/cause.h"

#include <math.h>
#include <string.h>

#define BATCH_STEP 8 /* how far a batch is moved where no flip is expected */
#define BATCH_REACH 16
#define BEYOND 1.5 /* a flip is checked this far beyond where it is expected */

const char *cause_name(cause_kind kind)
{
    static const char *const names[] = {
#define X(id, text) text,
        CAUSE_LIST(X)
#undef X
    };
    return names[kind];
}

static double known(double value)
{
    return value > 0 ? value : 0; /* NAN too */
}

/* As much of `left` as there is. */
static double take(double *rest, double part)
{
    double amount = fmin(*rest, known(part));
    *rest -= amount;
    return amount;
}

void cause_split(const cause_side *side, double out[CAUSE_TERMS])
{
    double rest = side->step_s;
    out[CAUSE_UPLOAD] = take(&rest, side->upload_s);
    out[CAUSE_DATA] = take(&rest, side->data_s);
    out[CAUSE_HOST] = take(&rest, side->idle_host_s);
    out[CAUSE_REST] = take(&rest, side->rest_s);
    double beyond = side->native ? 0 : known(rest - side->native_s);
    bool has_gap = isfinite(side->gap_s);
    out[CAUSE_FRAMEWORK] = has_gap ? 0 : take(&rest, beyond);
    out[CAUSE_BETWEEN] = has_gap ? take(&rest, fmin(beyond, side->gap_s)) : 0;
    out[CAUSE_FRAMEWORK_KERNELS] = has_gap ? take(&rest, beyond - out[CAUSE_BETWEEN]) : 0;
    double launches = known(side->launches * side->launch_s);
    out[CAUSE_LAUNCHES] = take(&rest, launches + known(side->waits * side->round_trip_s));
    bool memory = side->memory_s > side->arithmetic_s || isnan(side->arithmetic_s);
    out[CAUSE_ARITHMETIC] = memory ? 0 : take(&rest, side->arithmetic_s);
    out[CAUSE_MEMORY] = memory ? take(&rest, side->memory_s) : 0;
    out[CAUSE_KERNELS] = rest;
}

/* What of a step does not grow with the batch. */
static double fixed_part(const double terms[CAUSE_TERMS])
{
    return terms[CAUSE_LAUNCHES] + terms[CAUSE_FRAMEWORK] + terms[CAUSE_BETWEEN] +
           terms[CAUSE_HOST] + terms[CAUSE_REST];
}

/* Where the loser's step becomes as short as the winner's, NAN where it never does. */
static double flip_batch(const cause_question *q, const double winner[], const double loser[])
{
    double batch = (double)q->batch;
    double fixed = fixed_part(loser) - fixed_part(winner);
    double slope =
        ((q->winner->step_s - fixed_part(winner)) - (q->loser->step_s - fixed_part(loser))) / batch;
    double at = fixed / slope;
    return at > 0 && at <= (double)q->most_batch && at <= batch * BATCH_REACH &&
                   at >= batch / BATCH_REACH
               ? at
               : NAN;
}

static int64_t clamp(double batch, int64_t limit)
{
    return batch < 1 ? 1 : batch > (double)limit ? limit : (int64_t)batch;
}

static void try_batch(const cause_question *q, bool larger, cause *out)
{
    double batch = (double)q->batch, goal = larger ? batch * BATCH_STEP : batch / BATCH_STEP;
    out->action = CAUSE_TRY_BATCH;
    bool helps = isfinite(out->flip_batch) && (out->flip_batch > batch) == larger;
    if (!helps) out->flip_batch = NAN;
    if (helps) goal = larger ? out->flip_batch * BEYOND : out->flip_batch / BEYOND;
    double power = larger ? exp2(ceil(log2(goal))) : exp2(floor(log2(fmax(goal, 1))));
    out->batch = clamp(power, q->most_batch);
    if (out->batch == q->batch) out->action = CAUSE_TRY_NOTHING;
}

static void choose_try(const cause_question *q, cause *out)
{
    const cause_side *loser = q->loser ? q->loser : q->winner;
    bool same_device = q->loser && strcmp(q->winner->device, q->loser->device) == 0;
    switch (out->kind) {
    case CAUSE_DATA:
    case CAUSE_UPLOAD:
        if (loser->data_on_host && strcmp(loser->device, "cpu") != 0)
            out->action = CAUSE_TRY_DATA_ON_DEVICE;
        else
            try_batch(q, true, out);
        return;
    case CAUSE_MORE_THREADS:
        try_batch(q, false, out);
        return;
    case CAUSE_ARITHMETIC:
    case CAUSE_MEMORY:
    case CAUSE_KERNELS:
    case CAUSE_FRAMEWORK_KERNELS:
        if (loser->native && (same_device || !q->loser) && strcmp(loser->device, "cpu") == 0)
            out->action = CAUSE_TRY_LIBRARY;
        else
            try_batch(q, false, out);
        return;
    case CAUSE_LAUNCHES:
    case CAUSE_FRAMEWORK:
    case CAUSE_BETWEEN:
    case CAUSE_HOST:
    case CAUSE_REST:
    case CAUSE_FEWER_THREADS:
        if (!q->loser && loser->threads > 1 && strcmp(loser->device, "cpu") == 0)
            out->action = CAUSE_TRY_ONE_THREAD;
        else
            try_batch(q, true, out);
    }
}

static bool differ_in_threads(const cause_question *q)
{
    return q->loser && strcmp(q->winner->engine, q->loser->engine) == 0 &&
           strcmp(q->winner->device, q->loser->device) == 0 &&
           q->winner->threads != q->loser->threads;
}

cause cause_of(const cause_question *q)
{
    double winner[CAUSE_TERMS], loser[CAUSE_TERMS], whole = q->winner->step_s;
    cause out = {.flip_batch = NAN};
    cause_split(q->winner, winner);
    if (q->loser) {
        cause_split(q->loser, loser);
        whole = q->loser->step_s - q->winner->step_s;
        out.flip_batch = flip_batch(q, winner, loser);
    }
    for (int t = 0; t < CAUSE_TERMS; t++) {
        double more = q->loser ? loser[t] - winner[t] : winner[t];
        if (more <= out.seconds) continue;
        out.seconds = more;
        out.kind = (cause_kind)t;
    }
    if (differ_in_threads(q)) {
        out.kind =
            q->winner->threads > q->loser->threads ? CAUSE_MORE_THREADS : CAUSE_FEWER_THREADS;
        out.seconds = whole;
    }
    out.share = whole > 0 ? out.seconds / whole : 0;
    choose_try(q, &out);
    return out;
}
