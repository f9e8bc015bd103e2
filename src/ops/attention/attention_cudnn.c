/* Attention and its backward on cuDNN, of bf16 operands: the operation graph of cudnn_patterns.h,
 * and our own kernels for what it leaves out.
 *
 * cuDNN writes y and the gradients in bf16, as PyTorch's autocast has them; where
 * the op's results are f32 they are widened into these.  The backward reads y in bf16 again, which
 * loses nothing.  In
 * fp32 and tf32 it has no backward, and our own kernels take both. */
#include <inttypes.h>

#include "backend/cuda/cuda_driver.h"
#include "backend/cuda/cudnn_patterns.h"
#include "backend/cuda/cudnn_plan.h"
#include "ops/attention/attention.h"
#include "ops/reduce/upstream_gpu.h"

extern const gpu_source gpu_source_attention_narrow;

#define GROUP_WANTED 256
#define GROUPS_PER_UNIT 8
/* Of zeros: what stands behind cuDNN has the device to itself, and rows of a group wait for one
 * another's lengths. */
#define ZERO_GROUPS_A_UNIT 16
#define BF16_BYTES 2
#define EIGHT 8             /* elements of a vector */
#define VERSION_LEAST 91100 /* masks with −∞, and lengths that are no multiple of 64 */

typedef struct library_attention {
    gpu_task task; /* first */
    cudnn_plan plan;
    attention_sizes s;
    bool is_masked; /* cuDNN is given lengths */
    /* In scratch: y in bf16, the gradients in bf16. */
    size_t y_at, dots_at, gradients_at[3], work_at;
    gpu_span lengths[2]; /* where these lie, once it is bound */
} library_attention;

static be_status attention_start(const gpu_task *task, gpu_driver *driver, be_error *err)
{
    (void)driver;
    return cudnn_plan_start(&((const library_attention *)task)->plan, err);
}

/* Lengths beyond the tokens would be read as such. */
static be_status attention_ready(const gpu_task *task, gpu_driver *driver, be_error *err)
{
    static const int32_t ones[64] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1,
                                     1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1,
                                     1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1,
                                     1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1};
    const library_attention *a = (const library_attention *)task;
    for (int i = 0; i < 2 && a->is_masked; i++)
        for (size_t at = 0; at < a->lengths[i].bytes; at += sizeof ones) {
            size_t left = a->lengths[i].bytes - at;
            TRY(driver->vtable->upload(driver, a->lengths[i].buffer, a->lengths[i].offset + at,
                                       ones, left < sizeof ones ? left : sizeof ones, err));
        }
    return BE_OK;
}

static void attention_release(void *state)
{
    cudnn_plan_free(&((library_attention *)state)->plan);
}

static be_status expect_shape(const cuda_driver *d, const attention_sizes *s, be_error *err)
{
    if (d->math->dnn.version() < VERSION_LEAST)
        FAIL(err, BE_UNAVAILABLE, "%s: attention: expected cuDNN 9.11 or later; install it",
             d->math->cudnn_title);
    if (s->size % EIGHT != 0)
        FAIL(err, BE_UNAVAILABLE,
             "%s: attention: expected a head size that 8 divides, found %" PRId64,
             d->math->cudnn_title, s->size);
    return BE_OK;
}

static size_t take(gpu_call *call, int64_t elements, size_t bytes)
{
    return gpu_scratch_take(&call->scratch_bytes, (size_t)elements * bytes);
}

static int64_t rows_of(const attention_sizes *s)
{
    return s->batch * s->queries * s->width;
}

static be_status plan_new(gpu_call *call, bool is_backward, library_attention *a, be_error *err)
{
    cuda_driver *d = (cuda_driver *)call->driver;
    const cudnn_place place = {.handle = d->cudnn, .kept = &d->cudnn_choices};
    const cudnn_attention_pattern what = {.is_backward = is_backward,
                                          .batch = a->s.batch,
                                          .heads = a->s.heads,
                                          .queries = a->s.queries,
                                          .keys = a->s.keys,
                                          .size = a->s.size,
                                          .row = a->s.row[0],
                                          .is_causal = a->s.causal,
                                          .has_lengths = a->is_masked,
                                          .scale = (float)a->s.scale};
    cudnn_graph graph;
    cudnn_attention_graph(&what, &graph);
    TRY(cuda_enter(d, err));
    TRY(cudnn_plan_new(d->math, &place, &graph, &a->plan, err));
    a->work_at = gpu_scratch_take(&call->scratch_bytes, a->plan.choice->workspace_bytes);
    call->implementation = d->math->cudnn_title;
    return BE_OK;
}

