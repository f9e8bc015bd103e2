/* What NVML tells of NVIDIA's GPUs.  The library is looked for once; a function that it lacks makes
 * what it would tell unknown. */
#include <math.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "backend/cuda/cuda_places.h"
#include "core/text.h"
#include "machine/sensors.h"

/* From the reference of NVML's API. */
typedef struct nvml_device_ *nvml_device;
typedef struct nvml_pci {
    char old_bus[16];
    unsigned domain, bus, device, device_id, subsystem_id;
    char bus_id[32];
} nvml_pci;
enum { CLOCK_SM = 1, CLOCK_MEMORY = 2, TEMPERATURE_GPU = 0 };

/* member, symbol, parameters */
#define NVML_FUNCTION_LIST(X)                                                           \
    X(init, nvmlInit_v2, (void))                                                        \
    X(count, nvmlDeviceGetCount_v2, (unsigned *))                                       \
    X(handle, nvmlDeviceGetHandleByIndex_v2, (unsigned, nvml_device *))                 \
    X(name, nvmlDeviceGetName, (nvml_device, char *, unsigned))                         \
    X(pci, nvmlDeviceGetPciInfo_v3, (nvml_device, nvml_pci *))                          \
    X(clock, nvmlDeviceGetClockInfo, (nvml_device, int, unsigned *))                    \
    X(clock_max, nvmlDeviceGetMaxClockInfo, (nvml_device, int, unsigned *))             \
    X(temperature, nvmlDeviceGetTemperature, (nvml_device, int, unsigned *))            \
    X(power, nvmlDeviceGetPowerUsage, (nvml_device, unsigned *))                        \
    X(energy, nvmlDeviceGetTotalEnergyConsumption, (nvml_device, unsigned long long *)) \
    X(throttle, nvmlDeviceGetCurrentClocksThrottleReasons, (nvml_device, unsigned long long *))

static struct {
#define X(member, symbol, parameters) int(*member) parameters;
    NVML_FUNCTION_LIST(X)
#undef X
    bool usable;
} nvml;
static pthread_once_t nvml_once = PTHREAD_ONCE_INIT;

static void nvml_open(void)
{
    static const char *const names[] = {"libnvidia-ml.so.1", NULL};
    cuda_places places;
    cuda_library library;
    if (cuda_places_find(&places, true, NULL) != BE_OK) return;
    library_open(&library, &places, names, "install the NVIDIA driver with its NVML");
    cuda_places_free(&places);
#define X(member, symbol, parameters) *(void **)&nvml.member = library_symbol(&library, #symbol);
    NVML_FUNCTION_LIST(X)
#undef X
    nvml.usable = nvml.init && nvml.count && nvml.handle && nvml.pci && nvml.init() == 0;
}

static double nvml_clock(int (*ask)(nvml_device, int, unsigned *), nvml_device device, int kind)
{
    unsigned mhz = 0;
    return ask && ask(device, kind, &mhz) == 0 && mhz > 0 ? mhz * 1e6 : (double)NAN;
}

static void nvml_throttle(nvml_device device, char out[SENSORS_TEXT])
{
    /* Reasons that are no hindrance (idle, as set) are left out. */
    static const struct {
        unsigned long long bit;
        const char *text;
    } reasons[] = {
        {0x4, "power cap"},    {0x8, "hardware slowdown"},       {0x10, "synchronised clocks"},
        {0x20, "temperature"}, {0x40, "temperature (hardware)"}, {0x80, "power brake"}};
    unsigned long long bits = 0;
    text_buffer b = text_begin(out, SENSORS_TEXT);
    if (!nvml.throttle || nvml.throttle(device, &bits) != 0) return;
    for (size_t i = 0; i < sizeof reasons / sizeof *reasons; i++)
        if (bits & reasons[i].bit) text_add(&b, "%s%s", b.used ? ", " : "", reasons[i].text);
    if (b.used == 0) text_add(&b, "none");
}

static bool nvml_read(unsigned index, sensors_gpu *out)
{
    nvml_device device = NULL;
    nvml_pci pci = {0};
    unsigned value = 0;
    unsigned long long energy_mj = 0;
    *out = (sensors_gpu){.temperature_c = NAN, .power_w = NAN, .energy_j = NAN};
    if (nvml.handle(index, &device) != 0 || nvml.pci(device, &pci) != 0) return false;
    snprintf(out->bus, sizeof out->bus, "%04x:%02x:%02x.0", pci.domain, pci.bus, pci.device);
    if (nvml.name && nvml.name(device, out->name, SENSORS_TEXT) != 0) out->name[0] = 0;
    out->clock_hz = nvml_clock(nvml.clock, device, CLOCK_SM);
    out->clock_max_hz = nvml_clock(nvml.clock_max, device, CLOCK_SM);
    out->memory_clock_hz = nvml_clock(nvml.clock, device, CLOCK_MEMORY);
    if (nvml.temperature && nvml.temperature(device, TEMPERATURE_GPU, &value) == 0)
        out->temperature_c = value;
    if (nvml.power && nvml.power(device, &value) == 0) out->power_w = value * 1e-3;
    if (nvml.energy && nvml.energy(device, &energy_mj) == 0)
        out->energy_j = (double)energy_mj * 1e-3;
    nvml_throttle(device, out->throttle);
    return true;
}

int sensors_read_gpus(sensors_gpu *out, int room)
{
    unsigned count = 0;
    int gpus = 0;
    pthread_once(&nvml_once, nvml_open);
    if (!nvml.usable || nvml.count(&count) != 0) return 0;
    for (unsigned i = 0; i < count && gpus < room; i++) gpus += nvml_read(i, &out[gpus]);
    return gpus;
}
