/* Work of known amounts on a GPU, for both drivers: the kernels of probe.gpu.c, and copies as the
 * engine makes them (to the device from a feed's memory, from it as results are read).
 *
 * Owns what it allocates on the device until it is freed: a buffer to stream, small ones, a feed.
 */
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "backend/gpu/gpu.h"
#include "core/topology.h"

#define GROUPS_PER_UNIT 8
#define STEPS 16 /* as in the kernel file */
#define MEMORY_MOST ((size_t)256 << 20)
#define TRANSFER_MOST ((size_t)64 << 20)
#define LAUNCHES 1024
#define LISTS 2 /* of launches that are kept ready */

extern const gpu_source gpu_source_probe;

typedef struct gpu_probe {
    device_probe base;
    gpu_driver *driver;
    int group, groups, width, chains; /* see the kernel file */
    gpu_module *module;
    const gpu_function *arithmetic, *scale, *read, *tiny;
    gpu_buffer memory, results;
    size_t memory_bytes, results_bytes;
    int slice_chunks, cache_chunks;
    int slices, slice;          /* the parts in which the memory is streamed, and the next one */
    gpu_sequence *lists[LISTS]; /* of as many launches as … */
    int64_t counts[LISTS];
    int next_list;
    gpu_feed *feed;
    gpu_peak *peaks[2]; /* in tf32, in bf16; NULL: no library has such products */
} gpu_probe;

/* ---------------------------------------------------------------- making it ready */

static be_status compile(gpu_probe *p, be_error *err)
{
    const gpu_driver_vtable *vt = p->driver->vtable;
    arena *memory = NULL;
    gpu_text text = {.name = gpu_source_probe.file};
    TRY(arena_new(&memory, err));
    be_status status = arena_printf(
        memory, &text.text, err,
        "%s\n#define GROUP %d\n#define WIDTH %d\n#define CHAINS %d\n#line 1 \"%s\"\n%s\n",
        p->driver->dialect, p->group, p->width, p->chains, gpu_source_probe.file,
        gpu_source_probe.text);
    if (status == BE_OK) status = vt->compile(p->driver, &text, 1, &p->module, err);
    arena_free(memory);
    TRY(status);
    TRY(vt->function(p->driver, p->module, "probe_arithmetic", &p->arithmetic, err));
    TRY(vt->function(p->driver, p->module, "probe_scale", &p->scale, err));
    TRY(vt->function(p->driver, p->module, "probe_read", &p->read, err));
    return vt->function(p->driver, p->module, "probe_tiny", &p->tiny, err);
}

/* A GPU hides the time of an operation behind that of other items.  A processor behind OpenCL does
 * its items in turn, and has its vectors from what one item does side by side. */
static void choose_form(gpu_probe *p, int forced_group)
{
    const gpu_facts *f = &p->driver->facts;
    p->group = f->is_cpu ? 1 : 256;
    p->width = f->is_cpu ? 64 : 8;
    p->chains = f->is_cpu ? 96 : 16;
    if (forced_group) p->group = forced_group;
    if (p->group > f->group_max) p->group = f->group_max;
}

/* Beyond any cache of a GPU; a processor behind OpenCL may have larger ones. */
static void choose_sizes(gpu_probe *p)
{
    const gpu_facts *f = &p->driver->facts;
    size_t chunk = (size_t)p->width * (size_t)p->group * sizeof(float),
           bytes = f->memory_bytes / 64;
    if (f->is_cpu && topology_get()->last_cache_bytes > 0)
        bytes = 4 * (size_t)topology_get()->last_cache_bytes;
    if (bytes > MEMORY_MOST) bytes = MEMORY_MOST;
    if (bytes > f->buffer_max_bytes) bytes = f->buffer_max_bytes;
    /* Short pieces of work on a processor fit between what disturbs it. */
    p->slices = f->is_cpu ? 16 : 1;
    p->slice_chunks = (int)(bytes / (chunk * (size_t)p->slices));
    if (p->slice_chunks < 1) p->slice_chunks = 1;
    p->memory_bytes = (size_t)p->slice_chunks * (size_t)p->slices * chunk;
    p->cache_chunks = (int)(fmin((double)f->cache_bytes / 4, (double)p->memory_bytes) / chunk);
    p->groups = f->units * GROUPS_PER_UNIT;
    p->results_bytes = (size_t)p->groups * (size_t)p->group * sizeof(float);
    device_probe *b = &p->base;
    double items = (double)p->groups * p->group;
    b->transfer_most_bytes =
        (int64_t)(p->memory_bytes < TRANSFER_MOST ? p->memory_bytes : TRANSFER_MOST);
    b->amount[PROBE_ARITHMETIC] = items * p->chains * STEPS * 2.0;
    b->amount[PROBE_MEMORY] = 2.0 * (double)(p->memory_bytes / (size_t)p->slices);
    b->amount[PROBE_CACHE] = p->cache_chunks > 0 ? items * p->width * sizeof(float) : 0.0;
    b->amount[PROBE_LAUNCH] = b->amount[PROBE_UPLOAD] = b->amount[PROBE_DOWNLOAD] = 1.0;
    b->most_launches = LAUNCHES;
}

