/* See cublaslt_search.h.  The operands lie in several places in turn, so that not all of them are
 * found in the cache of the device. */
#include "backend/cuda/cublaslt_search.h"

#include <inttypes.h>
#include <string.h>

#include "backend/cuda/cuda_timing.h"
#include "backend/gpu/gpu_tune.h"
#include "core/clock.h"
#include "core/kept.h"

#define CANDIDATES 16
#define SETS_MOST 8
#define SETS_BYTES ((size_t)128 << 20) /* beyond the last-level cache of every device so far */

typedef struct trial {
    cuda_driver *driver;
    cublaslt_plan *plan;
    size_t a_bytes, b_bytes, bias_bytes, y_bytes; /* of a set, each rounded up to the alignment */
    int sets;
    gpu_buffer memory; /* the sets, and the workspace behind them */
} trial;

static size_t aligned(int64_t elements, be_dtype type)
{
    size_t bytes = (size_t)elements * dtype_bytes(type);
    return (bytes + CUDA_MATH_ALIGN - 1) / CUDA_MATH_ALIGN * CUDA_MATH_ALIGN;
}

/* Of `rows` rows, a pitch apart if it is given. */
static size_t matrix_bytes(int64_t rows, int64_t columns, int64_t pitch, be_dtype type)
{
    return aligned(rows * (pitch ? pitch : columns), type);
}

static size_t set_bytes(const trial *t)
{
    return t->a_bytes + t->b_bytes + t->bias_bytes + t->y_bytes;
}

static be_status trial_open(trial *t, const cublaslt_product *p, size_t workspace, be_error *err)
{
    gpu_driver *driver = &t->driver->base;
    int64_t batch = p->batch > 1 ? p->batch : 1;
    t->a_bytes = matrix_bytes(batch * (p->transpose_a ? p->depth : p->rows),
                              p->transpose_a ? p->rows : p->depth, p->a_pitch, p->type);
    t->b_bytes = aligned(batch * p->depth * p->columns, p->type);
    t->bias_bytes = p->bias ? aligned(p->columns, p->result) : 0;
    t->y_bytes = matrix_bytes(batch * p->rows, p->columns, p->y_pitch, p->result);
    size_t sets = SETS_BYTES / set_bytes(t) + 1;
    t->sets = sets > SETS_MOST ? SETS_MOST : (int)sets;
    return driver->vtable->alloc(driver, (size_t)t->sets * set_bytes(t) + workspace,
                                 "matrices to try products on", &t->memory, err);
}

static be_status start(const void *what, int i, be_error *err)
{
    const trial *t = what;
    cuda_address at = t->memory + (size_t)(i % t->sets) * set_bytes(t);
    size_t y_at = t->a_bytes + t->b_bytes + t->bias_bytes;
    cublaslt_operands operands = {.a = at,
                                  .b = at + t->a_bytes,
                                  .bias = t->bias_bytes ? at + t->a_bytes + t->b_bytes : 0,
                                  .y = at + y_at,
                                  .workspace = t->memory + (size_t)t->sets * set_bytes(t)};
    TRY(cublaslt_plan_bind(t->plan, &operands, err));
    return cublaslt_plan_start(t->plan, t->driver->stream, err);
}

/* The place of the fastest, or −1 if not even the first one runs. */
static int find_fastest(const trial *t, const cublaslt_found *found, int count)
{
    int64_t ns[CANDIDATES];
    for (int i = 0; i < count; i++) {
        cublaslt_plan_take(t->plan, &found[i]);
        ns[i] = cuda_timing_run(t->driver, start, t);
    }
    return cuda_timing_fastest(ns, count);
}

/* −1, too, where the device has no room for a trial. */
static int try_all(cuda_driver *driver, const cublaslt_product *product, cublaslt_plan *plan,
                   const cublaslt_found *found, int count)
{
    be_error unused;
    trial t = {.driver = driver, .plan = plan};
    size_t workspace = 0;
    for (int i = 0; i < count; i++)
        if (found[i].workspace_bytes > workspace) workspace = found[i].workspace_bytes;
    if (trial_open(&t, product, workspace, &unused) != BE_OK) return -1;
    int best = find_fastest(&t, found, count);
    driver->base.vtable->free(&driver->base, t.memory);
    return best;
}