/* Of the lengths of queries, behind which those of keys lie in the memory that the layers share. */
static size_t lengths_bytes(const attention_sizes *s)
{
    size_t bytes = 0;
    gpu_scratch_take(&bytes, (size_t)s->batch * sizeof(int32_t));
    return gpu_scratch_take(&bytes, 0);
}

static be_status prepare(gpu_call *call, bool is_backward, be_error *err)
{
    attention_sizes s = attention_sizes_of(call->attrs, &call->in_shape[0], &call->in_shape[1]);
    bool has_lengths = call->in_shape[ATTENTION_LENGTHS].rank >= 0;
    TRY(expect_shape((const cuda_driver *)call->driver, &s, err));
    TRY(arena_alloc(call->memory, &call->state, sizeof(library_attention), err));
    library_attention *a = call->state;
    call->release = attention_release;
    a->s = s;
    a->task =
        (gpu_task){.name = is_backward ? "attention's backward by cuDNN" : "attention by cuDNN",
                   .start = attention_start,
                   .ready = attention_ready};
    a->is_masked = cudnn_attention_is_masked(s.queries, s.keys, has_lengths);
    a->y_at = take(call, rows_of(&s), BF16_BYTES);
    if (a->is_masked)
        call->shared = (gpu_shared){&gpu_source_attention_narrow,
                                    {call->node->in[ATTENTION_LENGTHS], s.batch, s.queries, s.keys},
                                    2 * (size_t)lengths_bytes(&s)};
    if (is_backward) {
        a->dots_at = take(call, s.batch * s.heads * s.queries, sizeof(float));
        for (int o = 0; o < (s.is_packed ? 1 : 3); o++)
            a->gradients_at[o] = take(call, shape_elements(&call->out_shape[o]), BF16_BYTES);
    }
    TRY(gpu_use(call, GPU_SOURCES(&gpu_source_attention_narrow), GROUP_WANTED, err,
                "HAS_LENGTHS=%d", has_lengths));
    return plan_new(call, is_backward, a, err);
}

static be_status attention_prepare(gpu_call *call, be_error *err)
{
    return prepare(call, false, err);
}

static be_status attention_backward_prepare(gpu_call *call, be_error *err)
{
    return prepare(call, true, err);
}

/* ---------------------------------------------------------------- our own kernels */

static be_status record(const gpu_call *call, gpu_recorder *recorder, const gpu_unit_launch *launch,
                        int64_t items, be_error *err)
{
    gpu_unit_launch whole = *launch;
    whole.groups = gpu_groups(call, items, call->units[0].group, GROUPS_PER_UNIT);
    return gpu_record(recorder, call, &whole, err);
}

static gpu_span lengths_span(const gpu_call *call, const library_attention *a, int i)
{
    return gpu_part(call->shared_span, i ? lengths_bytes(&a->s) : 0,
                    (size_t)a->s.batch * sizeof(int32_t));
}

static gpu_span y_span(const gpu_call *call, const library_attention *a)
{
    return gpu_part(call->scratch, a->y_at, (size_t)rows_of(&a->s) * BF16_BYTES);
}

static be_status record_lengths(const gpu_call *call, gpu_recorder *recorder, be_error *err)
{
    const library_attention *a = call->state;
    if (!call->fills_shared) return BE_OK;
    const gpu_unit_launch launch = {
        0, "attention_lengths", 0,
        GPU_ARGUMENTS(gpu_reads(call->in[ATTENTION_LENGTHS]), gpu_writes(lengths_span(call, a, 0)),
                      gpu_writes(lengths_span(call, a, 1)), gpu_int(a->s.batch),
                      gpu_int(a->s.queries), gpu_int(a->s.keys))};
    return record(call, recorder, &launch, a->s.batch, err);
}

/* Where rows lie, and which of their columns are of queries. */
typedef struct wide_rows {
    gpu_span from, to;
    be_dtype type; /* of `to` */
    int64_t count, tokens, row, of_queries;
} wide_rows;

/* Where the op's result is bf16, cuDNN has written it there, and of samples of full length nothing
 * is left to do. */
static be_status record_widen(const gpu_call *call, gpu_recorder *recorder, const wide_rows *w,
                              be_error *err)
{
    const library_attention *a = call->state;
    gpu_span lengths = call->in[ATTENTION_LENGTHS];
    int64_t eights = w->count / EIGHT, rows = w->count / w->row;
    const gpu_unit_launch widen = {0, "attention_widen", 0,
                                   GPU_ARGUMENTS(gpu_reads(w->from), gpu_reads(lengths),
                                                 gpu_writes(w->to), gpu_int(eights),
                                                 gpu_int(w->tokens), gpu_int(w->row),
                                                 gpu_int(w->of_queries), gpu_int(a->s.keys))};
    gpu_unit_launch zero = {0, "attention_zero", 0,
                            GPU_ARGUMENTS(gpu_reads(lengths), gpu_writes(w->to), gpu_int(rows),
                                          gpu_int(w->tokens), gpu_int(w->row),
                                          gpu_int(w->of_queries), gpu_int(a->s.keys))};
    if (w->type != BE_BF16) return record(call, recorder, &widen, eights, err);
    if (call->in_shape[ATTENTION_LENGTHS].rank < 0) return BE_OK;
    zero.groups = gpu_groups(call, rows, 1, ZERO_GROUPS_A_UNIT);
    return gpu_record(recorder, call, &zero, err);
}

