/* The optimizers on GPUs: one launch over the flat parameter block, or, where launches overlap and
 * the block is large, a few, each over a part of it: one waits for the gradients of its part alone,
 * so that those of the last layers are applied while others still come back. */
#include <math.h>

#include "ops/optimizer/optimizer.h"
#include "ops/optimizer/optimizer_gpu.h"

extern const gpu_source gpu_source_optimizer;

static be_status optimizer_prepare(gpu_call *call, be_error *err)
{
    char words[64];
    return gpu_use(call, GPU_SOURCES(&gpu_source_optimizer), 256, err, "NARROWS=%d CLIPS=%d %s",
                   call->out_shape[OPTIMIZER_NARROW_OUT].rank >= 0,
                   call->in_shape[OPTIMIZER_FACTOR].rank >= 0,
                   gpu_type_words("NARROW", BE_BF16, words));
}

#define PART_STEP 64 /* where parts begin: lines of the cache, of bf16 too */

/* Some of the block. */
typedef struct block_part {
    int64_t from, count;
    int64_t decayed; /* of its elements, the first */
} block_part;

static block_part part_at(const gpu_call *call, int64_t index)
{
    int64_t count = call->in_shape[0].dim[0], parts = optimizer_parts(call, count);
    int64_t each = ((count + parts - 1) / parts + PART_STEP - 1) / PART_STEP * PART_STEP;
    block_part p = {.from = index * each, .count = count - index * each};
    if (p.count > each) p.count = each;
    p.decayed = *(const int64_t *)call->attrs - p.from;
    if (p.decayed < 0) p.decayed = 0;
    if (p.decayed > p.count) p.decayed = p.count;
    return p;
}

/* Of a block of f32, or of the narrow one; an absent one stays so. */
static gpu_span span_of(gpu_span block, const block_part *p, be_dtype type)
{
    size_t each = dtype_bytes(type);
    if (!block.buffer) return block;
    return gpu_part(block, (size_t)p->from * each, (size_t)p->count * each);
}

/* Four elements an item and round.  Many more groups than fit at a time: so few of them are left
 * over in the last turn. */
static int groups_of(const gpu_call *call, const block_part *p)
{
    return gpu_groups(call, (p->count + 3) / 4, call->units[0].group, 64);
}

/* The launch over a part. */
typedef be_status record_part(const gpu_call *call, const block_part *p, gpu_recorder *recorder,
                              be_error *err);

static be_status record_parts(const gpu_call *call, record_part *record, gpu_recorder *recorder,
                              be_error *err)
{
    int64_t parts = optimizer_parts(call, call->in_shape[0].dim[0]);
    for (int64_t i = 0; i < parts; i++) {
        block_part p = part_at(call, i);
        if (p.count > 0) TRY(record(call, &p, recorder, err));
    }
    return BE_OK;
}

static be_status schedule_record(const gpu_call *call, gpu_recorder *recorder, be_error *err)
{
    return gpu_record(
        recorder, call,
        &(gpu_unit_launch){0, "schedule", 1,
                           GPU_ARGUMENTS(gpu_reads(call->in[0]), gpu_reads(call->in[1]),
                                         gpu_writes(call->out[0]),
                                         gpu_int(call->in_shape[1].dim[0] - 1))},
        err);
}

static be_status sgd_part(const gpu_call *call, const block_part *p, gpu_recorder *recorder,
                          be_error *err)
{
    const sgd_attrs *a = call->attrs;
    gpu_span weights = span_of(call->out[0], p, BE_F32), g = span_of(call->in[1], p, BE_F32);
    gpu_span narrow = span_of(call->out[OPTIMIZER_NARROW_OUT], p, BE_BF16);
    if (call->in_shape[4].rank < 0)
        return gpu_record(
            recorder, call,
            &(gpu_unit_launch){
                0, "sgd_plain", groups_of(call, p),
                GPU_ARGUMENTS(gpu_writes(weights), gpu_reads(g), gpu_reads(call->in[2]),
                              gpu_reads(call->in[OPTIMIZER_FACTOR]), gpu_writes(narrow),
                              gpu_int(p->count), gpu_float(a->weight_decay), gpu_int(p->decayed))},
            err);
    return gpu_record(
        recorder, call,
        &(gpu_unit_launch){0, "sgd_momentum", groups_of(call, p),
                           GPU_ARGUMENTS(gpu_writes(weights), gpu_reads(g), gpu_reads(call->in[2]),
                                         gpu_reads(call->in[OPTIMIZER_FACTOR]),
                                         gpu_writes(span_of(call->out[1], p, BE_F32)),
                                         gpu_writes(narrow), gpu_int(p->count),
                                         gpu_float(a->momentum), gpu_float(a->weight_decay),
                                         gpu_int(p->decayed))},
        err);
}

static be_status sgd_record(const gpu_call *call, gpu_recorder *recorder, be_error *err)
{
    return record_parts(call, sgd_part, recorder, err);
}

static be_status adam_part(const gpu_call *call, const block_part *p, gpu_recorder *recorder,
                           be_error *err)
{
    const adam_attrs *a = call->attrs;
    bool decoupled = call->node->op == &be_op_adamw;
    double l2 = decoupled ? 0.0 : a->weight_decay, decay = decoupled ? a->weight_decay : 0.0;
    return gpu_record(
        recorder, call,
        &(gpu_unit_launch){
            0, "adam", groups_of(call, p),
            GPU_ARGUMENTS(gpu_writes(span_of(call->out[0], p, BE_F32)),
                          gpu_reads(span_of(call->in[1], p, BE_F32)), gpu_reads(call->in[2]),
                          gpu_reads(call->in[3]), gpu_reads(call->in[OPTIMIZER_FACTOR]),
                          gpu_writes(span_of(call->out[1], p, BE_F32)),
                          gpu_writes(span_of(call->out[2], p, BE_F32)),
                          gpu_writes(span_of(call->out[OPTIMIZER_NARROW_OUT], p, BE_BF16)),
                          gpu_int(p->count), gpu_float(a->beta1), gpu_float(a->beta2),
                          gpu_float(1.0 - a->beta1), gpu_float(1.0 - a->beta2),
                          gpu_float(log(a->beta1)), gpu_float(log(a->beta2)), gpu_float(a->epsilon),
                          gpu_float(l2), gpu_float(decay), gpu_int(p->decayed))},
        err);
}

static be_status adam_record(const gpu_call *call, gpu_recorder *recorder, be_error *err)
{
    return record_parts(call, adam_part, recorder, err);
}

const gpu_kernel GPU_KERNEL(schedule) = {
    .implementation = GPU_IMPLEMENTATION, .prepare = optimizer_prepare, .record = schedule_record};
const gpu_kernel GPU_KERNEL(sgd) = {
    .implementation = GPU_IMPLEMENTATION, .prepare = optimizer_prepare, .record = sgd_record};
const gpu_kernel GPU_KERNEL(adam) = {
    .implementation = GPU_IMPLEMENTATION, .prepare = optimizer_prepare, .record = adam_record};
const gpu_kernel GPU_KERNEL(adamw) = {
    .implementation = GPU_IMPLEMENTATION, .prepare = optimizer_prepare, .record = adam_record};
