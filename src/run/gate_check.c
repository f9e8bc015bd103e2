/* Runners held against the reference of a gate. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "core/text.h"
#include "graph/precision.h"
#include "run/gate.h"
#include "run/rounding.h"

typedef struct gate_limits {
    const char *precision;
    double band, gradients, least;
} gate_limits;

static const gate_limits *find_limits(const char *precision)
{
    static const gate_limits all[] = {
#define X(precision, band, gradients, least) {precision, band, gradients, least},
        GATE_BAND_LIST(X)
#undef X
    };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (strcmp(all[i].precision, precision) == 0) return &all[i];
    return NULL;
}

/* A user's own model may be one whose ReLUs and pools decide otherwise by rounding: its gradients
 * are judged by their distance, and may be this many times as far off as a rounding of its weights
 * moves them, at most as far as in bf16. */
#define GATE_MOVED_TIMES 8
#define GATE_MOVED_MOST 0.32

static double moved_band(double band, double moved)
{
    return fmax(band, fmin(GATE_MOVED_TIMES * moved, GATE_MOVED_MOST));
}

/* The largest distance of a gradient; 0: its error counts as that of the others. */
static double gradients_band(const gate *g, const gate_limits *limits)
{
    if (!g->own) return limits->gradients;
    return moved_band(fmax(limits->gradients, limits->band), g->moved_gradients);
}

static double losses_band(const gate *g, const gate_limits *limits)
{
    return moved_band(limits->band, g->moved_losses);
}

/* Where no operand is rounded: see GATE_BAND_LIST. */
static double widest_limit(const gate_limits *limits)
{
    return limits->least > 0 ? 0 : GATE_FP32_WIDEST;
}

be_status gate_judge(const char *precision, const trace *found, const trace *right,
                     const trace *rounding, parity_result *out, be_error *err)
{
    const gate_limits *limits = find_limits(precision);
    if (!limits)
        FAIL(err, BE_USAGE, "parity: expected a precision that has a band, found \"%s\"",
             precision);
    return parity_compare_within(found, right,
                                 &(parity_limits){.error = limits->band,
                                                  .gradients = limits->gradients,
                                                  .widest = widest_limit(limits),
                                                  .rounding = rounding},
                                 out, err);
}

/* " (2 times the rounding's own error, 0.31)", where that widened the limit. */
static void describe_limit(const parity_row *row, double narrowest, char *out, size_t room)
{
    text_buffer b = text_begin(out, room);
    if (!(row->limit > narrowest) || isnan(row->rounding)) return;
    if (row->limit < PARITY_ROUNDING_TIMES * row->rounding)
        text_add(&b, " (the most that is allowed; rounding alone makes %.3g)", row->rounding);
    else
        text_add(&b, " (%.0f times the rounding's own error, %.3g)", row->limit / row->rounding,
                 row->rounding);
}

/* A runner that is held against the gate, and what it may differ by. */
typedef struct gate_trial {
    gate *gate;
    runner *runner;
    const char *precision;
    parity_limits limits;
    double limit_s; /* for an answer */
} gate_trial;

/* The row left its limit; `narrowest` is what it would be without rounding. */
static be_status refuse(const gate_trial *t, const parity_row *row, double narrowest, be_error *err)
{
    const gate *g = t->gate;
    const runner *r = t->runner;
    char options[128], limit[96];
    text_buffer b = TEXT_BUFFER(options);
    if (g->own)
        FAIL(err, BE_NUMERIC,
             "%s: expected %s within %g of the same model's on the CPU in double precision, found "
             "an error of %.3g at %s (batch %" PRId64 ", %" PRId64 " steps, seed %" PRIu64
             ", without dropout); it computes another training and gets no speed; look for an "
             "operation that this device computes otherwise",
             r->name, row->kind, row->limit, row->error, row->where, g->batch, g->steps, g->seed);
    for (int d = 0; d < WORKLOAD_DIMENSIONS; d++) {
        int value = workload_variant_get(&g->variant, (workload_dimension)d);
        if (value) text_add(&b, " --%s %d", workload_dimension_names[d], value);
    }
    if (strcmp(t->precision, "fp32") != 0) text_add(&b, " --precision %s", t->precision);
    describe_limit(row, narrowest, limit, sizeof limit);
    FAIL(err, BE_NUMERIC,
         "%s: expected %s within %.3g%s of the reference in double precision, found an error of "
         "%.3g at %s (batch %" PRId64 ", %" PRId64 " steps, seed %" PRIu64 "); it computes another "
         "training than it was asked for and gets no speed; 'breakeven parity %s --batch %" PRId64
         " --seed %" PRIu64 "%s' compares every quantity",
         r->name, row->kind, row->limit, limit, row->error, row->where, g->batch, g->steps, g->seed,
         g->workload, g->batch, g->seed, options);
}

