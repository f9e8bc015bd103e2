/* The table of native kernels of one instruction set; compiled once for each (see cpu.h). */
#include "backend/cpu/cpu.h"

#define CPU_DECLARE_0(name)
#define CPU_DECLARE_1(name) extern const cpu_kernel CPU_KERNEL(name);
#define X(name, cpu, onednn) CPU_DECLARE_##cpu(name)
OP_LIST(X)
#undef X

#define CPU_ENTRY_0(name) NULL
#define CPU_ENTRY_1(name) &CPU_KERNEL(name)

extern const cpu_kernel *const CPU_JOIN(table, CPU_ISA)[OP_COUNT];
const cpu_kernel *const CPU_JOIN(table, CPU_ISA)[OP_COUNT] = {
#define X(name, cpu, onednn) CPU_ENTRY_##cpu(name),
    OP_LIST(X)
#undef X
};
