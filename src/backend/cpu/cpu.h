/* The CPU backend as an op's implementation sees it.
 *
 * Files NAME_cpu.c in src/ops are compiled once for each instruction set (CPU_ISA is generic, avx2
 * or avx512) and define kernels CPU_KERNEL(op); the device takes the table of the best set that the
 * CPU has.  Files NAME_onednn.c are compiled once and define ONEDNN_KERNEL(op). */
#ifndef BACKEND_CPU_CPU_H
#define BACKEND_CPU_CPU_H

#include <oneapi/dnnl/dnnl.h>

#include "graph/device.h"
#include "ops/op_list.h"

typedef enum cpu_isa { CPU_GENERIC, CPU_AVX2, CPU_AVX512, CPU_ISA_COUNT } cpu_isa;
typedef enum cpu_library { CPU_ANY_LIBRARY, CPU_NATIVE_ONLY, CPU_ONEDNN_ONLY } cpu_library;

typedef struct cpu_device {
    be_device base;
    cpu_isa isa;
    cpu_library library;
    value_layout block; /* the blocked layout of this instruction set */
    dnnl_engine_t engine;
    dnnl_stream_t stream;
    char name[128];
} cpu_device;

/* One node made ready: everything that a kernel needs in order to run. */
typedef struct cpu_call {
    const cpu_device *device;
    const graph_node *node;
    const void *attrs;
    be_shape in_shape[OP_MAX_IN], out_shape[OP_MAX_OUT]; /* rank −1: absent */
    value_layout in_layout[OP_MAX_IN], out_layout[OP_MAX_OUT];
    const void *in[OP_MAX_IN];
    void *out[OP_MAX_OUT];
    int64_t out_elements; /* of output 0, padding included */
    int threads;
    void *scratch;              /* 64-byte aligned; shared with all other nodes */
    size_t scratch_bytes;       /* set by prepare */
    void *state;                /* the implementation's own, set by prepare */
    const char *implementation; /* set by prepare where another one has a part in it; or NULL */
} cpu_call;

typedef struct cpu_kernel {
    const char *implementation;
    /* Bit p: it multiplies in be_precision p, too.  All do so in fp32, and ops without products
     * are the same in every precision. */
    unsigned precisions;
    /* Refuse with the reason, or BE_OK; NULL accepts all. */
    be_status (*accept)(const cpu_device *device, const be_graph *g, const graph_node *node,
                        be_error *reason);
    /* Layouts wanted and given, all PLAIN on entry; NULL leaves them. */
    void (*layouts)(const cpu_device *device, const be_graph *g, const graph_node *node,
                    value_layout in[OP_MAX_IN], value_layout out[OP_MAX_OUT]);
    /* Choose, create primitives, book scratch; no operand has an address yet.  May be NULL. */
    be_status (*prepare)(cpu_call *call, arena *memory, be_error *err);
    be_status (*run)(const cpu_call *call, be_error *err);
    /* Begin with it before its turn, once the nodes before it are done with its operands; what it
     * began `run` ends.  May be NULL. */
    be_status (*begin)(const cpu_call *call, be_error *err);
    void (*release)(cpu_call *call); /* what prepare made outside the arena; may be NULL */
} cpu_kernel;

#ifndef CPU_ISA
#define CPU_ISA generic
#endif
#define CPU_JOIN_(op, isa) cpu_##op##_##isa
#define CPU_JOIN(op, isa) CPU_JOIN_(op, isa)
#define CPU_TEXT_(a) #a
#define CPU_TEXT(a) CPU_TEXT_(a)
#define CPU_KERNEL(op) CPU_JOIN(op, CPU_ISA)
#define CPU_NATIVE "native " CPU_TEXT(CPU_ISA)
#define ONEDNN_KERNEL(op) CPU_JOIN(op##_onednn, CPU_ISA)

/* For elementwise kernels: all operands in the layout of input 0. */
void cpu_layouts_of_input(const cpu_device *device, const be_graph *g, const graph_node *node,
                          value_layout in[OP_MAX_IN], value_layout out[OP_MAX_OUT]);

/* The instruction sets that this program has kernels for, in the order of cpu_isa. */
#if defined(__x86_64__)
#define CPU_ISA_LIST(X) X(generic) X(avx2) X(avx512)
#else
#define CPU_ISA_LIST(X) X(generic)
#endif

/* The best instruction set of this CPU, and its text. */
cpu_isa cpu_isa_detect(void);
const char *cpu_isa_text(cpu_isa isa);

/* The implementation for a node: the first of the op's list that accepts it.  BE_UNAVAILABLE with
 * all reasons if none does. */
be_status cpu_choose(const cpu_device *device, const be_graph *g, const graph_node *node,
                     const cpu_kernel **out, be_error *err);
bool cpu_has(const cpu_device *device, const be_op *op);

/* BE_UNAVAILABLE with the reason where oneDNN has no bf16 arithmetic on this processor. */
be_status cpu_onednn_has_bf16(const cpu_device *device, be_error *err);

/* Text of a oneDNN status. */
be_status cpu_onednn_fail(be_error *err, const char *what, dnnl_status_t status);

/* BE_NUMERIC if a product or a convolution of oneDNN on the device's threads is not what plain
 * loops give.  Within a team of these threads. */
be_status cpu_check(const cpu_device *device, be_error *err);

/* device_vtable.reference */
be_status cpu_reference(be_device *device, int64_t *wall_ns, be_error *err);

/* The inner loops of the probes, compiled for each instruction set; one thread's part. */
typedef struct cpu_probe_loops {
    double flops; /* of one round of the arithmetic */
    float (*arithmetic)(int64_t rounds, float factor, float add);
    void (*scale)(float *x, int64_t count, float factor); /* x[i] *= factor for i < count */
} cpu_probe_loops;

be_status cpu_probe_new(be_device *device, device_probe **out, be_error *err);
void cpu_probe_free(device_probe *probe);
be_status cpu_probe_run(device_probe *probe, probe_kind kind, int64_t times, be_error *err);

extern const device_vtable cpu_vtable;

#endif
