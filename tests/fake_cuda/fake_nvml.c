/* NVML without a device, for tests: it knows the version of the driver, and no more. */
#include <stdio.h>

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
