/* The native convolution in its general form (see conv2d_general_cpu.h).
 *
 * One image after the other: its windows become the columns of a matrix [C · K · L, OH · OW], of
 * which y is a product with the weights, the weights' gradient one with dy, and x's gradient the
 * sum over the windows of another.  Each element is summed by one thread in one order, so the bits
 * do not depend on the threads. */
#include "ops/conv2d/conv2d_general_cpu.h"

#include <string.h>

#include "ops/matmul/gemm_cpu.h"

typedef struct general_conv {
    conv2d_sizes s;
    int64_t window, places; /* elements of a window; places of it in an image */
    /* In the scratch, floats from its start. */
    size_t columns_at, dz_at, part_at, gemm_at;
} general_conv;

static size_t round_up(size_t floats)
{
    return (floats + 15) / 16 * 16;
}

static size_t larger(size_t a, size_t b)
{
    return a > b ? a : b;
}

be_status general_prepare(cpu_call *call, arena *memory, be_error *err)
{
    const conv2d_attrs *attrs = call->attrs;
    void *state = NULL;
    TRY(arena_alloc(memory, &state, sizeof(general_conv), err));
    general_conv *v = call->state = state;
    bool backward = call->node->op == &be_op_conv2d_backward;
    v->s = conv2d_size(attrs, &call->in_shape[0], &call->in_shape[1]);
    v->window = v->s.c * v->s.k[0] * v->s.k[1];
    v->places = v->s.oh * v->s.ow;
    v->dz_at = round_up((size_t)(v->window * v->places));
    v->part_at = v->dz_at + (backward ? round_up((size_t)(v->s.o * v->places)) : 0);
    v->gemm_at = v->part_at + (backward ? round_up((size_t)(v->s.o * v->window)) : 0);
    call->scratch_bytes =
        v->gemm_at * sizeof(float) + (backward ? larger(GEMM_SCRATCH_BYTES(v->s.o, v->window),
                                                        GEMM_SCRATCH_BYTES(v->window, v->places))
                                               : GEMM_SCRATCH_BYTES(v->s.o, v->places));
    return BE_OK;
}

/* The elements of the windows at their place r, q in channel c, for row i of places: zero where
 * they are padding. */
static void gather_row(const general_conv *v, const float *plane, const int64_t at[3], float *to)
{
    const conv2d_sizes *s = &v->s;
    int64_t h = at[2] * s->stride[0] + at[0] - s->padding[0];
    if (h < 0 || h >= s->h) {
        memset(to, 0, (size_t)s->ow * sizeof *to);
        return;
    }
    for (int64_t j = 0; j < s->ow; j++) {
        int64_t w = j * s->stride[1] + at[1] - s->padding[1];
        to[j] = w >= 0 && w < s->w ? plane[h * s->w + w] : 0.0f;
    }
}

/* The windows of one image as columns. */
static void gather(const general_conv *v, const float *x, float *columns, int threads)
{
    const conv2d_sizes *s = &v->s;
    int64_t kernel = s->k[0] * s->k[1];
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int64_t e = 0; e < v->window; e++)
        for (int64_t i = 0; i < s->oh; i++)
            gather_row(v, x + e / kernel * s->h * s->w,
                       (int64_t[]){e / s->k[1] % s->k[0], e % s->k[1], i},
                       columns + e * v->places + i * s->ow);
}

/* dx of one image: what the windows have of each pixel, added to `sum` (NULL: to nothing), which
 * may be dx itself. */
static void scatter(const general_conv *v, const float *columns, const float *sum, float *dx,
                    int threads)
{
    const conv2d_sizes *s = &v->s;
    int64_t kernel = s->k[0] * s->k[1], plane = s->h * s->w;
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int64_t c = 0; c < s->c; c++) {
        float *to = dx + c * plane;
        if (!sum) memset(to, 0, (size_t)plane * sizeof *to);
        if (sum && sum != dx) memcpy(to, sum + c * plane, (size_t)plane * sizeof *to);
        for (int64_t rq = 0; rq < kernel; rq++)
            for (int64_t i = 0; i < s->oh; i++) {
                const float *from = columns + (c * kernel + rq) * v->places + i * s->ow;
                int64_t h = i * s->stride[0] + rq / s->k[1] - s->padding[0];
                if (h < 0 || h >= s->h) continue;
                for (int64_t j = 0; j < s->ow; j++) {
                    int64_t w = j * s->stride[1] + rq % s->k[1] - s->padding[1];
                    if (w >= 0 && w < s->w) to[h * s->w + w] += from[j];
                }
            }
    }
}

