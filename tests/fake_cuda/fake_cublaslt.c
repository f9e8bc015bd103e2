/* cuBLASLt without a device, for tests: products by plain loops, as work of the fake driver, of
 * operands as the asked precision keeps them (fake_narrow.h).
 *
 * It wants what the real one wants: the alignment that it was promised, a bias before it chooses, a
 * workspace of the size that it asked for, which it fills with bytes of 0xFF.  From the
 * environment:
 *
 *   FAKE_CUBLASLT_NONE     no product has an algorithm
 *   FAKE_CUBLASLT_CREATE   result of cublasLtCreate (0)
 *   FAKE_CUBLASLT_FAIL     result of every product (0)
 *   FAKE_CUBLASLT_EXACT    1: tf32 is not done: operands are multiplied as they are
 *   FAKE_CUBLASLT_TIMES    "30 10 20": as many algorithms, each with the time that it takes, in
 *                          microseconds of the clock that fake_cublaslt_ns is for tests; one by
 *                          default, which takes none
 *
 * Of algorithms that add parts in no fixed order, or in the result's type, the results are wrong.
 */
#include <stdbool.h>
#include <stdint.h>

#include "backend/cuda/cublaslt_api.h"
#include "fake_library.h"
#include "fake_narrow.h"

#define WORKSPACE 4096
#define ALGORITHM 0x1234
#define ALGORITHMS_MOST 16

/* What the products took until now, by the times that were asked for; and how many there were. */
int64_t fake_cublaslt_ns, fake_cublaslt_products;

struct cublaslt_desc_ {
    int turn_a, turn_b, epilogue;
    bool tf32;
    uint64_t bias;
};

struct cublaslt_layout_ {
    cublaslt_type type;
    uint64_t rows, columns;
    int64_t step, apart; /* from a matrix to the next */
    int32_t count;
};

struct cublaslt_preference_ {
    uint64_t workspace;
    uint32_t align[4], reduction;
};

size_t cublasLtGetVersion(void)
{
    return 130002;
}

const char *cublasLtGetStatusString(cublaslt_status status)
{
    return status == LT_CUBLAS_STATUS_NOT_SUPPORTED ? "not supported by the fake"
                                                    : "a fault of the fake";
}

static int make(void **out, size_t bytes)
{
    *out = calloc(1, bytes);
    count_objects(1);
    return LT_CUBLAS_STATUS_SUCCESS;
}

static int give_back(void *object)
{
    free(object);
    count_objects(-1);
    return LT_CUBLAS_STATUS_SUCCESS;
}

cublaslt_status cublasLtCreate(cublaslt_handle *handle)
{
    int status = (int)setting_of("FAKE_CUBLASLT_CREATE", 0);
    if (!driver_symbol("fake_count")) return LT_CUBLAS_STATUS_NOT_INITIALIZED;
    return status ? status : make((void **)handle, 1);
}

cublaslt_status cublasLtDestroy(cublaslt_handle handle)
{
    return give_back(handle);
}

cublaslt_status cublasLtMatmulDescCreate(cublaslt_desc *desc, cublaslt_compute compute,
                                         cublaslt_type type)
{
    bool tf32 = compute == LT_CUBLAS_COMPUTE_32F_FAST_TF32;
    if ((compute != LT_CUBLAS_COMPUTE_32F && !tf32) || type != LT_CUDA_R_32F)
        return LT_CUBLAS_STATUS_INVALID_VALUE;
    make((void **)desc, sizeof **desc);
    (*desc)->tf32 = tf32;
    (*desc)->epilogue = LT_CUBLASLT_EPILOGUE_DEFAULT;
    return LT_CUBLAS_STATUS_SUCCESS;
}

cublaslt_status cublasLtMatmulDescDestroy(cublaslt_desc desc)
{
    return give_back(desc);
}

