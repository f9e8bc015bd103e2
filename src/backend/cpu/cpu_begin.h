/* Which calls of a program begin before their turn, and behind which node (cpu_kernel.begin). */
#ifndef BACKEND_CPU_BEGIN_H
#define BACKEND_CPU_BEGIN_H

#include "backend/cpu/cpu.h"

typedef struct cpu_begin {
    size_t call, after;
} cpu_begin;

/* Of `count` calls with their kernels; all operands have their addresses.  `out` has room for one
 * for each, and gets them in the order in which they can begin.  How many there are. */
size_t cpu_begin_find(const cpu_call *calls, const cpu_kernel *const *kernels, size_t count,
                      const be_graph *g, cpu_begin *out);

#endif