be_status general_forward_run(const cpu_call *call, be_error *err)
{
    (void)err;
    const general_conv *v = call->state;
    const conv2d_sizes *s = &v->s;
    const conv2d_attrs *attrs = call->attrs;
    const float *bias = call->in[2];
    float *scratch = call->scratch, *columns = scratch + v->columns_at;
    for (int64_t n = 0; n < s->n; n++) {
        float *y = (float *)call->out[0] + n * s->o * v->places;
        gather(v, (const float *)call->in[0] + n * s->c * s->h * s->w, columns, call->threads);
        GEMM_RUN(&(gemm){.m = s->o,
                         .n = v->places,
                         .k = v->window,
                         .a = call->in[1],
                         .a_row = v->window,
                         .a_column = 1,
                         .b = columns,
                         .b_row = v->places,
                         .b_column = 1,
                         .c = y,
                         .threads = call->threads,
                         .scratch = scratch + v->gemm_at});
#pragma omp parallel for num_threads(call->threads) schedule(static)
        for (int64_t o = 0; o < s->o; o++)
            for (int64_t i = 0; i < v->places; i++) {
                float value = y[o * v->places + i] + (bias ? bias[o] : 0.0f);
                y[o * v->places + i] = attrs->activation == BE_RELU && value < 0.0f ? 0.0f : value;
            }
    }
    return BE_OK;
}

/* dz of one image, through ReLU (y NULL: there was none), and its sums added to db. */
static void through_relu(const general_conv *v, const float *y, const float *dy, float *dz,
                         float *db, int threads)
{
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int64_t o = 0; o < v->s.o; o++) {
        float sum = 0.0f;
        for (int64_t i = o * v->places; i < (o + 1) * v->places; i++) {
            dz[i] = y && y[i] <= 0.0f ? 0.0f : dy[i];
            sum += dz[i];
        }
        if (db) db[o] += sum;
    }
}

/* dw += dz · columnsᵀ */
static void add_weights(const cpu_call *call, const general_conv *v, const float *dz,
                        const float *columns)
{
    float *scratch = call->scratch, *part = scratch + v->part_at, *dw = call->out[1];
    int64_t count = v->s.o * v->window;
    GEMM_RUN(&(gemm){.m = v->s.o,
                     .n = v->window,
                     .k = v->places,
                     .a = dz,
                     .a_row = v->places,
                     .a_column = 1,
                     .b = columns,
                     .b_row = 1,
                     .b_column = v->places,
                     .c = part,
                     .threads = call->threads,
                     .scratch = scratch + v->gemm_at});
#pragma omp parallel for simd num_threads(call->threads) schedule(static)
    for (int64_t i = 0; i < count; i++) dw[i] += part[i];
}

/* dx of the image from element `image` on: the sum over the windows of wᵀ · dz; takes the columns'
 * place. */
static void input_gradient(const cpu_call *call, const general_conv *v, const float *dz,
                           int64_t image)
{
    const float *sum = call->in[CONV2D_BACK_SUM];
    float *scratch = call->scratch, *columns = scratch + v->columns_at;
    GEMM_RUN(&(gemm){.m = v->window,
                     .n = v->places,
                     .k = v->s.o,
                     .a = call->in[1],
                     .a_row = 1,
                     .a_column = v->window,
                     .b = dz,
                     .b_row = v->places,
                     .b_column = 1,
                     .c = columns,
                     .threads = call->threads,
                     .scratch = scratch + v->gemm_at});
    scatter(v, columns, sum ? sum + image : NULL, (float *)call->out[0] + image, call->threads);
}

be_status general_backward_run(const cpu_call *call, be_error *err)
{
    (void)err;
    const general_conv *v = call->state;
    const conv2d_sizes *s = &v->s;
    float *scratch = call->scratch, *columns = scratch + v->columns_at, *dz = scratch + v->dz_at;
    float *db = call->out[2];
    memset(call->out[1], 0, (size_t)(s->o * v->window) * sizeof(float));
    if (db) memset(db, 0, (size_t)s->o * sizeof(float));
    for (int64_t n = 0; n < s->n; n++) {
        int64_t image = n * s->c * s->h * s->w, result = n * s->o * v->places;
        const float *y = call->in[2] ? (const float *)call->in[2] + result : NULL;
        through_relu(v, y, (const float *)call->in[3] + result, dz, db, call->threads);
        gather(v, (const float *)call->in[0] + image, columns, call->threads);
        add_weights(call, v, dz, columns);
        if (call->out[0]) input_gradient(call, v, dz, image);
    }
    return BE_OK;
}
