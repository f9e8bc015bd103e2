/* The table of the ops' implementations on cuDNN and cuBLASLt. */
#include "backend/cuda/cuda_driver.h"
#include "ops/matmul/linear.h"

#define FEW_CHANNELS 32        /* of an image, or outputs of a linear layer … */
#define FEW_ELEMENTS (1 << 17) /* … that reads so many */

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

/* cuDNN has no convolution with a pool behind it, so the two are apart: it writes what the pool
 * reads again, forward and back.  With few channels tensor cores win less than that costs: unless
 * the user asked for cuDNN, such a convolution stays one launch of ours, in every precision. */
static bool wants_parts(const be_graph *g, const graph_node *node, const be_op *op,
                        bool is_asked_for)
{
    if (op != &be_op_conv2d_pool) return false;
    if (is_asked_for || !g) return true;
    be_shape w = be_value_shape(g, node->in[1]);
    return w.dim[0] > FEW_CHANNELS || w.dim[1] > FEW_CHANNELS;
}

/* The last layer of a small network: our kernel makes the gradient of the bias with that of the
 * weights, where the library needs another launch, and this is what such a layer costs.  In bf16
 * the copies that it reads are there anyway. */
static bool leaves(const gpu_call *call)
{
    const be_op *op = call->node->op;
    if (call->precision != BE_PRECISION_TF32) return false;
    if (op != &be_op_linear && op != &be_op_linear_backward) return false;
    linear_sizes s = linear_sizes_of(call->attrs, &call->in_shape[0], &call->in_shape[1]);
    return s.out <= FEW_CHANNELS && s.rows * s.in <= FEW_ELEMENTS;
}

const gpu_library cuda_math_library = {
    .table = table, .parts = wants_parts, .leaves = leaves, .tensor_layouts = true};
