/* A product of CLBlast as a task, for the host sides of linear and matmul on it. */
#ifndef OPS_MATMUL_PRODUCT_CLBLAST_H
#define OPS_MATMUL_PRODUCT_CLBLAST_H

#include "backend/opencl/clblast.h"

typedef struct clblast_task {
    gpu_task task; /* first */
    clblast_product product;
    clblast_operands at;
    size_t room_bytes; /* of the start of the call's scratch */
} clblast_task;

/* Takes the start of the call's scratch for its temporary memory, which products of one call share:
 * they run one after the other.  What else is in scratch is taken after. */
be_status clblast_task_prepare(gpu_call *call, const clblast_product *product, clblast_task *out,
                               be_error *err);
be_status clblast_task_record(const gpu_call *call, gpu_recorder *recorder, clblast_task *task,
                              const clblast_operands *operands, be_error *err);

#endif
