/* A kernel that uses every word of the dialect, and what it must give. */
#ifndef TESTS_GPU_CONFORMANCE_H
#define TESTS_GPU_CONFORMANCE_H

#include "backend/gpu/gpu.h"

#define CONFORMANCE_GROUP 8 /* or 1 */
#define CONFORMANCE_GROUPS 3
#define CONFORMANCE_COUNT 64 /* elements of each operand */

/* The whole text behind this dialect, from malloc. */
char *gpu_conformance_text(const char *dialect, int group);

/* Run it on a driver, in groups of this size, and compare; false with the reason in `reason`. */
bool gpu_conformance_run(gpu_driver *driver, int group, char *reason, size_t room);

#endif
