/* See cublaslt_plan.h.  yᵀ = bᵀ aᵀ: a matrix by rows is its transpose by columns, so the library's
 * first operand is b and its second is a. */
#include "backend/cuda/cublaslt_plan.h"

#include <inttypes.h>
#include <stdio.h>

static be_status refuse(const cuda_math *math, const char *what, cublaslt_status status,
                        be_error *err)
{
    be_status mine = status == LT_CUBLAS_STATUS_NOT_SUPPORTED  ? BE_UNAVAILABLE
                     : status == LT_CUBLAS_STATUS_ALLOC_FAILED ? BE_NO_MEMORY
                                                               : BE_DRIVER;
    FAIL(err, mine, "%s: %s: %s (%d)", math->cublaslt_title, what, math->lt.error_string(status),
         (int)status);
}

#define LT_TRY(math, call, what)                                                              \
    do {                                                                                      \
        cublaslt_status lt_try_ = (call);                                                     \
        if (lt_try_ != LT_CUBLAS_STATUS_SUCCESS) return refuse((math), (what), lt_try_, err); \
    } while (0)

static be_status expect_types(const cublaslt_plan *p, const cublaslt_product *product,
                              be_error *err)
{
    MUST(!(product->tf32 && product->type != BE_F32));
    if (product->type != BE_F32 && product->type != BE_BF16)
        FAIL(err, BE_UNAVAILABLE, "%s: a product: expected operands of f32 or bf16, found %s",
             p->math->cublaslt_title, dtype_name(product->type));
    if (product->result != BE_F32 && product->type != product->result)
        FAIL(err, BE_UNAVAILABLE, "%s: a product: expected a result of f32, found %s",
             p->math->cublaslt_title, dtype_name(product->result));
    return BE_OK;
}

static be_status describe(cublaslt_plan *p, const cublaslt_product *product, be_error *err)
{
    const cublaslt_functions *lt = &p->math->lt;
    int first = product->transpose_b ? LT_CUBLAS_OP_T : LT_CUBLAS_OP_N;
    int second = product->transpose_a ? LT_CUBLAS_OP_T : LT_CUBLAS_OP_N;
    int epilogue = product->bias ? LT_CUBLASLT_EPILOGUE_BIAS : LT_CUBLASLT_EPILOGUE_DEFAULT;
    /* The choice of an algorithm asks how the bias is aligned, before there is one. */
    cuda_address somewhere = CUDA_MATH_ALIGN;
    LT_TRY(p->math,
           lt->desc_new(&p->desc,
                        product->tf32 ? LT_CUBLAS_COMPUTE_32F_FAST_TF32 : LT_CUBLAS_COMPUTE_32F,
                        LT_CUDA_R_32F),
           "a product");
    LT_TRY(p->math, lt->desc_set(p->desc, LT_CUBLASLT_MATMUL_DESC_TRANSA, &first, sizeof first),
           "its first operand");
    LT_TRY(p->math, lt->desc_set(p->desc, LT_CUBLASLT_MATMUL_DESC_TRANSB, &second, sizeof second),
           "its second operand");
    LT_TRY(p->math,
           lt->desc_set(p->desc, LT_CUBLASLT_MATMUL_DESC_EPILOGUE, &epilogue, sizeof epilogue),
           "what follows a product");
    if (product->bias)
        LT_TRY(p->math,
               lt->desc_set(p->desc, LT_CUBLASLT_MATMUL_DESC_BIAS_POINTER, &somewhere,
                            sizeof somewhere),
               "its bias");
    return BE_OK;
}

typedef struct matrix {
    int64_t count, rows, columns, pitch;
} matrix;

/* By columns: rows of the library are our columns. */
static be_status add_layout(cublaslt_plan *p, be_dtype type, matrix m, cublaslt_layout *out,
                            be_error *err)
{
    const cublaslt_functions *lt = &p->math->lt;
    int32_t count = (int32_t)m.count;
    int64_t apart = m.rows * m.columns;
    LT_TRY(p->math,
           lt->layout_new(out, type == BE_BF16 ? LT_CUDA_R_16BF : LT_CUDA_R_32F,
                          (uint64_t)m.columns, (uint64_t)m.rows, m.pitch ? m.pitch : m.columns),
           "a matrix");
    if (count <= 1) return BE_OK;
    LT_TRY(p->math,
           lt->layout_set(*out, LT_CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, &count, sizeof count),
           "several matrices");
    LT_TRY(
        p->math,
        lt->layout_set(*out, LT_CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET, &apart, sizeof apart),
        "how matrices lie behind one another");
    return BE_OK;
}

static be_status add_layouts(cublaslt_plan *p, const cublaslt_product *s, be_error *err)
{
    matrix a = {s->batch, s->rows, s->depth, s->a_pitch}, b = {s->batch, s->depth, s->columns, 0};
    MUST(s->batch <= 1 || !(s->bias || s->a_pitch || s->y_pitch));
    if (s->transpose_a) a = (matrix){s->batch, s->depth, s->rows, s->a_pitch};
    if (s->transpose_b) b = (matrix){s->batch, s->columns, s->depth, 0};
    TRY(add_layout(p, s->type, b, &p->first, err));
    TRY(add_layout(p, s->type, a, &p->second, err));
    return add_layout(p, s->result, (matrix){s->batch, s->rows, s->columns, s->y_pitch}, &p->result,
                      err);
}

