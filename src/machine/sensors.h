/* Clocks, temperature, power and energy of processors and GPUs, where there are sensors.
 *
 * Reads cpufreq, hwmon, thermal zones and RAPL from /sys, and NVML, which is opened at run time and
 * stays open.  Changes nothing.  What is not there, or may not be read, is NAN or "", and null in
 * JSON, never 0; every figure stands beside the name of its sensor. */
#ifndef MACHINE_SENSORS_H
#define MACHINE_SENSORS_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "core/status.h"

#define SENSORS_PACKAGES 8
#define SENSORS_GPUS 16
#define SENSORS_TEXT 96

typedef struct sensors_cpu {
    double clock_hz;     /* now, mean of the processors */
    double clock_max_hz; /* of the first */
    double temperature_c;
    char temperature_sensor[SENSORS_TEXT]; /* "coretemp Package id 0" */
    int packages;                          /* whose energy can be read */
    char energy_sensor[SENSORS_TEXT];      /* "RAPL package-0, package-1" */
    /* Counters that begin anew after their range. */
    int64_t energy_uj[SENSORS_PACKAGES], energy_range_uj[SENSORS_PACKAGES];
} sensors_cpu;

typedef struct sensors_gpu {
    char name[SENSORS_TEXT], bus[32]; /* "0000:1b:00.0" */
    double clock_hz, clock_max_hz, memory_clock_hz;
    double temperature_c, power_w;
    double energy_j;             /* since its driver was loaded */
    char throttle[SENSORS_TEXT]; /* why the clock is below its highest: "power cap", or "none" */
} sensors_gpu;

typedef struct sensors {
    sensors_cpu cpu;
    int gpu_count;
    sensors_gpu gpus[SENSORS_GPUS];
} sensors;

/* `root` is put before the paths of /sys, for tests; NULL for the real ones.  The GPUs are left out
 * where none is of interest: asking for them starts NVIDIA's driver. */
void sensors_read(const char *root, bool with_gpus, sensors *out);

/* The GPUs alone, by NVML; returns how many. */
int sensors_read_gpus(sensors_gpu *out, int room);

/* The GPU at this place on the bus, in any form that NVIDIA's libraries write it; or NULL. */
const sensors_gpu *sensors_gpu_find(const sensors *s, const char *bus);

/* Joules used between two readings; NAN where there is no counter.  The processor's packages
 * together; the GPU at `bus`.  Readings must be less than one range of the counter apart: about
 * half an hour at 150 W. */
double sensors_cpu_energy_j(const sensors *from, const sensors *to);
double sensors_gpu_energy_j(const sensors *from, const sensors *to, const char *bus);

#define SENSORS_GPU_ENERGY "NVML total energy"

/* {"cpu": {…}, "gpus": [{…}]}, NULL without memory. */
json_t *sensors_to_json(const sensors *s);
json_t *sensors_cpu_to_json(const sensors_cpu *c);
json_t *sensors_gpu_to_json(const sensors_gpu *g);

#endif
