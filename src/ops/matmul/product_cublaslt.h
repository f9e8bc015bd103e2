/* A product of cuBLASLt as a task, for the host sides of linear and matmul on it. */
#ifndef OPS_MATMUL_PRODUCT_CUBLASLT_H
#define OPS_MATMUL_PRODUCT_CUBLASLT_H

#include "backend/cuda/cublaslt_plan.h"
#include "backend/gpu/gpu.h"

typedef struct product_task {
    gpu_task task; /* first */
    cublaslt_plan plan;
    size_t work_at; /* its workspace in scratch */
} product_task;

typedef struct product_operands {
    gpu_span a, b, bias, y;
} product_operands;

/* A matrix whose rows do not lie at 16 bytes, as those of 50,257 classes do not: tensor cores take
 * it at an eighth of their rate (H200, bf16: 316 GFLOP in 3.05 ms).  So a large one is copied to
 * rows further apart, in scratch, or from there. */
typedef struct product_rows {
    int64_t rows, columns;
    be_dtype type;
    int64_t pitch; /* 0: it is used where it is */
    size_t at;     /* in scratch */
    int unit;
} product_rows;

/* Adds a unit and takes scratch, if it is to be copied.  `tensor`: its products are for tensor
 * cores. */
be_status product_rows_prepare(gpu_call *call, bool tensor, product_rows *m, be_error *err);
/* Where its rows lie apart. */
gpu_span product_rows_apart(const gpu_call *call, const product_rows *m);
/* Copy it from x to there, and from there to y. */
be_status product_rows_spread(const gpu_call *call, gpu_recorder *recorder, const product_rows *m,
                              gpu_span x, be_error *err);
be_status product_rows_close(const gpu_call *call, gpu_recorder *recorder, const product_rows *m,
                             gpu_span y, be_error *err);

/* Takes its workspace from the end of the call's scratch. */
be_status product_task_prepare(gpu_call *call, const cublaslt_product *product, product_task *out,
                               be_error *err);
be_status product_task_record(const gpu_call *call, gpu_recorder *recorder, product_task *p,
                              const product_operands *operands, be_error *err);

#endif
