/* The tables of the kernels of one instruction set, the native ones and those on oneDNN; compiled
 * once for each (see cpu.h). */
#include "backend/cpu/cpu.h"

#define DECLARE_0(kernel)
#define DECLARE_1(kernel) extern const cpu_kernel kernel;
#define ENTRY_0(kernel) NULL
#define ENTRY_1(kernel) &kernel

#define X(name, cpu, onednn, ...) \
    DECLARE_##cpu(CPU_KERNEL(name)) DECLARE_##onednn(ONEDNN_KERNEL(name))
OP_LIST(X)
#undef X

extern const cpu_kernel *const CPU_JOIN(table, CPU_ISA)[OP_COUNT];
const cpu_kernel *const CPU_JOIN(table, CPU_ISA)[OP_COUNT] = {
#define X(name, cpu, onednn, ...) ENTRY_##cpu(CPU_KERNEL(name)),
    OP_LIST(X)
#undef X
};

extern const cpu_kernel *const CPU_JOIN(onednn_table, CPU_ISA)[OP_COUNT];
const cpu_kernel *const CPU_JOIN(onednn_table, CPU_ISA)[OP_COUNT] = {
#define X(name, cpu, onednn, ...) ENTRY_##onednn(ONEDNN_KERNEL(name)),
    OP_LIST(X)
#undef X
};
