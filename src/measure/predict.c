/* See predict.h. */
#include "measure/predict.h"

#include <math.h>
#include <string.h>

#include "core/memory.h"

/* Of the regression, in natural logarithms of the factor and in powers of two of the sizes: points
 * further apart than about LENGTH doublings tell little of one another; SLOPE lets the factor drift
 * with a size beyond the points; NOISE is the variance of one timing (0.14, 14 %). */
#define LENGTH 3.0
#define SLOPE 0.01
#define NOISE 0.02
#define FEATURES 8
#define VECTOR                                                                         \
    16.0 /* results that wide processors compute at once: what does not fill them pays \
          */

const char *predict_bound_name(predict_bound bound)
{
    static const char *const names[] = {"launch", "arithmetic", "memory"};
    return names[bound];
}

double predict_floor(const predict_machine *machine, const predict_op *op, predict_bound *bound)
{
    const limits *l = machine->limits;
    bool cached = op->bytes < machine->cache_bytes && l->cache_bytes_per_s > 0;
    double bandwidth = cached ? l->cache_bytes_per_s : l->memory_bytes_per_s;
    double times[] = {op->launches * l->launch_s, op->flops / machine->peak_flops_per_s,
                      op->bytes / bandwidth};
    double highest = PREDICT_LEAST_S;
    *bound = PREDICT_LAUNCH;
    for (int i = 0; i < 3; i++)
        if (times[i] > highest) { /* false for what is not known */
            highest = times[i];
            *bound = (predict_bound)i;
        }
    return highest;
}

static double unfilled(double channels)
{
    return ceil(channels / VECTOR) * VECTOR / channels;
}

static void features_of(const predict_op *op, double out[FEATURES])
{
    bool weights = op->out * op->in > 1;
    const double sizes[FEATURES] = {weights ? op->out : op->elements,
                                    op->in,
                                    op->kernel,
                                    op->pixels,
                                    op->batch,
                                    op->passes * op->passes,
                                    weights ? pow(unfilled(op->out), 2) : 1,
                                    weights ? pow(unfilled(op->in), 2) : 1};
    for (int f = 0; f < FEATURES; f++) out[f] = log2(sizes[f] > 1 ? sizes[f] : 1);
}

/* A regression over the points of one kind, prepared to be asked. */
typedef struct regression {
    int count;
    double mean, centre[FEATURES];
    double (*at)[FEATURES]; /* of each point, around the centre */
    double *factor;         /* lower triangle of the Cholesky factor, count × count */
    double *left;           /* logarithms of the points' factors without the mean */
    double *weight;         /* the kernel's inverse times `left` */
    void *memory;
} regression;

static double kernel(const double *a, const double *b)
{
    double square = 0, product = 0;
    for (int f = 0; f < FEATURES; f++) {
        square += (a[f] - b[f]) * (a[f] - b[f]);
        product += a[f] * b[f];
    }
    return exp(-square / (2 * LENGTH * LENGTH)) + SLOPE * product;
}

/* The kernel is positive definite with NOISE on its diagonal. */
static void factorize(regression *r)
{
    int n = r->count;
    for (int i = 0; i < n; i++)
        for (int j = 0; j <= i; j++) {
            double sum = kernel(r->at[i], r->at[j]) + (i == j ? NOISE : 0);
            for (int k = 0; k < j; k++) sum -= r->factor[i * n + k] * r->factor[j * n + k];
            r->factor[i * n + j] = i == j ? sqrt(fmax(sum, 1e-12)) : sum / r->factor[j * n + j];
        }
}

static void solve(const regression *r, const double *right, double *out)
{
    int n = r->count;
    for (int i = 0; i < n; i++) {
        double sum = right[i];
        for (int k = 0; k < i; k++) sum -= r->factor[i * n + k] * out[k];
        out[i] = sum / r->factor[i * n + i];
    }
    for (int i = n - 1; i >= 0; i--) {
        double sum = out[i];
        for (int k = i + 1; k < n; k++) sum -= r->factor[k * n + i] * out[k];
        out[i] = sum / r->factor[i * n + i];
    }
}

static bool same_kind(const predict_op *a, const predict_op *b)
{
    return strcmp(a->op, b->op) == 0 && strcmp(a->implementation, b->implementation) == 0;
}

static bool is_timed(const predict_op *p)
{
    return isfinite(p->seconds) && p->seconds > 0;
}

/* Points of the kind of `op`, or all where there are none of it. */
static int choose(const predict_op *points, int count, const predict_op *op, int *out, bool *kind)
{
    int total = 0;
    for (int i = 0; i < count; i++)
        if (is_timed(&points[i]) && same_kind(&points[i], op)) out[total++] = i;
    *kind = total > 0;
    for (int i = 0; !*kind && i < count; i++)
        if (is_timed(&points[i])) out[total++] = i;
    return total;
}

static void take_points(regression *r, const predict_machine *machine, const predict_op *points,
                        const int *choice)
{
    predict_bound bound;
    for (int i = 0; i < r->count; i++) {
        const predict_op *p = &points[choice[i]];
        features_of(p, r->at[i]);
        r->left[i] = log(p->seconds / predict_floor(machine, p, &bound));
        r->mean += r->left[i] / r->count;
        for (int f = 0; f < FEATURES; f++) r->centre[f] += r->at[i][f] / r->count;
    }
    for (int i = 0; i < r->count; i++) {
        r->left[i] -= r->mean;
        for (int f = 0; f < FEATURES; f++) r->at[i][f] -= r->centre[f];
    }
}

