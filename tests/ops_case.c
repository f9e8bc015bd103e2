/* The data of an op's case: drawing inputs, the reference's outputs, comparing, planted faults. */
#include "ops_case.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/rng.h"
#include "graph/precision.h"
#include "ops/op_list.h"

void *ops_alloc(size_t bytes)
{
    void *block = calloc(1, bytes ? bytes : 1);
    if (!block) abort();
    return block;
}

size_t ops_bytes(const be_shape *shape)
{
    return (size_t)shape_elements(shape) * dtype_bytes(shape->dtype);
}

double ops_get(const be_shape *shape, const void *data, int64_t i)
{
    double value;
    dtype_to_doubles(shape->dtype, (const char *)data + (size_t)i * dtype_bytes(shape->dtype), 1,
                     &value);
    return value;
}

void ops_set(const be_shape *shape, void *data, int64_t i, double value)
{
    dtype_from_doubles(shape->dtype, &value, 1,
                       (char *)data + (size_t)i * dtype_bytes(shape->dtype));
}

const char *ops_index_text(const be_shape *shape, int64_t i, char text[96])
{
    int64_t index[BE_MAX_RANK] = {0};
    for (int d = shape->rank - 1; d >= 0; d--) {
        index[d] = i % shape->dim[d];
        i /= shape->dim[d];
    }
    int used = snprintf(text, 96, "[");
    for (int d = 0; d < shape->rank; d++)
        used += snprintf(text + used, 96 - (size_t)used, "%s%" PRId64, d ? ", " : "", index[d]);
    snprintf(text + used, 96 - (size_t)used, "]");
    return text;
}

bool ops_is_listed(const char *list, const char *name)
{
    size_t length = strlen(name);
    for (const char *at = list; at && *at; at += strcspn(at, ","), at += *at == ',')
        if (strncmp(at, name, length) == 0 && (at[length] == ',' || !at[length])) return true;
    return !list;
}

bool ops_is_updated(const be_op *op, int i)
{
    for (int o = 0; o < op->outputs; o++)
        if (op->updates[o] == i + 1) return true;
    return false;
}

bool ops_is_mixed(const be_op *op)
{
    return op->narrow_in | op->narrow_out | (unsigned)op->narrow_copy;
}

/* A sub-stream of its own for each op, case, draw and input. */
static rng_key draw_key(const ops_case *c, int draw, int input)
{
    uint32_t hash = 2166136261u;
    for (const char *p = c->op->name; *p; p++) hash = (hash ^ (unsigned char)*p) * 16777619u;
    for (const char *p = c->spec->name; *p; p++) hash = (hash ^ (unsigned char)*p) * 16777619u;
    hash = (hash ^ (uint32_t)(draw * (OP_MAX_IN + 1) + input)) * 16777619u;
    return (rng_key){.seed = c->seed, .stream = RNG_TEST, .sub = hash};
}

/* One number of an input. */
static double draw_number(const ops_case *c, int draw, int i, rng *source)
{
    double low = c->spec->positive >> i & 1 ? 0.0 : c->spec->low, high = c->spec->high;
    int least = c->spec->ignored >> i & 1 ? -1 : 0;
    if (!dtype_is_real(c->in[i].dtype))
        return least + (int)rng_next_below(source, (uint32_t)(c->spec->below[i] - least));
    bool is_zero = draw == OPS_ZEROS && low <= 0.0 && high >= 0.0 && rng_next_below(source, 4) == 0;
    double value = low + (high - low) * (double)rng_next_uniform(source);
    if (c->op->narrow >> i & 1) precision_round(c->precision, &value, 1);
    return is_zero ? 0.0 : value;
}

/* The input that has a NaN in the draw of that kind; −1: the op has no real numbers. */
static int nan_input(const ops_case *c)
{
    int real[OP_MAX_IN], count = 0;
    for (int i = 0; i < c->op->inputs; i++)
        if (c->in[i].rank >= 0 && dtype_is_real(c->in[i].dtype)) real[count++] = i;
    return count ? real[rng_word(draw_key(c, OPS_NANS, OP_MAX_IN), 0) % (uint32_t)count] : -1;
}

