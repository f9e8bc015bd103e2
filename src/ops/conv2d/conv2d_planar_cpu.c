/* The native convolution on planes (see conv2d_planar_cpu.h).
 *
 * Planes have rows of a whole number of vectors; what stands behind a row's end is computed and
 * never used, or multiplied by zero. */
#include "ops/conv2d/conv2d_planar_cpu.h"

#include <omp.h>
#include <string.h>

#include "ops/conv2d/conv2d_pool_cpu.h"

#if VEC == 16
#define PLANAR_CELLS 4 /* vectors of outputs at once: with 6 channels 24 sums */
#else
#define PLANAR_CELLS 2
#endif

/* A vector at any address. */
typedef float vec_anywhere __attribute__((vector_size(VEC * 4), aligned(4)));

typedef struct planar_job {
    int parts, kernel;                      /* input planes */
    int height, vectors;                    /* outputs: rows, and vectors of a row */
    ptrdiff_t x_plane_stride, x_row_stride; /* floats; a row may be read past its end by VEC */
    const float *x;
    const float *w; /* forward: [part][row][column][channel] */
    float *y;       /* forward: results; weights: the gradient; [channel][height][vectors × VEC] */
} planar_job;

/* y = convolution, no bias.  `channels`: of the output, which the compiler must know. */
VEC_INLINE void planar_forward_of(const planar_job *job, const int channels)
{
    int cells = job->height * job->vectors;
    for (int first = 0; first < cells; first += PLANAR_CELLS) {
        vec sum[PLANAR_CHANNELS][PLANAR_CELLS];
        const float *x[PLANAR_CELLS], *w = job->w;
        int at[PLANAR_CELLS];
        VEC_UNROLL for (int k = 0; k < PLANAR_CELLS; k++)
        {
            at[k] = first + k < cells ? first + k : cells - 1;
            x[k] = job->x + at[k] / job->vectors * job->x_row_stride + at[k] % job->vectors * VEC;
        }
        VEC_UNROLL for (int o = 0; o < channels; o++)
        {
            VEC_UNROLL for (int k = 0; k < PLANAR_CELLS; k++) sum[o][k] = vec_all(0.0f);
        }
        for (int part = 0; part < job->parts; part++)
            for (int r = 0; r < job->kernel; r++) {
                ptrdiff_t row = part * job->x_plane_stride + r * job->x_row_stride;
                for (int q = 0; q < job->kernel; q++, w += channels) {
                    vec in[PLANAR_CELLS];
                    VEC_UNROLL for (int k = 0; k < PLANAR_CELLS; k++) in[k] =
                        *(const vec_anywhere *)(x[k] + row + q);
                    VEC_UNROLL for (int o = 0; o < channels; o++)
                    {
                        vec weight = vec_all(w[o]);
                        VEC_UNROLL for (int k = 0; k < PLANAR_CELLS; k++) sum[o][k] +=
                            weight * in[k];
                    }
                }
            }
        VEC_UNROLL for (int o = 0; o < channels; o++)
        {
            VEC_UNROLL for (int k = 0; k < PLANAR_CELLS; k++)((vec *)job->y)[o * cells + at[k]] =
                sum[o][k];
        }
    }
}

/* dw[part][row][column][channel] (vectors, to be summed over their lanes) += x · dy for `taps`
 * neighbouring columns from `column` on. */
VEC_INLINE void planar_taps(const planar_job *job, const float *x, vec *dw, const int taps,
                            const int channels)
{
    int cells = job->height * job->vectors;
    vec sum[3][PLANAR_CHANNELS];
    VEC_UNROLL for (int q = 0; q < taps; q++)
    {
        VEC_UNROLL for (int o = 0; o < channels; o++) sum[q][o] = dw[q * channels + o];
    }
    const vec *dy = (const vec *)job->y;
    for (int i = 0; i < job->height; i++)
        for (int j = 0; j < job->vectors; j++, dy++) {
            const float *in = x + i * job->x_row_stride + j * VEC;
            vec d[PLANAR_CHANNELS];
            VEC_UNROLL for (int o = 0; o < channels; o++) d[o] = dy[o * cells];
            VEC_UNROLL for (int q = 0; q < taps; q++)
            {
                vec value = *(const vec_anywhere *)(in + q);
                VEC_UNROLL for (int o = 0; o < channels; o++) sum[q][o] += value * d[o];
            }
        }
    VEC_UNROLL for (int q = 0; q < taps; q++)
    {
        VEC_UNROLL for (int o = 0; o < channels; o++) dw[q * channels + o] = sum[q][o];
    }
}

