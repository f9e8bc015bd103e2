/* The table of the ops' implementations on cuDNN and cuBLASLt. */
#include "backend/cuda/cuda_driver.h"
#include "ops/matmul/linear.h"

#define FEW_CHANNELS 32
#define FEW_WEIGHTS (1 << 17)  /* of a linear layer … */
#define FEW_PRODUCTS (1 << 24) /* … and multiplications of numbers */
#define DEEP 512

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

/* Small layers: the library's have no ReLU at their ends, and its gradients take two launches more
 * for ReLU and the bias.  Forward it wins where the depth is large: it shares that among groups.
 * The head of a wide network stays with its neighbours: what lies between them is bf16. */
static bool leaves(const be_graph *g, const graph_node *node)
{
    if (node->op != &be_op_linear && node->op != &be_op_linear_backward) return false;
    be_shape x = be_value_shape(g, node->in[0]), w = be_value_shape(g, node->in[1]);
    linear_sizes s = linear_sizes_of(node->attrs, &x, &w);
    if (s.in * s.out > FEW_WEIGHTS || s.rows * s.in * s.out > FEW_PRODUCTS) return false;
    if (s.out >= DEEP) return false; /* its rows may lie apart (gpu_layouts.c) */
    return s.in < DEEP || (node->op == &be_op_linear_backward && s.out >= FEW_CHANNELS);
}

const gpu_library cuda_math_library = {
    .table = table, .parts = wants_parts, .leaves = leaves, .tensor_layouts = true};