static void draw_input(const ops_case *c, int draw, int i, void *data)
{
    rng source = {.key = draw_key(c, draw, i)};
    int64_t count = shape_elements(&c->in[i]);
    for (int64_t k = 0; k < count; k++)
        ops_set(&c->in[i], data, k, draw_number(c, draw, i, &source));
    if (draw == OPS_NANS && i == nan_input(c))
        ops_set(&c->in[i], data, (int64_t)rng_next_below(&source, (uint32_t)count), (double)NAN);
}

/* The fp32 case holds the products in blocks against the plain loops, so that other precisions may
 * take the faster ones; not with a NaN, which a product with the padding's zeros would spread. */
static void call_reference(const ops_case *c, double **x, double **y, bool with_nan)
{
    op_reference call = {
        .attrs = c->spec->attrs, .in = c->in, .out = c->out, .x = x, .y = y, .threads = 1};
    be_error err;
    if (c->precision == BE_PRECISION_FP32 || !c->op->blocked || with_nan)
        c->op->reference(&call);
    else
        MUST(c->op->blocked(&call, &err) == BE_OK);
}

/* The outputs where every real number of the inputs is `map` of itself. */
static void map_reference(const ops_case *c, const ops_draw *draw, double (*map)(double),
                          double **out)
{
    double *x[OP_MAX_IN] = {NULL};
    for (int i = 0; i < c->op->inputs; i++) {
        if (c->in[i].rank < 0) continue;
        int64_t count = shape_elements(&c->in[i]);
        x[i] = ops_alloc((size_t)count * sizeof(double));
        for (int64_t k = 0; k < count; k++)
            x[i][k] = dtype_is_real(c->in[i].dtype) ? map(draw->x[i][k]) : draw->x[i][k];
    }
    for (int o = 0; o < c->op->outputs; o++)
        if (c->out[o].rank >= 0)
            out[o] = ops_alloc((size_t)shape_elements(&c->out[o]) * sizeof(double));
    call_reference(c, x, out, false);
    for (int i = 0; i < OP_MAX_IN; i++) free(x[i]);
}

static double one_of(double value)
{
    (void)value;
    return 1.0;
}

/* A NaN counts nothing: what it reaches is compared as NaN. */
static double size_of(double value)
{
    return isnan(value) ? 0.0 : fabs(value);
}

/* Where two numbers that are nearly the same are rounded to bf16, they may be one step apart:
 * at most 2^-7 of the smaller. */
static double rounding_of(const be_shape *shape, double size)
{
    return shape->dtype == BE_BF16 ? ldexp(size, -7) : 0.0;
}

/* The tolerance of the case, of the largest result, and what bf16 rounds. */
static void allow_rounding(const ops_case *c, ops_draw *draw)
{
    for (int o = 0; o < c->op->outputs; o++) {
        if (c->out[o].rank < 0 || !dtype_is_real(c->out[o].dtype)) continue;
        int64_t count = shape_elements(&c->out[o]);
        double most = 0.0;
        for (int64_t k = 0; k < count; k++) most = fmax(most, size_of(draw->y[o][k]));
        draw->allowed[o] = ops_alloc((size_t)count * sizeof(double));
        for (int64_t k = 0; k < count; k++)
            draw->allowed[o][k] =
                c->spec->tolerance * most + rounding_of(&c->out[o], size_of(draw->y[o][k]));
    }
}

/* op_tolerance: |y − ŷ| <= u |y| + K 2^-23 (|A||B|), element by element.  The operands are the same
 * numbers on both sides, so what differs is how K products are added up in fp32: each is rounded at
 * most once (u = 2^-24), and in any order each takes part in at most K − 1 roundings of partial
 * sums, none of which is larger than (|A||B|), the sum of the sizes: together at most
 * ((1 + u)^K − 1) (|A||B|), which is below K 2^-23 (|A||B|) while K u < 1/2.  Then y is rounded to
 * its own type once: u |y|.
 * The op itself says what K and (|A||B|) are: its outputs where all numbers are 1, and where they
 * are their sizes.  Nothing is below 0 there, so that no ReLU takes anything away. */
