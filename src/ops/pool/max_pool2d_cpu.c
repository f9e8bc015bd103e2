/* Max-pooling on the CPU.  Blocked: a vector of channels at a time.  Plain: a window at a time.
 * Windows that lie side by side have loops of their own: each element of x is in one of them. */
#include <math.h>
#include <string.h>

#include "backend/cpu/cpu.h"
#include "backend/cpu/vec.h"
#include "ops/pool/pool_cpu.h"

/* One row of windows, from its first row of x. */
typedef void (*row_function)(const pool_sizes *s, const float *x, float *y, uint8_t *index);

VEC_INLINE void blocked_row(const pool_sizes *s, const int size, const float *x, float *y,
                            uint8_t *index)
{
    for (int64_t w = 0; w < s->out_width; w++) {
        const float *window = x + w * size * VEC;
        vec best = *(const vec *)window;
        veci place = {0};
        for (int row = 0; row < size; row++)
            for (int column = 0; column < size; column++) {
                vec value = *(const vec *)(window + (row * s->width + column) * VEC);
                veci better = (value > best) | (value != value);
                best = vec_select(better, value, best);
                place = (better & (row * size + column)) | (~better & place);
            }
        *(vec *)(y + w * VEC) = best;
        *(vecb *)(index + w * VEC) = __builtin_convertvector(place, vecb);
    }
}

/* VEC windows at a time, of which the last ones of a row need not exist: branches on the data would
 * be mispredicted half of the time. */
VEC_INLINE void plain_row(const pool_sizes *s, const int size, const float *x, float *y,
                          uint8_t *index)
{
    for (int64_t w = 0; w < s->out_width; w += VEC) {
        int count = s->out_width - w < VEC ? (int)(s->out_width - w) : VEC;
        const float *windows = x + w * size;
        vec best = vec_all(-INFINITY);
        veci place = {0};
        for (int i = 0; i < size * size; i++) {
            const float *from = windows + i / size * s->width + i % size;
            vec value = {0};
            if (count == VEC)
                for (int j = 0; j < VEC; j++) value[j] = from[j * size];
            else
                for (int j = 0; j < count; j++) value[j] = from[j * size];
            veci better = (value > best) | (value != value);
            best = vec_select(better, value, best);
            place = (better & i) | (~better & place);
        }
        for (int j = 0; j < count; j++) {
            y[w + j] = best[j];
            index[w + j] = (uint8_t)place[j];
        }
    }
}

/* The size that all networks use is known to the compiler. */
static void blocked_row_2(const pool_sizes *s, const float *x, float *y, uint8_t *index)
{
    blocked_row(s, 2, x, y, index);
}

static void blocked_row_any(const pool_sizes *s, const float *x, float *y, uint8_t *index)
{
    blocked_row(s, s->size, x, y, index);
}

static void plain_row_2(const pool_sizes *s, const float *x, float *y, uint8_t *index)
{
    plain_row(s, 2, x, y, index);
}

static void plain_row_any(const pool_sizes *s, const float *x, float *y, uint8_t *index)
{
    plain_row(s, s->size, x, y, index);
}

static void max_pool2d_layouts(const cpu_device *device, const be_graph *g, const graph_node *node,
                               value_layout in[OP_MAX_IN], value_layout out[OP_MAX_OUT])
{
    (void)device;
    in[0] = out[0] = out[1] = g->values[node->in[0]].layout;
}

/* ------------------------------------------------------------------ any stride and padding */

static inline void blocked_window(const pool_sizes *s, const pool_window *p, const float *image,
                                  float *y, uint8_t *index)
{
    const float *first = image + (p->start + p->row * s->width + p->column) * VEC;
    vec best = *(const vec *)first;
    veci place = (veci){0} + (p->row * s->size + p->column);
    for (int row = p->row; row < p->row_end; row++)
        for (int column = p->column; column < p->column_end; column++) {
            vec value = *(const vec *)(image + (p->start + row * s->width + column) * VEC);
            veci better = (value > best) | (value != value);
            best = vec_select(better, value, best);
            place = (better & (row * s->size + column)) | (~better & place);
        }
    *(vec *)y = best;
    *(vecb *)index = __builtin_convertvector(place, vecb);
}

