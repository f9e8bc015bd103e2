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

/* Takes its workspace from the end of the call's scratch. */
be_status product_task_prepare(gpu_call *call, const cublaslt_product *product, product_task *out,
                               be_error *err);
be_status product_task_record(const gpu_call *call, gpu_recorder *recorder, product_task *p,
                              const product_operands *operands, be_error *err);

#endif
