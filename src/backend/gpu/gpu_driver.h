/* What a driver (CUDA, OpenCL) is to the shared GPU runtime: memory, compiling, launching.
 *
 * A driver knows no graph and no op.  All work goes to one queue, in order.  Functions return when
 * the work is handed over, except where it says that they wait. */
#ifndef BACKEND_GPU_GPU_DRIVER_H
#define BACKEND_GPU_GPU_DRIVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "breakeven/group.h"
#include "core/status.h"

typedef struct gpu_driver gpu_driver;

/* Handles of the driver's own; 0 or NULL is none. */
typedef uintptr_t gpu_buffer;
typedef struct gpu_module gpu_module;
typedef struct gpu_function gpu_function;
typedef struct gpu_sequence gpu_sequence;
typedef struct gpu_feed gpu_feed;

/* What ops choose their sizes by, and what people are told. */
typedef struct gpu_facts {
    char name[160];    /* the hardware: "NVIDIA H200" */
    char software[96]; /* "CUDA 13.0, sm_90", "OpenCL 1.2 (pocl 3.1)" */
    char remark[96];   /* what it does otherwise than it might, and why; "": nothing */
    char too_old[64];  /* why no library multiplies in tf32 and bf16 on it; "": one may */
    bool is_cpu;       /* a processor behind OpenCL */
    bool is_null;      /* nothing is computed: there is nothing to measure */
    int units;         /* multiprocessors, compute units */
    int group_max;     /* work items of a group */
    bool tensor_cores; /* its dialect has the words for them, and groups have whole warps */
    size_t local_bytes;
    size_t memory_bytes, buffer_max_bytes;
    /* Launches of a sequence run beside one another where their ranges do not conflict. */
    bool overlaps;
    size_t cache_bytes; /* the last level before the memory; 0: not known */
} gpu_facts;

/* An argument of a kernel.  A buffer's is a range of it: the kernel touches nothing outside. `out`:
 * it may write there; the driver may let launches overlap whose ranges do not conflict. */
typedef enum gpu_argument_kind {
    GPU_ARGUMENT_SPAN,
    GPU_ARGUMENT_I32,
    GPU_ARGUMENT_F32
} gpu_argument_kind;

typedef struct gpu_span {
    gpu_buffer buffer; /* 0: an absent operand */
    size_t offset, bytes;
} gpu_span;

typedef struct gpu_argument {
    gpu_argument_kind kind;
    bool out;
    gpu_span span;
    int32_t i32;
    float f32;
} gpu_argument;

#define GPU_MAX_ARGUMENTS 24

/* Work of a library that a driver knows, in the place of a kernel; the first member of a struct of
 * the library's own.  `start` hands it to the driver's queue, and allocates nothing. */
typedef struct gpu_task {
    const char *name; /* for people */
    be_status (*start)(const struct gpu_task *, gpu_driver *, be_error *);
    /* Give it what it must find in memory that holds nothing yet, where it runs before the first
     * step; NULL: it may find anything. */
    be_status (*ready)(const struct gpu_task *, gpu_driver *, be_error *);
    /* It may not run before the first step, because others run it as often. */
    bool is_counted;
} gpu_task;

/* A kernel, or a task: its arguments then only say what it reads and writes. */
typedef struct gpu_launch {
    const gpu_function *function;
    const gpu_task *task;
    bool alone;        /* it begins when all before it is done, whatever the arguments say */
    int groups, group; /* groups, and work items of one */
    int argument_count;
    gpu_argument arguments[GPU_MAX_ARGUMENTS];
} gpu_launch;

/* A kernel file made ready to compile: the whole text (dialect, sizes, kernels). */
typedef struct gpu_text {
    const char *name; /* of the kernel file, for people */
    const char *text;
} gpu_text;

/* A copy from a slot of a feed to the device. */
typedef struct gpu_copy {
    gpu_buffer to;
    size_t to_offset, from_offset, bytes;
} gpu_copy;

#define GPU_FEED_SLOTS 2