static void make_allowed(const ops_case *c, ops_draw *draw)
{
    double *terms[OP_MAX_OUT] = {NULL}, *sizes[OP_MAX_OUT] = {NULL};
    map_reference(c, draw, one_of, terms);
    map_reference(c, draw, size_of, sizes);
    for (int o = 0; o < c->op->outputs; o++) {
        if (c->out[o].rank < 0 || !dtype_is_real(c->out[o].dtype)) continue;
        int64_t count = shape_elements(&c->out[o]);
        draw->allowed[o] = ops_alloc((size_t)count * sizeof(double));
        for (int64_t k = 0; k < count; k++) {
            double y = size_of(draw->y[o][k]);
            int unit = c->out[o].dtype == BE_BF16 ? -7 : -24; /* both sides are rounded to bf16 */
            draw->allowed[o][k] = ldexp(y, unit) + ldexp(terms[o][k] * sizes[o][k], -23);
        }
    }
    for (int o = 0; o < OP_MAX_OUT; o++) {
        free(terms[o]);
        free(sizes[o]);
    }
}

static bool is_linear(const ops_case *c)
{
    return !c->op->is_nonlinear && !c->spec->is_nonlinear;
}

static void make_draw(ops_case *c, int index)
{
    ops_draw *draw = &c->draw[index];
    double *x[OP_MAX_IN] = {NULL};
    for (int i = 0; i < c->op->inputs; i++) {
        if (c->in[i].rank < 0) continue;
        int64_t count = shape_elements(&c->in[i]);
        draw->in[i] = ops_alloc(ops_bytes(&c->in[i]));
        draw_input(c, index, i, draw->in[i]);
        x[i] = draw->x[i] = ops_alloc((size_t)count * sizeof(double));
        for (int64_t k = 0; k < count; k++) draw->x[i][k] = ops_get(&c->in[i], draw->in[i], k);
    }
    for (int o = 0; o < c->op->outputs; o++) {
        if (c->out[o].rank < 0) continue;
        int64_t count = shape_elements(&c->out[o]);
        draw->y[o] = ops_alloc((size_t)count * sizeof(double));
        int updated = c->op->updates[o] - 1;
        if (updated >= 0 && c->in[updated].rank < 0) updated = -1;
        for (int64_t k = 0; k < count; k++)
            draw->y[o][k] = updated >= 0 ? draw->x[updated][k] : (double)NAN;
        if (updated >= 0) x[updated] = draw->y[o];
    }
    call_reference(c, x, draw->y, index == OPS_NANS);
    if (c->op->narrow_copy && draw->y[c->op->narrow_copy - 1])
        memcpy(draw->y[c->op->narrow_copy - 1], draw->y[0],
               (size_t)shape_elements(&c->out[0]) * sizeof(double));
    for (int o = 0; o < c->op->outputs; o++)
        if (draw->y[o]) dtype_round(c->out[o].dtype, draw->y[o], shape_elements(&c->out[o]));
    if (c->precision != BE_PRECISION_FP32 && c->op->narrow && is_linear(c))
        make_allowed(c, draw);
    else if (c->is_narrow && !c->rounds_inside)
        allow_rounding(c, draw);
}

/* A sum that the output is added to keeps its type. */
static bool is_narrow_result(const ops_case *c, int o)
{
    int updated = c->op->updates[o] - 1;
    return c->is_narrow && c->op->narrow_out >> o & 1 && c->out[o].rank >= 0 &&
           (updated < 0 || c->in[updated].rank < 0);
}

