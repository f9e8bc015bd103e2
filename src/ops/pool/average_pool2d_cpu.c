/* Average pooling by windows on the CPU.  Blocked: a vector of channels at a time.  Plain: a pixel
 * at a time. */
#include <string.h>

#include "backend/cpu/cpu.h"
#include "ops/pool/pool_cpu.h"

/* What the window's elements are multiplied by. */
static inline float share_of(const pool2d_attrs *attrs, const pool_window *p)
{
    int pixels = (p->row_end - p->row) * (p->column_end - p->column);
    return 1.0f / (float)(attrs->leaves_padding ? pixels : attrs->size * attrs->size);
}

static inline void blocked_mean(const pool_sizes *s, const pool_window *p, const float *image,
                                float share, float *y)
{
    vec sum = {0};
    for (int row = p->row; row < p->row_end; row++)
        for (int column = p->column; column < p->column_end; column++)
            sum += *(const vec *)(image + (p->start + row * s->width + column) * VEC);
    *(vec *)y = sum * share;
}

static inline void plain_mean(const pool_sizes *s, const pool_window *p, const float *image,
                              float share, float *y)
{
    float sum = 0.0f;
    for (int row = p->row; row < p->row_end; row++)
        for (int column = p->column; column < p->column_end; column++)
            sum += image[p->start + row * s->width + column];
    *y = sum * share;
}

static be_status average_pool2d_run(const cpu_call *call, be_error *err)
{
    (void)err;
    const pool2d_attrs *attrs = call->attrs;
    pool_sizes s =
        pool_sizes_of(&call->in_shape[0], &call->out_shape[0], call->in_layout[0], attrs);
    int64_t whole = s.height * s.width * s.lanes;
#pragma omp parallel for num_threads(call->threads) schedule(static)
    for (int64_t i = 0; i < s.images * s.out_height; i++) {
        const float *image = (const float *)call->in[0] + i / s.out_height * whole;
        float *y = (float *)call->out[0] + i * s.out_width * s.lanes;
        for (int64_t w = 0; w < s.out_width; w++, y += s.lanes) {
            pool_window part = pool_part(&s, i % s.out_height, w);
            float share = share_of(attrs, &part);
            if (s.lanes == 1)
                plain_mean(&s, &part, image, share, y);
            else
                blocked_mean(&s, &part, image, share, y);
        }
    }
    return BE_OK;
}

static void average_pool2d_layouts(const cpu_device *device, const be_graph *g,
                                   const graph_node *node, value_layout in[OP_MAX_IN],
                                   value_layout out[OP_MAX_OUT])
{
    (void)device;
    in[0] = out[0] = g->values[node->in[0]].layout;
}

/* Each image is one thread's, window by window: the order of a sum is always the same. */
static void spread_image(const pool_sizes *s, const pool2d_attrs *attrs, const float *dy, float *dx)
{
    memset(dx, 0, (size_t)(s->height * s->width * s->lanes) * sizeof *dx);
    for (int64_t h = 0; h < s->out_height; h++)
        for (int64_t w = 0; w < s->out_width; w++, dy += s->lanes) {
            pool_window p = pool_part(s, h, w);
            float share = share_of(attrs, &p);
            for (int row = p.row; row < p.row_end; row++)
                for (int column = p.column; column < p.column_end; column++) {
                    float *to = dx + (p.start + row * s->width + column) * s->lanes;
                    if (s->lanes == 1)
                        *to += *dy * share;
                    else
                        *(vec *)to += *(const vec *)dy * share;
                }
        }
}

static be_status average_pool2d_backward_run(const cpu_call *call, be_error *err)
{
    (void)err;
    const pool2d_attrs *attrs = call->attrs;
    pool_sizes s =
        pool_sizes_of(&call->out_shape[0], &call->in_shape[0], call->in_layout[0], attrs);
    int64_t whole = s.height * s.width * s.lanes, pooled = s.out_height * s.out_width * s.lanes;
#pragma omp parallel for num_threads(call->threads) schedule(static)
    for (int64_t i = 0; i < s.images; i++)
        spread_image(&s, attrs, (const float *)call->in[0] + i * pooled,
                     (float *)call->out[0] + i * whole);
    return BE_OK;
}

const cpu_kernel CPU_KERNEL(average_pool2d) = {
    .implementation = CPU_NATIVE, .layouts = average_pool2d_layouts, .run = average_pool2d_run};

const cpu_kernel CPU_KERNEL(average_pool2d_backward) = {.implementation = CPU_NATIVE,
                                                        .layouts = average_pool2d_layouts,
                                                        .run = average_pool2d_backward_run};