VEC_INLINE void planar_weights_of(const planar_job *job, vec *dw, const int channels)
{
    /* As many taps as leave registers for the gradients. */
    const int limit = VEC == 16 ? (channels > 6 ? 2 : 3) : 1;
    for (int part = 0; part < job->parts; part++)
        for (int r = 0; r < job->kernel; r++) {
            const float *x = job->x + part * job->x_plane_stride + r * job->x_row_stride;
            for (int q = 0; q < job->kernel;) {
                int taps = job->kernel - q < limit ? job->kernel - q : limit;
                if (taps == 3)
                    planar_taps(job, x + q, dw, 3, channels);
                else if (taps == 2)
                    planar_taps(job, x + q, dw, 2, channels);
                else
                    planar_taps(job, x + q, dw, 1, channels);
                q += taps;
                dw += taps * channels;
            }
        }
}

static void planar_forward(const planar_job *job, int channels)
{
    if (channels == 4)
        planar_forward_of(job, 4);
    else if (channels == 6)
        planar_forward_of(job, 6);
    else
        planar_forward_of(job, 8);
}

static void planar_weights(const planar_job *job, vec *dw, int channels)
{
    if (channels == 4)
        planar_weights_of(job, dw, 4);
    else if (channels == 6)
        planar_weights_of(job, dw, 6);
    else
        planar_weights_of(job, dw, 8);
}

static size_t round_up(size_t floats)
{
    return (floats + 15) / 16 * 16;
}

static int vectors_of(int64_t width)
{
    return (int)((width + VEC - 1) / VEC);
}

/* A first layer's call; floats, per image or per thread. */
typedef struct planar_conv {
    conv2d_sizes s;
    bool relu;
    int channels, vectors; /* compiled output channels; vectors of an output row */
    ptrdiff_t x_rows, x_cols;
    size_t x_floats, plane_floats, w_floats, dw_floats, pool_floats, thread_floats;
} planar_conv;

bool planar_takes(const cpu_call *call)
{
    const conv2d_attrs *attrs = call->attrs;
    return call->in_layout[0] == LAYOUT_PLAIN && call->in_shape[1].dim[0] <= PLANAR_CHANNELS &&
           !attrs->need_dx;
}

be_status planar_prepare(cpu_call *call, arena *memory, be_error *err)
{
    const conv2d_attrs *attrs = call->attrs;
    void *state = NULL;
    TRY(arena_alloc(memory, &state, sizeof(planar_conv), err));
    planar_conv *v = call->state = state;
    v->s = conv2d_size(attrs, &call->in_shape[0], &call->in_shape[1]);
    v->relu = attrs->activation == BE_RELU;
    v->channels = planar_round(v->s.o);
    v->vectors = vectors_of(v->s.ow);
    v->x_rows = v->s.h + 2 * v->s.padding[0];
    v->x_cols = v->s.w + 2 * v->s.padding[0];
    v->x_floats = round_up((size_t)(v->s.c * v->x_rows * v->x_cols) + VEC);
    v->plane_floats = round_up((size_t)(v->channels * v->s.oh * v->vectors) * VEC);
    v->w_floats = round_up((size_t)(v->s.c * v->s.k[0] * v->s.k[0] * v->channels));
    v->dw_floats = v->w_floats * VEC;
    v->pool_floats = (size_t)(2 * v->s.ow) * VEC;
    bool forward = call->node->op == &be_op_conv2d || call->node->op == &be_op_conv2d_pool;
    v->thread_floats =
        v->x_floats + v->plane_floats + (forward ? v->pool_floats : v->dw_floats + VEC);
    call->scratch_bytes =
        ((forward ? v->w_floats : 0) + (size_t)call->threads * v->thread_floats) * sizeof(float);
    return BE_OK;
}

/* The image with its padding, and zeros behind it where a last row is read past its end. */
static void copy_image(const planar_conv *v, const float *x, float *to)
{
    const conv2d_sizes *s = &v->s;
    memset(to, 0, v->x_floats * sizeof *to);
    for (int64_t c = 0; c < s->c; c++)
        for (int64_t h = 0; h < s->h; h++)
            memcpy(to + (c * v->x_rows + h + s->padding[0]) * v->x_cols + s->padding[0],
                   x + (c * s->h + h) * s->w, (size_t)s->w * sizeof *to);
}