static bool open_case(ops_case *c, FILE *report)
{
    be_error err;
    const be_op *op = c->op;
    const op_case *spec = c->spec;
    unsigned narrow = c->precision == BE_PRECISION_BF16 ? op->narrow : 0;
    op_infer infer = {.attrs = spec->attrs};
    unsigned may_be_narrow = c->is_narrow ? op->narrow_in | op->narrow_along : 0;
    if (op->attrs_bytes && !spec->attrs) {
        fprintf(report, "the case has no attributes, and the op needs them\n");
        return false;
    }
    for (int i = 0; i < OP_MAX_IN; i++) {
        c->in[i] = spec->in[i];
        if (i >= op->inputs) c->in[i].rank = -1;
        if (narrow >> i & 1) c->in[i].dtype = BE_BF16;
        infer.in[i] = c->in[i];
        if (may_be_narrow >> i & 1) c->in[i].dtype = BE_BF16;
        if (c->in[i].rank >= 0 && !dtype_is_real(c->in[i].dtype) && spec->below[i] < 1) {
            fprintf(report, "input %d holds whole numbers and has no range in `below`\n", i);
            return false;
        }
        if (i < op->inputs && c->in[i].rank < 0 && !(op->optional >> i & 1)) {
            fprintf(report, "input %d is missing\n", i);
            return false;
        }
    }
    if (op->infer(&infer, &err) != BE_OK) {
        fprintf(report, "the shapes are refused: %s\n", err.text);
        return false;
    }
    for (int o = 0; o < OP_MAX_OUT; o++) {
        c->out[o] = infer.out[o];
        if (o >= op->outputs) c->out[o].rank = -1;
        if (is_narrow_result(c, o)) c->out[o].dtype = BE_BF16;
        if (c->is_narrow && o == op->narrow_copy - 1) {
            c->out[o] = infer.out[0];
            c->out[o].dtype = BE_BF16;
        }
    }
    for (int d = 0; d < OPS_DRAWS; d++) make_draw(c, d);
    return true;
}

bool ops_case_open(ops_case *c, const be_op *op, const op_case *spec, be_precision precision,
                   uint64_t seed, FILE *report)
{
    MUST(precision == BE_PRECISION_FP32 || op->narrow);
    *c = (ops_case){.op = op, .spec = spec, .precision = precision, .seed = seed};
    return open_case(c, report);
}

bool ops_case_open_narrow(ops_case *c, const be_op *op, const op_case *spec, uint64_t seed,
                          FILE *report)
{
    *c = (ops_case){
        .op = op, .spec = spec, .precision = BE_PRECISION_BF16, .is_narrow = true, .seed = seed};
    MUST(ops_is_mixed(op));
    /* Where a convolution is more than its sums, our own kernels compute it, in fp32. */
    c->rounds_inside = op->narrow && !is_linear(c) && op != &be_op_conv2d;
    return open_case(c, report);
}

void ops_case_close(ops_case *c)
{
    for (int d = 0; d < OPS_DRAWS; d++) {
        for (int i = 0; i < OP_MAX_IN; i++) {
            free(c->draw[d].in[i]);
            free(c->draw[d].x[i]);
        }
        for (int o = 0; o < OP_MAX_OUT; o++) {
            free(c->draw[d].y[o]);
            free(c->draw[d].allowed[o]);
        }
    }
}

bool ops_compare(const ops_expectation *expected, const void *found, ops_difference *out)
{
    int64_t count = shape_elements(expected->shape);
    *out = (ops_difference){.first = -1};
    for (int64_t i = 0; i < count; i++) {
        double size = fabs(expected->values[i]);
        if (size > out->scale || (isnan(size) && !expected->with_nan)) out->scale = size;
    }
    double of_scale =
        dtype_is_real(expected->shape->dtype) ? expected->tolerance * out->scale : 0.0;
    for (int64_t i = 0; i < count; i++) {
        double allowed = expected->allowed ? expected->allowed[i] : of_scale;
        if (expected->allowed && expected->rounding > 0.0)
            allowed += expected->rounding * fabs(expected->values[i]);
        double value = ops_get(expected->shape, found, i),
               error = fabs(value - expected->values[i]);
        if (expected->with_nan && isnan(value)) continue;
        if (!(error <= out->largest_error) && !isnan(out->largest_error))
            out->largest_error = error;
        if (!(error <= allowed)) {
            if (out->wrong++ > 0) continue;
            out->first = i;
            out->expected = expected->values[i];
            out->found = value;
        }
    }
    return out->wrong == 0;
}

