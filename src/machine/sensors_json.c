/* Sensors as they stand in records. */
#include <math.h>

#include "core/json.h"
#include "machine/sensors.h"

json_t *sensors_cpu_to_json(const sensors_cpu *c)
{
    double energy_j = c->packages > 0 ? 0 : (double)NAN;
    for (int i = 0; i < c->packages; i++) energy_j += (double)c->energy_uj[i] * 1e-6;
    return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o}", "clock_hz", json_of_real(c->clock_hz),
                     "clock_max_hz", json_of_real(c->clock_max_hz), "temperature_c",
                     json_of_real(c->temperature_c), "temperature_sensor",
                     json_of_known(c->temperature_sensor), "energy_j", json_of_real(energy_j),
                     "energy_sensor", json_of_known(c->energy_sensor));
}

json_t *sensors_gpu_to_json(const sensors_gpu *g)
{
    return json_pack("{s:o, s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "name",
                     json_of_known(g->name), "bus", g->bus, "clock_hz", json_of_real(g->clock_hz),
                     "clock_max_hz", json_of_real(g->clock_max_hz), "memory_clock_hz",
                     json_of_real(g->memory_clock_hz), "temperature_c",
                     json_of_real(g->temperature_c), "power_w", json_of_real(g->power_w),
                     "energy_j", json_of_real(g->energy_j), "energy_sensor",
                     json_of_known(isfinite(g->energy_j) ? SENSORS_GPU_ENERGY : ""), "throttle",
                     json_of_known(g->throttle));
}

json_t *sensors_to_json(const sensors *s)
{
    json_t *gpus = json_array();
    for (int i = 0; i < s->gpu_count; i++)
        json_array_append_new(gpus, sensors_gpu_to_json(&s->gpus[i]));
    return json_pack("{s:o, s:o}", "cpu", sensors_cpu_to_json(&s->cpu), "gpus", gpus);
}
