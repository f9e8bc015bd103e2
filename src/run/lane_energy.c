/* The energy of a lane's blocks, where its device has a counter: the processor's packages, or a
 * GPU. It is that of the whole device: what else ran there meanwhile is in it. */
#include "run/lane_energy.h"

#include <math.h>

static void read_now(const lane *l, sensors *out)
{
    if (l->is_cpu) {
        sensors_read(l->options->sensors_root, false, out);
        return;
    }
    *out = (sensors){0};
    out->gpu_count = sensors_read_gpus(out->gpus, SENSORS_GPUS);
}

static double between(const lane *l, const sensors *from, const sensors *to)
{
    if (l->is_cpu) return sensors_cpu_energy_j(from, to);
    return sensors_gpu_energy_j(from, to, l->contender->bus);
}

be_status lane_energy_find(lane *l, be_error *err)
{
    l->energy_j = NAN;
    if (!l->is_cpu && !l->contender->bus) return BE_OK;
    read_now(l, &l->energy_from);
    if (isnan(between(l, &l->energy_from, &l->energy_from))) return BE_OK;
    l->energy_j = 0;
    return arena_printf(l->memory, &l->result->energy_sensor, err, "%s",
                        l->is_cpu ? l->energy_from.cpu.energy_sensor : SENSORS_GPU_ENERGY);
}

void lane_energy_before(lane *l)
{
    if (l->result->energy_sensor) read_now(l, &l->energy_from);
}

void lane_energy_after(lane *l, int64_t steps)
{
    sensors now;
    if (!l->result->energy_sensor) return;
    read_now(l, &now);
    l->energy_j += between(l, &l->energy_from, &now);
    l->energy_steps += steps;
    l->result->energy_per_step_j = l->energy_j / (double)l->energy_steps;
}