/* The number of the next larger size, by its bits. */
static void step_up(const be_shape *shape, void *data, int64_t i)
{
    if (shape->dtype == BE_F32)
        ((uint32_t *)data)[i]++;
    else
        ((uint16_t *)data)[i]++;
}

/* Spoil an output; returns whether that changed a number in it. */
static bool plant(ops_fault fault, const be_shape *shape, void *data, double slightly)
{
    int64_t count = shape_elements(shape), middle = count / 2;
    void *before = ops_alloc(ops_bytes(shape));
    memcpy(before, data, ops_bytes(shape));
    double first = ops_get(shape, data, 0), last = ops_get(shape, data, count - 1);
    for (int64_t i = 0; i < count; i++) {
        double value = ops_get(shape, before, i);
        if (fault == OPS_SIGN && shape->dtype != BE_U8) ops_set(shape, data, i, -value);
        if (fault == OPS_DOUBLE) ops_set(shape, data, i, value * 2.0);
        if (fault == OPS_SHIFT)
            ops_set(shape, data, i, i + 1 < count ? ops_get(shape, before, i + 1) : first);
    }
    if (fault == OPS_NAN && dtype_is_real(shape->dtype)) ops_set(shape, data, middle, (double)NAN);
    if (fault == OPS_TAIL)
        memset((char *)data + ops_bytes(shape) - dtype_bytes(shape->dtype), 0xFF,
               dtype_bytes(shape->dtype));
    if (fault == OPS_SLIGHT && dtype_is_real(shape->dtype)) {
        double moved = last + slightly;
        ops_set(shape, data, count - 1, moved);
        if (slightly == 0.0) step_up(shape, data, count - 1);
    }
    bool is_changed = false;
    for (int64_t i = 0; i < count; i++)
        is_changed |= !(ops_get(shape, data, i) == ops_get(shape, before, i));
    free(before);
    return is_changed;
}

static bool output_faults(const ops_case *c, int o, FILE *report)
{
    static const char *const texts[] = {
#define X(name, text) text,
        OPS_FAULT_LIST(X)
#undef X
    };
    const be_shape *shape = &c->out[o];
    ops_expectation expected = {.shape = shape,
                                .values = c->draw[OPS_RANDOM].y[o],
                                .tolerance = c->spec->tolerance,
                                .allowed = c->draw[OPS_RANDOM].allowed[o]};
    int64_t count = shape_elements(shape);
    void *data = ops_alloc(ops_bytes(shape));
    bool is_good = true;
    for (int fault = -1; fault < (int)OPS_FAULT_COUNT; fault++) {
        ops_difference difference;
        for (int64_t i = 0; i < count; i++) ops_set(shape, data, i, expected.values[i]);
        bool right = ops_compare(&expected, data, &difference);
        if (fault < 0 && !right) {
            fprintf(report, "output %d: the reference, rounded, is not within its tolerance\n", o);
            is_good = false;
            break;
        }
        double slightly = expected.allowed ? 4.0 * expected.allowed[count - 1]
                                           : 4.0 * c->spec->tolerance * difference.scale;
        if (fault < 0 || !plant((ops_fault)fault, shape, data, slightly)) continue;
        if (ops_compare(&expected, data, &difference)) {
            fprintf(report, "output %d: a planted fault was not found: %s\n", o, texts[fault]);
            is_good = false;
        }
    }
    free(data);
    return is_good;
}

bool ops_faults_are_found(const ops_case *c, FILE *report)
{
    bool is_good = true;
    for (int o = 0; o < c->op->outputs; o++)
        if (c->out[o].rank >= 0) is_good &= output_faults(c, o, report);
    return is_good;
}
