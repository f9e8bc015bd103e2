/* See gpu_memory.h. */
#include "backend/gpu/gpu_memory.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>

#include "core/room.h"

#define MIB (1024.0 * 1024.0)

/* Kept back of what is free: drivers round sizes up and need some memory of their own. */
#define USABLE 0.95

static size_t need_all(const gpu_need *n)
{
    return n->states + n->inputs + n->activations + n->scratch;
}

static size_t largest_growing(const gpu_need *n)
{
    return n->activations > n->scratch ? n->activations : n->scratch;
}

size_t gpu_memory_free(gpu_driver *driver)
{
    size_t all = driver->facts.memory_bytes;
    size_t now = driver->vtable->memory_free ? driver->vtable->memory_free(driver) : 0;
    return now > 0 && now < all ? now : all;
}

be_status gpu_memory_check(gpu_driver *driver, const gpu_need *need, be_error *err)
{
    size_t free_bytes = gpu_memory_free(driver);
    if (need_all(need) <= free_bytes) return BE_OK;
    return gpu_memory_refuse(driver, need, free_bytes, err);
}

/* As if activations and scratch grew in proportion to the batch; and where nothing is left because
 * of what the device holds already, as if that were a plan of the same batch; 0: none fits. */
static int64_t batch_that_fits(const gpu_driver *driver, const gpu_need *need, size_t free_bytes)
{
    double fixed = (double)(need->states + need->inputs);
    double growing = fmax((double)(need->activations + need->scratch), 1.0);
    double buffer = (double)driver->facts.buffer_max_bytes;
    double all = (double)driver->facts.memory_bytes, held = all - (double)free_bytes;
    double part = ((double)free_bytes * USABLE - fixed) / growing;
    if (part * (double)need->batch < 1.0 && held > 0.0)
        part = (all * USABLE - fixed) / (held + growing);
    part = fmin(part, buffer / fmax((double)largest_growing(need), 1.0));
    return part > 0.0 ? (int64_t)(part * (double)need->batch) : 0;
}

be_status gpu_memory_refuse(const gpu_driver *driver, const gpu_need *need, size_t free_bytes,
                            be_error *err)
{
    /* There seemed to be enough, and the driver knows better: its own words say more. */
    if ((double)need_all(need) <= (double)free_bytes * USABLE &&
        largest_growing(need) <= driver->facts.buffer_max_bytes)
        return BE_NO_MEMORY;
    char advice[160], batch[40] = "";
    int64_t fits = batch_that_fits(driver, need, free_bytes);
    int used = 0;
    if (need->batch <= 0)
        snprintf(advice, sizeof advice, "use a smaller batch");
    else if (fits < 1)
        snprintf(advice, sizeof advice,
                 "no batch would fit beside the data set: use fewer images (--limit)");
    else if (fits < need->batch)
        used = snprintf(advice, sizeof advice,
                        "a batch of about %" PRId64 " would fit: use a smaller batch", fits);
    else
        snprintf(advice, sizeof advice, "use a smaller batch");
    if (used && need->turns > 0)
        snprintf(advice + used, sizeof advice - (size_t)used,
                 ", or train it in turns by --accumulate %" PRId64,
                 need->turns * room_turns(need->batch, fits));
    if (need->batch > 0) snprintf(batch, sizeof batch, " at batch %" PRId64, need->batch);
    FAIL(err, BE_NO_MEMORY,
         "%s has not enough memory: expected %.1f MiB%s (%.1f states, %.1f inputs, %.1f "
         "activations, %.1f scratch), found %.1f MiB free of %.1f MiB; %s, or end what else uses "
         "this device",
         driver->facts.name, (double)need_all(need) / MIB, batch, (double)need->states / MIB,
         (double)need->inputs / MIB, (double)need->activations / MIB, (double)need->scratch / MIB,
         (double)free_bytes / MIB, (double)driver->facts.memory_bytes / MIB, advice);
}
