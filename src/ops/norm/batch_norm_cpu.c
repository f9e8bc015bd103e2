/* Batch norm on the CPU.  x may be plain or blocked.
 *
 * Memory is seen as runs of floats: a channel of an image (plain), a block of channels of an image
 * (blocked), a few channels of a row (where an image has one pixel).  In a plain run all floats are
 * of one channel; in the others float i is of channel i mod VEC of the run's.  Sums are made by run
 * and joined in a fixed order: the bits do not depend on the threads.  Ranks that are synced show
 * each other two numbers of each channel, and join them in the order of the ranks. */
#include "ops/norm/batch_norm.h"

#include <math.h>
#include <string.h>

#include "backend/cpu/cpu.h"
#include "backend/cpu/vec.h"
#include "group/group.h"
#include "ops/eltwise/activation_cpu.h"

#define PARTS_MOST 64 /* of the images, each summed apart */
#define CHUNK 64      /* vectors, summed in float before they join a sum in double */

typedef struct runs {
    int64_t images, channels, units; /* runs of an image */
    int64_t image_stride, unit_stride, length;
    int64_t parts;
    bool is_planar; /* a run is of one channel */
    double count;   /* values of a channel */
} runs;

static runs runs_of(const be_shape *x, value_layout layout)
{
    batch_norm_sizes s = batch_norm_size(x);
    runs r = {.images = s.images,
              .channels = s.channels,
              .parts = s.images < PARTS_MOST ? s.images : PARTS_MOST,
              .count = s.count};
    int64_t blocks = (s.channels + VEC - 1) / VEC;
    r.is_planar = layout == LAYOUT_PLAIN && s.pixels > 1;
    r.units = r.is_planar ? s.channels : blocks;
    r.length = r.unit_stride = r.is_planar ? s.pixels : s.pixels * VEC;
    r.image_stride = layout == LAYOUT_PLAIN ? s.channels * s.pixels : blocks * s.pixels * VEC;
    return r;
}

/* A run: where it begins, how long it is, and its channels. */
typedef struct run {
    int64_t at, length;
    int64_t first, channels;
} run;

static run run_at(const runs *r, int64_t image, int64_t unit)
{
    run one = {.at = image * r->image_stride + unit * r->unit_stride,
               .length = r->length,
               .first = r->is_planar ? unit : unit * VEC,
               .channels = 1};
    if (r->is_planar) return one;
    int64_t rest = r->channels - one.first;
    one.channels = rest < VEC ? rest : VEC;
    /* The last one of a row. */
    if (one.at + one.length > (image + 1) * r->image_stride) one.length = one.channels;
    return one;
}

/* A number for each float of a vector of the run; channels that do not exist have 0. */
VEC_INLINE vec of_channels(const runs *r, const run *one, const float *values)
{
    vec out = {0};
    if (r->is_planar) return vec_all(values[one->first]);
    memcpy(&out, values + one->first, (size_t)one->channels * sizeof(float));
    return out;
}

/* The vector at float i of a run; beyond its end stands `fill`. */
VEC_INLINE vec load(const run *one, const float *x, int64_t i, vec fill)
{
    if (i + VEC <= one->length) {
        memcpy(&fill, x + one->at + i, sizeof fill);
        return fill;
    }
    memcpy(&fill, x + one->at + i, (size_t)(one->length - i) * sizeof(float));
    return fill;
}

VEC_INLINE void store(const run *one, float *y, int64_t i, vec value)
{
    int64_t rest = one->length - i;
    memcpy(y + one->at + i, &value, (size_t)(rest < VEC ? rest : VEC) * sizeof(float));
}

/* Two sums of each lane, and of a planar run of all lanes. */
typedef struct sums {
    double first[VEC], second[VEC];
} sums;

VEC_INLINE void sums_add(sums *s, vec first, vec second)
{
    for (int i = 0; i < VEC; i++) {
        s->first[i] += (double)first[i];
        s->second[i] += (double)second[i];
    }
}

