/* Choosing tiles, and recording products and sums of parts. */
#include "ops/matmul/product_gpu.h"

#include <inttypes.h>
#include <math.h>

#include "backend/gpu/gpu_cache.h"

extern const gpu_source gpu_source_tile, gpu_source_product, gpu_source_sum_parts;

/* Shapes of one item's work and of the tile. */
static const gpu_tile shapes[] = {
    {.bm = 128, .bn = 64, .vm = 4, .rm = 2, .vn = 4, .rn = 2},
    {.bm = 128, .bn = 32, .vm = 4, .rm = 2, .vn = 4, .rn = 1},
    {.bm = 64, .bn = 64, .vm = 4, .rm = 1, .vn = 4, .rn = 2},
    {.bm = 64, .bn = 32, .vm = 4, .rm = 1, .vn = 4, .rn = 1},
    {.bm = 32, .bn = 32, .vm = 4, .rm = 1, .vn = 4, .rn = 1},
    {.bm = 64, .bn = 16, .vm = 4, .rm = 1, .vn = 4, .rn = 1},
    {.bm = 128, .bn = 8, .vm = 4, .rm = 1, .vn = 4, .rn = 1},
    {.bm = 16, .bn = 32, .vm = 4, .rm = 1, .vn = 4, .rn = 1},
    {.bm = 16, .bn = 16, .vm = 4, .rm = 1, .vn = 2, .rn = 1},
    {.bm = 8, .bn = 16, .vm = 4, .rm = 1, .vn = 2, .rn = 1},
    {.bm = 8, .bn = 8, .vm = 2, .rm = 1, .vn = 2, .rn = 1},
};
static const int shares[] = {1, 2, 4, 8, 16};
static const int splits[] = {1, 2, 4, 8, 16, 33, 66, 132, 264, 528};

#define DEPTH_MAX 80
#define COUNT(array) ((int)(sizeof(array) / sizeof((array)[0])))

static int64_t ceil_div(int64_t a, int64_t b)
{
    return (a + b - 1) / b;
}

static int tile_items(const gpu_tile *t)
{
    return t->bm / (t->vm * t->rm) * (t->bn / (t->vn * t->rn));
}

static size_t tile_bytes(const gpu_tile *t)
{
    size_t operands = (size_t)t->bk * (size_t)(t->bm + t->bn + 8);
    size_t merged = (size_t)(t->ks - 1) * (size_t)(t->bm * t->bn);
    return (operands > merged ? operands : merged) * sizeof(float);
}

/* A guess at the time in cycles of a multiprocessor: the products themselves, done at a rate that
 * falls with the loads from local memory that each needs, and the wait for memory once a round,
 * which groups that are resident together share.  Constants by what an H200 does. */
static double tile_cycles(const gpu_call *call, const gpu_tile_problem *p, const gpu_tile *t)
{
    int units = call->facts->units > 0 ? call->facts->units : 1, tm = t->vm * t->rm;
    int tn = t->vn * t->rn, group = tile_items(t) * t->ks, registers = tm * tn + tm + tn + 32;
    double groups = (double)(ceil_div(p->m, t->bm) * ceil_div(p->n, t->bn) * t->splits);
    double each = ceil(groups / units);
    double resident = floor(65536.0 / (registers * (double)group));
    resident = fmin(resident, floor(200e3 / ((double)tile_bytes(t) + 1024.0)));
    resident = fmin(fmin(resident, 2048.0 / group), 24.0);
    if (resident < 1.0) return INFINITY;
    double together = fmin(each, resident), rounds = ceil((double)t->split_depth / t->bk);
    double rate = 128.0 * 0.8 * tm * tn / (tm * tn + 2.0 * (tm + tn));
    double filled = fmin(1.0, together * group / 512.0);
    double elements = (double)t->bm * t->bn * rounds * t->bk;
    double loads = (double)(t->bm + t->bn) * rounds * t->bk;
    double cycles = each * (elements / rate + loads / 12.0) / filled;
    cycles += rounds * 900.0 * ceil(each / resident);
    if (t->ks > 1) cycles += 300.0 + 20.0 * t->ks;
    if (t->splits > 1) cycles += 3000.0 + (double)p->m * (double)p->n * t->splits / (units * 2.0);
    return cycles;
}

