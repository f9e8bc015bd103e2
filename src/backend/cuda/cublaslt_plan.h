/* A matrix product made ready with cuBLASLt: y = a · b, with a bias if wanted.  ReLU is not left to
 * it: nothing promises that its maximum keeps a NaN, and a training that went wrong must show it.
 *
 * Of fp32 operands in true fp32 (CUBLAS_COMPUTE_32F: no tensor cores for fp32 data) or, if asked
 * for, in tf32: each operand is rounded to 11 significant bits.  Of bf16 operands on tensor cores.
 * Sums are fp32 always; y and
 * the bias are fp32, or of bf16 operands bf16.  Matrices are row by row, as everywhere here; the
 * library counts by columns and is given the transposes. */
#ifndef BACKEND_CUDA_CUBLASLT_PLAN_H
#define BACKEND_CUDA_CUBLASLT_PLAN_H

#include "backend/cuda/cuda_math.h"

/* y [rows, columns] = a [rows, depth] · b [depth, columns]; a transposed operand is stored the
 * other way round.  The bias [columns] is added to every row.  Of several products, which have no
 * gaps and no bias, the matrices of an operand lie one behind the other. */
typedef struct cublaslt_product {
    int64_t batch; /* products; 0: one */
    int64_t rows, columns, depth;
    bool transpose_a, transpose_b, bias;
    bool add;                 /* to a sum of the shape and type of y, or to what y holds */
    be_dtype type;            /* of a and b: f32 or bf16 */
    bool tf32;                /* f32 operands alone */
    be_dtype result;          /* of y and the bias: f32, or of bf16 operands bf16 */
    int64_t a_pitch, y_pitch; /* elements from a row of a or of y to the next; 0: no gap */
} cublaslt_product;

typedef struct cublaslt_operands {
    cuda_address a, b, bias, sum, y, workspace; /* sum 0: y */
} cublaslt_operands;

typedef struct cublaslt_plan {
    const cuda_math *math;
    cublaslt_handle handle;
    cublaslt_desc desc;
    cublaslt_layout first, second, result; /* as the library sees them */
    cublaslt_algorithm algorithm;
    cublaslt_operands at; /* once it is bound */
    size_t workspace_bytes;
    bool add;
} cublaslt_plan;

/* BE_UNAVAILABLE, with the reason, if the library has no algorithm for it.  On failure nothing is
 * left to free. */
BE_CHECKED be_status cublaslt_plan_new(const cuda_math *math, cublaslt_handle handle,
                                       const cublaslt_product *product, cublaslt_plan *out,
                                       be_error *err);
void cublaslt_plan_free(cublaslt_plan *plan);

/* The algorithms that the library has for it, the one that it holds for the fastest first, at most
 * `room`; BE_UNAVAILABLE if there is none.  Where the depth is shared among groups, the parts are
 * added in fp32 and in a fixed order. */
BE_CHECKED be_status cublaslt_plan_ask(const cublaslt_plan *plan, const cublaslt_product *product,
                                       int room, cublaslt_found *out, int *count, be_error *err);

/* Compute by this one from now on; before it is bound. */
void cublaslt_plan_take(cublaslt_plan *plan, const cublaslt_found *found);

BE_CHECKED be_status cublaslt_plan_bind(cublaslt_plan *plan, const cublaslt_operands *operands,
                                        be_error *err);
BE_CHECKED be_status cublaslt_plan_start(const cublaslt_plan *plan, cuda_stream stream,
                                         be_error *err);

#endif