/* Keep the error that is nearest to its band; NaN is beyond all. */
static void note(gate_result *out, double error, double band, const char *where)
{
    if (isnan(out->error) || error * out->band <= out->error * band) return;
    out->error = error;
    out->band = band;
    snprintf(out->where, sizeof out->where, "%s", where);
}

/* What rounding makes unfit for a proof is told; where nothing else is left there is no proof. */
static be_status note_unproven(const gate_trial *t, const parity_row *row, gate_result *out,
                               be_error *err)
{
    if (row->unproven == 0) return BE_OK;
    out->unproven = row->unproven;
    snprintf(out->unproven_where, sizeof out->unproven_where, "%s", row->unproven_where);
    if (row->unproven < row->tensors) return BE_OK;
    FAIL(err, BE_NUMERIC,
         "%s: expected gradients that can be compared, found that rounding in %s alone moves all "
         "%d by half of themselves or more (batch %" PRId64 ", seed %" PRIu64
         "); nothing proves what it computes, so it gets no speed; use --precision fp32 or another "
         "--seed",
         t->runner->name, t->precision, row->tensors, t->gate->batch, t->gate->seed);
}

static be_status check_rows(const gate_trial *t, const parity_result *result, gate_result *out,
                            be_error *err)
{
    const gate *g = t->gate;
    const parity_limits *limits = &t->limits;
    /* The first kind that is wrong is where it begins: the ones after it follow from it. */
    for (int k = 0; k < result->count; k++) {
        const parity_row *row = &result->rows[k];
        if ((g->infer || g->own) && row->tensors == 0) continue;
        bool by_distance = limits->gradients > 0 && strcmp(row->kind, "gradients") == 0;
        double narrowest = by_distance ? limits->gradients : limits->error;
        bool wider = row->limit > narrowest && g->own;
        bool another_measure = by_distance || wider;
        if (!row->good || !another_measure) note(out, row->error, row->limit, row->where);
        if (!row->good) return refuse(t, row, narrowest, err);
    }
    const parity_row *gradients = parity_find(result, "gradients");
    return gradients ? note_unproven(t, gradients, out, err) : BE_OK;
}

/* Whoever computes in fp32 what was asked for in bf16 is too near in all that no flip moves. */
static double largest_error(const parity_result *result)
{
    double largest = 0;
    for (int k = 0; k < result->count; k++)
        if (strcmp(result->rows[k].kind, "gradients") != 0)
            largest = fmax(largest, result->rows[k].error);
    return largest;
}

/* In fp32 the rounding is measured where it may count: for what left its limit without it. */
static be_status widen(gate_trial *t, bool *did, be_error *err)
{
    gate *g = t->gate;
    *did = !t->limits.rounding && !g->own;
    if (!*did) return BE_OK;
    TRY(gate_find_rounding(g, BE_PRECISION_FP32, err));
    t->limits.rounding = &g->rounding[BE_PRECISION_FP32];
    return BE_OK;
}

static bool is_beyond(const parity_result *result)
{
    for (int k = 0; k < result->count; k++)
        if (!result->rows[k].good && result->rows[k].tensors > 0) return true;
    return false;
}

static be_status compare_trace(gate_trial *t, const trace *found, parity_result *out, be_error *err)
{
    bool again = false;
    TRY(parity_compare_within(found, &t->gate->reference, &t->limits, out, err));
    if (is_beyond(out)) TRY(widen(t, &again, err));
    if (!again) return BE_OK;
    return parity_compare_within(found, &t->gate->reference, &t->limits, out, err);
}

static be_status ask_trace(gate_trial *t, parity_result *out, be_error *err)
{
    const gate *g = t->gate;
    runner *r = t->runner;
    trace found = {0};
    be_status status = parity_ask(r, g->steps, g->path, t->limit_s, &found, err);
    unlink(g->path);
    TRY(status);
    status = compare_trace(t, &found, out, err);
    if (status != BE_OK) status_prefix(err, "%s", r->name);
    trace_free(&found);
    return status;
}

