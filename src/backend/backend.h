/* The list of backends, opening a device by its id, and listing them all. */
#ifndef BACKEND_BACKEND_H
#define BACKEND_BACKEND_H

#include <jansson.h>

#include "graph/device.h"

be_status cpu_open(const be_device_options *options, be_device **out, be_error *err);

/* The library behind the CPU's primitives, with its version: "oneDNN 2.6.3". */
const char *cpu_library_version(void);

/* Device N of a backend that has several: "opencl:N", "null:0" …  `id` is its full id. */
typedef struct backend_place {
    int index;
    const char *id;
    const be_device_options *options;
} backend_place;

be_status cuda_open(const backend_place *place, be_device **out, be_error *err);
be_status opencl_open(const backend_place *place, be_device **out, be_error *err);
be_status null_open(const backend_place *place, be_device **out, be_error *err);

/* Whether a word of a user means this device: its id, or the name of its backend for number 0. */
bool backend_is_named(const char *id, const char *word);

/* Whether a device of this id computes, or only plans and counts, so that its time is no speed. */
bool backend_computes(const char *id);

/* Whether a device of this id may be asked for kernels of this library (NULL: of any). */
bool backend_has_library(const char *id, const char *library);

/* One device of a backend, for lists of them; what is not usable says why and what to do. */
typedef struct backend_entry {
    char id[24], name[192], software[128], reason[400];
    bool usable, is_cpu;
    size_t memory_bytes;
} backend_entry;

/* Up to `room` devices; returns how many there are, at least 1 (an unusable one with the reason if
 * there is none). */
int opencl_list(backend_entry *out, int room);

/* Add an object for each NVIDIA GPU: `id`, `name`, `usable`, and either memory_bytes, driver,
 * compute_capability, units, bus and libraries (a list of name, version, path), or the reason. */
void cuda_list(json_t *devices);

/* A new list of the devices of all backends, usable or not: objects with `id`, `name`, `usable`,
 * and what else is known, or `reason`, which says what to do.  `duplicate_of` is the id of the
 * device that this one is another way to: a CPU behind OpenCL, or a GPU that CUDA has too.  With
 * ids, separated by commas, only their backends are looked at: a driver takes time and memory to
 * start.  The null device is there for those who name it.  NULL without memory. */
json_t *backend_list(const char *ids);

/* Word of --library, the backend that has it ("" all of them) */
#define LIBRARY_LIST(X) X(native, "") X(onednn, "cpu") X(cudnn, "cuda") X(clblast, "opencl")

/* name in ids, opening function, what it is */
#define BACKEND_LIST(X) X(cpu, cpu_open, "the processor")

/* Those whose ids end in a number, "NAME:N"; NAME alone is number 0. */
#define NUMBERED_BACKEND_LIST(X)                               \
    X(cuda, cuda_open, "NVIDIA's GPUs")                        \
    X(opencl, opencl_open, "any device with an OpenCL driver") \
    X(null, null_open, "plans and counts, and computes nothing")

#endif