/* The sums of the parts, for channel c of the tensor. */
static void join(const runs *r, const sums *parts, int64_t c, double *first, double *second)
{
    int64_t unit = r->is_planar ? c : c / VEC;
    int from = r->is_planar ? 0 : (int)(c % VEC), to = r->is_planar ? VEC : from + 1;
    *first = *second = 0.0;
    for (int64_t p = 0; p < r->parts; p++)
        for (int i = from; i < to; i++) {
            *first += parts[p * r->units + unit].first[i];
            *second += parts[p * r->units + unit].second[i];
        }
}

/* ---------------------------------------------------------------- ranks */

/* What a rank shows the others of a channel. */
typedef struct shared {
    double first, second;
} shared;

/* What all ranks show, behind what this one does. */
static size_t shared_bytes(const runs *r, const be_group *group)
{
    return (size_t)(1 + be_group_size(group)) * (size_t)r->channels * sizeof(shared);
}

static be_status show(const runs *r, shared *mine, be_group *group, be_error *err)
{
    return group_gather(group, mine, mine + r->channels, (size_t)r->channels * sizeof *mine, err);
}

/* ---------------------------------------------------------------- forward */

/* Sums of x − pivot and of its squares: with a value of the channel as pivot they are as small as
 * its spread, however far from 0 it lies. */
static vec pivot_of(const runs *r, const float *x, int64_t unit)
{
    run one = run_at(r, 0, unit);
    return r->is_planar ? vec_all(x[one.at]) : load(&one, x, 0, (vec){0});
}

static void sum_squares(const runs *r, const float *x, int64_t part, int64_t unit, sums *out)
{
    vec pivot = pivot_of(r, x, unit);
    *out = (sums){0};
    for (int64_t n = part * r->images / r->parts; n < (part + 1) * r->images / r->parts; n++) {
        run one = run_at(r, n, unit);
        for (int64_t from = 0; from < one.length; from += CHUNK * VEC) {
            int64_t end = from + CHUNK * VEC < one.length ? from + CHUNK * VEC : one.length;
            vec sum = {0}, square = {0};
            for (int64_t i = from; i < end; i += VEC) {
                vec apart = load(&one, x, i, pivot) - pivot;
                sum += apart;
                square += apart * apart;
            }
            sums_add(out, sum, square);
        }
    }
}

/* Mean and sum of the squares off it of channel c. */
static shared statistics_of(const cpu_call *call, const runs *r, const sums *parts, int64_t c)
{
    double sum, square;
    int lane = r->is_planar ? 0 : (int)(c % VEC);
    double pivot = (double)pivot_of(r, call->in[0], r->is_planar ? c : c / VEC)[lane];
    join(r, parts, c, &sum, &square);
    double squares = square - sum * sum / r->count;
    return (shared){pivot + sum / r->count, squares < 0.0 ? 0.0 : squares /* rounding */};
}

/* Of ranks with `count` values each. */
static shared statistics_of_all(const runs *r, const shared *all, int ranks, int64_t c)
{
    shared joined = {0.0, 0.0};
    for (int k = 0; k < ranks; k++) joined.first += all[k * r->channels + c].first / ranks;
    for (int k = 0; k < ranks; k++) {
        shared one = all[k * r->channels + c];
        double apart = one.first - joined.first;
        joined.second += one.second + r->count * apart * apart;
    }
    return joined;
}

static void take_statistics(const cpu_call *call, int64_t c, shared statistics, double count)
{
    const batch_norm_attrs *attrs = call->attrs;
    float *mean = call->out[1], *inverse = call->out[2];
    float *running_mean = call->out[3], *running_var = call->out[4];
    double kept_mean = (double)running_mean[c], kept_var = (double)running_var[c];
    mean[c] = (float)statistics.first;
    inverse[c] = (float)(1.0 / sqrt(statistics.second / count + attrs->epsilon));
    running_mean[c] = (float)(kept_mean + attrs->momentum * (statistics.first - kept_mean));
    running_var[c] =
        (float)(kept_var + attrs->momentum * (statistics.second / (count - 1.0) - kept_var));
}

