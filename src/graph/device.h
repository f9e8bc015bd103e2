/* What a device is to the graph layer: an interface that each backend fills.  Nothing here knows a
 * concrete backend. */
#ifndef GRAPH_DEVICE_H
#define GRAPH_DEVICE_H

#include "graph/passes.h"

/* A lowered graph made ready on a device: memory, kernels, order.  Each backend has its own. */
typedef struct program program;

typedef struct program_options {
    program *share; /* its block of weights is used, or NULL */
    bool dry_run;
    bool data_on_host; /* see be_plan_options */
} program_options;

typedef struct device_counts {
    int64_t launches;
    int64_t waits; /* of the host, for the device */
    int64_t upload_bytes, download_bytes;
} device_counts;

/* For all steps together; wall_ns is the sum of the others, but for what is not known. */
typedef struct device_times {
    int64_t wall_ns;          /* as `run` takes it */
    int64_t *node_ns;         /* a place for each node */
    int64_t upload_ns;        /* copies to the device that nothing hides */
    int64_t idle_host_ns;     /* the device waits for the host; -1: cannot be told apart */
    int64_t idle_other_ns;    /* what is left */
    device_counts counts;     /* of the steps alone */
    const char *launch_order; /* see be_plan_times */
} device_times;

/* Work of known amounts, by which the limits of a device are measured.  A backend prepares it all
 * at once; the clock is read by who asks for it. */
#define PROBE_KIND_LIST(X)                                             \
    X(ARITHMETIC, "multiply-adds in registers")                        \
    X(TF32, "a product in tf32")                                       \
    X(BF16, "a product of bf16 operands")                              \
    X(MEMORY, "reading and writing far beyond the caches")             \
    X(CACHE, "a working set that stays in the last-level cache")       \
    X(LAUNCH, "launches of a tiny kernel, each waiting for the last")  \
    X(UPLOAD, "copies of transfer_bytes to the device, one at a time") \
    X(DOWNLOAD, "copies of transfer_bytes from the device, one at a time")

typedef enum probe_kind {
#define X(id, text) PROBE_##id,
    PROBE_KIND_LIST(X)
#undef X
        PROBE_KIND_COUNT
} probe_kind;

/* The first member of every backend's own struct. */
typedef struct device_probe {
    be_device *device;
    /* Of doing a kind once: FLOP, bytes read and written, launches, bytes copied (but see
     * transfer_bytes); 0: the device has nothing of the kind, or its size is not known. */
    double amount[PROBE_KIND_COUNT];
    int64_t most_launches;       /* `times` of a LAUNCH */
    int64_t transfer_most_bytes; /* 0: host and device share their memory */
    int64_t transfer_bytes;      /* set by the user, at most that */
} device_probe;

typedef struct device_vtable {
    void (*close)(be_device *device);
    /* A fixed piece of arithmetic on all of the device, waited for: how long it takes. */
    be_status (*reference)(be_device *device, int64_t *wall_ns, be_error *err);
    /* Whether it can run the op, where products are in this precision; with a graph whether its
     * node should become that op (see lower_target). */
    bool (*has)(const void *device, be_precision precision, const be_graph *g,
                const graph_node *node, const be_op *op);
    void (*layouts)(const void *device, const be_graph *g, const graph_node *node,
                    value_layout in[OP_MAX_IN], value_layout out[OP_MAX_OUT]);
    /* See lower_target; NULL: no result is kept in bf16. */
    bool (*mixes)(const void *device, const be_graph *g, const graph_node *node);
    /* See lower_target; NULL: no node does. */
    bool (*rounds)(const void *device, const be_graph *g, const graph_node *node);
    /* The graph and the map live as long as the program. */
    be_status (*build)(be_device *device, const be_graph *g, const memory_map *map,
                       const program_options *options, program **out, be_error *err);
    void (*free)(program *p);
    be_status (*write)(program *p, be_value value, const void *data, size_t bytes, be_error *err);
    be_status (*read)(program *p, be_value value, void *data, size_t bytes, be_error *err);
    be_status (*bind)(program *p, be_value value, const void *data, size_t bytes, be_error *err);
    /* `checked`: look at every result, BE_NUMERIC at the first that is not finite. */
    be_status (*run)(program *p, int64_t steps, bool checked, be_error *err);
    /* Where the time of `steps` steps goes.  Leaves parameters, states and clock changed. */
    be_status (*time)(program *p, int64_t steps, device_times *times, be_error *err);
    /* Since the device was opened. */
    device_counts (*counts)(const program *p);
    int (*launches)(const program *p, int node); /* a step */
    /* launches, scratch_bytes, implementation */
    void (*describe)(const program *p, be_plan_facts *facts);
    const char *(*implementation)(const program *p, int node);
    /* BE_UNAVAILABLE with the reason where nothing can be measured. */
    be_status (*probe_new)(be_device *device, device_probe **out, be_error *err);
    void (*probe_free)(device_probe *probe);
    /* Do a kind `times` times and wait for it.  What the first time with this number has to make is
     * made in that time. */
    be_status (*probe_run)(device_probe *probe, probe_kind kind, int64_t times, be_error *err);
} device_vtable;

/* The first member of every backend's own device struct. */
struct be_device {
    const device_vtable *vtable;
    const be_op *reorder; /* NULL: the device keeps everything plain */
    const char *id, *name;
    int threads;
    int late_nodes; /* for memory_plan */
    bool is_apart;  /* its memory is not that of the host */
};

/* Put a plain tensor of any element type into another layout and back; channels that do not exist
 * become zero, and what is between rows stays as it is. */
void layout_pack(const void *from, void *to, const be_shape *shape, value_layout layout);
void layout_unpack(const void *from, void *to, const be_shape *shape, value_layout layout);

/* The same for elements of 1, 2 or 4 bytes, whatever they are. */
void layout_pack_bytes(const void *from, void *to, const be_shape *shape, value_layout layout,
                       size_t bytes);
void layout_unpack_bytes(const void *from, void *to, const be_shape *shape, value_layout layout,
                         size_t bytes);

#endif