static be_status allocate(gpu_probe *p, be_error *err)
{
    const gpu_driver_vtable *vt = p->driver->vtable;
    size_t most = (size_t)p->base.transfer_most_bytes;
    TRY(vt->alloc(p->driver, p->memory_bytes, "memory to measure its speed", &p->memory, err));
    TRY(vt->clear(p->driver, p->memory, 0, p->memory_bytes, err));
    TRY(vt->alloc(p->driver, p->results_bytes, "results of measuring", &p->results, err));
    TRY(vt->clear(p->driver, p->results, 0, p->results_bytes, err));
    return vt->feed_new(p->driver, most, 1, &p->feed, err);
}

/* The products of a library, where there is one. */
static be_status add_peaks(gpu_probe *p, gpu_device *device, be_error *err)
{
    static const struct {
        be_precision precision;
        probe_kind kind;
    } peaks[] = {{BE_PRECISION_TF32, PROBE_TF32}, {BE_PRECISION_BF16, PROBE_BF16}};
    for (int i = 0; i < 2 && device->peak; i++) {
        be_error reason = {.status = BE_OK};
        be_status status = device->peak(device, peaks[i].precision, &p->peaks[i], &reason);
        if (status == BE_UNAVAILABLE || status == BE_NO_MEMORY) continue;
        if (status != BE_OK && err) *err = reason;
        TRY(status);
        p->base.amount[peaks[i].kind] = p->peaks[i]->flops;
    }
    return BE_OK;
}

be_status gpu_probe_new(be_device *device, device_probe **out, be_error *err)
{
    gpu_device *gpu = (gpu_device *)device;
    const gpu_facts *facts = &gpu->driver->facts;
    void *memory = NULL;
    *out = NULL;
    if (facts->is_null)
        FAIL(err, BE_UNAVAILABLE,
             "%s: it computes nothing, so it has no speed to measure; name another device",
             device->id);
    TRY(memory_alloc(&memory, sizeof(gpu_probe), "a probe", err));
    gpu_probe *p = memory;
    p->base.device = device;
    p->driver = gpu->driver;
    choose_form(p, gpu->forced_group);
    choose_sizes(p);
    be_status status = allocate(p, err);
    if (status == BE_OK) status = compile(p, err);
    if (status == BE_OK) status = add_peaks(p, gpu, err);
    if (status == BE_OK)
        *out = &p->base;
    else
        gpu_probe_free(&p->base);
    return status;
}

void gpu_probe_free(device_probe *probe)
{
    gpu_probe *p = (gpu_probe *)probe;
    if (!p) return;
    const gpu_driver_vtable *vt = p->driver->vtable;
    for (int i = 0; i < LISTS; i++)
        if (p->lists[i]) vt->sequence_free(p->driver, p->lists[i]);
    for (int i = 0; i < 2; i++)
        if (p->peaks[i]) p->peaks[i]->free(p->peaks[i]);
    if (p->feed) vt->feed_free(p->driver, p->feed);
    if (p->memory) vt->free(p->driver, p->memory);
    if (p->results) vt->free(p->driver, p->results);
    if (p->module) vt->module_free(p->driver, p->module);
    memory_free(p);
}

/* ---------------------------------------------------------------- doing it */

static be_status run_arithmetic(gpu_probe *p, int64_t times, be_error *err)
{
    gpu_launch launch = {.function = p->arithmetic,
                         .groups = p->groups,
                         .group = p->group,
                         .argument_count = 4,
                         .arguments = {gpu_writes((gpu_span){p->results, 0, p->results_bytes}),
                                       gpu_int(times), gpu_float(0.75), gpu_float(0.25)}};
    return p->driver->vtable->launch(p->driver, &launch, err);
}

static be_status run_peak(const gpu_peak *peak, int64_t times, be_error *err)
{
    for (int64_t t = 0; t < times; t++) TRY(peak->start(peak, err));
    return BE_OK;
}

static be_status run_tf32(gpu_probe *p, int64_t times, be_error *err)
{
    return run_peak(p->peaks[0], times, err);
}

static be_status run_bf16(gpu_probe *p, int64_t times, be_error *err)
{
    return run_peak(p->peaks[1], times, err);
}

