/* The GPU runtime that both drivers share, as an op's implementation and a driver's opening
 * function see it.
 *
 * A file NAME.gpu.c in src/ops holds kernels in the dialect (docs/kernel-dialect.md); its text is
 * embedded as gpu_source_NAME.  Beside it NAME_gpu.c, the host side, defines GPU_KERNEL(op): which
 * sizes the kernels are compiled for, how much scratch they need, and the launches.  Images lie
 * plainly or with the channels last, as gpu_layouts.c says. */
#ifndef BACKEND_GPU_GPU_H
#define BACKEND_GPU_GPU_H

#include "backend/gpu/gpu_driver.h"
#include "graph/device.h"
#include "ops/op_list.h"

/* A kernel file, embedded at build. */
typedef struct gpu_source {
    const char *file; /* path under src, for messages */
    const char *text;
} gpu_source;

#define GPU_MAX_SOURCES 4
#define GPU_MAX_UNITS 5
#define GPU_MAX_CHOICES 2

/* Kernel files that are compiled together, for one choice of sizes. */
typedef struct gpu_unit {
    const gpu_source *sources[GPU_MAX_SOURCES];
    const char *defines; /* lines of #define */
    int group;           /* work items of a group */
} gpu_unit;

/* Several ways to do a part of an op, one of which prepare takes (gpu_choose). */
typedef struct gpu_choice {
    int ways;      /* how many there are */
    uint64_t hash; /* of all of them */
} gpu_choice;

/* Memory that keeps its contents until the next step, one for all nodes that ask for the same: what
 * no layer changes is computed once.  Of these nodes the first by order fills it. */
typedef struct gpu_shared {
    const void *what; /* by whose rules it is filled; NULL: nothing is asked for */
    int64_t from[4];  /* and from what */
    size_t bytes;
} gpu_shared;

/* One node made ready. */
typedef struct gpu_call {
    gpu_driver *driver;
    const gpu_facts *facts;
    const graph_node *node;
    const void *attrs;
    be_precision precision;                              /* of products */
    be_shape in_shape[OP_MAX_IN], out_shape[OP_MAX_OUT]; /* rank −1: absent */
    value_layout in_layout[OP_MAX_IN], out_layout[OP_MAX_OUT];
    arena *memory;
    bool is_dry;                 /* nothing may run on the device while it is prepared */
    bool is_in_place;            /* an output overwrites an input (be_op.in_place) */
    bool has_library;            /* the plan takes products from one */
    bool rounds;                 /* LOAD rounds the operands of products: see gpu_kernel */
    int forced_group;            /* 0, or the group size that a test wants */
    int wanted[GPU_MAX_CHOICES]; /* which way to take of each choice */
    /* data_batch in the streamed mode: the places of the whole order, while the shapes are those of
     * the rings that hold the batches at hand; else 0. */
    int64_t streamed_order;

    /* Set by prepare. */
    gpu_choice choices[GPU_MAX_CHOICES];
    int choice_count;
    gpu_unit units[GPU_MAX_UNITS];
    int unit_count;
    size_t scratch_bytes;
    gpu_shared shared;
    void *state;                  /* the implementation's own, from `memory` */
    void (*release)(void *state); /* gives back what it made for it, also if it fails; or NULL */
    /* Set where conversions stand around it (gpu_widen.h): where they find f32 in scratch. */
    size_t wide_in[OP_MAX_IN], wide_out[OP_MAX_OUT];
    int widen_unit;
    const char *implementation; /* with a version; NULL: as its gpu_kernel says */

    /* Set before record. */
    gpu_span in[OP_MAX_IN], out[OP_MAX_OUT], scratch; /* scratch is shared with all other nodes */
    gpu_span shared_span;
    bool fills_shared; /* this node is the first */
} gpu_call;

typedef struct gpu_recorder gpu_recorder;

typedef struct gpu_kernel {
    const char *implementation;
    unsigned precisions; /* bit p: multiplies in be_precision p, too; … */
    bool no_fp32;        /* … all others do so in fp32 */
    /* Bit p: in be_precision p LOAD(IN0 …) rounds the operands of its products that are f32.  In
     * tf32 our own kernel takes so what the library has nothing for; in bf16 it needs no copies of
     * them where it computes a node beside a library (gpu_rounds). */
    unsigned rounds;
    bool is_wide; /* knows f32 alone where be_op.narrow_in, narrow_out allow bf16 */
    /* Refuse with the reason (BE_UNAVAILABLE), or choose units and scratch. */
    be_status (*prepare)(gpu_call *call, be_error *err);
    /* Give the launches of one step to the recorder. */
    be_status (*record)(const gpu_call *call, gpu_recorder *recorder, be_error *err);
} gpu_kernel;

