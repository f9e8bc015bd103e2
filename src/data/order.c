/* The order of the samples over epochs and steps. */
#include "data/order.h"

#include <string.h>

#include "core/memory.h"
#include "core/rng.h"

void order_epoch(uint64_t seed, uint32_t epoch, int32_t *order, int32_t count)
{
    rng_permutation((rng_key){.seed = seed, .stream = RNG_ORDER, .sub = epoch}, order, count);
}

int64_t order_steps_per_epoch(int32_t count, int32_t batch)
{
    MUST(batch > 0 && count >= 0);
    return count / batch;
}

int64_t order_part(int32_t *order, int32_t count, int32_t batch, order_cut part)
{
    MUST(part.before >= 0 && part.each > 0 && part.before + part.each <= batch);
    int64_t steps = order_steps_per_epoch(count, batch);
    for (int64_t t = 0; t < steps; t++)
        memmove(order + t * part.each, order + t * batch + part.before,
                (size_t)part.each * sizeof *order);
    return steps * part.each;
}

be_status order_fill(const order_run *run, int32_t *indices, be_error *err)
{
    if (run->batch < 1 || run->batch > run->count)
        FAIL(err, BE_USAGE, "expected a batch from 1 to the %d samples of the set, found %d",
             run->count, run->batch);
    int64_t per_epoch = order_steps_per_epoch(run->count, run->batch), known_epoch = -1;
    void *memory = NULL;
    TRY(memory_alloc(&memory, (size_t)run->count * sizeof(int32_t), "the order of an epoch", err));
    int32_t *order = memory;
    for (int64_t i = 0; i < run->steps; i++) {
        int64_t epoch = (run->first_step + i) / per_epoch, step = (run->first_step + i) % per_epoch;
        if (epoch != known_epoch) order_epoch(run->seed, (uint32_t)epoch, order, run->count);
        known_epoch = epoch;
        memcpy(indices + i * run->batch, order + step * run->batch,
               (size_t)run->batch * sizeof *order);
    }
    memory_free(memory);
    return BE_OK;
}