static inline void plain_window(const pool_sizes *s, const pool_window *p, const float *image,
                                float *y, uint8_t *index)
{
    int place = p->row * s->size + p->column;
    float best = image[p->start + p->row * s->width + p->column];
    for (int row = p->row; row < p->row_end; row++)
        for (int column = p->column; column < p->column_end; column++) {
            float value = image[p->start + row * s->width + column];
            bool better = value > best || value != value;
            best = better ? value : best;
            place = better ? row * s->size + column : place;
        }
    *y = best;
    *index = (uint8_t)place;
}

static be_status overlap_run(const cpu_call *call, const pool_sizes *s)
{
#pragma omp parallel for num_threads(call->threads) schedule(static)
    for (int64_t i = 0; i < s->images * s->out_height; i++) {
        const float *image =
            (const float *)call->in[0] + i / s->out_height * s->height * s->width * s->lanes;
        for (int64_t w = 0; w < s->out_width; w++) {
            int64_t to = (i * s->out_width + w) * s->lanes;
            pool_window part = pool_part(s, i % s->out_height, w);
            (s->lanes == 1 ? plain_window : blocked_window)(
                s, &part, image, (float *)call->out[0] + to, (uint8_t *)call->out[1] + to);
        }
    }
    return BE_OK;
}

/* A block's window adds what comes back to the elements that won. */
static inline void blocked_window_back(const pool_sizes *s, const pool_window *p, vec value,
                                       veci place, float *image)
{
    for (int row = p->row; row < p->row_end; row++)
        for (int column = p->column; column < p->column_end; column++)
            *(vec *)(image + (p->start + row * s->width + column) * VEC) +=
                (vec)((veci)value & (place == row * s->size + column));
}

/* Each image is one thread's, window by window: the order of a sum is always the same. */
static void overlap_back_image(const pool_sizes *s, const float *dy, const uint8_t *index,
                               float *dx)
{
    memset(dx, 0, (size_t)(s->height * s->width * s->lanes) * sizeof *dx);
    for (int64_t h = 0; h < s->out_height; h++)
        for (int64_t w = 0; w < s->out_width; w++, dy += s->lanes, index += s->lanes) {
            pool_window p = pool_part(s, h, w);
            int row = *index / s->size, column = *index % s->size;
            if (s->lanes != 1)
                blocked_window_back(s, &p, *(const vec *)dy,
                                    __builtin_convertvector(*(const vecb *)index, veci), dx);
            else if (row >= p.row && row < p.row_end && column >= p.column && column < p.column_end)
                dx[p.start + row * s->width + column] += *dy;
        }
}

static be_status overlap_back_run(const cpu_call *call, const pool_sizes *s)
{
    int64_t whole = s->height * s->width * s->lanes,
            pooled = s->out_height * s->out_width * s->lanes;
#pragma omp parallel for num_threads(call->threads) schedule(static)
    for (int64_t i = 0; i < s->images; i++)
        overlap_back_image(s, (const float *)call->in[0] + i * pooled,
                           (const uint8_t *)call->in[1] + i * pooled,
                           (float *)call->out[0] + i * whole);
    return BE_OK;
}

static be_status max_pool2d_run(const cpu_call *call, be_error *err)
{
    (void)err;
    const pool2d_attrs *attrs = call->attrs;
    pool_sizes s =
        pool_sizes_of(&call->in_shape[0], &call->out_shape[0], call->in_layout[0], attrs);
    if (!pool2d_is_tiling(attrs)) return overlap_run(call, &s);
    row_function row = s.lanes == 1 ? (s.size == 2 ? plain_row_2 : plain_row_any)
                                    : (s.size == 2 ? blocked_row_2 : blocked_row_any);
    const float *x = call->in[0];
    float *y = call->out[0];
    uint8_t *index = call->out[1];
#pragma omp parallel for num_threads(call->threads) schedule(static)
    for (int64_t i = 0; i < s.images * s.out_height; i++) {
        int64_t image = i / s.out_height, h = i % s.out_height;
        int64_t to = i * s.out_width * s.lanes;
        row(&s, x + (image * s.height + h * s.size) * s.width * s.lanes, y + to, index + to);
    }
    return BE_OK;
}

/* One row of windows of dx, each element written once, and the columns beyond the last window. */
typedef void (*back_function)(const pool_sizes *s, const float *dy, const uint8_t *index,
                              float *dx);

