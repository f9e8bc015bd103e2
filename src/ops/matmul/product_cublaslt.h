/* A product of cuBLASLt as a task, for the host sides of linear and matmul on it. */
#ifndef OPS_MATMUL_PRODUCT_CUBLASLT_H
#define OPS_MATMUL_PRODUCT_CUBLASLT_H

#include "backend/cuda/cublaslt_plan.h"
#include "backend/gpu/gpu.h"

typedef struct product_operands {
    gpu_span a, b, bias, y;
    gpu_span sum; /* to which a product is added that is not cut; absent: to y itself */
} product_operands;

typedef struct product_part {
    gpu_task task; /* first */
    cublaslt_plan plan;
    size_t work_at;                   /* its workspace in scratch */
    size_t a_at, b_at, bias_at, y_at; /* bytes into the operands */
} product_part;

/* One product, or, of a side whose length is no multiple of what tensor cores take at once, two:
 * the library computes [4096, 768] · [768, 50257] at a seventh of the rate of 50,240 columns, even
 * where all rows lie at 16 bytes (H200, bf16: 3.06 ms).  The longer part is the second. */
typedef struct product_task {
    product_part part[2];
    int parts;
} product_task;

/* Takes its workspace from the end of the call's scratch.  Cut in two if the operand whose rows lie
 * apart is cut: the columns of y, or the depth, or with a transposed the rows. */
be_status product_task_prepare(gpu_call *call, const cublaslt_product *product, product_task *out,
                               be_error *err);
be_status product_task_record(const gpu_call *call, gpu_recorder *recorder, product_task *p,
                              const product_operands *operands, be_error *err);
void product_task_free(product_task *p);

#endif