static bool tile_fits(const gpu_call *call, const gpu_tile_problem *p, const gpu_tile *t)
{
    size_t local = call->facts->local_bytes < 40000 ? call->facts->local_bytes : 40000;
    int items = tile_items(t) * t->ks;
    if (t->vm % p->m_step) return false;
    if (t->ks > t->bk || (t->ks > 1 && items > 512) || items > call->facts->group_max) return false;
    if (t->splits > 1 && (!p->may_split || t->split_depth < 2 * t->bk)) return false;
    return tile_bytes(t) + (size_t)t->bm * 8 + (size_t)t->bk * 8 + 64 <= local;
}

/* The best few, no two of one kind: a shape, with or without items that share the depth, and with
 * or without groups that do.  In order of cycles. */
#define WAYS_MAX 8
#define KINDS (COUNT(shapes) * 4)

typedef struct way {
    gpu_tile tile;
    double cycles;
} way;

/* The best of each kind with this shape and depth of a round, into best[KINDS]. */
static void try_depth(const gpu_call *call, const gpu_tile_problem *p, int shape, int bk, way *best)
{
    for (int i = 0; i < COUNT(shares) * COUNT(splits); i++) {
        gpu_tile t = shapes[shape];
        t.bk = bk;
        t.ks = shares[i / COUNT(splits)];
        t.splits = splits[i % COUNT(splits)];
        t.split_depth = (int)(ceil_div(ceil_div(p->depth, t.splits), t.bk) * t.bk);
        t.splits = (int)ceil_div(p->depth, t.split_depth);
        if (!tile_fits(call, p, &t)) continue;
        double cycles = tile_cycles(call, p, &t);
        way *w = &best[shape * 4 + (t.ks > 1) * 2 + (t.splits > 1)];
        if (cycles < w->cycles) *w = (way){t, cycles};
    }
}

/* Sort the best few to the front; returns how many. */
static int take_best(way *ways)
{
    int count = 0;
    for (; count < WAYS_MAX; count++) {
        int least = count;
        for (int i = count + 1; i < KINDS; i++)
            if (ways[i].cycles < ways[least].cycles) least = i;
        way found = ways[least];
        if (found.cycles == INFINITY) break;
        ways[least] = ways[count];
        ways[count] = found;
    }
    return count;
}

be_status gpu_tile_choose(gpu_call *call, const gpu_tile_problem *p, gpu_tile *out, be_error *err)
{
    way ways[KINDS];
    uint64_t hash = GPU_HASH_START;
    for (int i = 0; i < KINDS; i++) ways[i] = (way){.cycles = INFINITY};
    for (int i = 0; i < COUNT(shapes); i++)
        for (int steps = 1; steps == 1 || steps * p->depth_step <= DEPTH_MAX; steps++) {
            int bk = steps * p->depth_step;
            bool whole = !p->depth_whole || p->depth_whole % bk == 0;
            bool power = p->depth_whole || (steps & (steps - 1)) == 0;
            if (whole && power) try_depth(call, p, i, bk, ways);
        }
    int count = take_best(ways);
    if (count == 0)
        FAIL(err, BE_UNAVAILABLE,
             "no tile of it fits into the %zu bytes of local memory and the %d work items of a "
             "group of this device",
             call->facts->local_bytes, call->facts->group_max);
    for (int i = 0; i < count; i++) hash = gpu_hash(hash, &ways[i].tile, sizeof(gpu_tile));
    *out = ways[gpu_choose(call, count, hash)].tile;
    out->group = tile_items(out) * out->ks;
    if (out->group < 64) out->group = 64;
    return BE_OK;
}

be_status gpu_parts_prepare(gpu_call *call, const gpu_parts *parts, int *unit, be_error *err)
{
    int lanes = parts->parts >= 64 ? 16 : parts->parts >= 16 ? 4 : 1, outs = 256 / lanes;
    *unit = call->unit_count;
    return gpu_use(call, GPU_SOURCES(&gpu_source_sum_parts), 256, err,
                   "PARTS=%d WIDTH=%" PRId64 " LANES=%d OUTS=%d ONES=%d BIAS=%d RELU=%d",
                   parts->parts, parts->width, lanes, outs, parts->ones, parts->bias, parts->relu);
}

