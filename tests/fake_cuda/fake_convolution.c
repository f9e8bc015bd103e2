/* The fake cuDNN's arithmetic: plain loops, and planted faults in the engines that may not be
 * taken. See fake_cudnn.h. */
#include "fake_cudnn.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "fake_narrow.h"

/* A number as the engine multiplies it.  FAKE_CUDNN_EXACT: its tensor cores round nothing. */
static double operand(const fake_convolution *c, float value)
{
    bool rounds = c->engine == ENGINE_TENSOR_CORE && !getenv("FAKE_CUDNN_EXACT");
    return rounds ? fake_tf32((double)value) : (double)value;
}

typedef struct sums {
    const fake_convolution *c;
    double *to; /* of the tensor that is written */
} sums;

static void add(const sums *s, int64_t x, int64_t w, int64_t y)
{
    const fake_convolution *c = s->c;
    bool forward = c->kind == DNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR;
    bool filter = c->kind == DNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_FILTER_DESCRIPTOR;
    double a = operand(c, forward || filter ? c->at_x[x] : c->at_y[y]);
    double b = operand(c, filter ? c->at_y[y] : c->at_w[w]);
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

static float finish(const fake_convolution *c, double sum, int64_t channel)
{
    if (c->bias) sum += (double)c->bias[channel];
    if (c->relu) sum = c->keeps_nan ? (sum < 0.0 ? 0.0 : sum) : fmax(sum, 0.0);
    return (float)(c->engine == ENGINE_GOOD || c->engine == ENGINE_TENSOR_CORE ? sum : sum + 1.0);
}

static int64_t count_of(const int64_t dims[4])
{
    return dims[0] * dims[1] * dims[2] * dims[3];
}

void fake_convolve(const void *convolution)
{
    const fake_convolution *c = convolution;
    bool forward = c->kind == DNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR;
    bool filter = c->kind == DNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_FILTER_DESCRIPTOR;
    const int64_t *dims = forward ? c->y : filter ? c->w : c->x;
    float *to = forward ? c->at_y : filter ? c->at_w : c->at_x;
    sums s = {c, calloc((size_t)count_of(dims), sizeof(double))};
    if (!s.to) abort();
    memset(c->work, 0xff, FAKE_WORKSPACE);
    for (int64_t i = 0; i < count_of(c->y); i++)
        visit_window(&s, (const int64_t[]){i / (c->y[1] * c->y[2] * c->y[3]),
                                           i / (c->y[2] * c->y[3]) % c->y[1], i / c->y[3] % c->y[2],
                                           i % c->y[3]});
    for (int64_t i = 0; i < count_of(dims); i++)
        to[i] = finish(c, s.to[i], i / (dims[2] * dims[3]) % dims[1]);
    free(s.to);
}
