/* The fake cuDNN's arithmetic: plain loops, and planted faults in the engines that may not be
 * taken. See fake_cudnn.h. */
#include "fake_cudnn.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "fake_library.h"
#include "fake_narrow.h"

static int64_t count_of(const int64_t dims[4])
{
    return dims[0] * dims[1] * dims[2] * dims[3];
}

/* A number as the engine multiplies it.  FAKE_CUDNN_EXACT: its tensor cores round nothing. */
static double operand(const fake_convolution *c, double value)
{
    bool rounds = c->engine == ENGINE_TENSOR_CORE && !getenv("FAKE_CUDNN_EXACT");
    return rounds ? fake_tf32(value) : value;
}

typedef struct sums {
    const fake_convolution *c;
    double *to;              /* of the tensor that is written */
    const double *x, *w, *y; /* the others, row by row */
} sums;

/* Where element i of [dims], row by row, lies. */
static int64_t place_of(const fake_convolution *c, const int64_t dims[4], int64_t i)
{
    int64_t pixels = dims[2] * dims[3], image = i / (dims[1] * pixels);
    int64_t channel = i / pixels % dims[1], pixel = i % pixels;
    return c->last ? (image * pixels + pixel) * dims[1] + channel : i;
}

static void add(const sums *s, int64_t x, int64_t w, int64_t y)
{
    const fake_convolution *c = s->c;
    bool forward = c->kind == DNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR;
    bool filter = c->kind == DNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_FILTER_DESCRIPTOR;
    double a = operand(c, forward || filter ? s->x[x] : s->y[y]);
    double b = operand(c, filter ? s->y[y] : s->w[w]);
    s->to[forward ? y : filter ? w : x] += a * b;
}

static void visit_window(const sums *s, const int64_t at[4])
{
    const fake_convolution *c = s->c;
    int64_t y = ((at[0] * c->y[1] + at[1]) * c->y[2] + at[2]) * c->y[3] + at[3];
    for (int64_t i = 0; i < c->w[1] * c->w[2] * c->w[3]; i++) {
        int64_t channel = i / (c->w[2] * c->w[3]), row = i / c->w[3] % c->w[2],
                column = i % c->w[3];
        int64_t h = at[2] * c->stride[0] + row - c->padding[0];
        int64_t v = at[3] * c->stride[1] + column - c->padding[1];
        if (h < 0 || v < 0 || h >= c->x[2] || v >= c->x[3]) continue;
        add(s, ((at[0] * c->x[1] + channel) * c->x[2] + h) * c->x[3] + v,
            at[1] * c->w[1] * c->w[2] * c->w[3] + i, y);
    }
}

static double finish(const fake_convolution *c, double sum, int64_t channel)
{
    if (c->bias) sum += (double)c->bias[channel];
    if (c->relu) sum = c->keeps_nan ? (sum < 0.0 ? 0.0 : sum) : fmax(sum, 0.0);
    return c->engine == ENGINE_GOOD || c->engine == ENGINE_TENSOR_CORE ? sum : sum + 1.0;
}

/* All elements of an operand, row by row. */
static double *load(const fake_convolution *c, const int64_t dims[4], const void *from)
{
    double *all = calloc((size_t)count_of(dims), sizeof(double));
    if (!all) abort();
    for (int64_t i = 0; i < count_of(dims); i++) {
        int64_t at = place_of(c, dims, i);
        all[i] = c->bf16 ? fake_bf16(from, (uint64_t)at) : (double)((const float *)from)[at];
    }
    return all;
}

static void store(const fake_convolution *c, const int64_t dims[4], const double *from, void *to)
{
    for (int64_t i = 0; i < count_of(dims); i++) {
        double value = finish(c, from[i], i / (dims[2] * dims[3]) % dims[1]);
        int64_t at = place_of(c, dims, i);
        if (c->bf16)
            ((uint16_t *)to)[at] = fake_bf16_bits(value);
        else
            ((float *)to)[at] = (float)value;
    }
}

int64_t fake_cudnn_ns, fake_cudnn_convolutions;

static void move_clock(fake_engine engine)
{
    fake_cudnn_convolutions++;
    if (engine == ENGINE_TENSOR_CORE) fake_cudnn_ns += setting_of("FAKE_CUDNN_FIRST", 0) * 1000;
    if (engine == ENGINE_GOOD) fake_cudnn_ns += setting_of("FAKE_CUDNN_GOOD", 0) * 1000;
}

void fake_convolve(const void *convolution)
{
    const fake_convolution *c = convolution;
    move_clock(c->engine);
    bool forward = c->kind == DNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR;
    bool filter = c->kind == DNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_FILTER_DESCRIPTOR;
    const int64_t *dims = forward ? c->y : filter ? c->w : c->x;
    void *to = forward ? c->at_y : filter ? c->at_w : c->at_x;
    double *x = load(c, c->x, c->at_x), *w = load(c, c->w, c->at_w), *y = load(c, c->y, c->at_y);
    sums s = {c, calloc((size_t)count_of(dims), sizeof(double)), x, w, y};
    if (!s.to) abort();
    memset(c->work, 0xff, FAKE_WORKSPACE);
    for (int64_t i = 0; i < count_of(c->y); i++)
        visit_window(&s, (const int64_t[]){i / (c->y[1] * c->y[2] * c->y[3]),
                                           i / (c->y[2] * c->y[3]) % c->y[1], i / c->y[3] % c->y[2],
                                           i % c->y[3]});
    store(c, dims, s.to, to);
    free(s.to);
    free(x);
    free(w);
    free(y);
}
