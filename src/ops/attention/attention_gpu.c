/* Attention and its backward on GPUs: the sizes of the tiles, and the launches. */
#include <inttypes.h>
#include <stdio.h>

#include "backend/gpu/gpu.h"
#include "core/kept.h"
#include "ops/attention/attention.h"
#include "ops/attention/attention_tf32_gpu.h"

extern const gpu_source gpu_source_attention_words, gpu_source_attention_tile,
    gpu_source_attention_pairs, gpu_source_attention, gpu_source_attention_backward,
    gpu_source_attention_keys;

#define PAD 4            /* as in attention_tile.gpu.c */
#define ITEMS 128        /* that the tiles are cut for */
#define LOCAL_MOST 49152 /* what every device of NVIDIA's gives a group that asks for no more */

/* Places of the side that stays and of the other; of the pairs of an item, rm × rn; and of its
 * sums, rm × rc. */
typedef struct tile {
    int bm, bn, rm, rn, rc;
} tile;

/* {bm, bn, rm}, in order of preference; the rest follows from the head. */
static const int shapes[][3] = {{64, 32, 4}, {32, 32, 4}, {32, 16, 4}, {16, 16, 4},
                                {8, 8, 4},   {4, 4, 2},   {2, 2, 2}};
#define SHAPES ((int)(sizeof shapes / sizeof shapes[0]))
#define WAYS_MAX 3

/* Local memory of the kernel that takes most. */
static size_t tile_bytes(const tile *t, int64_t size, bool is_backward)
{
    int64_t m = size * (t->bm + PAD), n = size * (t->bn + PAD), rows = t->bn * (size + PAD);
    int64_t pairs = t->bn * (t->bm + PAD);
    int64_t floats =
        is_backward ? 2 * (m + n + pairs) : m + (n > rows ? n : rows) + pairs + 3 * t->bm;
    return (size_t)floats * sizeof(float);
}

static int at_least_1(int64_t count)
{
    return count < 1 ? 1 : (int)count;
}

/* The first that fit, the largest in front. */
static be_status choose_tile(gpu_call *call, const attention_sizes *s, bool is_backward, tile *out,
                             be_error *err)
{
    size_t local = call->facts->local_bytes < LOCAL_MOST ? call->facts->local_bytes : LOCAL_MOST;
    tile ways[WAYS_MAX];
    int count = 0;
    for (int i = 0; i < SHAPES && count < WAYS_MAX; i++) {
        int bm = shapes[i][0], bn = shapes[i][1], rm = shapes[i][2], items_m = bm / rm;
        tile t = {bm, bn, rm, at_least_1(bn * items_m / ITEMS),
                  at_least_1((s->size * items_m + ITEMS - 1) / ITEMS)};
        if (tile_bytes(&t, s->size, is_backward) <= local) ways[count++] = t;
    }
    if (count == 0)
        FAIL(err, BE_UNAVAILABLE,
             "no tile of an attention with heads of %" PRId64
             " fits into the %zu bytes of local memory of this device",
             s->size, local);
    *out = ways[gpu_choose(call, count,
                           kept_hash(KEPT_HASH_START, ways, (size_t)count * sizeof *ways))];
    return BE_OK;
}

static int64_t blocks_of(int64_t places, const tile *t)
{
    return (places + t->bm - 1) / t->bm;
}

static be_status use(gpu_call *call, const attention_sizes *s, bool of_keys,
                     const gpu_source *const *sources, be_error *err)
{
    const tile *t = call->state;
    char words[64];
    return gpu_use(call, sources, ITEMS, err,
                   "BM=%d BN=%d RM=%d RN=%d RC=%d BLOCKS=%" PRId64 " SIZE=%" PRId64
                   " HEADS=%" PRId64 " WIDTH=%" PRId64 " QUERIES=%" PRId64 " KEYS=%" PRId64
                   " ROW=%" PRId64 " K_AT=%" PRId64 " V_AT=%" PRId64
                   " CAUSAL=%d PACKED=%d HAS_LENGTHS=%d OF_KEYS=%d %s",
                   t->bm, t->bn, t->rm, t->rn, t->rc, blocks_of(of_keys ? s->keys : s->queries, t),
                   s->size, s->heads, s->width, s->queries, s->keys, s->row[0], s->at[1], s->at[2],
                   s->causal, s->is_packed, call->in_shape[ATTENTION_LENGTHS].rank >= 0, of_keys,
                   gpu_type_words("X", call->in_shape[0].dtype, words));
}

static attention_sizes sizes_of(const gpu_call *call)
{
    return attention_sizes_of(call->attrs, &call->in_shape[0], &call->in_shape[1]);
}

/* Groups for the blocks of all heads. */
static int groups_for(const gpu_call *call, int64_t units)
{
    return gpu_groups(call, units, 1, 64);
}

static be_status attention_prepare(gpu_call *call, be_error *err)
{
    attention_sizes s = sizes_of(call);
    if (attention_tf32_takes(call, &s)) return attention_tf32_prepare(call, &s, err);
    TRY(arena_alloc(call->memory, &call->state, sizeof(tile), err));
    TRY(choose_tile(call, &s, false, call->state, err));
    return use(
        call, &s, false,
        GPU_SOURCES(&gpu_source_attention_words, &gpu_source_attention_tile, &gpu_source_attention),
        err);
}

