/* NVML without a device, for tests: the version of the driver, and one GPU at the place on the bus
 * where the fake driver has its first.  FAKE_NVML_ENERGY: its counter in mJ (1000);
 * FAKE_NVML_THROTTLE: the bits of the reasons (0); FAKE_NVML_POOR: it has no sensor but its clocks.
 */
#include <stdio.h>
#include <stdlib.h>

#define NOT_SUPPORTED 3

static unsigned long long fake_number(const char *name, unsigned long long otherwise)
{
    const char *text = getenv(name);
    return text ? strtoull(text, NULL, 0) : otherwise;
}

static int fake_answer(unsigned *out, unsigned value)
{
    *out = value;
    return getenv("FAKE_NVML_POOR") ? NOT_SUPPORTED : 0;
}

int nvmlInit_v2(void)
{
    return 0;
}

int nvmlShutdown(void)
{
    return 0;
}

int nvmlSystemGetDriverVersion(char *text, unsigned room)
{
    snprintf(text, room, "580.12.34");
    return 0;
}

int nvmlDeviceGetCount_v2(unsigned *count)
{
    *count = 1;
    return 0;
}

int nvmlDeviceGetHandleByIndex_v2(unsigned index, void **device)
{
    static int only;
    *device = &only;
    return index == 0 ? 0 : NOT_SUPPORTED;
}

int nvmlDeviceGetName(void *device, char *text, unsigned room)
{
    (void)device;
    snprintf(text, room, "Fake GPU 0");
    return 0;
}

/* As nvmlPciInfo_t. */
struct fake_pci {
    char old_bus[16];
    unsigned domain, bus, device, device_id, subsystem_id;
    char bus_id[32];
};

int nvmlDeviceGetPciInfo_v3(void *device, struct fake_pci *out)
{
    (void)device;
    *out = (struct fake_pci){.bus = 6};
    return 0;
}

int nvmlDeviceGetClockInfo(void *device, int kind, unsigned *mhz)
{
    (void)device;
    *mhz = kind == 1 ? 1500 : 2600;
    return 0;
}

int nvmlDeviceGetMaxClockInfo(void *device, int kind, unsigned *mhz)
{
    (void)device;
    *mhz = kind == 1 ? 1980 : 2600;
    return 0;
}

int nvmlDeviceGetTemperature(void *device, int sensor, unsigned *celsius)
{
    (void)device;
    (void)sensor;
    return fake_answer(celsius, 41);
}

int nvmlDeviceGetPowerUsage(void *device, unsigned *mw)
{
    (void)device;
    return fake_answer(mw, 123456);
}

int nvmlDeviceGetTotalEnergyConsumption(void *device, unsigned long long *mj)
{
    (void)device;
    *mj = fake_number("FAKE_NVML_ENERGY", 1000);
    return getenv("FAKE_NVML_POOR") ? NOT_SUPPORTED : 0;
}

int nvmlDeviceGetCurrentClocksThrottleReasons(void *device, unsigned long long *bits)
{
    (void)device;
    *bits = fake_number("FAKE_NVML_THROTTLE", 0);
    return getenv("FAKE_NVML_POOR") ? NOT_SUPPORTED : 0;
}