static be_status set_preference(const cublaslt_plan *p, cublaslt_preference preference,
                                be_error *err)
{
    static const int alignments[] = {LT_CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES,
                                     LT_CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES,
                                     LT_CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES,
                                     LT_CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES};
    size_t limit = CUDA_MATH_WORKSPACE_MOST;
    uint32_t align = CUDA_MATH_ALIGN, reduction = LT_CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE;
    LT_TRY(p->math,
           p->math->lt.preference_set(preference, LT_CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES,
                                      &limit, sizeof limit),
           "the room for its workspace");
    LT_TRY(p->math,
           p->math->lt.preference_set(preference, LT_CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK,
                                      &reduction, sizeof reduction),
           "how its parts are added");
    for (size_t i = 0; i < sizeof alignments / sizeof *alignments; i++)
        LT_TRY(p->math, p->math->lt.preference_set(preference, alignments[i], &align, sizeof align),
               "an alignment");
    return BE_OK;
}

/* Those that are usable to the front; the library's answer for all. */
static cublaslt_status usable_first(cublaslt_found *found, int asked, int *count)
{
    for (int i = 0; i < asked; i++)
        if (found[i].state == LT_CUBLAS_STATUS_SUCCESS) found[(*count)++] = found[i];
    if (*count > 0) return LT_CUBLAS_STATUS_SUCCESS;
    return asked > 0 ? found[0].state : LT_CUBLAS_STATUS_NOT_SUPPORTED;
}

be_status cublaslt_plan_ask(const cublaslt_plan *p, const cublaslt_product *product, int room,
                            cublaslt_found *out, int *count, be_error *err)
{
    char what[120];
    int asked = 0;
    cublaslt_preference preference = NULL;
    cublaslt_status status = LT_CUBLAS_STATUS_SUCCESS;
    *count = 0;
    LT_TRY(p->math, p->math->lt.preference_new(&preference), "a preference");
    be_status ready = set_preference(p, preference, err);
    if (ready == BE_OK)
        status = p->math->lt.heuristic(p->handle, p->desc, p->first, p->second, p->result,
                                       p->result, preference, room, out, &asked);
    p->math->lt.preference_free(preference);
    TRY(ready);
    if (status == LT_CUBLAS_STATUS_SUCCESS) status = usable_first(out, asked, count);
    if (status == LT_CUBLAS_STATUS_SUCCESS) return BE_OK;
    snprintf(what, sizeof what,
             "an algorithm for a product of %" PRId64 " × %" PRId64 " × %" PRId64, product->rows,
             product->columns, product->depth);
    return refuse(p->math, what, status, err);
}

void cublaslt_plan_take(cublaslt_plan *plan, const cublaslt_found *found)
{
    plan->algorithm = found->algorithm;
    plan->workspace_bytes = found->workspace_bytes;
}

static be_status choose(cublaslt_plan *p, const cublaslt_product *product, be_error *err)
{
    cublaslt_found found = {.state = LT_CUBLAS_STATUS_NOT_SUPPORTED};
    int count;
    TRY(expect_types(p, product, err));
    TRY(describe(p, product, err));
    TRY(add_layouts(p, product, err));
    TRY(cublaslt_plan_ask(p, product, 1, &found, &count, err));
    cublaslt_plan_take(p, &found);
    return BE_OK;
}

be_status cublaslt_plan_new(const cuda_math *math, cublaslt_handle handle,
                            const cublaslt_product *product, cublaslt_plan *out, be_error *err)
{
    *out = (cublaslt_plan){.math = math, .handle = handle, .add = product->add};
    be_status status = choose(out, product, err);
    if (status != BE_OK) cublaslt_plan_free(out);
    return status;
}

void cublaslt_plan_free(cublaslt_plan *plan)
{
    if (!plan->math) return;
    const cublaslt_functions *lt = &plan->math->lt;
    if (plan->result) lt->layout_free(plan->result);
    if (plan->second) lt->layout_free(plan->second);
    if (plan->first) lt->layout_free(plan->first);
    if (plan->desc) lt->desc_free(plan->desc);
    *plan = (cublaslt_plan){.math = plan->math};
}

be_status cublaslt_plan_bind(cublaslt_plan *plan, const cublaslt_operands *operands, be_error *err)
{
    plan->at = *operands;
    if (operands->bias)
        LT_TRY(plan->math,
               plan->math->lt.desc_set(plan->desc, LT_CUBLASLT_MATMUL_DESC_BIAS_POINTER,
                                       &plan->at.bias, sizeof plan->at.bias),
               "its bias");
    return BE_OK;
}

be_status cublaslt_plan_start(const cublaslt_plan *p, cuda_stream stream, be_error *err)
{
    const float one = 1.0f, old = p->add ? 1.0f : 0.0f;
    void *y = (void *)(uintptr_t)p->at.y;
    const void *sum = p->at.sum ? (const void *)(uintptr_t)p->at.sum : y;
    LT_TRY(p->math,
           p->math->lt.matmul(p->handle, p->desc, &one, (const void *)(uintptr_t)p->at.b, p->first,
                              (const void *)(uintptr_t)p->at.a, p->second, &old, sum, p->result, y,
                              p->result, &p->algorithm, (void *)(uintptr_t)p->at.workspace,
                              p->workspace_bytes, stream),
           "a product");
    return BE_OK;
}