static planar_job job_of(const planar_conv *v, const float *x, float *planes)
{
    return (planar_job){.parts = (int)v->s.c,
                        .kernel = (int)v->s.k[0],
                        .height = (int)v->s.oh,
                        .vectors = v->vectors,
                        .x_plane_stride = v->x_rows * v->x_cols,
                        .x_row_stride = v->x_cols,
                        .x = x,
                        .y = planes};
}

/* One row of all channels from the planes to blocked pixels, with bias and ReLU. */
static void interleave_row(const planar_conv *v, const float *planes, int64_t row,
                           const float *bias, float *to)
{
    const conv2d_sizes *s = &v->s;
    ptrdiff_t cols = v->vectors * VEC;
    memset(to, 0, (size_t)(s->ow * VEC) * sizeof *to);
    for (int64_t o = 0; o < s->o; o++) {
        const float *from = planes + (o * s->oh + row) * cols;
        float start = bias ? bias[o] : 0.0f;
        for (int64_t j = 0; j < s->ow; j++) to[j * VEC + o] = from[j] + start;
    }
}

static void relu_row(float *row, int64_t count)
{
    for (int64_t i = 0; i < count; i++) row[i] = row[i] < 0.0f ? 0.0f : row[i];
}

be_status planar_forward_run(const cpu_call *call, be_error *err)
{
    (void)err;
    const planar_conv *v = call->state;
    const conv2d_sizes *s = &v->s;
    const float *bias = call->in[2];
    float *w = call->scratch, *threads_at = w + v->w_floats;
    bool pool = call->node->op == &be_op_conv2d_pool;
    int64_t rows = pool ? s->ph : s->oh, cols = pool ? s->pw : s->ow;
    planar_pack(s, call->in[1], w, false);
#pragma omp parallel for num_threads(call->threads) schedule(static)
    for (int64_t n = 0; n < s->n; n++) {
        float *x = threads_at + (size_t)omp_get_thread_num() * v->thread_floats;
        float *planes = x + v->x_floats, *pair = planes + v->plane_floats;
        copy_image(v, (const float *)call->in[0] + n * s->c * s->h * s->w, x);
        planar_job job = job_of(v, x, planes);
        job.w = w;
        planar_forward(&job, v->channels);
        for (int64_t i = 0; i < rows; i++) {
            float *y = (float *)call->out[0] + (n * rows + i) * cols * VEC;
            if (!pool) {
                interleave_row(v, planes, i, bias, y);
                if (v->relu) relu_row(y, cols * VEC);
                continue;
            }
            interleave_row(v, planes, 2 * i, bias, pair);
            interleave_row(v, planes, 2 * i + 1, bias, pair + s->ow * VEC);
            pool_rows(pair, s->ow, v->relu, y,
                      (uint8_t *)call->out[1] + (n * rows + i) * cols * VEC);
        }
    }
    return BE_OK;
}

/* The gradient of one image's convolution output as planes, through the pool. */
static void planes_from_pool(const planar_conv *v, const uint8_t *index, const float *dy, float *to)
{
    const conv2d_sizes *s = &v->s;
    ptrdiff_t cols = v->vectors * VEC;
    for (int64_t o = 0; o < s->o; o++)
        for (int64_t i = 0; i < s->ph; i++)
            for (int64_t j = 0; j < s->pw; j++) {
                int64_t from = (i * s->pw + j) * VEC + o;
                int q = index[from];
                if (q == CONV2D_NO_INDEX) continue;
                to[(o * s->oh + 2 * i + q / 2) * cols + 2 * j + q % 2] = dy[from];
            }
}

/* … or through ReLU (y NULL: there was none). */
static void planes_from_relu(const planar_conv *v, const float *y, const float *dy, float *to)
{
    const conv2d_sizes *s = &v->s;
    ptrdiff_t cols = v->vectors * VEC;
    for (int64_t o = 0; o < s->o; o++)
        for (int64_t i = 0; i < s->oh; i++)
            for (int64_t j = 0; j < s->ow; j++) {
                int64_t from = (i * s->ow + j) * VEC + o;
                to[(o * s->oh + i) * cols + j] = y && y[from] <= 0.0f ? 0.0f : dy[from];
            }
}

static void add_bias_gradient(const planar_conv *v, const float *planes, float *db)
{
    int64_t cells = v->s.oh * v->vectors;
    for (int64_t o = 0; o < v->s.o; o++) {
        vec sum = vec_all(0.0f);
        for (int64_t k = 0; k < cells; k++) sum += ((const vec *)planes)[o * cells + k];
        for (int l = 0; l < VEC; l++) db[o] += sum[l];
    }
}

