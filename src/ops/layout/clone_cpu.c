/* Copies within the memory of the CPU. */
#include "ops/layout/copy_cpu.h"

const cpu_kernel CPU_KERNEL(clone) = {.implementation = CPU_NATIVE, .run = copy_run};