cublaslt_status cublasLtMatmulDescSetAttribute(cublaslt_desc desc,
                                               cublaslt_desc_attribute attribute, const void *value,
                                               size_t bytes)
{
    int *words[] = {&desc->turn_a, &desc->turn_b, &desc->epilogue};
    int index = attribute == LT_CUBLASLT_MATMUL_DESC_TRANSA   ? 0
                : attribute == LT_CUBLASLT_MATMUL_DESC_TRANSB ? 1
                                                              : 2;
    if (attribute == LT_CUBLASLT_MATMUL_DESC_BIAS_POINTER && bytes == sizeof desc->bias) {
        memcpy(&desc->bias, value, bytes);
        return LT_CUBLAS_STATUS_SUCCESS;
    }
    if (bytes != sizeof(int) || (index == 2 && attribute != LT_CUBLASLT_MATMUL_DESC_EPILOGUE))
        return LT_CUBLAS_STATUS_INVALID_VALUE;
    memcpy(words[index], value, bytes);
    return LT_CUBLAS_STATUS_SUCCESS;
}

cublaslt_status cublasLtMatrixLayoutCreate(cublaslt_layout *layout, cublaslt_type type,
                                           uint64_t rows, uint64_t columns, int64_t step)
{
    if ((type != LT_CUDA_R_32F && type != LT_CUDA_R_16BF) || step < (int64_t)rows)
        return LT_CUBLAS_STATUS_INVALID_VALUE;
    make((void **)layout, sizeof **layout);
    **layout = (struct cublaslt_layout_){type, rows, columns, step, 0, 1};
    return LT_CUBLAS_STATUS_SUCCESS;
}

cublaslt_status cublasLtMatrixLayoutSetAttribute(cublaslt_layout layout,
                                                 cublaslt_layout_attribute attribute,
                                                 const void *value, size_t bytes)
{
    bool counts = attribute == LT_CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT;
    if ((!counts && attribute != LT_CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET) ||
        bytes != (counts ? sizeof layout->count : sizeof layout->apart))
        return LT_CUBLAS_STATUS_INVALID_VALUE;
    memcpy(counts ? (void *)&layout->count : (void *)&layout->apart, value, bytes);
    return LT_CUBLAS_STATUS_SUCCESS;
}

cublaslt_status cublasLtMatrixLayoutDestroy(cublaslt_layout layout)
{
    return give_back(layout);
}

cublaslt_status cublasLtMatmulPreferenceCreate(cublaslt_preference *preference)
{
    make((void **)preference, sizeof **preference);
    for (int i = 0; i < 4; i++) (*preference)->align[i] = 256;
    (*preference)->reduction = 7; /* all */
    return LT_CUBLAS_STATUS_SUCCESS;
}

cublaslt_status cublasLtMatmulPreferenceDestroy(cublaslt_preference preference)
{
    return give_back(preference);
}

cublaslt_status cublasLtMatmulPreferenceSetAttribute(cublaslt_preference p,
                                                     cublaslt_pref_attribute attribute,
                                                     const void *value, size_t bytes)
{
    int operand = attribute - LT_CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES;
    bool room = attribute == LT_CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES;
    if (attribute == LT_CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK &&
        bytes == sizeof p->reduction) {
        memcpy(&p->reduction, value, bytes);
        return LT_CUBLAS_STATUS_SUCCESS;
    }
    if (!room && (operand < 0 || operand > 3)) return LT_CUBLAS_STATUS_INVALID_VALUE;
    if (bytes != (room ? sizeof p->workspace : sizeof p->align[0]))
        return LT_CUBLAS_STATUS_INVALID_VALUE;
    memcpy(room ? (void *)&p->workspace : (void *)&p->align[operand], value, bytes);
    return LT_CUBLAS_STATUS_SUCCESS;
}

/* Both operands of one type, bf16 not by way of tf32, and the result in fp32 or theirs. */
static bool has_types(cublaslt_desc desc, cublaslt_layout a, cublaslt_layout b, cublaslt_layout d)
{
    return a->type == b->type && (d->type == LT_CUDA_R_32F || d->type == a->type) &&
           !(desc->tf32 && a->type != LT_CUDA_R_32F);
}

