/* Sensors as they stand in records. */
#include <math.h>

#include "core/text_json.h"
#include "machine/sensors.h"

static json_t *sensors_number(double value)
{
    return isfinite(value) ? json_real(value) : json_null();
}

static json_t *sensors_text(const char *text)
{
    json_t *value = *text ? text_json(text) : NULL;
    return value ? value : json_null();
}

json_t *sensors_cpu_to_json(const sensors_cpu *c)
{
    double energy_j = c->packages > 0 ? 0 : (double)NAN;
    for (int i = 0; i < c->packages; i++) energy_j += (double)c->energy_uj[i] * 1e-6;
    return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o}", "clock_hz", sensors_number(c->clock_hz),
                     "clock_max_hz", sensors_number(c->clock_max_hz), "temperature_c",
                     sensors_number(c->temperature_c), "temperature_sensor",
                     sensors_text(c->temperature_sensor), "energy_j", sensors_number(energy_j),
                     "energy_sensor", sensors_text(c->energy_sensor));
}

json_t *sensors_gpu_to_json(const sensors_gpu *g)
{
    return json_pack("{s:o, s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "name",
                     sensors_text(g->name), "bus", g->bus, "clock_hz", sensors_number(g->clock_hz),
                     "clock_max_hz", sensors_number(g->clock_max_hz), "memory_clock_hz",
                     sensors_number(g->memory_clock_hz), "temperature_c",
                     sensors_number(g->temperature_c), "power_w", sensors_number(g->power_w),
                     "energy_j", sensors_number(g->energy_j), "energy_sensor",
                     sensors_text(isfinite(g->energy_j) ? SENSORS_GPU_ENERGY : ""), "throttle",
                     sensors_text(g->throttle));
}

json_t *sensors_to_json(const sensors *s)
{
    json_t *gpus = json_array();
    for (int i = 0; i < s->gpu_count; i++)
        json_array_append_new(gpus, sensors_gpu_to_json(&s->gpus[i]));
    return json_pack("{s:o, s:o}", "cpu", sensors_cpu_to_json(&s->cpu), "gpus", gpus);
}