/* The threads' sums in their order, over their lanes in order, into PyTorch's layout. */
static void collect(const planar_conv *v, const float *sums, int threads, float *dw, float *db)
{
    const conv2d_sizes *s = &v->s;
    int64_t taps = s->k[0] * s->k[0];
#pragma omp for schedule(static)
    for (int64_t o = 0; o < s->o; o++) {
        if (db) db[o] = 0.0f;
        for (int t = 0; db && t < threads; t++)
            db[o] += (sums + (size_t)t * v->thread_floats + v->dw_floats)[o];
        for (int64_t at = 0; at < s->c * taps; at++) {
            float sum = 0.0f;
            for (int t = 0; t < threads; t++) {
                const float *lanes =
                    sums + (size_t)t * v->thread_floats + (at * v->channels + o) * VEC;
                for (int l = 0; l < VEC; l++) sum += lanes[l];
            }
            dw[o * s->c * taps + at] = sum;
        }
    }
}

be_status planar_backward_run(const cpu_call *call, be_error *err)
{
    (void)err;
    const planar_conv *v = call->state;
    const conv2d_sizes *s = &v->s;
    bool pool = call->node->op == &be_op_conv2d_pool_backward;
    ptrdiff_t dy_floats = VEC * (pool ? s->ph * s->pw : s->oh * s->ow);
    float *threads_at = call->scratch;
#pragma omp parallel num_threads(call->threads)
    {
        float *x = threads_at + (size_t)omp_get_thread_num() * v->thread_floats;
        float *planes = x + v->x_floats, *dw = planes + v->plane_floats, *db = dw + v->dw_floats;
        memset(dw, 0, (v->dw_floats + VEC) * sizeof *dw);
#pragma omp for schedule(static)
        for (int64_t n = 0; n < s->n; n++) {
            const float *dy = (const float *)call->in[3] + n * dy_floats;
            memset(planes, 0, v->plane_floats * sizeof *planes);
            if (pool)
                planes_from_pool(v, (const uint8_t *)call->in[2] + n * dy_floats, dy, planes);
            else
                planes_from_relu(v, call->in[2] ? (const float *)call->in[2] + n * dy_floats : NULL,
                                 dy, planes);
            copy_image(v, (const float *)call->in[0] + n * s->c * s->h * s->w, x);
            planar_job job = job_of(v, x, planes);
            planar_weights(&job, (vec *)dw, v->channels);
            add_bias_gradient(v, planes, db);
        }
        collect(v, threads_at + v->x_floats + v->plane_floats, omp_get_num_threads(), call->out[1],
                call->out[2]);
    }
    return BE_OK;
}

size_t planar_input_floats(const planar_input *input)
{
    const conv2d_sizes *s = &input->s;
    size_t from = (size_t)(s->o * (s->oh + 2 * input->border) * (s->ow + 2 * input->border)) + VEC;
    return round_up(from) + (size_t)(planar_round(s->c) * s->h * vectors_of(s->w)) * VEC;
}

void planar_input_gradient(const planar_input *input, const float *dy, const float *sum, float *dx,
                           float *scratch)
{
    const conv2d_sizes *s = &input->s;
    int64_t pixels = (s->oh + 2 * input->border) * (s->ow + 2 * input->border);
    float *planes = scratch + round_up((size_t)(s->o * pixels) + VEC);
    for (int64_t o = 0; o < s->o; o += VEC) {
        const float *from = dy + o * pixels;
        int64_t lanes = s->o - o < VEC ? s->o - o : VEC;
        for (int64_t i = 0; i < pixels; i++)
            for (int64_t l = 0; l < lanes; l++) scratch[(o + l) * pixels + i] = from[i * VEC + l];
    }
    planar_job job = {.parts = (int)s->o,
                      .kernel = (int)s->k[0],
                      .height = (int)s->h,
                      .vectors = vectors_of(s->w),
                      .x_plane_stride = pixels,
                      .x_row_stride = s->ow + 2 * input->border,
                      .x = scratch,
                      .w = input->w,
                      .y = planes};
    planar_forward(&job, planar_round(s->c));
    size_t bytes = (size_t)(s->h * s->w) * VEC * sizeof *dx;
    if (!sum) memset(dx, 0, bytes);
    if (sum && sum != dx) memcpy(dx, sum, bytes);
    for (int64_t c = 0; c < s->c; c++)
        for (int64_t i = 0; i < s->h; i++)
            for (int64_t j = 0; j < s->w; j++)
                dx[(i * s->w + j) * VEC + c] += planes[((c * s->h + i) * job.vectors) * VEC + j];
}
