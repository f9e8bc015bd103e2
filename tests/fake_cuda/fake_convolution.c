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

/* Where element i of [dims], row by row, lies. */
static int64_t place_of(const fake_convolution *c, const int64_t dims[4], int64_t i)
{
    int64_t pixels = dims[2] * dims[3], image = i / (dims[1] * pixels);
    int64_t channel = i / pixels % dims[1], pixel = i % pixels;
    return c->last ? (image * pixels + pixel) * dims[1] + channel : i;
}

/* Row by row.  A window's elements are visited in the order of w. */
typedef struct sums {
    const fake_convolution *c;
    double *x, *w, *y; /* one of them is written */
} sums;

/* What elements x and w of the operands give y, or y gives them. */
static inline void add(const sums *s, int64_t x, int64_t w, int64_t y)
{
    if (s->c->kind == DNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR)
        s->y[y] += s->x[x] * s->w[w];
    else if (s->c->kind == DNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_FILTER_DESCRIPTOR)
        s->w[w] += s->x[x] * s->y[y];
    else
        s->x[x] += s->y[y] * s->w[w];
}

static void visit_window(const sums *s, const int64_t at[4])
{
    const fake_convolution *c = s->c;
    int64_t y = ((at[0] * c->y[1] + at[1]) * c->y[2] + at[2]) * c->y[3] + at[3];
    int64_t w = at[1] * c->w[1] * c->w[2] * c->w[3];
    int64_t top = at[2] * c->stride[0] - c->padding[0];
    int64_t left = at[3] * c->stride[1] - c->padding[1];
    for (int64_t channel = 0; channel < c->w[1]; channel++)
        for (int64_t h = top; h < top + c->w[2]; h++) {
            int64_t row = ((at[0] * c->x[1] + channel) * c->x[2] + h) * c->x[3];
            for (int64_t v = left; v < left + c->w[3]; v++, w++)
                if (h >= 0 && v >= 0 && h < c->x[2] && v < c->x[3]) add(s, row + v, w, y);
        }
}

static double finish(const fake_convolution *c, double sum, int64_t channel)
{
    if (c->bias) sum += (double)c->bias[channel];
    if (c->relu) sum = c->keeps_nan ? (sum < 0.0 ? 0.0 : sum) : fmax(sum, 0.0);
    return c->engine == ENGINE_GOOD || c->engine == ENGINE_TENSOR_CORE ? sum : sum + 1.0;
}

/* All elements of an operand, row by row, as the engine multiplies them; none where there is no
 * operand.  FAKE_CUDNN_EXACT: its tensor cores round nothing. */
static double *load(const fake_convolution *c, const int64_t dims[4], const void *from)
{
    double *all = calloc((size_t)count_of(dims), sizeof(double));
    bool rounds = c->engine == ENGINE_TENSOR_CORE && !getenv("FAKE_CUDNN_EXACT");
    if (!all) abort();
    for (int64_t i = 0; from && i < count_of(dims); i++) {
        int64_t at = place_of(c, dims, i);
        double value = c->bf16 ? fake_bf16(from, (uint64_t)at) : (double)((const float *)from)[at];
        all[i] = rounds ? fake_tf32(value) : value;
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
    bool data = !forward && !filter;
    sums s = {c, load(c, c->x, data ? NULL : c->at_x), load(c, c->w, filter ? NULL : c->at_w),
              load(c, c->y, forward ? NULL : c->at_y)};
    memset(c->work, 0xff, FAKE_WORKSPACE);
    for (int64_t i = 0; i < count_of(c->y); i++)
        visit_window(&s, (const int64_t[]){i / (c->y[1] * c->y[2] * c->y[3]),
                                           i / (c->y[2] * c->y[3]) % c->y[1], i / c->y[3] % c->y[2],
                                           i % c->y[3]});
    if (forward) store(c, c->y, s.y, c->at_y);
    if (filter) store(c, c->w, s.w, c->at_w);
    if (data) store(c, c->x, s.x, c->at_x);
    free(s.x);
    free(s.w);
    free(s.y);
}
