/* The convolution's gradients on GPUs: dx in one launch; dw and db in one, and a second that adds
 * the parts if the places are split among groups.  ReLU and pool are undone on the way. */
#include "ops/conv2d/conv2d_gpu.h"

extern const gpu_source gpu_source_tile, gpu_source_conv2d_dx, gpu_source_conv2d_dw;

typedef struct backward_plan {
    gpu_tile dx, dw;
    int dx_unit, dw_unit, sum_unit;
} backward_plan;

/* The weights of an output channel, and its bias if there is one. */
static int64_t width_of(const conv2d_sizes *s, const conv2d_attrs *attrs)
{
    return s->c * s->k[0] * s->k[1] + !attrs->no_bias;
}

static gpu_parts parts_of(const gpu_call *call, const conv2d_sizes *s, const gpu_tile *dw)
{
    const conv2d_attrs *attrs = call->attrs;
    return (gpu_parts){
        .parts = dw->splits, .rows = s->o, .width = width_of(s, attrs), .ones = !attrs->no_bias};
}

static be_status prepare(gpu_call *call, const char *from, be_error *err)
{
    const conv2d_attrs *attrs = call->attrs;
    conv2d_sizes s = conv2d_size(attrs, &call->in_shape[0], &call->in_shape[1]);
    bool pool = call->node->op == &be_op_conv2d_pool_backward;
    bool gated = call->in_shape[2].rank >= 0; /* by an index or by y of ReLU */
    char words[320];
    TRY(arena_alloc(call->memory, &call->state, sizeof(backward_plan), err));
    backward_plan *plan = call->state;
    conv2d_gpu_words(&s, words);
    bool adds = call->in_shape[CONV2D_BACK_SUM].rank >= 0;
    if (attrs->need_dx) {
        gpu_tile_problem problem = {.m = s.n * s.h * s.w,
                                    .n = s.c,
                                    .depth = s.o * s.k[0] * s.k[1],
                                    .m_step = 1,
                                    .channels = s.o,
                                    .area = s.k[0] * s.k[1],
                                    .gated = gated ? 2 : 0};
        TRY(gpu_tile_choose(call, &problem, &plan->dx, err));
        plan->dx_unit = call->unit_count;
        TRY(gpu_use(call, GPU_SOURCES(&gpu_source_tile, &gpu_source_conv2d_dx), plan->dx.group, err,
                    GPU_TILE_FORMAT " %s %s ADD=%d", GPU_TILE_VALUES(&plan->dx), words, from,
                    adds));
    }
    gpu_tile_problem problem = {.m = width_of(&s, attrs),
                                .n = s.o,
                                .depth = s.n * (pool ? 4 * s.ph * s.pw : s.oh * s.ow),
                                .m_step = 1,
                                .deep = true,
                                .gated = gated,
                                .may_split = true};
    TRY(gpu_tile_choose(call, &problem, &plan->dw, err));
    plan->dw_unit = call->unit_count;
    TRY(gpu_use(call, GPU_SOURCES(&gpu_source_tile, &gpu_source_conv2d_dw), plan->dw.group, err,
                GPU_TILE_FORMAT " %s %s ONES=%d", GPU_TILE_VALUES(&plan->dw), words, from,
                !attrs->no_bias));
    if (plan->dw.splits == 1) return BE_OK;
    gpu_parts parts = parts_of(call, &s, &plan->dw);
    call->scratch_bytes = (size_t)(parts.parts * parts.rows * parts.width) * sizeof(float);
    return gpu_parts_prepare(call, &parts, &plan->sum_unit, err);
}

static be_status conv2d_backward_prepare(gpu_call *call, be_error *err)
{
    bool relu = call->in_shape[2].rank >= 0;
    if (call->in_layout[0] == LAYOUT_CHANNELS_LAST) return conv2d_last_backward_prepare(call, err);
    return prepare(call, relu ? "FROM_POOL=0 FROM_RELU=1" : "FROM_POOL=0 FROM_RELU=0", err);
}

static be_status conv2d_pool_backward_prepare(gpu_call *call, be_error *err)
{
    return prepare(call, "FROM_POOL=1 FROM_RELU=0", err);
}

static int groups_of(const gpu_call *call, const gpu_tile *t, int64_t m, int64_t n)
{
    return gpu_groups(call, (m + t->bm - 1) / t->bm * ((n + t->bn - 1) / t->bn) * t->splits, 1, 64);
}

static be_status record(const gpu_call *call, gpu_recorder *recorder, be_error *err)
{
    if (call->in_layout[0] == LAYOUT_CHANNELS_LAST)
        return conv2d_last_backward_record(call, recorder, err);
    const conv2d_attrs *attrs = call->attrs;
    const backward_plan *plan = call->state;
    conv2d_sizes s = conv2d_size(attrs, &call->in_shape[0], &call->in_shape[1]);
    bool pool = call->node->op == &be_op_conv2d_pool_backward;
    gpu_parts parts = parts_of(call, &s, &plan->dw);
    gpu_span none = {0}, y = pool ? none : call->in[2], index = pool ? call->in[2] : none;
    gpu_span dw = call->out[1], db = call->out[2];
    if (attrs->need_dx)
        TRY(gpu_record(recorder, call,
                       &(gpu_unit_launch){plan->dx_unit, "conv2d_dx",
                                          groups_of(call, &plan->dx, s.n * s.h * s.w, s.c),
                                          GPU_ARGUMENTS(gpu_reads(call->in[1]), gpu_reads(y),
                                                        gpu_reads(index), gpu_reads(call->in[3]),
                                                        gpu_reads(call->in[CONV2D_BACK_SUM]),
                                                        gpu_writes(call->out[0]))},
                       err));
    if (plan->dw.splits > 1) {
        dw = call->scratch;
        db = none;
    }
    TRY(gpu_record(
        recorder, call,
        &(gpu_unit_launch){plan->dw_unit, "conv2d_dw", groups_of(call, &plan->dw, parts.width, s.o),
                           GPU_ARGUMENTS(gpu_reads(call->in[0]), gpu_reads(y), gpu_reads(index),
                                         gpu_reads(call->in[3]), gpu_writes(dw), gpu_writes(db))},
        err));
    if (plan->dw.splits == 1) return BE_OK;
    gpu_product_operands operands = {.y = call->out[1], .extra = call->out[2]};
    return gpu_parts_record(call, recorder, &parts, plan->sum_unit, &operands, err);
}

const gpu_kernel GPU_KERNEL(conv2d_backward) = {.implementation = GPU_IMPLEMENTATION,
                                                .prepare = conv2d_backward_prepare,
                                                .record = record,
                                                .precisions = GPU_BF16,
                                                .rounds = GPU_TF32};
const gpu_kernel GPU_KERNEL(conv2d_pool_backward) = {.implementation = GPU_IMPLEMENTATION,
                                                     .prepare = conv2d_pool_backward_prepare,
                                                     .record = record,
                                                     .precisions = GPU_BF16,
                                                     .rounds = GPU_TF32_BF16};
