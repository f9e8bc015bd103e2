/* Work of known amounts on the processor: the inner loops (probe_cpu.c) on the device's threads.
 *
 * Owns the memory that is streamed.  A part of it, which fits into the last-level cache and not
 * into those before it, is the cache's working set. */
#include <omp.h>
#include <unistd.h>

#include "backend/cpu/cpu.h"
#include "core/team.h"
#include "core/topology.h"

#define MEMORY_LEAST ((int64_t)64 << 20)
#define MEMORY_MOST ((int64_t)512 << 20)
#define MEMORY_UNKNOWN ((int64_t)256 << 20) /* where no cache is known */
#define SLICES                                                                           \
    64 /* the parts in which the memory is streamed: short ones fit between disturbances \
        */
#define LAUNCHES 1024

typedef struct cpu_probe {
    device_probe base;
    const cpu_probe_loops *loops;
    int threads;
    float *memory; /* zeros: they stay what they are */
    int64_t slice_count, cache_count;
    int slice;  /* the next */
    float sink; /* results that must not be left out */
} cpu_probe;

#define X(isa) extern const cpu_probe_loops cpu_probe_loops_##isa;
CPU_ISA_LIST(X)
#undef X

/* In the order of cpu_isa. */
#define X(isa) &cpu_probe_loops_##isa,
static const cpu_probe_loops *const all_loops[CPU_ISA_COUNT] = {CPU_ISA_LIST(X)};
#undef X

/* Four times the last-level caches, and never more than an eighth of the machine's memory. */
static int64_t memory_size(void)
{
    int64_t cache = topology_get()->last_cache_bytes, wanted = cache ? 4 * cache : MEMORY_UNKNOWN;
    int64_t limit = (int64_t)sysconf(_SC_PHYS_PAGES) * sysconf(_SC_PAGESIZE) / 8;
    if (wanted < MEMORY_LEAST) wanted = MEMORY_LEAST;
    if (wanted > MEMORY_MOST) wanted = MEMORY_MOST;
    return limit > 0 && wanted > limit ? limit : wanted;
}

/* A quarter of the last-level caches, or less where that is well beyond those before them; 0 where
 * they are not known. */
static int64_t cache_size(void)
{
    const topology *t = topology_get();
    int64_t wanted = t->last_cache_bytes / 4, beyond = 4 * t->inner_cache_bytes;
    return beyond > 0 && beyond < wanted ? beyond : wanted;
}

be_status cpu_probe_new(be_device *device, device_probe **out, be_error *err)
{
    void *memory = NULL, *stream = NULL;
    const cpu_device *cpu = (const cpu_device *)device;
    int64_t bytes = memory_size(), cache = cache_size();
    *out = NULL;
    TRY(memory_alloc(&memory, sizeof(cpu_probe), "a probe", err));
    be_status status = memory_alloc(&stream, (size_t)bytes, "memory to measure its speed", err);
    if (status != BE_OK) {
        memory_free(memory);
        return status;
    }
    cpu_probe *p = memory;
    *p = (cpu_probe){.base = {.device = device, .most_launches = LAUNCHES},
                     .loops = all_loops[cpu->isa],
                     .threads = device->threads,
                     .memory = stream,
                     .slice_count = bytes / SLICES / (int64_t)sizeof(float),
                     .cache_count = cache / (int64_t)sizeof(float)};
    p->base.amount[PROBE_ARITHMETIC] = p->loops->flops * p->threads;
    p->base.amount[PROBE_MEMORY] = 2.0 * (double)(p->slice_count * (int64_t)sizeof(float));
    p->base.amount[PROBE_CACHE] = 2.0 * (double)cache;
    p->base.amount[PROBE_LAUNCH] = 1.0;
    *out = &p->base;
    return BE_OK;
}

void cpu_probe_free(device_probe *probe)
{
    if (!probe) return;
    memory_free(((cpu_probe *)probe)->memory);
    memory_free(probe);
}

static void run_arithmetic(cpu_probe *p, int64_t times)
{
    float sum = 0.0f;
#pragma omp parallel num_threads(p->threads) reduction(+ : sum)
    sum += p->loops->arithmetic(times, 0.75f, 0.25f);
    p->sink += sum;
}

/* Each thread has its part of every slice, and waits for the others at the end only: a barrier
 * would cost more than a slice where other programs run too. */
static void run_scale(const cpu_probe *p, int slices, int64_t count, int64_t times)
{
#pragma omp parallel num_threads(p->threads)
    {
        int64_t threads = omp_get_num_threads(), me = omp_get_thread_num();
        int64_t from = count * me / threads, end = count * (me + 1) / threads;
        for (int64_t t = 0; t < times; t++) {
            int64_t slice = (p->slice + t) % slices;
            p->loops->scale(p->memory + slice * count + from, end - from, 1.0f);
        }
    }
}

static void run_memory(cpu_probe *p, int64_t times)
{
    run_scale(p, SLICES, p->slice_count, times);
    p->slice = (int)((p->slice + times) % SLICES);
}

/* What an op costs that does nothing: a call, and its threads started and waited for. */
static void run_regions(cpu_probe *p, int64_t times)
{
    volatile float *sink = &p->sink;
    for (int64_t t = 0; t < times; t++) {
#pragma omp parallel num_threads(p->threads)
        (void)*sink;
    }
}

static be_status probe_run(cpu_probe *p, probe_kind kind, int64_t times, be_error *err)
{
    if (kind == PROBE_ARITHMETIC)
        run_arithmetic(p, times);
    else if (kind == PROBE_MEMORY)
        run_memory(p, times);
    else if (kind == PROBE_CACHE)
        run_scale(p, 1, p->cache_count, times);
    else if (kind == PROBE_LAUNCH)
        run_regions(p, times);
    else
        FAIL(err, BE_UNAVAILABLE, "cpu: host and device share their memory: nothing is copied");
    return BE_OK;
}

be_status cpu_probe_run(device_probe *probe, probe_kind kind, int64_t times, be_error *err)
{
    team t;
    TRY(team_begin(&t, ((cpu_probe *)probe)->threads, err));
    be_status status = probe_run((cpu_probe *)probe, kind, times, err);
    team_end(&t);
    return status;
}