/* ---------------------------------------------------------------- the launches */

/* k and v lie in q's tensor, behind one another, if these are packed; so do their gradients. */
static gpu_span operand_span(const attention_sizes *s, const gpu_span *of, int o)
{
    gpu_span span = of[s->is_packed ? 0 : o];
    size_t at = (size_t)s->at[o] * BF16_BYTES;
    return span.buffer ? (gpu_span){span.buffer, span.offset + at, span.bytes - at} : span;
}

static be_status bind(const gpu_call *call, const gpu_recorder *recorder, library_attention *a,
                      const gpu_span spans[CUDNN_ATTENTION_OPERANDS], gpu_span work, be_error *err)
{
    cuda_address addresses[CUDNN_ATTENTION_OPERANDS];
    for (int i = 0; i < 2; i++) a->lengths[i] = lengths_span(call, a, i);
    for (int i = 0; i < CUDNN_ATTENTION_OPERANDS; i++) addresses[i] = cuda_span_address(spans[i]);
    if (gpu_is_dry(recorder)) return BE_OK;
    return cudnn_plan_bind(&a->plan, addresses, cuda_span_address(work), err);
}

static gpu_span work_span(const gpu_call *call, const library_attention *a)
{
    size_t bytes = a->plan.choice->workspace_bytes;
    return bytes ? gpu_part(call->scratch, a->work_at, bytes) : (gpu_span){0};
}

/* The operands that both directions have. */
static void fill_spans(const gpu_call *call, const library_attention *a,
                       gpu_span spans[CUDNN_ATTENTION_OPERANDS])
{
    for (int o = 0; o < 3; o++) spans[CUDNN_ATTENTION_Q + o] = operand_span(&a->s, call->in, o);
    spans[CUDNN_ATTENTION_Y] = y_span(call, a);
    if (!a->is_masked) return;
    spans[CUDNN_ATTENTION_QUERY_LENGTHS] = lengths_span(call, a, 0);
    spans[CUDNN_ATTENTION_KEY_LENGTHS] = lengths_span(call, a, 1);
}

/* What is left to do behind it: y as floats, and what a sample without keys has. */
static be_status record_results(const gpu_call *call, gpu_recorder *recorder, gpu_span made,
                                be_error *err)
{
    const library_attention *a = call->state;
    const attention_sizes *s = &a->s;
    bool is_narrow = call->out_shape[0].dtype == BE_BF16;
    const wide_rows y = {made,     call->out[0], call->out_shape[0].dtype, rows_of(s), s->queries,
                         s->width, s->width};
    if (!is_narrow) TRY(record_widen(call, recorder, &y, err));
    if (call->in_shape[ATTENTION_LENGTHS].rank < 0) return BE_OK;
    const gpu_unit_launch launch = {
        0, "attention_no_keys", gpu_groups(call, s->batch, 1, GROUPS_PER_UNIT),
        GPU_ARGUMENTS(gpu_reads(call->in[ATTENTION_LENGTHS]),
                      gpu_writes(is_narrow ? call->out[0] : (gpu_span){0}),
                      gpu_writes(call->out[1]), gpu_int(s->batch),
                      gpu_int(is_narrow ? s->queries * s->width : 0),
                      gpu_int(s->heads * s->queries), gpu_int(s->keys))};
    return gpu_record(recorder, call, &launch, err);
}

static be_status attention_record(const gpu_call *call, gpu_recorder *recorder, be_error *err)
{
    library_attention *a = call->state;
    const gpu_task *task = gpu_is_dry(recorder) ? NULL : &a->task;
    gpu_span spans[CUDNN_ATTENTION_OPERANDS] = {{0}}, work = work_span(call, a);
    fill_spans(call, a, spans);
    if (call->out_shape[0].dtype == BE_BF16) spans[CUDNN_ATTENTION_Y] = call->out[0];
    spans[CUDNN_ATTENTION_LSE] = call->out[1];
    TRY(record_lengths(call, recorder, err));
    TRY(bind(call, recorder, a, spans, work, err));
    TRY(gpu_record_task(recorder, task,
                        GPU_ARGUMENTS(gpu_reads(call->in[0]), gpu_reads(call->in[1]),
                                      gpu_reads(call->in[2]),
                                      gpu_reads(spans[CUDNN_ATTENTION_QUERY_LENGTHS]),
                                      gpu_reads(spans[CUDNN_ATTENTION_KEY_LENGTHS]),
                                      gpu_writes(spans[CUDNN_ATTENTION_Y]),
                                      gpu_writes(call->out[1]), gpu_writes(work)),
                        err));
    return record_results(call, recorder, spans[CUDNN_ATTENTION_Y], err);
}