/* What the losses of `run` may differ by, as a row of a comparison. */
static parity_row run_row(const parity_limits *limits)
{
    const trace_tensor *rounding = limits->rounding ? trace_find(limits->rounding, "losses") : NULL;
    parity_row row = {.kind = "the losses",
                      .limit = limits->losses,
                      .rounding = rounding ? rounding->values[ROUNDING_ERROR] : (double)NAN,
                      .where = "the first step of 'run'"};
    row.limit = parity_widened(limits, row.limit, row.rounding);
    return row;
}

/* The same steps as a timed block does them. */
static be_status check_run(gate_trial *t, gate_result *out, be_error *err)
{
    const gate *g = t->gate;
    protocol_answer answer;
    protocol_call call = {.request = PROTOCOL_RUN, .steps = g->steps, .losses = true};
    const trace_tensor *losses = trace_find(&g->reference, "losses");
    parity_row row = run_row(&t->limits);
    MUST(losses && losses->count == g->steps);
    TRY(runner_call(t->runner, &call, t->limit_s, &answer, NULL, err));
    for (int64_t i = 0; i < g->steps; i++) {
        const json_t *value = json_array_get(answer.losses, (size_t)i);
        double loss = json_is_number(value) ? json_number_value(value) : (double)NAN;
        double error = fabs(loss - losses->values[i]) / fabs(losses->values[i]);
        if (isnan(row.error) || error <= row.error) continue;
        row.error = error;
        snprintf(row.where, sizeof row.where, "step %" PRId64 " of 'run' (%.6g, expected %.6g)",
                 i + 1, loss, losses->values[i]);
    }
    protocol_answer_clear(&answer);
    bool again = false;
    if (!(row.error <= row.limit)) TRY(widen(t, &again, err));
    if (again) {
        parity_row wider = run_row(&t->limits);
        row.limit = wider.limit;
        row.rounding = wider.rounding;
    }
    if (!g->own || row.limit <= out->band) note(out, row.error, row.limit, row.where);
    return row.error <= row.limit ? BE_OK : refuse(t, &row, t->limits.losses, err);
}

/* A rounding that was asked for shows. */
static be_status check_rounding(const runner *r, const gate_limits *limits, double largest,
                                be_error *err)
{
    if (largest >= limits->least) return BE_OK;
    FAIL(err, BE_NUMERIC,
         "%s: expected an error of at least %.2g against the reference in double precision, which "
         "products in %s have, found %.3g: it says that it computes in %s and multiplies in a "
         "wider precision, so it gets no speed under that name; use --precision fp32",
         r->name, limits->least, limits->precision, largest, limits->precision);
}

/* The prepared job of the gate. */
static be_status check_numbers(gate_trial *t, const gate_limits *limits, gate_result *out,
                               be_error *err)
{
    parity_result result;
    TRY(ask_trace(t, &result, err));
    TRY(check_rows(t, &result, out, err));
    if (!t->gate->infer) TRY(check_run(t, out, err));
    return check_rounding(t->runner, limits, largest_error(&result), err);
}

/* What a runner of this precision may differ by at first; a user's own model has no rounded
 * reference. */
static be_status limits_of(const gate *g, const gate_limits *limits, parity_limits *out,
                           be_error *err)
{
    be_precision precision;
    TRY(precision_find(limits->precision, &precision, err));
    bool rounds = !g->own && precision != BE_PRECISION_FP32;
    const trace *rounding = rounds ? &g->rounding[precision] : NULL;
    MUST(!rounding || rounding->count);
    *out = (parity_limits){.error = limits->band,
                           .gradients = gradients_band(g, limits),
                           .losses = losses_band(g, limits),
                           .widest = widest_limit(limits),
                           .rounding = rounding};
    return BE_OK;
}

/* Losses of the job at its full size: of its first steps, or of its answers to the first pictures.
 * There is no reference for them; the conductor holds them against those of the others. */
