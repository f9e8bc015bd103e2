/* The table of the ops' implementations on GPUs. */
#include "backend/gpu/gpu.h"

#define DECLARE_0(kernel)
#define DECLARE_1(kernel) extern const gpu_kernel kernel;
#define ENTRY_0(kernel) NULL
#define ENTRY_1(kernel) &kernel

#define X(name, cpu, onednn, gpu, ...) DECLARE_##gpu(GPU_KERNEL(name))
OP_LIST(X)
#undef X

const gpu_kernel *const gpu_table[OP_COUNT] = {
#define X(name, cpu, onednn, gpu, ...) ENTRY_##gpu(GPU_KERNEL(name)),
    OP_LIST(X)
#undef X
};
