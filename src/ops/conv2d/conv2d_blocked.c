/* The convolution's sums as products in blocks, for the double interpreter.
 *
 * The images are copied with their padding around them, so that the pixel of a window lies at the
 * place of the window plus the place within it: forward and dw are products of such windows.  dx is
 * one too, of windows of dy: set apart by the stride, with padding around. */
#include <string.h>

#include "graph/reference_product.h"
#include "ops/conv2d/conv2d.h"

/* Images with room around and between their pixels. */
typedef struct framed {
    int64_t channels, height, width; /* of one image, the frame included */
    double *data;
} framed;

/* Where the pixels of the images [count, channels, height, width] go: first, and how far apart. */
typedef struct framing {
    int64_t count, height, width, first[2], apart[2];
} framing;

static be_status frame(framed *out, const double *from, const framing *f, be_error *err)
{
    void *memory = NULL;
    int64_t planes = f->count * out->channels, room = out->height * out->width;
    TRY(memory_alloc(&memory, (size_t)(planes * room) * sizeof(double), "padded images in double",
                     err));
    out->data = memory;
    for (int64_t p = 0; p < planes; p++)
        for (int64_t i = 0; i < f->height; i++) {
            int64_t at = (f->first[0] + i * f->apart[0]) * out->width + f->first[1];
            double *row = out->data + p * room + at;
            for (int64_t j = 0; j < f->width; j++) row[j * f->apart[1]] = *from++;
        }
    return BE_OK;
}

/* Places, in this order: of a window's elements in `images` and in the weights, of the windows in
 * `images` and in their result, and of the channels of the result in the weights and there. */
typedef struct places {
    int64_t elements, windows, channels;
    int64_t *element, *element_weight, *window, *window_result, *channel_weight, *channel_result;
} places;

static be_status places_new(places *p, be_error *err)
{
    void *memory = NULL;
    size_t count = 2 * (size_t)(p->elements + p->windows + p->channels);
    TRY(memory_alloc(&memory, count * sizeof(int64_t), "the places of a convolution", err));
    p->element = memory;
    p->element_weight = p->element + p->elements;
    p->window = p->element_weight + p->elements;
    p->window_result = p->window + p->windows;
    p->channel_weight = p->window_result + p->windows;
    p->channel_result = p->channel_weight + p->channels;
    return BE_OK;
}

/* The windows of `images` whose results are [count, channels, height, width], `step` apart. */
static void place_windows(places *p, const framed *images, const int64_t result[4],
                          const int step[2])
{
    int64_t at = 0, plane = result[2] * result[3];
    for (int64_t n = 0; n < result[0]; n++)
        for (int64_t i = 0; i < result[2]; i++)
            for (int64_t j = 0; j < result[3]; j++, at++) {
                int64_t row = n * images->channels * images->height + i * step[0];
                p->window[at] = row * images->width + j * step[1];
                p->window_result[at] = n * result[1] * plane + i * result[3] + j;
            }
    for (int64_t c = 0; c < result[1]; c++) p->channel_result[c] = c * plane;
}

static product_matrix matrix(double *data, const int64_t *row, const int64_t *column)
{
    return (product_matrix){data, row, column};
}

/* ------------------------------------------------------------------ forward and dw */

static be_status frame_x(framed *out, const conv2d_sizes *s, const double *x, be_error *err)
{
    *out = (framed){
        .channels = s->c, .height = s->h + 2 * s->padding[0], .width = s->w + 2 * s->padding[1]};
    framing f = {s->n, s->h, s->w, {s->padding[0], s->padding[1]}, {1, 1}};
    return frame(out, x, &f, err);
}

static be_status place_x(places *p, const conv2d_sizes *s, const framed *x, be_error *err)
{
    int64_t kernel = s->k[0] * s->k[1];
    *p = (places){.elements = s->c * kernel, .windows = s->n * s->oh * s->ow, .channels = s->o};
    TRY(places_new(p, err));
    for (int64_t e = 0; e < p->elements; e++) {
        int64_t c = e / kernel, r = e / s->k[1] % s->k[0], q = e % s->k[1];
        p->element[e] = (c * x->height + r) * x->width + q;
        p->element_weight[e] = e;
    }
    for (int64_t o = 0; o < s->o; o++) p->channel_weight[o] = o * p->elements;
    place_windows(p, x, (int64_t[]){s->n, s->o, s->oh, s->ow}, s->stride);
    return BE_OK;
}

/* y += w · the windows of x, or, backward, dw += dy · the windows of x, transposed. */
static be_status multiply_x(const op_reference *call, const conv2d_sizes *s, double *y, double *w,
                            be_error *err)
{
    framed x;
    places at = {0};
    bool backward = w == call->y[1];
    TRY(frame_x(&x, s, call->x[0], err));
    be_status status = place_x(&at, s, &x, err);
    product forward = {.m = s->o,
                       .n = at.windows,
                       .k = at.elements,
                       .a = matrix(w, at.channel_weight, at.element_weight),
                       .b = matrix(x.data, at.element, at.window),
                       .c = matrix(y, at.channel_result, at.window_result)};
    product weights = {.m = s->o,
                       .n = at.elements,
                       .k = at.windows,
                       .a = forward.c,
                       .b = matrix(x.data, at.window, at.element),
                       .c = forward.a};
    if (status == BE_OK) status = product_run(backward ? &weights : &forward, call->threads, err);
    memory_free(at.element);
    memory_free(x.data);
    return status;
}