VEC_INLINE void blocked_back(const pool_sizes *s, const int size, const float *dy,
                             const uint8_t *index, float *dx)
{
    for (int64_t w = 0; w < s->out_width; w++) {
        vec value = *(const vec *)(dy + w * VEC);
        veci place = __builtin_convertvector(*(const vecb *)(index + w * VEC), veci);
        float *window = dx + w * size * VEC;
        for (int row = 0; row < size; row++)
            for (int column = 0; column < size; column++)
                *(vec *)(window + (row * s->width + column) * VEC) =
                    (vec)((veci)value & (place == row * size + column));
    }
}

VEC_INLINE void plain_back(const pool_sizes *s, const int size, const float *dy,
                           const uint8_t *index, float *dx)
{
    for (int64_t w = 0; w < s->out_width; w += VEC) {
        int count = s->out_width - w < VEC ? (int)(s->out_width - w) : VEC;
        vec value = {0};
        vecb place = {0};
        memcpy(&value, dy + w, (size_t)count * sizeof *dy);
        memcpy(&place, index + w, (size_t)count);
        veci places = __builtin_convertvector(place, veci);
        for (int i = 0; i < size * size; i++) {
            float *to = dx + i / size * s->width + w * size + i % size;
            vec part = (vec)((veci)value & (places == i));
            for (int j = 0; j < count; j++) to[j * size] = part[j];
        }
    }
}

static void blocked_back_2(const pool_sizes *s, const float *dy, const uint8_t *index, float *dx)
{
    blocked_back(s, 2, dy, index, dx);
}

static void blocked_back_any(const pool_sizes *s, const float *dy, const uint8_t *index, float *dx)
{
    blocked_back(s, s->size, dy, index, dx);
}

static void plain_back_2(const pool_sizes *s, const float *dy, const uint8_t *index, float *dx)
{
    plain_back(s, 2, dy, index, dx);
}

static void plain_back_any(const pool_sizes *s, const float *dy, const uint8_t *index, float *dx)
{
    plain_back(s, s->size, dy, index, dx);
}

/* The index lies as the forward op left it; the gradient goes along. */
static void max_pool2d_backward_layouts(const cpu_device *device, const be_graph *g,
                                        const graph_node *node, value_layout in[OP_MAX_IN],
                                        value_layout out[OP_MAX_OUT])
{
    (void)device;
    in[0] = in[1] = out[0] = g->values[node->in[1]].layout;
}

/* Zero what no window covers: the columns to the right in `rows` rows. */
static void clear_columns(const pool_sizes *s, float *dx, int rows)
{
    int64_t covered = s->out_width * s->size, rest = (s->width - covered) * s->lanes;
    for (int row = 0; rest > 0 && row < rows; row++)
        memset(dx + (row * s->width + covered) * s->lanes, 0, (size_t)rest * sizeof *dx);
}

static be_status max_pool2d_backward_run(const cpu_call *call, be_error *err)
{
    (void)err;
    const pool2d_attrs *attrs = call->attrs;
    pool_sizes s =
        pool_sizes_of(&call->out_shape[0], &call->in_shape[0], call->in_layout[0], attrs);
    if (!pool2d_is_tiling(attrs)) return overlap_back_run(call, &s);
    back_function back = s.lanes == 1 ? (s.size == 2 ? plain_back_2 : plain_back_any)
                                      : (s.size == 2 ? blocked_back_2 : blocked_back_any);
    const float *dy = call->in[0];
    const uint8_t *index = call->in[1];
    float *dx = call->out[0];
    int64_t covered = s.out_height * s.size, below = (s.height - covered) * s.width * s.lanes;
#pragma omp parallel for num_threads(call->threads) schedule(static)
    for (int64_t i = 0; i < s.images * s.out_height; i++) {
        int64_t image = i / s.out_height, h = i % s.out_height;
        int64_t from = i * s.out_width * s.lanes;
        float *rows = dx + (image * s.height + h * s.size) * s.width * s.lanes;
        back(&s, dy + from, index + from, rows);
        clear_columns(&s, rows, s.size);
        if (h == s.out_height - 1 && below > 0)
            memset(rows + s.size * s.width * s.lanes, 0, (size_t)below * sizeof *rows);
    }
    return BE_OK;
}

const cpu_kernel CPU_KERNEL(max_pool2d) = {
    .implementation = CPU_NATIVE, .layouts = max_pool2d_layouts, .run = max_pool2d_run};

const cpu_kernel CPU_KERNEL(max_pool2d_backward) = {.implementation = CPU_NATIVE,
                                                    .layouts = max_pool2d_backward_layouts,
                                                    .run = max_pool2d_backward_run};