static be_status attention_record(const gpu_call *call, gpu_recorder *recorder, be_error *err)
{
    attention_sizes s = sizes_of(call);
    if (attention_tf32_takes(call, &s)) return attention_tf32_record(call, &s, recorder, err);
    int64_t units = s.batch * s.heads * blocks_of(s.queries, call->state);
    const gpu_span *in = call->in;
    return gpu_record(
        recorder, call,
        &(gpu_unit_launch){0, "attention", groups_for(call, units),
                           GPU_ARGUMENTS(gpu_reads(in[0]), gpu_reads(in[1]), gpu_reads(in[2]),
                                         gpu_reads(in[ATTENTION_LENGTHS]), gpu_writes(call->out[0]),
                                         gpu_writes(call->out[1]), gpu_int(units),
                                         gpu_float(s.scale))},
        err);
}

/* Units of attention_backward. */
enum { OF_QUERIES, OF_KEYS };

static be_status attention_backward_prepare(gpu_call *call, be_error *err)
{
    attention_sizes s = sizes_of(call);
    if (attention_tf32_takes(call, &s)) return attention_tf32_backward_prepare(call, &s, err);
    TRY(arena_alloc(call->memory, &call->state, sizeof(tile), err));
    TRY(choose_tile(call, &s, true, call->state, err));
    call->scratch_bytes = (size_t)(s.batch * s.heads * s.queries) * sizeof(float);
    TRY(use(call, &s, false,
            GPU_SOURCES(&gpu_source_attention_words, &gpu_source_attention_tile,
                        &gpu_source_attention_pairs, &gpu_source_attention_backward),
            err));
    return use(call, &s, true,
               GPU_SOURCES(&gpu_source_attention_words, &gpu_source_attention_tile,
                           &gpu_source_attention_pairs, &gpu_source_attention_keys),
               err);
}

static be_status record_queries(const gpu_call *call, gpu_recorder *recorder,
                                const attention_sizes *s, gpu_span d, be_error *err)
{
    const gpu_span *in = call->in;
    int64_t count = s->batch * s->heads * s->queries;
    int64_t units = s->batch * s->heads * blocks_of(s->queries, call->state);
    TRY(gpu_record(
        recorder, call,
        &(gpu_unit_launch){OF_QUERIES, "attention_dots",
                           gpu_groups(call, count, call->units[OF_QUERIES].group, 8),
                           GPU_ARGUMENTS(gpu_reads(in[ATTENTION_Y]), gpu_reads(in[ATTENTION_DY]),
                                         gpu_writes(d), gpu_int(count))},
        err));
    return gpu_record(
        recorder, call,
        &(gpu_unit_launch){OF_QUERIES, "attention_queries", groups_for(call, units),
                           GPU_ARGUMENTS(gpu_reads(in[0]), gpu_reads(in[1]), gpu_reads(in[2]),
                                         gpu_reads(in[ATTENTION_LENGTHS]),
                                         gpu_reads(in[ATTENTION_LSE]), gpu_reads(in[ATTENTION_DY]),
                                         gpu_reads(d), gpu_writes(call->out[0]), gpu_int(units),
                                         gpu_float(s->scale))},
        err);
}

/* Of packed operands dk and dv are parts of one output, and the kernel is given it once. */
static be_status attention_backward_record(const gpu_call *call, gpu_recorder *recorder,
                                           be_error *err)
{
    attention_sizes s = sizes_of(call);
    if (attention_tf32_takes(call, &s))
        return attention_tf32_backward_record(call, &s, recorder, err);
    const gpu_span *in = call->in;
    gpu_span d = gpu_part(call->scratch, 0, call->scratch_bytes);
    gpu_span dk = call->out[s.is_packed ? 0 : 1], dv = call->out[2];
    int64_t units = s.batch * s.heads * blocks_of(s.keys, call->state);
    TRY(record_queries(call, recorder, &s, d, err));
    return gpu_record(
        recorder, call,
        &(gpu_unit_launch){OF_KEYS, "attention_keys", groups_for(call, units),
                           GPU_ARGUMENTS(gpu_reads(in[0]), gpu_reads(in[1]), gpu_reads(in[2]),
                                         gpu_reads(in[ATTENTION_LENGTHS]),
                                         gpu_reads(in[ATTENTION_LSE]), gpu_reads(in[ATTENTION_DY]),
                                         gpu_reads(d), gpu_writes(dk), gpu_writes(dv),
                                         gpu_int(units), gpu_float(s.scale))},
        err);
}

/* In tf32 it multiplies in fp32 what attention_tf32_gpu.h does not take. */
const gpu_kernel GPU_KERNEL(attention) = {.implementation = GPU_IMPLEMENTATION,
                                          .is_wide = true,
                                          .precisions = GPU_TF32_BF16,
                                          .prepare = attention_prepare,
                                          .record = attention_record};

const gpu_kernel GPU_KERNEL(attention_backward) = {.implementation = GPU_IMPLEMENTATION,
                                                   .is_wide = true,
                                                   .precisions = GPU_TF32_BF16,
                                                   .prepare = attention_backward_prepare,
                                                   .record = attention_backward_record};