/* What a run of y is made of. */
typedef struct normal {
    const float *x, *residual;
    float *y;
    vec mean, scale, bias;
} normal;

VEC_INLINE void normalize(const run *one, const normal *k, const bool has_residual, const bool relu)
{
    vec mean = k->mean, scale = k->scale, bias = k->bias, zero = {0};
    for (int64_t i = 0; i < one->length; i += VEC) {
        vec y = (load(one, k->x, i, mean) - mean) * scale + bias;
        if (has_residual) y += load(one, k->residual, i, zero);
        if (relu) y = vec_select(y < zero, zero, y);
        store(one, k->y, i, y);
    }
}

static void normalize_run(const run *one, const normal *k, bool relu)
{
    if (k->residual && relu)
        normalize(one, k, true, true);
    else if (k->residual)
        normalize(one, k, true, false);
    else if (relu)
        normalize(one, k, false, true);
    else
        normalize(one, k, false, false);
}

static void normalize_all(const cpu_call *call, const runs *r, const float *mean,
                          const float *inverse)
{
    const batch_norm_attrs *attrs = call->attrs;
#pragma omp parallel for num_threads(call->threads) schedule(static)
    for (int64_t i = 0; i < r->images * r->units; i++) {
        run one = run_at(r, i / r->units, i % r->units);
        normal k = {.x = call->in[0],
                    .residual = call->in[3],
                    .y = call->out[0],
                    .mean = of_channels(r, &one, mean),
                    .bias = of_channels(r, &one, call->in[2])};
        k.scale = of_channels(r, &one, call->in[1]) * of_channels(r, &one, inverse);
        if (attrs->keep_z) k.y = call->out[5];
        normalize_run(&one, &k, attrs->activation == BE_RELU);
        if (activation_needs_x(attrs->activation))
            ACTIVATION_RUN(attrs->activation, k.y + one.at, (float *)call->out[0] + one.at,
                           one.length, 1);
    }
}

static void batch_norm_layouts(const cpu_device *device, const be_graph *g, const graph_node *node,
                               value_layout in[OP_MAX_IN], value_layout out[OP_MAX_OUT])
{
    (void)device;
    in[0] = in[3] = out[0] = out[5] = g->values[node->in[0]].layout;
}

static be_status batch_norm_prepare(cpu_call *call, arena *memory, be_error *err)
{
    (void)memory;
    (void)err;
    const batch_norm_attrs *attrs = call->attrs;
    runs r = runs_of(&call->in_shape[0], call->in_layout[0]);
    call->scratch_bytes = (size_t)(r.parts * r.units) * sizeof(sums);
    if (attrs->synced) call->scratch_bytes += shared_bytes(&r, attrs->group);
    return BE_OK;
}

static be_status sync_statistics(const cpu_call *call, const runs *r, const sums *parts,
                                 shared *mine, be_error *err)
{
    be_group *group = ((const batch_norm_attrs *)call->attrs)->group;
    int ranks = be_group_size(group);
    for (int64_t c = 0; c < r->channels; c++) mine[c] = statistics_of(call, r, parts, c);
    TRY(show(r, mine, group, err));
    for (int64_t c = 0; c < r->channels; c++)
        take_statistics(call, c, statistics_of_all(r, mine + r->channels, ranks, c),
                        r->count * ranks);
    return BE_OK;
}

static be_status batch_norm_run(const cpu_call *call, be_error *err)
{
    const batch_norm_attrs *attrs = call->attrs;
    runs r = runs_of(&call->in_shape[0], call->in_layout[0]);
    sums *parts = call->scratch;
#pragma omp parallel for num_threads(call->threads) schedule(static)
    for (int64_t i = 0; i < r.parts * r.units; i++)
        sum_squares(&r, call->in[0], i / r.units, i % r.units, &parts[i]);
    if (attrs->synced)
        TRY(sync_statistics(call, &r, parts, (shared *)(parts + r.parts * r.units), err));
    else
        for (int64_t c = 0; c < r.channels; c++)
            take_statistics(call, c, statistics_of(call, &r, parts, c), r.count);
    normalize_all(call, &r, call->out[1], call->out[2]);
    return BE_OK;
}