/* Refuse a node whose products the implementation cannot do in their precision. */
be_status gpu_check_precision(const gpu_call *call, const gpu_kernel *kernel, be_error *err);

#define GPU_KERNEL(op) gpu_##op
#define GPU_IMPLEMENTATION "native gpu"

/* Sets of precisions: our own products read bf16 operands, NVIDIA's libraries multiply in tf32 too.
 */
#define GPU_TF32 (1u << BE_PRECISION_TF32)
#define GPU_BF16 (1u << BE_PRECISION_BF16)
#define GPU_TF32_BF16 (GPU_TF32 | GPU_BF16)

/* For prepare: add a unit.  Its group size is `group`, or what a test forces, or what the device
 * allows; kernels see it as GROUP.  `defines`: "NAME=value NAME=value …" by printf, a value at
 * least for each of the PARAMETERS of the sources; those that none of them names are left out.
 * Sources that mention IN0 … OUT0 … get the types of these operands.  `sources` ends with NULL. */
be_status gpu_use(gpu_call *call, const gpu_source *const *sources, int group, be_error *err,
                  const char *defines, ...) __attribute__((format(printf, 5, 6)));

/* "NAME_T=float NAME_TYPE=F32": the type of memory that a source calls NAME, for `defines` of
 * gpu_use, where it is not that of one operand of the op. */
const char *gpu_type_words(const char *name, be_dtype dtype, char text[64]);

/* The same for an operand of a product, which LOAD rounds if the call does so. */
const char *gpu_operand_words(const gpu_call *call, const char *name, be_dtype dtype,
                              char text[64]);

#define GPU_SOURCES(...)        \
    (const gpu_source *const[]) \
    {                           \
        __VA_ARGS__, NULL       \
    }

/* The group size that gpu_use would take. */
int gpu_group(const gpu_call *call, int wanted);

/* For prepare: which of `ways` ways to do a part of the op, 0 being the best guess.  `hash` is of
 * what the ways are, so that what was found for others is not taken for these. */
int gpu_choose(gpu_call *call, int ways, uint64_t hash);

/* Groups for `items` pieces of work at `each` a group; at most `most` a multiprocessor. */
int gpu_groups(const gpu_call *call, int64_t items, int64_t each, int most);

/* One launch of a kernel of a unit. */
typedef struct gpu_unit_launch {
    int unit; /* the first that prepare added is 0 */
    const char *kernel;
    int groups;
    int argument_count;
    const gpu_argument *arguments; /* both by GPU_ARGUMENTS(…) */
} gpu_unit_launch;

/* For record. */
be_status gpu_record(gpu_recorder *recorder, const gpu_call *call, const gpu_unit_launch *what,
                     be_error *err);

/* The same for a task, which lives as long as the call; NULL in a dry run. */
be_status gpu_record_task(gpu_recorder *recorder, const gpu_task *task, int argument_count,
                          const gpu_argument *arguments, be_error *err);

/* Nothing is allocated: the spans of the call are empty. */
bool gpu_is_dry(const gpu_recorder *recorder);

#define GPU_ARGUMENTS(...)                                                                      \
    (int)(sizeof((gpu_argument[]){__VA_ARGS__}) / sizeof(gpu_argument)), (const gpu_argument[]) \
    {                                                                                           \
        __VA_ARGS__                                                                             \
    }

static inline gpu_argument gpu_reads(gpu_span span)
{
    return (gpu_argument){.kind = GPU_ARGUMENT_SPAN, .span = span};
}

static inline gpu_argument gpu_writes(gpu_span span)
{
    return (gpu_argument){.kind = GPU_ARGUMENT_SPAN, .out = true, .span = span};
}

static inline gpu_argument gpu_int(int64_t value)
{
    return (gpu_argument){.kind = GPU_ARGUMENT_I32, .i32 = (int32_t)value};
}

static inline gpu_argument gpu_float(double value)
{
    return (gpu_argument){.kind = GPU_ARGUMENT_F32, .f32 = (float)value};
}

/* A part of a span. */
static inline gpu_span gpu_part(gpu_span span, size_t offset, size_t bytes)
{
    MUST(span.buffer == 0 || offset + bytes <= span.bytes);
    return (gpu_span){span.buffer, span.offset + offset, bytes};
}

