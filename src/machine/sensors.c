/* What /sys tells of the processor, and energy between two readings. */
#include "machine/sensors.h"

#include <inttypes.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PROCESSORS_MOST 1024
#define ENTRIES_MOST 64 /* of hwmon and of thermal zones */

/* The first line of a file below root, "" without one.  Returns whether there is text. */
static bool sensors_line(const char *root, char out[SENSORS_TEXT], const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static bool sensors_line(const char *root, char out[SENSORS_TEXT], const char *format, ...)
{
    char path[4096];
    va_list arguments;
    size_t length = (size_t)snprintf(path, sizeof path, "%s", root);
    out[0] = 0;
    if (length >= sizeof path) return false;
    va_start(arguments, format);
    vsnprintf(path + length, sizeof path - length, format, arguments);
    va_end(arguments);
    FILE *file = fopen(path, "re");
    if (!file) return false;
    if (!fgets(out, SENSORS_TEXT, file)) out[0] = 0;
    fclose(file);
    out[strcspn(out, "\n")] = 0;
    return out[0] != 0;
}

/* A number that stands alone, or NAN. */
static double sensors_value(const char *text, double unit)
{
    char *end = NULL;
    double value = strtod(text, &end);
    return end == text || *end || !isfinite(value) ? (double)NAN : value * unit;
}

/* ---------------------------------------------------------------- clock */

static void sensors_clock(const char *root, sensors_cpu *out)
{
    static const char folder[] = "/sys/devices/system/cpu";
    char line[SENSORS_TEXT];
    double sum_hz = 0;
    int count = 0;
    for (int p = 0; p < PROCESSORS_MOST; p++) {
        if (!sensors_line(root, line, "%s/cpu%d/cpufreq/scaling_cur_freq", folder, p)) break;
        double clock_hz = sensors_value(line, 1e3);
        if (!(clock_hz > 0)) continue;
        sum_hz += clock_hz;
        count++;
    }
    if (count > 0) out->clock_hz = sum_hz / count;
    if (sensors_line(root, line, "%s/cpu0/cpufreq/cpuinfo_max_freq", folder))
        out->clock_max_hz = sensors_value(line, 1e3);
}

/* ---------------------------------------------------------------- temperature */

static bool sensors_named(const char *name, const char *const *names)
{
    for (; *names; names++)
        if (strcmp(name, *names) == 0) return true;
    return false;
}

/* The drivers of processors; their first sensor is the whole package's. */
static bool sensors_hwmon(const char *root, sensors_cpu *out)
{
    static const char *const names[] = {"coretemp", "k10temp", "zenpower", "cpu_thermal", NULL};
    char name[SENSORS_TEXT], line[SENSORS_TEXT], label[SENSORS_TEXT];
    for (int i = 0; i < ENTRIES_MOST; i++) {
        if (!sensors_line(root, name, "/sys/class/hwmon/hwmon%d/name", i) ||
            !sensors_named(name, names) ||
            !sensors_line(root, line, "/sys/class/hwmon/hwmon%d/temp1_input", i))
            continue;
        out->temperature_c = sensors_value(line, 1e-3);
        if (isnan(out->temperature_c)) continue;
        bool labelled = sensors_line(root, label, "/sys/class/hwmon/hwmon%d/temp1_label", i);
        snprintf(out->temperature_sensor, SENSORS_TEXT, "%.40s%s%.50s", name, labelled ? " " : "",
                 label);
        return true;
    }
    return false;
}

static void sensors_zone(const char *root, sensors_cpu *out)
{
    static const char *const names[] = {"x86_pkg_temp", "cpu-thermal", "cpu_thermal", "soc_thermal",
                                        NULL};
    char name[SENSORS_TEXT], line[SENSORS_TEXT];
    for (int i = 0; i < ENTRIES_MOST; i++) {
        if (!sensors_line(root, name, "/sys/class/thermal/thermal_zone%d/type", i) ||
            !sensors_named(name, names) ||
            !sensors_line(root, line, "/sys/class/thermal/thermal_zone%d/temp", i))
            continue;
        out->temperature_c = sensors_value(line, 1e-3);
        if (isnan(out->temperature_c)) continue;
        snprintf(out->temperature_sensor, SENSORS_TEXT, "thermal zone %.80s", name);
        return;
    }
}

/* ---------------------------------------------------------------- energy */

/* The packages of RAPL, AMD's too; what is inside a package has one more number in its name.  Many
 * systems let only root read them. */
static void sensors_rapl(const char *root, sensors_cpu *out)
{
    static const char folder[] = "/sys/class/powercap/intel-rapl";
    char name[SENSORS_TEXT], energy[SENSORS_TEXT], range[SENSORS_TEXT];
    for (int i = 0; i < SENSORS_PACKAGES; i++) {
        if (!sensors_line(root, name, "%s:%d/name", folder, i) ||
            strncmp(name, "package", 7) != 0 ||
            !sensors_line(root, energy, "%s:%d/energy_uj", folder, i))
            continue;
        sensors_line(root, range, "%s:%d/max_energy_range_uj", folder, i);
        double used_uj = sensors_value(energy, 1), range_uj = sensors_value(range, 1);
        if (!(used_uj >= 0) || !(range_uj > 0) || used_uj > 9e15 || range_uj > 9e15) continue;
        size_t length = strlen(out->energy_sensor);
        snprintf(out->energy_sensor + length, SENSORS_TEXT - length, "%s%s",
                 length ? ", " : "RAPL ", name);
        out->energy_uj[out->packages] = (int64_t)used_uj;
        out->energy_range_uj[out->packages++] = (int64_t)range_uj;
    }
}

double sensors_cpu_energy_j(const sensors *from, const sensors *to)
{
    double sum_uj = 0;
    if (from->cpu.packages == 0 || from->cpu.packages != to->cpu.packages) return NAN;
    for (int i = 0; i < from->cpu.packages; i++) {
        int64_t used_uj = to->cpu.energy_uj[i] - from->cpu.energy_uj[i];
        sum_uj += (double)(used_uj >= 0 ? used_uj : used_uj + to->cpu.energy_range_uj[i]);
    }
    return sum_uj * 1e-6;
}

double sensors_gpu_energy_j(const sensors *from, const sensors *to, const char *bus)
{
    const sensors_gpu *before = sensors_gpu_find(from, bus), *after = sensors_gpu_find(to, bus);
    if (!before || !after || !(after->energy_j >= before->energy_j)) return NAN;
    return after->energy_j - before->energy_j;
}

/* "0000:1b:00.0" and "00000000:1B:00.0" are one place. */
const sensors_gpu *sensors_gpu_find(const sensors *s, const char *bus)
{
    unsigned place[3], other[3];
    if (sscanf(bus, "%x:%x:%x", &place[0], &place[1], &place[2]) != 3) return NULL;
    for (int i = 0; i < s->gpu_count; i++)
        if (sscanf(s->gpus[i].bus, "%x:%x:%x", &other[0], &other[1], &other[2]) == 3 &&
            memcmp(place, other, sizeof place) == 0)
            return &s->gpus[i];
    return NULL;
}

void sensors_read(const char *root, bool with_gpus, sensors *out)
{
    if (!root) root = "";
    *out = (sensors){.cpu = {.clock_hz = NAN, .clock_max_hz = NAN, .temperature_c = NAN}};
    sensors_clock(root, &out->cpu);
    if (!sensors_hwmon(root, &out->cpu)) sensors_zone(root, &out->cpu);
    sensors_rapl(root, &out->cpu);
    if (with_gpus) out->gpu_count = sensors_read_gpus(out->gpus, SENSORS_GPUS);
}