static be_status batch_norm_infer_prepare(cpu_call *call, arena *memory, be_error *err)
{
    (void)memory;
    (void)err;
    call->scratch_bytes = (size_t)call->in_shape[0].dim[1] * sizeof(float);
    return BE_OK;
}

static be_status batch_norm_infer_run(const cpu_call *call, be_error *err)
{
    (void)err;
    const batch_norm_attrs *attrs = call->attrs;
    runs r = runs_of(&call->in_shape[0], call->in_layout[0]);
    const float *variance = call->in[5];
    float *inverse = call->scratch;
    for (int64_t c = 0; c < r.channels; c++)
        inverse[c] = (float)(1.0 / sqrt((double)variance[c] + attrs->epsilon));
    normalize_all(call, &r, call->in[4], inverse);
    return BE_OK;
}

/* ---------------------------------------------------------------- backward */

/* dz = dy where ReLU let y through; everywhere without y. */
VEC_INLINE vec upstream(const run *one, const float *y, const float *dy, int64_t i)
{
    vec zero = {0}, dz = load(one, dy, i, zero);
    return y ? vec_select(load(one, y, i, zero) <= zero, zero, dz) : dz;
}

/* Sums of dz and dz · (x − mean) of a part of the images; the residual's gradient is dz. */
static void sum_gradients(const cpu_call *call, const runs *r, int64_t part, int64_t unit,
                          sums *out)
{
    const float *x = call->in[0], *y = call->in[4], *dy = call->in[5];
    float *dresidual = call->out[3];
    *out = (sums){0};
    for (int64_t n = part * r->images / r->parts; n < (part + 1) * r->images / r->parts; n++) {
        run one = run_at(r, n, unit);
        vec mean = of_channels(r, &one, call->in[2]);
        for (int64_t from = 0; from < one.length; from += CHUNK * VEC) {
            int64_t end = from + CHUNK * VEC < one.length ? from + CHUNK * VEC : one.length;
            vec sum = {0}, product = {0};
            for (int64_t i = from; i < end; i += VEC) {
                vec dz = upstream(&one, y, dy, i);
                sum += dz;
                product += dz * (load(&one, x, i, mean) - mean);
                if (dresidual) store(&one, dresidual, i, dz);
            }
            sums_add(out, sum, product);
        }
    }
}

/* dx = factor · (dz − middle − (x − mean) · slope) */
static void gradient_run(const cpu_call *call, const runs *r, const run *one, const float *middles,
                         const float *slopes)
{
    const float *x = call->in[0], *y = call->in[4], *dy = call->in[5];
    if (call->out[3]) { /* dz stands there */
        dy = call->out[3];
        y = NULL;
    }
    vec mean = of_channels(r, one, call->in[2]);
    vec factor = of_channels(r, one, call->in[1]) * of_channels(r, one, call->in[3]);
    vec middle = of_channels(r, one, middles);
    vec slope = of_channels(r, one, slopes);
    for (int64_t i = 0; i < one->length; i += VEC) {
        vec dz = upstream(one, y, dy, i);
        store(one, call->out[0], i,
              factor * (dz - middle - (load(one, x, i, mean) - mean) * slope));
    }
}

static void batch_norm_backward_layouts(const cpu_device *device, const be_graph *g,
                                        const graph_node *node, value_layout in[OP_MAX_IN],
                                        value_layout out[OP_MAX_OUT])
{
    (void)device;
    in[0] = in[4] = in[5] = out[0] = out[3] = g->values[node->in[0]].layout;
}

