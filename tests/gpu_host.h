/* Kernels as host C: a driver for tests that compiles each kernel file with the C compiler of this
 * build, under AddressSanitizer and UBSan, and runs it on the processor.
 *
 * SERIAL: one work item a group; before a launch everything but the ranges of its arguments is
 * poisoned, so that a wrong index is reported where it happens.  FIBERS: groups of any size, each
 * work item a fiber; the order of the items between two barriers is what gpu_host_order says. */
#ifndef TESTS_GPU_HOST_H
#define TESTS_GPU_HOST_H

#include "backend/gpu/gpu.h"

typedef enum gpu_host_kind { GPU_HOST_SERIAL, GPU_HOST_FIBERS } gpu_host_kind;

BE_CHECKED be_status gpu_host_open(gpu_host_kind kind, be_device **out, be_error *err);

/* For FIBERS: the order of the items of a group, from now on. */
typedef enum gpu_host_order {
    GPU_HOST_FORWARD,
    GPU_HOST_REVERSE,
    GPU_HOST_SHUFFLED
} gpu_host_order;
void gpu_host_set_order(be_device *device, gpu_host_order order);

/* A change of the text of kernels before they are compiled, or NULL.  It returns new text from
 * malloc, or NULL to leave it. */
typedef char *gpu_host_change(const char *name, const char *text, void *context);
void gpu_host_set_change(be_device *device, gpu_host_change *change, void *context);

#endif
