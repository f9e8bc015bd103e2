/* See cudnn_search.h. */
#include "backend/cuda/cudnn_search.h"

#include <inttypes.h>
#include <string.h>

#include "backend/cuda/cuda_timing.h"
#include "backend/gpu/gpu_tune.h"
#include "core/clock.h"
#include "core/kept.h"
#include "graph/precision.h"

#define CANDIDATES 8

typedef struct trial {
    cuda_driver *driver;
    cudnn_plan plans[CANDIDATES];
    int count;
    gpu_buffer memory; /* the operands, and the workspace behind them */
} trial;

static size_t operand_bytes(const cudnn_tensor *t)
{
    size_t elements = 1, bytes = t->type == DNN_DATA_BFLOAT16 ? 2 : 4;
    for (int d = 0; d < CUDNN_RANK; d++) elements *= (size_t)t->dims[d];
    return (elements * bytes + CUDA_MATH_ALIGN - 1) / CUDA_MATH_ALIGN * CUDA_MATH_ALIGN;
}

static be_status start(const void *plan, int i, be_error *err)
{
    (void)i;
    return cudnn_plan_start(plan, err);
}

/* Those that may be taken and can be made. */
static void make_plans(trial *t, const cudnn_graph *graph)
{
    be_error unused;
    while (t->count < CANDIDATES) {
        const cudnn_place place = {.handle = t->driver->cudnn, .rank = t->count};
        cudnn_plan *plan = &t->plans[t->count];
        if (cudnn_plan_new(t->driver->math, &place, graph, plan, &unused) != BE_OK) return;
        t->count++;
    }
}

/* The place of the fastest, −1 where the device has no room or even the first does not run. */
static int try_all(trial *t, const cudnn_graph *graph)
{
    be_error unused;
    gpu_driver *driver = &t->driver->base;
    size_t bytes = 0, workspace = 0;
    cuda_address at[CUDNN_OPERANDS_MOST] = {0};
    int64_t ns[CANDIDATES];
    for (int i = 0; i < t->count; i++)
        if (t->plans[i].choice->workspace_bytes > workspace)
            workspace = t->plans[i].choice->workspace_bytes;
    for (int i = 1; i <= graph->tensor_count; i++)
        if (cudnn_is_operand(&graph->tensors[i])) bytes += operand_bytes(&graph->tensors[i]);
    if (driver->vtable->alloc(driver, bytes + workspace, "images to try convolutions on",
                              &t->memory, &unused) != BE_OK)
        return -1;
    cuda_address next = t->memory;
    for (int i = 1; i <= graph->tensor_count; i++) {
        if (!cudnn_is_operand(&graph->tensors[i])) continue;
        at[graph->tensors[i].operand] = next;
        next += operand_bytes(&graph->tensors[i]);
    }
    for (int i = 0; i < t->count; i++) {
        ns[i] = CUDA_TIMING_UNUSABLE;
        if (cudnn_plan_bind(&t->plans[i], at, next, &unused) == BE_OK)
            ns[i] = cuda_timing_run(t->driver, start, &t->plans[i]);
    }
    driver->vtable->free(driver, t->memory);
    return cuda_timing_fastest(ns, t->count);
}

/* ---------------------------------------------------------------- keeping */

static be_status make_key(const cuda_driver *driver, const cudnn_graph *g, arena *memory,
                          kept_key *out, be_error *err)
{
    const gpu_facts *f = &driver->base.facts;
    const char *text;
    TRY(arena_printf(memory, &text, err,
                     "%s\n%s\n%d units\n%s\n%s, strides %" PRId64 " and %" PRId64
                     ", padding %" PRId64 " and %" PRId64
                     ", %d operations in %s, operands of type %d, workspace of at most %zu bytes\n",
                     f->name, f->software, f->units, driver->math->cudnn_title, g->what,
                     g->stride[0], g->stride[1], g->padding[0], g->padding[1], g->operation_count,
                     precision_name(g->precision), g->tensors[1].type, g->workspace_most));
    *out = (kept_key){"products", "engine", text, strlen(text)};
    return BE_OK;
}

/* What is kept of a table. */
typedef struct choice {
    double limit; /* within so many seconds */
    int32_t rank, is_searched;
} choice;

static bool recall(const kept_key *key, choice *out)
{
    return kept_recall(key, out, sizeof *out) && out->rank >= 0 && out->rank < CANDIDATES;
}

static void search(cuda_driver *driver, const cudnn_graph *graph, double limit, const kept_key *key,
                   int *rank)
{
    be_error unused;
    gpu_search_count *done = &driver->base.search;
    trial t = {.driver = driver};
    int64_t start_ns = clock_now_ns();
    bool in_time = (double)done->ns < limit * 1e9;
    int best = 0;
    if (in_time) {
        make_plans(&t, graph);
        if (t.count > 1) best = try_all(&t, graph);
        for (int i = 0; i < t.count; i++) cudnn_plan_free(&t.plans[i]);
    }
    done->ns += clock_now_ns() - start_ns;
    if (in_time && t.count < 2) return;
    const choice made = {.limit = limit, .rank = best < 0 ? 0 : best, .is_searched = in_time};
    if (best >= 0 && kept_write(key, &made, sizeof made, &unused) != BE_OK) best = -1;
    done->searched += best >= 0 && in_time;
    done->cut += best < 0 || !in_time;
    *rank = best < 0 ? 0 : best;
}

/* What was kept for want of time is searched again where there is more of it. */
static be_status take(cuda_driver *driver, const cudnn_graph *graph, bool may_try,
                      const kept_key *key, int *rank, be_error *err)
{
    choice kept;
    double limit;
    TRY(gpu_tune_seconds(CUDA_TIMING_SECONDS, &limit, err));
    if (recall(key, &kept) && (kept.is_searched || kept.limit >= limit || !may_try)) {
        driver->base.search.kept += kept.is_searched;
        driver->base.search.cut += !kept.is_searched;
        *rank = kept.rank;
    } else if (may_try) {
        search(driver, graph, limit, key, rank);
    }
    return BE_OK;
}

be_status cudnn_search(cuda_driver *driver, const cudnn_graph *graph, bool may_try, int *rank,
                       be_error *err)
{
    arena *memory = NULL;
    kept_key key;
    *rank = 0;
    TRY(arena_new(&memory, err));
    be_status status = make_key(driver, graph, memory, &key, err);
    if (status == BE_OK) status = take(driver, graph, may_try, &key, rank, err);
    arena_free(memory);
    return status;
}
