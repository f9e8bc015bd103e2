/* The convolution on GPUs, forward, with bias, activation and pool in one launch. */
#include "ops/conv2d/conv2d_gpu.h"

#include <inttypes.h>

#include "ops/eltwise/activation_gpu.h"

extern const gpu_source gpu_source_activation_list, gpu_source_tile, gpu_source_conv2d;

static int64_t places_of(const conv2d_sizes *s, bool pool)
{
    return s->n * (pool ? 4 * s->ph * s->pw : s->oh * s->ow);
}

static be_status prepare(gpu_call *call, bool pool, be_error *err)
{
    const conv2d_attrs *attrs = call->attrs;
    conv2d_sizes s = conv2d_size(attrs, &call->in_shape[0], &call->in_shape[1]);
    static const gpu_source *const sources[] = {&gpu_source_activation_list, &gpu_source_tile,
                                                &gpu_source_conv2d, NULL};
    char words[320], end[ACTIVATION_END_WORDS];
    bool has_formula = activation_needs_x(attrs->activation);
    TRY(arena_alloc(call->memory, &call->state, sizeof(gpu_tile), err));
    gpu_tile *tile = call->state;
    gpu_tile_problem problem = {.m = places_of(&s, pool),
                                .n = s.o,
                                .depth = s.c * s.k[0] * s.k[1],
                                .m_step = pool ? 4 : 1,
                                .channels = s.c,
                                .area = s.k[0] * s.k[1]};
    TRY(gpu_tile_choose(call, &problem, tile, err));
    conv2d_gpu_words(&s, words);
    return gpu_use(call, sources + !has_formula, tile->group, err,
                   GPU_TILE_FORMAT " %s POOL=%d BIAS=%d NO_INDEX=%d %s", GPU_TILE_VALUES(tile),
                   words, pool, call->in_shape[2].rank >= 0, CONV2D_NO_INDEX,
                   activation_end_words(attrs->activation, attrs->keep_z, end));
}

static be_status conv2d_prepare(gpu_call *call, be_error *err)
{
    if (call->in_layout[0] == LAYOUT_CHANNELS_LAST) return conv2d_last_prepare(call, err);
    return prepare(call, false, err);
}

static be_status conv2d_pool_prepare(gpu_call *call, be_error *err)
{
    return prepare(call, true, err);
}

static be_status conv2d_record(const gpu_call *call, gpu_recorder *recorder, be_error *err)
{
    if (call->in_layout[0] == LAYOUT_CHANNELS_LAST) return conv2d_last_record(call, recorder, err);
    const gpu_tile *t = call->state;
    conv2d_sizes s = conv2d_size(call->attrs, &call->in_shape[0], &call->in_shape[1]);
    bool pool = call->node->op == &be_op_conv2d_pool;
    gpu_span none = {0}, z = pool ? none : call->out[1], index = pool ? call->out[1] : none;
    int64_t places = places_of(&s, pool);
    int64_t tiles = (places + t->bm - 1) / t->bm * ((s.o + t->bn - 1) / t->bn);
    return gpu_record(
        recorder, call,
        &(gpu_unit_launch){0, "conv2d", gpu_groups(call, tiles, 1, 64),
                           GPU_ARGUMENTS(gpu_reads(call->in[0]), gpu_reads(call->in[1]),
                                         gpu_reads(call->in[2]), gpu_writes(call->out[0]),
                                         gpu_writes(z), gpu_writes(index))},
        err);
}

const gpu_kernel GPU_KERNEL(conv2d) = {.implementation = GPU_IMPLEMENTATION,
                                       .prepare = conv2d_prepare,
                                       .record = conv2d_record,
                                       .precisions = GPU_BF16,
                                       .rounds = GPU_TF32};
const gpu_kernel GPU_KERNEL(conv2d_pool) = {.implementation = GPU_IMPLEMENTATION,
                                            .prepare = conv2d_pool_prepare,
                                            .record = conv2d_record,
                                            .precisions = GPU_BF16,
                                            .rounds = GPU_TF32_BF16};