be_status conv2d_blocked(const op_reference *call, be_error *err)
{
    const conv2d_attrs *attrs = call->attrs;
    conv2d_sizes s = conv2d_size(attrs, &call->in[0], &call->in[1]);
    int64_t plane = s.oh * s.ow, count = s.n * s.o * plane;
    double *y = call->y[0];
    for (int64_t i = 0; i < count; i++) y[i] = call->x[2] ? call->x[2][i / plane % s.o] : 0.0;
    TRY(multiply_x(call, &s, y, call->x[1], err));
    activation_finish(attrs->activation, y, call->y[1], count);
    return BE_OK;
}

/* ------------------------------------------------------------------ dx */

static be_status frame_dy(framed *out, const conv2d_sizes *s, const double *dy, be_error *err)
{
    *out = (framed){.channels = s->o, .height = s->h + s->k[0] - 1, .width = s->w + s->k[1] - 1};
    framing f = {s->n,
                 s->oh,
                 s->ow,
                 {s->k[0] - 1 - s->padding[0], s->k[1] - 1 - s->padding[1]},
                 {s->stride[0], s->stride[1]}};
    return frame(out, dy, &f, err);
}

static be_status place_dy(places *p, const conv2d_sizes *s, const framed *dy, be_error *err)
{
    int64_t kernel = s->k[0] * s->k[1];
    *p = (places){.elements = s->o * kernel, .windows = s->n * s->h * s->w, .channels = s->c};
    TRY(places_new(p, err));
    for (int64_t e = 0; e < p->elements; e++) {
        int64_t o = e / kernel, r = e / s->k[1] % s->k[0], q = e % s->k[1];
        p->element[e] = (o * dy->height + s->k[0] - 1 - r) * dy->width + s->k[1] - 1 - q;
        p->element_weight[e] = o * s->c * kernel + e % kernel;
    }
    for (int64_t c = 0; c < s->c; c++) p->channel_weight[c] = c * kernel;
    place_windows(p, dy, (int64_t[]){s->n, s->c, s->h, s->w}, (int[]){1, 1});
    return BE_OK;
}

static be_status multiply_dy(const op_reference *call, const conv2d_sizes *s, const double *dz,
                             be_error *err)
{
    framed dy;
    places at = {0};
    TRY(frame_dy(&dy, s, dz, err));
    be_status status = place_dy(&at, s, &dy, err);
    product p = {.m = s->c,
                 .n = at.windows,
                 .k = at.elements,
                 .a = matrix(call->x[1], at.channel_weight, at.element_weight),
                 .b = matrix(dy.data, at.element, at.window),
                 .c = matrix(call->y[0], at.channel_result, at.window_result)};
    if (status == BE_OK) status = product_run(&p, call->threads, err);
    memory_free(at.element);
    memory_free(dy.data);
    return status;
}

void conv2d_begin_dx(const op_reference *call)
{
    const double *sum = call->x[CONV2D_BACK_SUM];
    int64_t count = call->y[0] ? shape_elements(&call->in[0]) : 0;
    for (int64_t i = 0; i < count; i++) call->y[0][i] = sum ? sum[i] : 0.0;
}

static be_status add_gradients(const op_reference *call, const conv2d_sizes *s, double *dz,
                               be_error *err)
{
    int64_t plane = s->oh * s->ow;
    conv2d_begin_dx(call);
    if (call->y[0]) TRY(multiply_dy(call, s, dz, err));
    memset(call->y[1], 0, (size_t)shape_elements(&call->in[1]) * sizeof(double));
    if (call->y[2]) memset(call->y[2], 0, (size_t)s->o * sizeof(double));
    for (int64_t i = 0; call->y[2] && i < s->n * s->o * plane; i++)
        call->y[2][i / plane % s->o] += dz[i];
    return multiply_x(call, s, dz, call->y[1], err);
}

be_status conv2d_backward_blocked(const op_reference *call, be_error *err)
{
    conv2d_sizes s = conv2d_size(call->attrs, &call->in[0], &call->in[1]);
    int64_t count = shape_elements(&call->in[3]);
    void *memory = NULL;
    if (!call->x[2]) return add_gradients(call, &s, call->x[3], err);
    TRY(memory_alloc(&memory, (size_t)count * sizeof(double), "a gradient in double", err));
    double *dz = memory;
    for (int64_t i = 0; i < count; i++) dz[i] = call->x[2][i] <= 0.0 ? 0.0 : call->x[3][i];
    be_status status = add_gradients(call, &s, dz, err);
    memory_free(memory);
    return status;
}
