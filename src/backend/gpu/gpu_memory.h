/* What a program needs of a device's memory, and what to say where it does not fit. */
#ifndef BACKEND_GPU_GPU_MEMORY_H
#define BACKEND_GPU_GPU_MEMORY_H

#include "backend/gpu/gpu_driver.h"

/* Bytes; activations and scratch grow with the batch, the others do not. */
typedef struct gpu_need {
    size_t states, inputs, activations, scratch;
    int64_t batch; /* 0: not known */
    int64_t turns; /* as room_need's (core/room.h) */
} gpu_need;

/* Memory that the driver says is free now; all of the device's where it cannot say. */
size_t gpu_memory_free(gpu_driver *driver);

/* BE_NO_MEMORY if `need` is more than what is free. */
BE_CHECKED be_status gpu_memory_check(gpu_driver *driver, const gpu_need *need, be_error *err);

/* After an allocation failed, fill *err: how much was needed, how much of `free_bytes` there was,
 * and which batch would fit.  Where that does not explain it, *err stays.  Returns BE_NO_MEMORY. */
be_status gpu_memory_refuse(const gpu_driver *driver, const gpu_need *need, size_t free_bytes,
                            be_error *err);

#endif
