/* A fixed piece of arithmetic for each thread, to see whether the machine is as fast as it was. */
#include "backend/cpu/cpu.h"
#include "core/clock.h"
#include "core/team.h"

#define CHAINS 32      /* enough that no multiplication waits for the one before */
#define ROUNDS 1000000 /* about 2 ms at 3 GHz */

static float multiply_add(float start)
{
    float x[CHAINS], sum = 0;
    for (int i = 0; i < CHAINS; i++) x[i] = start + (float)i;
    for (int r = 0; r < ROUNDS; r++)
        for (int i = 0; i < CHAINS; i++) x[i] = x[i] * 0.999f + 0.001f;
    for (int i = 0; i < CHAINS; i++) sum += x[i];
    return sum;
}

be_status cpu_reference(be_device *device, int64_t *wall_ns, be_error *err)
{
    float sum = 0;
    team t;
    TRY(team_begin(&t, device->threads, err));
    int64_t start_ns = clock_now_ns();
#pragma omp parallel for num_threads(device->threads) schedule(static) reduction(+ : sum)
    for (int i = 0; i < device->threads; i++) sum += multiply_add((float)i);
    *wall_ns = clock_now_ns() - start_ns;
    team_end(&t);
    MUST(sum > 0); /* and so it has to be computed */
    return BE_OK;
}