static be_status batch_norm_backward_prepare(cpu_call *call, arena *memory, be_error *err)
{
    (void)memory;
    (void)err;
    const batch_norm_backward_attrs *attrs = call->attrs;
    runs r = runs_of(&call->in_shape[0], call->in_layout[0]);
    call->scratch_bytes =
        (size_t)(r.parts * r.units) * sizeof(sums) + 2 * (size_t)r.channels * sizeof(float);
    if (attrs->synced) call->scratch_bytes += shared_bytes(&r, attrs->group);
    return BE_OK;
}

/* What dx takes off dz for the mean and for the spread of channel c, of these sums of dz and of
 * dz · x̂ over `count` values. */
static void take_sums(const cpu_call *call, int64_t c, shared sums_of, double count, float *middles,
                      float *slopes)
{
    const float *inverse = call->in[3];
    middles[c] = (float)(sums_of.first / count);
    slopes[c] = (float)((double)inverse[c] * sums_of.second / count);
}

static be_status sync_sums(const cpu_call *call, const runs *r, float *middles, float *slopes,
                           be_error *err)
{
    be_group *group = ((const batch_norm_backward_attrs *)call->attrs)->group;
    const float *dweight = call->out[1], *dbias = call->out[2];
    int ranks = be_group_size(group);
    shared *mine = (shared *)(slopes + r->channels), *all = mine + r->channels;
    for (int64_t c = 0; c < r->channels; c++)
        mine[c] = (shared){(double)dbias[c], (double)dweight[c]};
    TRY(show(r, mine, group, err));
    for (int64_t c = 0; c < r->channels; c++) {
        shared sum = {0.0, 0.0};
        for (int k = 0; k < ranks; k++) {
            sum.first += all[k * r->channels + c].first;
            sum.second += all[k * r->channels + c].second;
        }
        take_sums(call, c, sum, r->count * ranks, middles, slopes);
    }
    return BE_OK;
}

static be_status batch_norm_backward_run(const cpu_call *call, be_error *err)
{
    const batch_norm_backward_attrs *attrs = call->attrs;
    runs r = runs_of(&call->in_shape[0], call->in_layout[0]);
    const float *inverse = call->in[3];
    float *dweight = call->out[1], *dbias = call->out[2];
    sums *parts = call->scratch;
    float *middles = (float *)(parts + r.parts * r.units), *slopes = middles + r.channels;
#pragma omp parallel for num_threads(call->threads) schedule(static)
    for (int64_t i = 0; i < r.parts * r.units; i++)
        sum_gradients(call, &r, i / r.units, i % r.units, &parts[i]);
    for (int64_t c = 0; c < r.channels; c++) {
        double sum, product;
        join(&r, parts, c, &sum, &product);
        product *= (double)inverse[c];
        dweight[c] = (float)product;
        dbias[c] = (float)sum;
        take_sums(call, c, (shared){sum, product}, r.count, middles, slopes);
    }
    if (!call->out[0]) return BE_OK;
    if (attrs->synced) TRY(sync_sums(call, &r, middles, slopes, err));
#pragma omp parallel for num_threads(call->threads) schedule(static)
    for (int64_t i = 0; i < r.images * r.units; i++) {
        run one = run_at(&r, i / r.units, i % r.units);
        gradient_run(call, &r, &one, middles, slopes);
    }
    return BE_OK;
}

const cpu_kernel CPU_KERNEL(batch_norm) = {.implementation = CPU_NATIVE,
                                           .layouts = batch_norm_layouts,
                                           .prepare = batch_norm_prepare,
                                           .run = batch_norm_run};

const cpu_kernel CPU_KERNEL(batch_norm_infer) = {.implementation = CPU_NATIVE,
                                                 .layouts = batch_norm_layouts,
                                                 .prepare = batch_norm_infer_prepare,
                                                 .run = batch_norm_infer_run};

const cpu_kernel CPU_KERNEL(batch_norm_backward) = {.implementation = CPU_NATIVE,
                                                    .layouts = batch_norm_backward_layouts,
                                                    .prepare = batch_norm_backward_prepare,
                                                    .run = batch_norm_backward_run};
