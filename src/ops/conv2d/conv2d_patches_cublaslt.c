/* A convolution whose windows lie side by side, as those by which a Transformer takes a picture
 * apart, as one product of cuBLASLt: y = w · rowsᵀ and dw = dy · rows, where a row is a patch.
 * cuDNN's engines know no such windows: of 12 pictures and 768 outputs they took 97 µs and 81 µs on
 * an H200, of which 5 µs are the product's. */
#include "ops/conv2d/conv2d_cudnn.h"
#include "ops/matmul/product_cublaslt.h"
#include "ops/reduce/upstream_gpu.h"

#define GROUP_WANTED 256
#define GROUPS_PER_UNIT 8
/* What the library's kernels with aligned loads want a side to divide by, not its rows alone. */
#define SIDE_STEP (CUDA_MATH_ALIGN / 2)

extern const gpu_source gpu_source_conv2d_patches;

typedef struct patches_plan {
    conv2d_sizes s;
    int64_t depth, pitch;      /* of a patch; the places of all images, and zeros behind them */
    size_t rows_at, turned_at; /* in scratch */
    int unit;
    product_task product;
    gpu_upstream upstream; /* backward */
} patches_plan;

static void release(void *state)
{
    product_task_free(&((patches_plan *)state)->product);
}

static size_t rows_bytes(const gpu_call *call, const patches_plan *plan)
{
    return (size_t)(plan->pitch * plan->depth) * dtype_bytes(call->in_shape[0].dtype);
}

/* `type`: of what is turned. */
static size_t turned_bytes(const patches_plan *plan, be_dtype type)
{
    return (size_t)(plan->s.o * plan->pitch) * dtype_bytes(type);
}

static be_status prepare(gpu_call *call, be_dtype turned, bool bias, patches_plan **out,
                         be_error *err)
{
    char words[320], type[64];
    TRY(arena_alloc(call->memory, &call->state, sizeof(patches_plan), err));
    patches_plan *plan = *out = call->state;
    call->release = release;
    conv2d_sizes s = plan->s = conv2d_size(call->attrs, &call->in_shape[0], &call->in_shape[1]);
    plan->depth = s.c * s.k[0] * s.k[1];
    plan->pitch = (s.n * s.oh * s.ow + SIDE_STEP - 1) / SIDE_STEP * SIDE_STEP;
    if (s.o * plan->pitch > INT32_MAX || plan->depth * plan->pitch > INT32_MAX)
        FAIL(err, BE_UNAVAILABLE, "patches: expected fewer than 2^31 elements of rows");
    plan->rows_at = gpu_scratch_take(&call->scratch_bytes, rows_bytes(call, plan));
    plan->turned_at = gpu_scratch_take(&call->scratch_bytes, turned_bytes(plan, turned));
    plan->unit = call->unit_count;
    conv2d_gpu_words(&s, words);
    return gpu_use(call, GPU_SOURCES(&gpu_source_conv2d_patches), GROUP_WANTED, err,
                   "%s %s PITCH=%lld BIAS=%d", words,
                   gpu_type_words("X", call->in_shape[0].dtype, type), (long long)plan->pitch,
                   bias);
}

static int groups_for(const gpu_call *call, const patches_plan *plan, int64_t count)
{
    return gpu_groups(call, count, call->units[plan->unit].group, GROUPS_PER_UNIT);
}

/* Make the rows of x; returns where they are. */
static be_status record_rows(const gpu_call *call, gpu_recorder *recorder, const patches_plan *plan,
                             gpu_span *rows, be_error *err)
{
    int64_t count = plan->pitch * plan->depth / CONV2D_PATCH_STEP;
    *rows = gpu_part(call->scratch, plan->rows_at, rows_bytes(call, plan));
    return gpu_record(recorder, call,
                      &(gpu_unit_launch){plan->unit, "patch_rows", groups_for(call, plan, count),
                                         GPU_ARGUMENTS(gpu_reads(call->in[0]), gpu_writes(*rows))},
                      err);
}

be_status conv2d_patches_prepare(gpu_call *call, be_error *err)
{
    patches_plan *plan = NULL;
    TRY(prepare(call, BE_F32, call->in_shape[2].rank >= 0, &plan, err));
    cublaslt_product product = {.rows = plan->s.o,
                                .columns = plan->pitch,
                                .depth = plan->depth,
                                .transpose_b = true,
                                .type = call->in_shape[0].dtype,
                                .tf32 = call->precision == BE_PRECISION_TF32,
                                .result = BE_F32};
    return product_task_prepare(call, &product, &plan->product, err);
}

be_status conv2d_patches_record(const gpu_call *call, gpu_recorder *recorder, be_error *err)
{
    patches_plan *plan = call->state;
    gpu_span turned = gpu_part(call->scratch, plan->turned_at, turned_bytes(plan, BE_F32)), rows;
    TRY(record_rows(call, recorder, plan, &rows, err));
    product_operands operands = {.a = call->in[1], .b = rows, .y = turned};
    TRY(product_task_record(call, recorder, &plan->product, &operands, err));
    return gpu_record(recorder, call,
                      &(gpu_unit_launch){plan->unit, "patch_results",
                                         groups_for(call, plan, plan->s.o * plan->pitch),
                                         GPU_ARGUMENTS(gpu_reads(turned), gpu_reads(call->in[2]),
                                                       gpu_writes(call->out[0]))},
                      err);
}

be_status conv2d_patches_backward_prepare(gpu_call *call, be_error *err)
{
    patches_plan *plan = NULL;
    be_dtype type = call->in_shape[0].dtype;
    TRY(prepare(call, type, false, &plan, err));
    plan->upstream = (gpu_upstream){.shape = call->in_shape[3],
                                    .summed = !((const conv2d_attrs *)call->attrs)->no_bias};
    TRY(gpu_upstream_prepare(call, &plan->upstream, &call->scratch_bytes, err));
    cublaslt_product product = {.rows = plan->s.o,
                                .columns = plan->depth,
                                .depth = plan->pitch,
                                .type = type,
                                .tf32 = call->precision == BE_PRECISION_TF32,
                                .result = call->out_shape[1].dtype};
    return product_task_prepare(call, &product, &plan->product, err);
}

be_status conv2d_patches_backward_record(const gpu_call *call, gpu_recorder *recorder,
                                         be_error *err)
{
    patches_plan *plan = call->state;
    gpu_span dy = call->in[3], rows;
    gpu_span turned =
        gpu_part(call->scratch, plan->turned_at, turned_bytes(plan, call->in_shape[3].dtype));
    TRY(gpu_upstream_record(call, recorder, &plan->upstream, &dy, err));
    TRY(record_rows(call, recorder, plan, &rows, err));
    TRY(gpu_record(recorder, call,
                   &(gpu_unit_launch){plan->unit, "patch_upstream",
                                      groups_for(call, plan, plan->s.o * plan->pitch),
                                      GPU_ARGUMENTS(gpu_reads(dy), gpu_writes(turned))},
                   err));
    product_operands operands = {.a = turned, .b = rows, .y = call->out[1]};
    return product_task_record(call, recorder, &plan->product, &operands, err);
}
