/* The memory of the CPU is that of the host. */
#include "ops/layout/copy_cpu.h"

const cpu_kernel CPU_KERNEL(upload) = {.implementation = CPU_NATIVE, .run = copy_run};