/* rows × columns of an operand as it is multiplied. */
static bool fits(cublaslt_desc desc, cublaslt_layout a, cublaslt_layout b, cublaslt_layout d)
{
    uint64_t m = desc->turn_a ? a->columns : a->rows, k = desc->turn_a ? a->rows : a->columns;
    uint64_t n = desc->turn_b ? b->rows : b->columns, depth = desc->turn_b ? b->columns : b->rows;
    return m == d->rows && n == d->columns && k == depth && a->count == d->count &&
           b->count == d->count;
}

/* The times that were asked for; returns how many. */
static int times_of(long out[ALGORITHMS_MOST])
{
    const char *text = getenv("FAKE_CUBLASLT_TIMES");
    int count = 0;
    char *end;
    for (; text && *text && count < ALGORITHMS_MOST; text = *end ? end + 1 : end)
        out[count++] = strtol(text, &end, 10);
    if (count == 0) out[count++] = 0;
    return count;
}

cublaslt_status cublasLtMatmulAlgoGetHeuristic(cublaslt_handle handle, cublaslt_desc desc,
                                               cublaslt_layout a, cublaslt_layout b,
                                               cublaslt_layout c, cublaslt_layout d,
                                               cublaslt_preference preference, int wanted,
                                               cublaslt_found *found, int *count)
{
    (void)handle;
    *count = 0;
    if (setting_of("FAKE_CUBLASLT_NONE", 0)) return LT_CUBLAS_STATUS_NOT_SUPPORTED;
    if (!fits(desc, a, b, d) || !fits(desc, a, b, c) || wanted < 1 || c->type != d->type)
        return LT_CUBLAS_STATUS_INVALID_VALUE;
    if (!has_types(desc, a, b, d)) return LT_CUBLAS_STATUS_NOT_SUPPORTED;
    if ((desc->epilogue & LT_CUBLASLT_EPILOGUE_BIAS) && !desc->bias)
        return LT_CUBLAS_STATUS_NOT_SUPPORTED;
    if (preference->workspace < WORKSPACE) return LT_CUBLAS_STATUS_NOT_SUPPORTED;
    uint32_t align = 0;
    for (int i = 0; i < 4; i++) align |= preference->align[i]; /* powers of two */
    long times[ALGORITHMS_MOST];
    int known = times_of(times);
    for (int i = 0; i < known && i < wanted; i++) {
        found[i] = (cublaslt_found){.workspace_bytes = WORKSPACE};
        found[i].algorithm.data[0] = ALGORITHM;
        found[i].algorithm.data[1] = align;
        found[i].algorithm.data[2] = (uint64_t)i;
        found[i].algorithm.data[3] = preference->reduction & ~2u;
        *count = i + 1;
    }
    return LT_CUBLAS_STATUS_SUCCESS;
}

typedef struct product {
    struct cublaslt_desc_ desc;
    struct cublaslt_layout_ a, b, d;
    const void *x, *y, *sum;
    void *to;
    float *work;
    bool adds; /* to the sum */
    bool is_wrong;
    int algorithm;
} product;

static double element(const struct cublaslt_layout_ *l, const void *values, int turn, uint64_t row,
                      uint64_t column)
{
    uint64_t at = turn ? row * (uint64_t)l->step + column : column * (uint64_t)l->step + row;
    return l->type == LT_CUDA_R_16BF ? fake_bf16(values, at) : (double)((const float *)values)[at];
}

/* One side of a product, `lines` of `depth` elements that are multiplied, as the asked precision
 * keeps them. */
static double *side_of(const struct cublaslt_layout_ *l, const void *values, int turn,
                       uint64_t lines, uint64_t depth, bool rounds)
{
    double *all = calloc(lines * depth + 1, sizeof(double));
    if (!all) abort();
    for (uint64_t i = 0; i < lines * depth; i++) {
        double value = element(l, values, turn, i / depth, i % depth);
        all[i] = rounds ? fake_tf32(value) : value;
    }
    return all;
}

static size_t type_bytes(const struct cublaslt_layout_ *l)
{
    return l->type == LT_CUDA_R_16BF ? sizeof(uint16_t) : sizeof(float);
}

static const void *matrix_of(const struct cublaslt_layout_ *l, const void *first, int32_t i)
{
    return (const char *)first + (size_t)(l->apart * i) * type_bytes(l);
}