static be_status run_memory(gpu_probe *p, int64_t times, be_error *err)
{
    size_t bytes = p->memory_bytes / (size_t)p->slices;
    gpu_launch launch = {.function = p->scale,
                         .groups = p->driver->facts.is_cpu ? p->groups : p->slice_chunks,
                         .group = p->group,
                         .argument_count = 3,
                         .arguments = {{0}, gpu_int(p->slice_chunks), gpu_float(1.0)}};
    for (int64_t t = 0; t < times; t++) {
        launch.arguments[0] = gpu_writes((gpu_span){p->memory, (size_t)p->slice * bytes, bytes});
        p->slice = (p->slice + 1) % p->slices;
        TRY(p->driver->vtable->launch(p->driver, &launch, err));
    }
    return BE_OK;
}

static be_status run_cache(gpu_probe *p, int64_t times, be_error *err)
{
    size_t bytes = (size_t)p->cache_chunks * (size_t)p->width * (size_t)p->group * sizeof(float);
    gpu_launch launch = {.function = p->read,
                         .groups = p->groups,
                         .group = p->group,
                         .argument_count = 4,
                         .arguments = {gpu_reads((gpu_span){p->memory, 0, bytes}),
                                       gpu_writes((gpu_span){p->results, 0, p->results_bytes}),
                                       gpu_int(p->cache_chunks), gpu_int(times)}};
    return p->driver->vtable->launch(p->driver, &launch, err);
}

/* A list of `count` launches, each of which reads what the last one wrote. */
static be_status make_list(gpu_probe *p, int64_t count, gpu_sequence **out, be_error *err)
{
    const gpu_driver_vtable *vt = p->driver->vtable;
    void *memory = NULL;
    TRY(memory_alloc(&memory, (size_t)count * sizeof(gpu_launch), "launches", err));
    gpu_launch *launches = memory;
    for (int64_t i = 0; i < count; i++)
        launches[i] =
            (gpu_launch){.function = p->tiny,
                         .groups = 1,
                         .group = p->group,
                         .argument_count = 1,
                         .arguments = {gpu_writes((gpu_span){p->results, 0, sizeof(float)})}};
    be_status status = vt->sequence(p->driver, launches, (int)count, out, err);
    memory_free(memory);
    return status;
}

static be_status run_launches(gpu_probe *p, int64_t times, be_error *err)
{
    const gpu_driver_vtable *vt = p->driver->vtable;
    MUST(times <= LAUNCHES);
    for (int i = 0; i < LISTS; i++)
        if (p->lists[i] && p->counts[i] == times) return vt->replay(p->driver, p->lists[i], 1, err);
    int i = p->next_list;
    p->next_list = (i + 1) % LISTS;
    if (p->lists[i]) vt->sequence_free(p->driver, p->lists[i]);
    p->lists[i] = NULL;
    TRY(make_list(p, times, &p->lists[i], err));
    p->counts[i] = times;
    return vt->replay(p->driver, p->lists[i], 1, err);
}

static be_status run_uploads(gpu_probe *p, int64_t times, be_error *err)
{
    const gpu_driver_vtable *vt = p->driver->vtable;
    gpu_copy copy = {.to = p->memory, .bytes = (size_t)p->base.transfer_bytes};
    for (int64_t t = 0; t < times; t++) {
        void *memory = NULL;
        TRY(vt->feed_claim(p->driver, p->feed, 0, &memory, err));
        TRY(vt->feed_send(p->driver, p->feed, 0, &copy, 1, err));
        TRY(vt->synchronise(p->driver, err));
    }
    return BE_OK;
}

/* As a step does it: into memory that the device reaches by itself, without a copy of the host. */
static be_status run_downloads(gpu_probe *p, int64_t times, be_error *err)
{
    const gpu_driver_vtable *vt = p->driver->vtable;
    gpu_span from = {p->memory, 0, (size_t)p->base.transfer_bytes};
    for (int64_t t = 0; t < times; t++) {
        void *memory = NULL;
        TRY(vt->feed_claim(p->driver, p->feed, 0, &memory, err));
        TRY(vt->transfer(p->driver, from, memory, true, err));
        TRY(vt->synchronise(p->driver, err));
    }
    return BE_OK;
}

be_status gpu_probe_run(device_probe *probe, probe_kind kind, int64_t times, be_error *err)
{
    static be_status (*const runs[PROBE_KIND_COUNT])(gpu_probe *, int64_t, be_error *) = {
        [PROBE_ARITHMETIC] = run_arithmetic,
        [PROBE_TF32] = run_tf32,
        [PROBE_BF16] = run_bf16,
        [PROBE_MEMORY] = run_memory,
        [PROBE_CACHE] = run_cache,
        [PROBE_LAUNCH] = run_launches,
        [PROBE_UPLOAD] = run_uploads,
        [PROBE_DOWNLOAD] = run_downloads};
    gpu_probe *p = (gpu_probe *)probe;
    MUST(times > 0 && times <= INT_MAX && probe->transfer_bytes <= probe->transfer_most_bytes);
    TRY(runs[kind](p, times, err));
    return p->driver->vtable->synchronise(p->driver, err);
}