static be_status regression_new(regression *r, const predict_machine *machine,
                                const predict_op *points, const int *choice, be_error *err)
{
    size_t n = (size_t)r->count;
    TRY(memory_alloc(&r->memory, (n * n + n * (FEATURES + 2)) * sizeof(double), "a regression",
                     err));
    r->factor = r->memory;
    r->left = r->factor + n * n;
    r->weight = r->left + n;
    r->at = (double(*)[FEATURES])(r->weight + n);
    take_points(r, machine, points, choice);
    factorize(r);
    solve(r, r->left, r->weight);
    return BE_OK;
}

static double regression_ask(const regression *r, const predict_op *op)
{
    double at[FEATURES], sum = r->mean;
    features_of(op, at);
    for (int f = 0; f < FEATURES; f++) at[f] -= r->centre[f];
    for (int i = 0; i < r->count; i++) sum += r->weight[i] * kernel(at, r->at[i]);
    return sum;
}

be_status predict_seconds(const predict_machine *machine, const predict_op *points, int count,
                          const predict_op *op, predict_estimate *out, be_error *err)
{
    int choice[PREDICT_POINTS_MAX];
    bool kind = false;
    regression r = {0};
    MUST(count <= PREDICT_POINTS_MAX);
    *out = (predict_estimate){.seconds = NAN};
    out->floor_s = predict_floor(machine, op, &out->bound);
    r.count = choose(points, count, op, choice, &kind);
    if (!r.count) return BE_OK;
    out->points = kind ? r.count : 0;
    if (kind) {
        TRY(regression_new(&r, machine, points, choice, err));
        out->seconds = out->floor_s * exp(regression_ask(&r, op));
        memory_free(r.memory);
        return BE_OK;
    }
    /* Sizes of other kinds tell nothing here; what they attain on average does. */
    predict_bound bound;
    double mean = 0;
    for (int i = 0; i < r.count; i++) {
        const predict_op *p = &points[choice[i]];
        mean += log(p->seconds / predict_floor(machine, p, &bound)) / r.count;
    }
    out->seconds = out->floor_s * exp(mean);
    return BE_OK;
}

/* The errors of the points of one kind, each left out in turn, with the time it took: by the
 * diagonal of the kernel's inverse (Rasmussen and Williams, equation 5.12). */
static be_status leave_out(const predict_machine *machine, const predict_op *points,
                           const int *choice, int count, double (*errors)[2], be_error *err)
{
    regression r = {.count = count};
    void *memory = NULL;
    TRY(regression_new(&r, machine, points, choice, err));
    be_status status =
        memory_alloc(&memory, 2 * (size_t)count * sizeof(double), "a regression", err);
    double *unit = memory, *column = unit + count;
    for (int i = 0; status == BE_OK && i < count; i++) {
        for (int k = 0; k < count; k++) unit[k] = k == i;
        solve(&r, unit, column);
        errors[i][0] = fabs(expm1(-r.weight[i] / column[i]));
        errors[i][1] = points[choice[i]].seconds;
    }
    memory_free(memory);
    memory_free(r.memory);
    return status;
}

static double weighted_median(double (*errors)[2], int count)
{
    double total = 0, below = 0, at = -1;
    for (int i = 0; i < count; i++) total += errors[i][1];
    while (below < total / 2) {
        int next = -1;
        for (int i = 0; i < count; i++)
            if (errors[i][1] > 0 && (next < 0 || errors[i][0] < errors[next][0])) next = i;
        if (next < 0) break;
        at = errors[next][0];
        below += errors[next][1];
        errors[next][1] = 0;
    }
    return at < 0 ? NAN : at;
}

be_status predict_left_out(const predict_machine *machine, const predict_op *points, int count,
                           double *out, be_error *err)
{
    double errors[PREDICT_POINTS_MAX][2];
    int choice[PREDICT_POINTS_MAX], total = 0;
    MUST(count <= PREDICT_POINTS_MAX);
    *out = NAN;
    for (int i = 0; i < count; i++) {
        bool kind = false, is_repeated = false;
        for (int k = 0; k < i; k++)
            is_repeated |= is_timed(&points[k]) && same_kind(&points[k], &points[i]);
        if (is_repeated || !is_timed(&points[i])) continue;
        int near = choose(points, count, &points[i], choice, &kind);
        if (near < 2) continue;
        TRY(leave_out(machine, points, choice, near, errors + total, err));
        total += near;
    }
    *out = weighted_median(errors, total);
    return BE_OK;
}

double predict_transfer(const limits *l, double bytes, bool down)
{
    int n = l->transfer_count;
    if (!n || !(bytes > 0)) return 0;
    const limits_transfer *t = l->transfers;
    int i = 0;
    while (i + 1 < n && (double)t[i + 1].bytes < bytes) i++;
    double first = down ? t[i].down_s : t[i].up_s;
    if (i + 1 == n) return first * fmax(1, bytes / (double)t[i].bytes);
    if (bytes <= (double)t[0].bytes) return first;
    double second = down ? t[i + 1].down_s : t[i + 1].up_s;
    double share = (bytes - (double)t[i].bytes) / (double)(t[i + 1].bytes - t[i].bytes);
    return first + share * (second - first);
}
