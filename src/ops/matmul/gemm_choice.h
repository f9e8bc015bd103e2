/* Which library multiplies matrices. */
#ifndef OPS_MATMUL_GEMM_CHOICE_H
#define OPS_MATMUL_GEMM_CHOICE_H

#include "backend/cpu/cpu.h"

/* BE_OK if the native product is the better one for [m, k] · [k, n] here, else why not. */
static inline be_status gemm_prefers_native(const cpu_device *device, int64_t m, int64_t n,
                                            int64_t k, be_error *reason)
{
    const double few = 0;
    double work = (double)m * (double)n * (double)k;
    if (device->library == CPU_NATIVE_ONLY || device->isa == CPU_GENERIC || work <= few)
        return BE_OK;
    FAIL(reason, BE_UNAVAILABLE,
         "oneDNN is faster from %.0f multiplications on, and these are %.0f", few, work);
}

#endif
