/* A program of the shared GPU runtime, and running it.  Private to the runtime: gpu_program.c makes
 * it. */
#ifndef BACKEND_GPU_GPU_RUN_H
#define BACKEND_GPU_GPU_RUN_H

#include "backend/gpu/gpu_recorder.h"
#include "backend/gpu/gpu_stream.h"
#include "backend/gpu/gpu_tune.h"

struct program {
    gpu_device *device;
    gpu_driver *driver;
    const be_graph *graph;
    const memory_map *map;
    const gpu_library *library; /* NULL: our own kernels alone */
    program *share;
    gpu_tune_count tuned;
    gpu_search_count search; /* of the library, for this program */
    arena *memory;
    gpu_call *calls;
    const gpu_kernel **kernels;
    int (*units)[GPU_MAX_UNITS]; /* of each node: indexes of modules */
    gpu_text *texts;             /* the distinct ones */
    gpu_module **modules;
    int module_count;
    bool compiled;
    size_t *first_launch; /* of each node, and the end */
    gpu_recorder recorder;
    gpu_sequence *begin;      /* of a run; NULL: nothing begins it */
    gpu_sequence *turn, *end; /* a step is graph->lowered.turns of the first, and then the other;
                               * end NULL: nothing comes behind its one turn */
    gpu_stream *stream;       /* NULL: the data set lies on the device */
    gpu_buffer persistent, activations, scratch;
    gpu_feed *host_feed;  /* has what the plan keeps in memory of the host, one slot … */
    void *host;           /* … here; NULL: nothing */
    gpu_buffer *inputs;   /* by value */
    bool *written;        /* … was given its contents */
    size_t scratch_bytes; /* of all nodes: a ring of their parts where launches overlap */
    size_t *scratch_at;   /* of each node */
    size_t *shared_at;    /* of what each asks for together with others */
    void *finite;         /* host memory for a checked run */
    char implementation[256];
};

/* Where a value lies; empty for BE_NONE. */
gpu_span gpu_run_span(const program *p, be_value value);

/* The memory of a value that lies with the host, once all work is done; NULL of others. */
BE_CHECKED be_status gpu_run_host(const program *p, be_value value, void **out, be_error *err);

/* As a device's `run` (graph/device.h). */
be_status gpu_run(program *p, int64_t steps, bool checked, be_error *err);

#endif
