/* The memory of the CPU is that of the host. */
#include "ops/layout/copy_cpu.h"

const cpu_kernel CPU_KERNEL(download) = {.implementation = CPU_NATIVE, .run = copy_run};
