/* The table of the ops' implementations on cuDNN and cuBLASLt. */
#include "backend/cuda/cuda_driver.h"
#include "ops/op_list.h"

/* The two columns, one after the other. */
#define DECLARE_00(name)
#define DECLARE_10(name) extern const gpu_kernel CUDNN_KERNEL(name);
#define DECLARE_01(name) extern const gpu_kernel CUBLASLT_KERNEL(name);
#define ENTRY_00(name) NULL
#define ENTRY_10(name) &CUDNN_KERNEL(name)
#define ENTRY_01(name) &CUBLASLT_KERNEL(name)

#define X(name, cpu, onednn, gpu, cudnn, blas) DECLARE_##cudnn##blas(name)
OP_LIST(X)
#undef X

static const gpu_kernel *const table[OP_COUNT] = {
#define X(name, cpu, onednn, gpu, cudnn, blas) ENTRY_##cudnn##blas(name),
    OP_LIST(X)
#undef X
};

/* cuDNN has no convolution with a pool behind it. */
static bool wants_parts(const be_op *op)
{
    return op == &be_op_conv2d_pool;
}

const gpu_library cuda_math_library = {
    .table = table, .parts = wants_parts, .tensor_layouts = true};