static void multiply_one(const product *p)
{
    const struct cublaslt_layout_ line = {.type = p->d.type, .step = 1};
    const void *bias = (const void *)(uintptr_t)p->desc.bias;
    uint64_t depth = p->desc.turn_a ? p->a.rows : p->a.columns;
    bool rounds = p->desc.tf32 && !setting_of("FAKE_CUBLASLT_EXACT", 0);
    double *x = side_of(&p->a, p->x, p->desc.turn_a, p->d.rows, depth, rounds);
    double *y = side_of(&p->b, p->y, !p->desc.turn_b, p->d.columns, depth, rounds);
    for (uint64_t j = 0; j < p->d.columns; j++)
        for (uint64_t i = 0; i < p->d.rows; i++) {
            double sum = 0.0;
            for (uint64_t k = 0; k < depth; k++) sum += x[i * depth + k] * y[j * depth + k];
            if (p->desc.epilogue & LT_CUBLASLT_EPILOGUE_BIAS) sum += element(&line, bias, 0, 0, i);
            if (p->is_wrong) sum += 1.0;
            uint64_t at = j * (uint64_t)p->d.step + i;
            if (p->adds) sum += element(&p->d, p->sum, 0, i, j);
            if (p->d.type == LT_CUDA_R_16BF)
                ((uint16_t *)p->to)[at] = fake_bf16_bits(sum);
            else
                ((float *)p->to)[at] = (float)sum;
        }
    free(x);
    free(y);
}

static void multiply(const void *data)
{
    product each = *(const product *)data;
    const product p = each;
    long times[ALGORITHMS_MOST];
    if (p.algorithm < times_of(times)) fake_cublaslt_ns += times[p.algorithm] * 1000;
    fake_cublaslt_products++;
    memset(p.work, 0xff, WORKSPACE);
    for (int32_t i = 0; i < p.d.count; i++) {
        each.x = matrix_of(&p.a, p.x, i);
        each.y = matrix_of(&p.b, p.y, i);
        each.sum = matrix_of(&p.d, p.sum, i);
        each.to = (char *)p.to + (size_t)(p.d.apart * i) * type_bytes(&p.d);
        multiply_one(&each);
    }
}

static bool is_aligned(const void *pointer, uint64_t align)
{
    return pointer && (uintptr_t)pointer % align == 0;
}

cublaslt_status cublasLtMatmul(cublaslt_handle handle, cublaslt_desc desc, const void *alpha,
                               const void *a, cublaslt_layout a_layout, const void *b,
                               cublaslt_layout b_layout, const void *beta, const void *c,
                               cublaslt_layout c_layout, void *d, cublaslt_layout d_layout,
                               const cublaslt_algorithm *algorithm, void *work, size_t work_bytes,
                               cuda_stream stream)
{
    int status = (int)setting_of("FAKE_CUBLASLT_FAIL", 0);
    (void)handle, (void)c_layout;
    if (status) return status;
    float old = *(const float *)beta;
    uint64_t align = algorithm->data[1];
    /* The coarsest of the promised alignments. */
    while (align & (align - 1)) align &= align - 1;
    if (algorithm->data[0] != ALGORITHM || *(const float *)alpha != 1.0f ||
        (old != 0.0f && old != 1.0f) || !c || !work || work_bytes < WORKSPACE)
        return LT_CUBLAS_STATUS_INVALID_VALUE;
    if (!is_aligned(a, align) || !is_aligned(b, align) || !is_aligned(c, align) ||
        !is_aligned(d, align))
        return LT_CUBLAS_STATUS_INVALID_VALUE;
    product p = {*desc,
                 *a_layout,
                 *b_layout,
                 *d_layout,
                 a,
                 b,
                 c,
                 d,
                 work,
                 old == 1.0f,
                 algorithm->data[3] != 0,
                 (int)algorithm->data[2]};
    return give_work(stream, multiply, &p, sizeof p) == CUDA_OK ? LT_CUBLAS_STATUS_SUCCESS
                                                                : LT_CUBLAS_STATUS_EXECUTION_FAILED;
}