/* Implementations that are tried before our own kernels: those of a driver's libraries. */
typedef struct gpu_library {
    const gpu_kernel *const *table; /* in the order of op_table; NULL where there is none */
    /* Whether the node and its user are wanted in the place of `op`, which is both; NULL: of none.
     * `is_asked_for`: the user named the library, the precision did not bring it.  Without a graph:
     * in general. */
    bool (*parts)(const be_graph *g, const graph_node *node, const be_op *op, bool is_asked_for);
    /* Whether our own kernels are wanted for this node, unless the user asked for the library;
     * NULL: for none that it takes. */
    bool (*leaves)(const be_graph *g, const graph_node *node);
    bool tensor_layouts; /* tensor cores want images of bf16 and odd rows as gpu_layouts.c says */
} gpu_library;

/* A product made ready by a driver's library, by which the peak of a precision is measured. */
typedef struct gpu_peak {
    double flops; /* of starting it once */
    be_status (*start)(const struct gpu_peak *, be_error *err);
    void (*free)(struct gpu_peak *);
} gpu_peak;

/* A device on an opened driver, which it then owns, and closes on failure too. */
typedef struct gpu_device {
    be_device base;
    gpu_driver *driver;
    const gpu_library *library; /* NULL: our own kernels alone */
    /* The library of products in tf32 and of bf16 operands where `library` is NULL; BE_UNAVAILABLE
     * with the reason where there is none here.  NULL: the driver knows none. */
    be_status (*narrow)(struct gpu_device *, const gpu_library **out, be_error *err);
    /* BE_UNAVAILABLE where no library has such products.  NULL: the driver knows none. */
    be_status (*peak)(struct gpu_device *, be_precision, gpu_peak **out, be_error *err);
    int forced_group;  /* for tests; 0: as the ops want it */
    int forced_way;    /* for tests; 0: as it was found out, or guessed */
    int stream_steps;  /* for tests: steps of a slot in the streamed mode; 0: as many as fit */
    double tune_limit; /* seconds for the search of a plan (gpu_tune.h) */
    struct gpu_reference *reference; /* made when it is first asked for (gpu_reference.h) */
    char id[24];
} gpu_device;

/* BE_UNAVAILABLE where the hardware is too old for a library to multiply so. */
BE_CHECKED be_status gpu_knows(const gpu_device *device, be_precision precision, be_error *err);

/* The library of a program in this precision, or NULL: what the user asked for, and where nothing
 * was asked for, in tf32 and bf16 the one that multiplies on units made for it.  BE_UNAVAILABLE for
 * tf32 without it. */
be_status gpu_library_find(gpu_device *device, be_precision precision, const gpu_library **out,
                           be_error *err);

/* See lower_target. */
void gpu_layouts(const void *device, const be_graph *g, const graph_node *node,
                 value_layout in[OP_MAX_IN], value_layout out[OP_MAX_OUT]);
bool gpu_mixes(const void *device, const be_graph *g, const graph_node *node);
bool gpu_rounds(const void *device, const be_graph *g, const graph_node *node);

/* The elements of a value in reading order, however it lies; by way of a copy where not plainly. */
be_status gpu_read_plain(gpu_driver *driver, gpu_span span, const graph_value *value, void *data,
                         size_t bytes, be_error *err);

/* Whether the program's library leaves the node to our own kernels. */
bool gpu_leaves(const gpu_device *device, const gpu_library *library, const be_graph *g,
                const graph_node *node);

/* See device_vtable. */
bool gpu_has(const void *device, be_precision precision, const be_graph *g, const graph_node *node,
             const be_op *op);

int gpu_op_index(const be_op *op); /* in op_table */

/* "native + cuDNN 9.14.0": all that take part; returns the length of the whole. */
size_t gpu_implementations_text(const gpu_call *calls, size_t count, char *out, size_t room);

be_status gpu_device_new(gpu_driver *driver, const char *id, be_device **out, be_error *err);

/* See device_vtable. */
be_status gpu_probe_new(be_device *device, device_probe **out, be_error *err);
void gpu_probe_free(device_probe *probe);
be_status gpu_probe_run(device_probe *probe, probe_kind kind, int64_t times, be_error *err);

extern const device_vtable gpu_vtable;

/* The dialect for each target: the text that goes before a kernel file. */
extern const gpu_source gpu_source_dialect_cuda, gpu_source_dialect_host, gpu_source_dialect_opencl;

/* The implementations, in the order of op_table; NULL where there is none. */
extern const gpu_kernel *const gpu_table[OP_COUNT];

#endif
