/* The host side of attention_tf32_gpu.h. */
#include "ops/attention/attention_tf32_gpu.h"

#include <inttypes.h>

extern const gpu_source gpu_source_attention_words, gpu_source_attention_tensor,
    gpu_source_attention_tf32, gpu_source_attention_tf32_queries, gpu_source_attention_tf32_keys;

#define GROUP_WANTED 128
#define WARPS (GROUP_WANTED / 32)

/* How a kernel's work is cut: a warp keeps `sets` times 16 rows of the side that stays, and what it
 * reads of the other is multiplied by all of them; `step` rows of that side are multiplied at once.
 * Both cost registers. */
typedef struct cut {
    int sets, step;
} cut;

static const cut of_forward = {2, 64}, of_queries = {1, 16}, of_keys = {1, 32};

bool attention_tf32_takes(const gpu_call *call, const attention_sizes *s)
{
    return call->precision == BE_PRECISION_TF32 && call->in_shape[0].dtype == BE_F32 &&
           call->facts->tensor_cores && gpu_group(call, GROUP_WANTED) == GROUP_WANTED &&
           (s->size == 32 || s->size == 64);
}

static int64_t blocks_of(int64_t rows, cut c)
{
    int64_t block = 16 * c.sets * WARPS;
    return (rows + block - 1) / block;
}

static be_status use(gpu_call *call, const attention_sizes *s, const gpu_source *source,
                     int64_t rows, cut c, be_error *err)
{
    return gpu_use(call,
                   GPU_SOURCES(&gpu_source_attention_words, &gpu_source_attention_tensor, source),
                   GROUP_WANTED, err,
                   "SETS=%d STEP=%d BLOCKS=%" PRId64 " SIZE=%" PRId64 " HEADS=%" PRId64
                   " WIDTH=%" PRId64 " QUERIES=%" PRId64 " KEYS=%" PRId64 " ROW=%" PRId64
                   " K_AT=%" PRId64 " V_AT=%" PRId64 " CAUSAL=%d PACKED=%d HAS_LENGTHS=%d",
                   c.sets, c.step, blocks_of(rows, c), s->size, s->heads, s->width, s->queries,
                   s->keys, s->row[0], s->at[1], s->at[2], s->causal, s->is_packed,
                   call->in_shape[ATTENTION_LENGTHS].rank >= 0);
}

/* A launch for the blocks of all heads; its last arguments are how many there are, and the scale.
 */
typedef struct blocks {
    int64_t units;
    int groups;
} blocks;

static blocks blocks_for(const gpu_call *call, const attention_sizes *s, int64_t rows, cut c)
{
    int64_t units = s->batch * s->heads * blocks_of(rows, c);
    return (blocks){units, gpu_groups(call, units, 1, 64)};
}

be_status attention_tf32_prepare(gpu_call *call, const attention_sizes *s, be_error *err)
{
    return use(call, s, &gpu_source_attention_tf32, s->queries, of_forward, err);
}

be_status attention_tf32_record(const gpu_call *call, const attention_sizes *s,
                                gpu_recorder *recorder, be_error *err)
{
    const gpu_span *in = call->in;
    blocks b = blocks_for(call, s, s->queries, of_forward);
    return gpu_record(
        recorder, call,
        &(gpu_unit_launch){0, "attention_tf32", b.groups,
                           GPU_ARGUMENTS(gpu_reads(in[ATTENTION_Q]), gpu_reads(in[ATTENTION_K]),
                                         gpu_reads(in[ATTENTION_V]),
                                         gpu_reads(in[ATTENTION_LENGTHS]), gpu_writes(call->out[0]),
                                         gpu_writes(call->out[1]), gpu_int(b.units),
                                         gpu_float(s->scale))},
        err);
}

/* Units of the backward. */
enum { OF_QUERIES, OF_KEYS };

be_status attention_tf32_backward_prepare(gpu_call *call, const attention_sizes *s, be_error *err)
{
    call->scratch_bytes = (size_t)(s->batch * s->heads * s->queries) * sizeof(float);
    TRY(use(call, s, &gpu_source_attention_tf32_queries, s->queries, of_queries, err));
    return use(call, s, &gpu_source_attention_tf32_keys, s->keys, of_keys, err);
}

/* Of packed operands dk and dv are parts of one output, and the kernel is given it once. */
be_status attention_tf32_backward_record(const gpu_call *call, const attention_sizes *s,
                                         gpu_recorder *recorder, be_error *err)
{
    const gpu_span *in = call->in;
    gpu_span d = gpu_part(call->scratch, 0, call->scratch_bytes);
    blocks queries = blocks_for(call, s, s->queries, of_queries);
    blocks keys = blocks_for(call, s, s->keys, of_keys);
    TRY(gpu_record(
        recorder, call,
        &(gpu_unit_launch){
            OF_QUERIES, "attention_tf32_queries", queries.groups,
            GPU_ARGUMENTS(gpu_reads(in[ATTENTION_Q]), gpu_reads(in[ATTENTION_K]),
                          gpu_reads(in[ATTENTION_V]), gpu_reads(in[ATTENTION_LENGTHS]),
                          gpu_reads(in[ATTENTION_Y]), gpu_reads(in[ATTENTION_LSE]),
                          gpu_reads(in[ATTENTION_DY]), gpu_writes(d), gpu_writes(call->out[0]),
                          gpu_int(queries.units), gpu_float(s->scale))},
        err));
    return gpu_record(
        recorder, call,
        &(gpu_unit_launch){
            OF_KEYS, "attention_tf32_keys", keys.groups,
            GPU_ARGUMENTS(gpu_reads(in[ATTENTION_Q]), gpu_reads(in[ATTENTION_K]),
                          gpu_reads(in[ATTENTION_V]), gpu_reads(in[ATTENTION_LENGTHS]),
                          gpu_reads(in[ATTENTION_LSE]), gpu_reads(in[ATTENTION_DY]), gpu_reads(d),
                          gpu_writes(call->out[s->is_packed ? 0 : 1]), gpu_writes(call->out[2]),
                          gpu_int(keys.units), gpu_float(s->scale))},
        err);
}