be_status gpu_parts_record(const gpu_call *call, gpu_recorder *recorder, const gpu_parts *parts,
                           int unit, const gpu_product_operands *o, be_error *err)
{
    int64_t count = parts->rows * parts->width;
    int lanes = parts->parts >= 64 ? 16 : parts->parts >= 16 ? 4 : 1;
    gpu_span from = gpu_part(call->scratch, 0, (size_t)(parts->parts * count) * sizeof(float));
    return gpu_record(recorder, call,
                      &(gpu_step){unit, "sum_parts", gpu_groups(call, count, 256 / lanes, 8),
                                  GPU_ARGUMENTS(gpu_reads(from), gpu_reads(o->b), gpu_writes(o->y),
                                                gpu_writes(o->extra), gpu_int(count))},
                      err);
}

static gpu_parts parts_of(const gpu_product_plan *plan)
{
    const gpu_product *p = &plan->product;
    return (gpu_parts){.parts = plan->tile.splits,
                       .rows = p->rows,
                       .width = p->columns + p->ones,
                       .ones = p->ones,
                       .bias = p->bias,
                       .relu = p->relu};
}

be_status gpu_product_prepare(gpu_call *call, const gpu_product *product, gpu_product_plan *out,
                              be_error *err)
{
    *out = (gpu_product_plan){.product = *product, .unit = call->unit_count, .sum_unit = -1};
    gpu_tile_problem problem = {.m = product->columns + product->ones,
                                .n = product->rows,
                                .depth = product->depth,
                                .m_step = 1,
                                .depth_step = 8,
                                .may_split = true};
    TRY(gpu_tile_choose(call, &problem, &out->tile, err));
    bool split = out->tile.splits > 1;
    TRY(gpu_use(call, GPU_SOURCES(&gpu_source_tile, &gpu_source_product), out->tile.group, err,
                GPU_TILE_FORMAT " ROWS=%" PRId64 " COLUMNS=%" PRId64 " DEPTH=%" PRId64
                                " P_COLUMN=%" PRId64 " P_K=%" PRId64 " Q_ROW=%" PRId64
                                " Q_K=%" PRId64 " MASK=%d ONES=%d BIAS=%d RELU=%d",
                GPU_TILE_VALUES(&out->tile), product->rows, product->columns, product->depth,
                product->p_column, product->p_k, product->q_row, product->q_k, product->mask,
                product->ones, product->bias && !split, product->relu && !split));
    if (!split) return BE_OK;
    gpu_parts parts = parts_of(out);
    size_t bytes = (size_t)(parts.parts * parts.rows * parts.width) * sizeof(float);
    if (bytes > call->scratch_bytes) call->scratch_bytes = bytes;
    return gpu_parts_prepare(call, &parts, &out->sum_unit, err);
}

be_status gpu_product_record(const gpu_call *call, gpu_recorder *recorder,
                             const gpu_product_plan *plan, const gpu_product_operands *o,
                             be_error *err)
{
    const gpu_tile *t = &plan->tile;
    const gpu_product *p = &plan->product;
    int64_t tiles = ceil_div(p->columns + p->ones, t->bm) * ceil_div(p->rows, t->bn) * t->splits;
    gpu_span y = o->y, extra = o->extra;
    gpu_parts parts = parts_of(plan);
    if (t->splits > 1) {
        y = gpu_part(call->scratch, 0,
                     (size_t)(parts.parts * parts.rows * parts.width) * sizeof(float));
        extra = (gpu_span){0};
    }
    TRY(gpu_record(recorder, call,
                   &(gpu_step){plan->unit, "product", gpu_groups(call, tiles, 1, 64),
                               GPU_ARGUMENTS(gpu_reads(o->p), gpu_reads(o->q), gpu_reads(o->mask),
                                             gpu_reads(o->b), gpu_writes(y), gpu_writes(extra))},
                   err));
    if (t->splits == 1) return BE_OK;
    return gpu_parts_record(call, recorder, &parts, plan->sum_unit, o, err);
}