/* ---------------------------------------------------------------- keeping */

static be_status make_key(const cuda_driver *driver, const cublaslt_product *p, arena *memory,
                          kept_key *out, be_error *err)
{
    const gpu_facts *f = &driver->base.facts;
    const char *text;
    TRY(arena_printf(memory, &text, err,
                     "%s\n%s\n%d units\n%s\n%" PRId64 " x %" PRId64 " x %" PRId64 ", %" PRId64
                     " at once, %s to %s%s%s%s%s%s, rows %" PRId64 " and %" PRId64
                     " apart, workspace of at most %zu bytes\n",
                     f->name, f->software, f->units, driver->math->cublaslt_title, p->rows,
                     p->columns, p->depth, p->batch > 1 ? p->batch : 1, dtype_name(p->type),
                     dtype_name(p->result), p->tf32 ? " tf32" : "",
                     p->transpose_a ? " a turned" : "", p->transpose_b ? " b turned" : "",
                     p->bias ? " bias" : "", p->add ? " added" : "", p->a_pitch, p->y_pitch,
                     CUDA_MATH_WORKSPACE_MOST));
    *out = (kept_key){"products", "product", text, strlen(text)};
    return BE_OK;
}

/* What is kept of a product. */
typedef struct choice {
    cublaslt_found found;
    bool is_searched; /* or there was no time for it … */
    double limit;     /* … within so many seconds */
} choice;

static bool recall(const kept_key *key, choice *out)
{
    return kept_recall(key, out, sizeof *out) &&
           out->found.workspace_bytes <= CUDA_MATH_WORKSPACE_MOST;
}

static be_status search(cuda_driver *driver, const cublaslt_product *product, double limit,
                        const kept_key *key, cublaslt_plan *plan, be_error *err)
{
    be_error unused;
    gpu_search_count *done = &driver->base.search;
    cublaslt_found found[CANDIDATES];
    int count, best = 0;
    int64_t start_ns = clock_now_ns();
    TRY(cublaslt_plan_ask(plan, product, CANDIDATES, found, &count, err));
    if (count == 1) return BE_OK;
    bool in_time = (double)done->ns < limit * 1e9;
    if (in_time) best = try_all(driver, product, plan, found, count);
    done->ns += clock_now_ns() - start_ns;
    choice made;
    memset(&made, 0, sizeof made); /* to the last byte: it is written as it lies */
    made.found = found[best < 0 ? 0 : best];
    made.is_searched = in_time;
    made.limit = limit;
    if (best >= 0 && kept_write(key, &made, sizeof made, &unused) != BE_OK) best = -1;
    done->searched += best >= 0 && in_time;
    done->cut += best < 0 || !in_time;
    cublaslt_plan_take(plan, &found[best < 0 ? 0 : best]);
    return BE_OK;
}

/* What was kept for want of time is searched again where there is more of it, as gpu_tune does. */
static be_status take(cuda_driver *driver, const cublaslt_product *product, bool may_try,
                      const kept_key *key, cublaslt_plan *plan, be_error *err)
{
    choice kept;
    double limit;
    TRY(gpu_tune_seconds(CUDA_TIMING_SECONDS, &limit, err));
    bool is_known = recall(key, &kept);
    if (is_known && (kept.is_searched || kept.limit >= limit || !may_try)) {
        driver->base.search.kept += kept.is_searched;
        driver->base.search.cut += !kept.is_searched;
        cublaslt_plan_take(plan, &kept.found);
        return BE_OK;
    }
    return may_try ? search(driver, product, limit, key, plan, err) : BE_OK;
}

be_status cublaslt_search(cuda_driver *driver, const cublaslt_product *product, bool may_try,
                          cublaslt_plan *plan, be_error *err)
{
    arena *memory = NULL;
    kept_key key;
    TRY(arena_new(&memory, err));
    be_status status = make_key(driver, product, memory, &key, err);
    if (status == BE_OK) status = take(driver, product, may_try, &key, plan, err);
    arena_free(memory);
    return status;
}
