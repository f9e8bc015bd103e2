/* What a CUDA device is, and for what its kernels are compiled. */
#include <stdio.h>
#include <string.h>

#include "backend/cuda/cuda.h"

static be_status read_attributes(const cuda_libraries *l, cuda_device_facts *out, be_error *err)
{
    int shared = 0, l2 = 0;
    const struct {
        int attribute;
        int *value;
    } wanted[] = {
        {CUDA_ATTRIBUTE_MAJOR, &out->major},
        {CUDA_ATTRIBUTE_MINOR, &out->minor},
        {CUDA_ATTRIBUTE_MULTIPROCESSORS, &out->multiprocessors},
        {CUDA_ATTRIBUTE_CLOCK_KHZ, &out->clock_khz},
        {CUDA_ATTRIBUTE_COMPUTE_MODE, &out->compute_mode},
        {CUDA_ATTRIBUTE_THREADS_PER_BLOCK, &out->group_max},
        {CUDA_ATTRIBUTE_SHARED_PER_BLOCK, &shared},
        {CUDA_ATTRIBUTE_L2_BYTES, &l2},
    };
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++)
        CUDA_TRY(l, out->id,
                 l->cu.device_attribute(wanted[i].value, wanted[i].attribute, out->device),
                 "read its attributes");
    out->shared_bytes = (size_t)shared;
    out->l2_bytes = (size_t)l2;
    return BE_OK;
}

be_status cuda_device_read(const cuda_libraries *l, int index, cuda_device_facts *out,
                           be_error *err)
{
    *out = (cuda_device_facts){.index = index};
    snprintf(out->id, sizeof out->id, "cuda:%d", index);
    if (index < 0 || index >= l->device_count)
        FAIL(err, BE_UNAVAILABLE,
             "%s: expected one of the %d NVIDIA GPU%s that are visible (cuda:0 to cuda:%d); "
             "'breakeven devices' lists them",
             out->id, l->device_count, l->device_count == 1 ? "" : "s", l->device_count - 1);
    CUDA_TRY(l, out->id, l->cu.device_get(&out->device, index), "open it");
    CUDA_TRY(l, out->id, l->cu.device_name(out->name, sizeof out->name, out->device),
             "read its name");
    CUDA_TRY(l, out->id, l->cu.device_pci(out->pci, sizeof out->pci, out->device),
             "read its place on the bus");
    CUDA_TRY(l, out->id, l->cu.device_memory(&out->memory_bytes, out->device),
             "read the size of its memory");
    TRY(read_attributes(l, out, err));
    if (out->compute_mode == CUDA_COMPUTE_PROHIBITED)
        FAIL(err, BE_UNAVAILABLE,
             "%s (%s) is set to refuse computing; choose another device, or have its compute mode "
             "set to default",
             out->id, out->name);
    return BE_OK;
}

be_status cuda_target_choose(const cuda_libraries *l, const cuda_device_facts *facts,
                             cuda_target *out, be_error *err)
{
    int wanted = facts->major * 10 + facts->minor, oldest = l->archs[0], best = 0, newest = 0;
    for (int i = 0; i < l->arch_count; i++) {
        int arch = l->archs[i];
        if (arch < oldest) oldest = arch;
        if (arch > wanted) continue;
        if (arch > newest) newest = arch;
        /* Machine code runs on later devices of the same major version. */
        if (arch / 10 == facts->major && arch > best) best = arch;
    }
    if (!newest)
        FAIL(err, BE_UNAVAILABLE,
             "%s (%s) has compute capability %d.%d; NVRTC %s compiles for %d.%d and later; install "
             "an older one, as by 'pip install nvidia-cuda-nvrtc-cu12'",
             facts->id, facts->name, facts->major, facts->minor, l->nvrtc.version, oldest / 10,
             oldest % 10);
    *out = (cuda_target){.arch = best ? best : newest, .ptx = !best};
    return BE_OK;
}