static be_status ask_losses(const gate *g, runner *r, const protocol_job *full, double limit_s,
                            gate_result *out, be_error *err)
{
    protocol_answer answer;
    protocol_call call = {.request = g->infer ? PROTOCOL_EVALUATE : PROTOCOL_RUN,
                          .steps = g->steps,
                          .losses = true,
                          .path = g->sample.data};
    MUST(g->steps <= GATE_LOSSES_MAX);
    TRY(runner_prepare(r, full, limit_s, err));
    TRY(runner_call(r, &call, limit_s, &answer, NULL, err));
    out->loss_count = g->infer ? 1 : (int)g->steps;
    for (int i = 0; i < out->loss_count; i++) {
        const json_t *value = json_array_get(answer.losses, (size_t)i);
        out->losses[i] = g->infer                ? answer.loss
                         : json_is_number(value) ? json_number_value(value)
                                                 : (double)NAN;
    }
    protocol_answer_clear(&answer);
    return BE_OK;
}

/* An operation has no answers that could be evaluated: the first number of its result. */
static be_status ask_result(const gate *g, runner *r, const protocol_job *full, double limit_s,
                            gate_result *out, be_error *err)
{
    trace found = {0};
    TRY(runner_prepare(r, full, limit_s, err));
    be_status status = parity_ask(r, 1, g->path, limit_s, &found, err);
    unlink(g->path);
    TRY(status);
    const trace_tensor *loss = trace_find(&found, "loss");
    out->loss_count = loss && loss->count == 1;
    if (out->loss_count) out->losses[0] = loss->values[0];
    trace_free(&found);
    return BE_OK;
}

be_status gate_check(gate *g, runner *r, const protocol_job *job, double limit_s, gate_result *out,
                     be_error *err)
{
    protocol_job full = *job, small;
    full.batch = g->batch;
    full.dropout = "counter";
    full.accumulate = 1; /* the traces are of whole batches */
    small = full;
    if (g->varied.operate) full.batch = job->batch; /* that its weights are of */
    if (g->reduced) {
        small.variant = g->variant;
        small.data = g->material.data;
        small.weights = g->material.weights;
        small.optimizer.lr = g->varied.optimizer.learning_rate;
    }
    *out = (gate_result){.batch = g->batch, .steps = g->steps};
    const gate_limits *limits = find_limits(job->precision);
    if (!limits)
        FAIL(err, BE_USAGE, "parity: expected a precision that has a band, found \"%s\"",
             job->precision);
    gate_trial trial = {.gate = g, .runner = r, .precision = job->precision, .limit_s = limit_s};
    TRY(limits_of(g, limits, &trial.limits, err));
    out->band = limits->band;
    TRY(runner_prepare(r, &small, limit_s, err));
    TRY(check_numbers(&trial, limits, out, err));
    if (!g->reduced) return BE_OK;
    return g->infer && g->varied.operate ? ask_result(g, r, &full, limit_s, out, err)
                                         : ask_losses(g, r, &full, limit_s, out, err);
}

/* Steps that begin with the same weights differ by rounding alone, which grows from step to step:
 * ten times what one tensor may, as the first losses of a measurement. */
#define GATE_LOSS_BANDS 10

double gate_first_loss_band(bool operates, const char *precision)
{
    const gate_limits *limits = find_limits(operates ? precision : "fp32");
    MUST(limits);
    return GATE_LOSS_BANDS * limits->band;
}

be_status gate_compare(const char *name, const gate_result *found, const char *other,
                       const gate_result *right, be_error *err)
{
    double band = GATE_LOSS_BANDS * found->band;
    int count = found->loss_count < right->loss_count ? found->loss_count : right->loss_count;
    for (int i = 0; i < count; i++) {
        double error = fabs(found->losses[i] - right->losses[i]);
        if (error <= band * fabs(right->losses[i])) continue;
        /* Where both are above their first loss the training diverges, and rounding grows in it
         * without bound (a residual network at a rate that is too high for its batch). */
        if (found->losses[i] > found->losses[0] && right->losses[i] > right->losses[0]) break;
        FAIL(err, BE_NUMERIC,
             "%s: expected the losses of %s at its full size, %.6g in step %d (within %g of it), "
             "found %.6g; only a smaller variant of this network is compared with the reference in "
             "double precision, and at full size they differ; it gets no speed; 'breakeven parity' "
             "compares them",
             name, other, right->losses[i], i + 1, band, found->losses[i]);
    }
    return BE_OK;
}