typedef struct gpu_driver_vtable {
    void (*close)(gpu_driver *);

    /* BE_NO_MEMORY with the size in the text if it does not fit.  `bytes` 0 gives a buffer too. */
    be_status (*alloc)(gpu_driver *, size_t bytes, const char *what, gpu_buffer *out, be_error *);
    void (*free)(gpu_driver *, gpu_buffer);
    /* Bytes that are free now, 0: not known.  NULL where no driver can say. */
    size_t (*memory_free)(gpu_driver *);

    /* After all work handed over before.  The memory of the host may be changed when they return
     * (download waits). */
    be_status (*upload)(gpu_driver *, gpu_buffer, size_t offset, const void *, size_t bytes,
                        be_error *);
    be_status (*download)(gpu_driver *, gpu_buffer, size_t offset, void *, size_t bytes,
                          be_error *);
    be_status (*clear)(gpu_driver *, gpu_buffer, size_t offset, size_t bytes, be_error *);

    /* Compile several texts (at once, if the driver can).  BE_DRIVER with the compiler's log, which
     * names file and line.  On failure nothing is made. */
    be_status (*compile)(gpu_driver *, const gpu_text *, int count, gpu_module **out, be_error *);
    void (*module_free)(gpu_driver *, gpu_module *);
    /* Lives as long as its module. */
    be_status (*function)(gpu_driver *, gpu_module *, const char *name, const gpu_function **out,
                          be_error *);

    be_status (*launch)(gpu_driver *, const gpu_launch *, be_error *);

    /* Launches in this order, to be replayed as often as wanted.  The list may be freed after. */
    be_status (*sequence)(gpu_driver *, const gpu_launch *, int count, gpu_sequence **out,
                          be_error *);
    /* The same, of what is replayed so often that the driver may find out while it is how the
     * launches follow one another best.  NULL: as `sequence`. */
    be_status (*step)(gpu_driver *, const gpu_launch *, int count, gpu_sequence **out, be_error *);
    be_status (*replay)(gpu_driver *, gpu_sequence *, int64_t times, be_error *);
    /* How the launches of a `step` follow one another, for people; lives as long as the sequence.
     * NULL: it is not found out yet.  Where the pointer is NULL there is one way only. */
    const char *(*order)(const gpu_driver *, const gpu_sequence *);
    void (*sequence_free)(gpu_driver *, gpu_sequence *);

    /* A feed: at most GPU_FEED_SLOTS slots of `bytes` of host memory, pinned if the driver can,
     * from which the device copies while it works.  Freeing waits for the copies. */
    be_status (*feed_new)(gpu_driver *, size_t bytes, int slots, gpu_feed **out, be_error *err);
    void (*feed_free)(gpu_driver *, gpu_feed *);
    /* Wait until the device has taken what was last sent from the slot, and give the slot's memory
     * to be filled. */
    be_status (*feed_claim)(gpu_driver *, gpu_feed *, int slot, void **memory, be_error *err);
    /* Copy from the slot: after the work that was handed over before the last feed_release of this
     * slot, beside the work of between, and before all that is handed over later. */
    be_status (*feed_send)(gpu_driver *, gpu_feed *, int slot, const gpu_copy *, int count,
                           be_error *err);
    /* The work handed over so far is the last that needs what was sent from the slot. */
    be_status (*feed_release)(gpu_driver *, gpu_feed *, int slot, be_error *err);

    /* Copy between the device and memory that feed_claim gave, as a launch does its work: in its
     * place in the queue, while the host goes on.  NULL where nothing is computed. */
    be_status (*transfer)(gpu_driver *, gpu_span device, void *host, bool to_host, be_error *err);

    /* Wait for all work; an error of it is reported here at the latest. */
    be_status (*synchronise)(gpu_driver *, be_error *);

    /* Meet the other ranks of a group, all of which do so; again with the same group does nothing.
     * `implementation`: what adds up, for people.  NULL: the driver cannot. */
    be_status (*join)(gpu_driver *, be_group *, const char **implementation, be_error *);
    /* The same by the memory of the host, for ranks of this process that are devices of different
     * kinds (group_is_cut); `bytes`: of a mean that will be handed over.  NULL: likewise. */
    be_status (*join_host)(gpu_driver *, be_group *, size_t bytes, be_error *);
    /* Hand over a mean of these f32 over the ranks joined: all ranks get the same bits, and the
     * same ones for the same numbers again. */
    be_status (*mean)(gpu_driver *, gpu_span, be_error *);
} gpu_driver_vtable;

/* The search of a driver's library for its fastest ways: done now, known from before, left undone
 * for want of time, and how long it took. */
typedef struct gpu_search_count {
    int searched, kept, cut;
    int64_t ns;
} gpu_search_count;

/* The first member of every driver's own struct.  The driver fills it when it is opened. */
struct gpu_driver {
    const gpu_driver_vtable *vtable;
    const char *dialect; /* text that is put before every kernel file */
    gpu_facts facts;
    double tune_seconds;     /* for gpu_tune.h, where nobody says otherwise; < 0: never */
    gpu_search_count search; /* until now, counted by the driver */
    int64_t launches;        /* kernels run so far, counted by the driver */
    int64_t fed_bytes;       /* sent from feeds so far, counted by the driver */
    int64_t read_bytes;      /* downloaded so far, and */
    int64_t waits;           /* how often the host waited so far: counted by the driver */
};

#endif
