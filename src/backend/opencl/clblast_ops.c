/* CLBlast as a device sees it: opened and past its self-test, and the ops that compute with it. */
#include "backend/opencl/clblast.h"

be_status opencl_driver_use_clblast(gpu_driver *driver, be_error *err)
{
    opencl_driver *d = (opencl_driver *)driver;
    TRY(clblast_get(&d->clblast, err));
    return clblast_check(d, err);
}

#define DECLARE_0(name)
#define DECLARE_1(name) extern const gpu_kernel CLBLAST_KERNEL(name);
#define ENTRY_0(name) NULL
#define ENTRY_1(name) &CLBLAST_KERNEL(name)

#define X(name, cpu, onednn, gpu, cudnn, blas) DECLARE_##blas(name)
OP_LIST(X)
#undef X

static const gpu_kernel *const table[OP_COUNT] = {
#define X(name, cpu, onednn, gpu, cudnn, blas) ENTRY_##blas(name),
    OP_LIST(X)
#undef X
};

const gpu_library clblast_kernels = {.table = table};
