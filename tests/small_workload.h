/* The workloads of the ladder at a size that a test can afford: the gate's. */
#ifndef TESTS_SMALL_WORKLOAD_H
#define TESTS_SMALL_WORKLOAD_H

#include "support.h"
#include "workloads/workload.h"

static inline const workload *small_workload(int index, workload *room)
{
    const workload *w = workload_table[index], *small;
    bool reduced;
    be_error err;
    workload_variant variant = workload_gate_variant(w, &reduced);
    ASSERT_OK(workload_vary(w, &variant, room, &small, &err));
    return small;
}

#endif