/* Where cuDNN writes a gradient. */
static gpu_span gradient_span(const gpu_call *call, const library_attention *a, int o)
{
    if (call->out_shape[o].dtype == BE_BF16) return call->out[o];
    return gpu_part(call->scratch, a->gradients_at[o],
                    (size_t)shape_elements(&call->out_shape[o]) * BF16_BYTES);
}

static be_status record_gradients(const gpu_call *call, gpu_recorder *recorder, be_error *err)
{
    const library_attention *a = call->state;
    const attention_sizes *s = &a->s;
    for (int o = 0; o < (s->is_packed ? 1 : 3); o++) {
        const wide_rows rows = {.from = gradient_span(call, a, o),
                                .to = call->out[o],
                                .type = call->out_shape[o].dtype,
                                .count = shape_elements(&call->out_shape[o]),
                                .tokens = o ? s->keys : s->queries,
                                .row = s->row[0],
                                .of_queries = o ? 0 : s->width};
        TRY(record_widen(call, recorder, &rows, err));
    }
    return BE_OK;
}

static be_status attention_backward_record(const gpu_call *call, gpu_recorder *recorder,
                                           be_error *err)
{
    library_attention *a = call->state;
    const gpu_task *task = gpu_is_dry(recorder) ? NULL : &a->task;
    const gpu_span *in = call->in;
    gpu_span spans[CUDNN_ATTENTION_OPERANDS] = {{0}}, work = work_span(call, a), made[3] = {{0}};
    int64_t eights = rows_of(&a->s) / EIGHT;
    fill_spans(call, a, spans);
    bool is_narrow = call->in_shape[ATTENTION_Y].dtype == BE_BF16;
    if (is_narrow) spans[CUDNN_ATTENTION_Y] = in[ATTENTION_Y];
    spans[CUDNN_ATTENTION_LSE] = in[ATTENTION_LSE];
    spans[CUDNN_ATTENTION_DY] = in[ATTENTION_DY];
    spans[CUDNN_ATTENTION_DOTS] =
        gpu_part(call->scratch, a->dots_at,
                 (size_t)(a->s.batch * a->s.heads * a->s.queries) * sizeof(float));
    for (int o = 0; o < (a->s.is_packed ? 1 : 3); o++) made[o] = gradient_span(call, a, o);
    for (int o = 0; o < 3; o++) spans[CUDNN_ATTENTION_DQ + o] = operand_span(&a->s, made, o);
    const gpu_unit_launch narrow = {0, "attention_narrow", 0,
                                    GPU_ARGUMENTS(gpu_reads(in[ATTENTION_Y]),
                                                  gpu_writes(spans[CUDNN_ATTENTION_Y]),
                                                  gpu_int(eights))};
    if (!is_narrow) TRY(record(call, recorder, &narrow, eights, err));
    TRY(record_lengths(call, recorder, err));
    TRY(bind(call, recorder, a, spans, work, err));
    TRY(gpu_record_task(recorder, task,
                        GPU_ARGUMENTS(gpu_reads(in[0]), gpu_reads(in[1]), gpu_reads(in[2]),
                                      gpu_reads(spans[CUDNN_ATTENTION_QUERY_LENGTHS]),
                                      gpu_reads(spans[CUDNN_ATTENTION_KEY_LENGTHS]),
                                      gpu_reads(spans[CUDNN_ATTENTION_Y]),
                                      gpu_reads(in[ATTENTION_LSE]), gpu_reads(in[ATTENTION_DY]),
                                      gpu_writes(spans[CUDNN_ATTENTION_DOTS]), gpu_writes(made[0]),
                                      gpu_writes(made[1]), gpu_writes(made[2]), gpu_writes(work)),
                        err));
    return record_gradients(call, recorder, err);
}

const gpu_kernel CUDNN_KERNEL(attention) = {.implementation = "cuDNN",
                                            .precisions = GPU_BF16,
                                            .no_fp32 = true,
                                            .prepare = attention_prepare,
                                            .record = attention_record};
const gpu_kernel CUDNN_KERNEL(attention_backward) = {.implementation = "cuDNN",
                                                     .precisions = GPU_BF16,
                                                     .no_fp32 = true,
                                                     .prepare = attention_backward_prepare,
                                                     .record = attention_backward_record};
