/* Choosing tiles, and recording products and sums of parts. */
#include "ops/matmul/product_gpu.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>

#include "core/kept.h"
#include "ops/eltwise/activation_gpu.h"

extern const gpu_source gpu_source_activation_list, gpu_source_tile, gpu_source_product,
    gpu_source_sum_parts;

/* Shapes of one item's work and of the tile. */
static const gpu_tile wide_shapes[] = {
    {.bm = 128, .bn = 128, .vm = 4, .rm = 2, .vn = 4, .rn = 2},
    {.bm = 128, .bn = 64, .vm = 4, .rm = 2, .vn = 4, .rn = 2},
    {.bm = 128, .bn = 64, .vm = 4, .rm = 2, .vn = 4, .rn = 1},
    {.bm = 256, .bn = 32, .vm = 4, .rm = 2, .vn = 4, .rn = 1},
    {.bm = 128, .bn = 32, .vm = 4, .rm = 2, .vn = 4, .rn = 1},
    {.bm = 128, .bn = 32, .vm = 4, .rm = 1, .vn = 4, .rn = 2},
    {.bm = 128, .bn = 16, .vm = 4, .rm = 2, .vn = 4, .rn = 1},
    {.bm = 64, .bn = 64, .vm = 4, .rm = 2, .vn = 4, .rn = 2},
    {.bm = 64, .bn = 64, .vm = 4, .rm = 1, .vn = 4, .rn = 2},
    {.bm = 64, .bn = 32, .vm = 4, .rm = 2, .vn = 4, .rn = 1},
    {.bm = 64, .bn = 32, .vm = 4, .rm = 1, .vn = 4, .rn = 1},
    {.bm = 32, .bn = 64, .vm = 4, .rm = 1, .vn = 4, .rn = 2},
    {.bm = 32, .bn = 32, .vm = 4, .rm = 1, .vn = 4, .rn = 1},
    {.bm = 64, .bn = 16, .vm = 4, .rm = 1, .vn = 4, .rn = 1},
    {.bm = 32, .bn = 16, .vm = 4, .rm = 1, .vn = 4, .rn = 1},
    {.bm = 128, .bn = 8, .vm = 4, .rm = 1, .vn = 4, .rn = 1},
    {.bm = 16, .bn = 32, .vm = 4, .rm = 1, .vn = 4, .rn = 1},
    {.bm = 16, .bn = 16, .vm = 4, .rm = 1, .vn = 2, .rn = 1},
    {.bm = 8, .bn = 16, .vm = 4, .rm = 1, .vn = 2, .rn = 1},
    {.bm = 8, .bn = 8, .vm = 2, .rm = 1, .vn = 2, .rn = 1},
};
static const gpu_tile deep_shapes[] = {
    {.deep = true, .bm = 64, .bn = 64, .vm = 1, .rm = 8, .vn = 1, .rn = 8},
    {.deep = true, .bm = 64, .bn = 64, .vm = 1, .rm = 8, .vn = 1, .rn = 4},
    {.deep = true, .bm = 64, .bn = 64, .vm = 1, .rm = 4, .vn = 1, .rn = 8},
    {.deep = true, .bm = 64, .bn = 64, .vm = 1, .rm = 4, .vn = 1, .rn = 4},
    {.deep = true, .bm = 64, .bn = 32, .vm = 1, .rm = 8, .vn = 1, .rn = 4},
    {.deep = true, .bm = 32, .bn = 64, .vm = 1, .rm = 4, .vn = 1, .rn = 4},
    {.deep = true, .bm = 32, .bn = 32, .vm = 1, .rm = 4, .vn = 1, .rn = 4},
    {.deep = true, .bm = 16, .bn = 32, .vm = 1, .rm = 4, .vn = 1, .rn = 4},
    {.deep = true, .bm = 16, .bn = 16, .vm = 1, .rm = 2, .vn = 1, .rn = 4},
    {.deep = true, .bm = 8, .bn = 8, .vm = 1, .rm = 2, .vn = 1, .rn = 2},
};
static const int shares[] = {1, 2, 4, 8, 16};
static const int splits[] = {1, 2, 3, 4, 6, 8, 12, 16, 24, 33, 48, 66, 99, 132, 198, 264, 396, 528};

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
    int operands = t->deep ? (t->bm + t->bn) * (t->bk + 4) : t->bk * (t->bm + t->bn + 8);
    int merged = (t->ks - 1) * t->bm * t->bn;
    return (size_t)(operands > merged ? operands : merged) * sizeof(float);
}

/* How many elements an item fetches a round; those with a second array count twice. */
static double tile_loads(const gpu_tile_problem *p, const gpu_tile *t, int group)
{
    return (double)ceil_div((int64_t)t->bk * t->bm, group) * (p->gated > 1 ? 2 : 1) +
           (double)ceil_div((int64_t)t->bk * t->bn, group) * (p->gated == 1 ? 2 : 1);
}

/* The cycles of a round of `count` groups on a multiprocessor: their instructions, at four warps a
 * cycle, more where few warps hide each other's waits, but no less than a wait for memory. */
static double round_cycles(double count, double issue, int group)
{
    double warps = count * group / 128.0; /* of each of the four schedulers */
    return fmax(count * issue * (1.0 + 0.58 / pow(warps, 0.39)), 900.0);
}

/* A guess at the time in cycles.  The constants are those that came nearest to the best of 425
 * tiles that were timed on an H200, for ten products of cnn-fashion, cnn5-fashion and cnn-mnist;
 * but what splitting costs (4500) and the least time of a round (900) were set by whole steps
 * there, because those ten products are too large to tell. */
static double tile_cycles(const gpu_call *call, const gpu_tile_problem *p, const gpu_tile *t)
{
    int units = call->facts->units > 0 ? call->facts->units : 1, tm = t->vm * t->rm;
    int tn = t->vn * t->rn, group = tile_items(t) * t->ks;
    if (group < 64) group = 64;
    double loads = tile_loads(p, t, group);
    double registers = tm * tn + (t->deep ? 4 + 4 * tn : tm + tn) + 4.34 * loads + 8.0;
    if (registers > 200 || registers * group > 65536) return INFINITY;
    double groups = (double)(ceil_div(p->m, t->bm) * ceil_div(p->n, t->bn) * t->splits);
    if (p->batch > 1) groups *= (double)p->batch;
    double each = ceil(groups / units), resident = floor(65536.0 / (registers * group));
    resident = fmin(resident, floor(220e3 / ((double)tile_bytes(t) + 1024.0)));
    resident = fmax(1.0, fmin(fmin(resident, floor(2048.0 / group)), 32.0));
    double operands = (t->deep ? 0.38 : 0.85) * (tm + tn), fetch = t->deep ? 7.06 : 6.12;
    double products = (double)t->bk * (tm * tn + operands) * tile_items(t);
    double issue = (products + (fetch * loads + 6.4) * group) / 128.0;
    double rounds = ceil((double)t->split_depth / t->bk), full = floor(each / resident);
    double rest = each - full * resident, cycles = 2500.0;
    cycles += full * (rounds * round_cycles(resident, issue, group) + 156.0);
    if (rest > 0) cycles += rounds * round_cycles(rest, issue, group) + 156.0;
    if (t->ks > 1) cycles += 300.0 + 8.6 * t->ks;
    if (t->splits > 1) cycles += 4500.0 + (double)p->m * (double)p->n * t->splits / (units * 2.0);
    return cycles;
}

static bool tile_fits(const gpu_call *call, const gpu_tile_problem *p, const gpu_tile *t)
{
    size_t local = call->facts->local_bytes < 46000 ? call->facts->local_bytes : 46000;
    int items = tile_items(t) * t->ks;
    if (t->vm % p->m_step) return false;
    if (t->ks * (t->deep ? 4 : 1) > t->bk || (t->ks > 1 && items > 512)) return false;
    if (items > call->facts->group_max) return false;
    if (t->splits > 1 && (!p->may_split || t->split_depth < 2 * t->bk)) return false;
    return tile_bytes(t) <= local;
}

/* Is it a depth that a round may have?  A convolution's rounds hold whole windows, or where the
 * channels allow it one tap of several channels. */
static bool depth_fits(const gpu_tile_problem *p, int bk)
{
    if (!p->channels) return bk % 8 == 0 && (bk & (bk - 1)) == 0;
    if (p->channels % 8 == 0) return bk % 8 == 0 && p->channels % bk == 0;
    /* Windows too large for a round are parted. */
    bool is_whole = p->area > DEPTH_MAX ? p->area % bk == 0 : bk % p->area == 0;
    return is_whole && p->depth % bk == 0;
}

/* The best few, no two of one kind: a shape, with or without items that share the depth, and with
 * or without groups that do.  In order of cycles; of equals the one that was found first. */
#define WAYS_MAX 8
#define SHAPES_MAX COUNT(wide_shapes)
#define KINDS 4 /* of a shape */

typedef struct way {
    gpu_tile tile;
    double cycles;
    int turn; /* how many were looked at before */
} way;

typedef struct way_list {
    way ways[SHAPES_MAX * KINDS];
    int looked_at;
} way_list;

/* The best of each kind with this shape and depth of a round. */
static void try_depth(const gpu_call *call, const gpu_tile_problem *p, gpu_tile t, int shape,
                      way_list *list)
{
    for (int i = 0; i < COUNT(shares) * COUNT(splits); i++) {
        t.ks = shares[i / COUNT(splits)];
        t.splits = splits[i % COUNT(splits)];
        t.split_depth = (int)(ceil_div(ceil_div(p->depth, t.splits), t.bk) * t.bk);
        t.splits = (int)ceil_div(p->depth, t.split_depth);
        list->looked_at++;
        if (!tile_fits(call, p, &t)) continue;
        double cycles = tile_cycles(call, p, &t);
        way *w = &list->ways[shape * KINDS + (t.ks > 1) * 2 + (t.splits > 1)];
        if (cycles < w->cycles) *w = (way){t, cycles, list->looked_at};
    }
}

static bool is_better(const way *a, const way *b)
{
    return a->cycles < b->cycles || (a->cycles == b->cycles && a->turn < b->turn);
}

/* Sort the best few to the front; returns how many. */
static int take_best(way_list *list)
{
    int count = 0;
    for (; count < WAYS_MAX; count++) {
        int best = count;
        for (int i = count + 1; i < COUNT(list->ways); i++)
            if (is_better(&list->ways[i], &list->ways[best])) best = i;
        way first = list->ways[best];
        if (first.cycles == INFINITY) break;
        list->ways[best] = list->ways[count];
        list->ways[count] = first;
    }
    return count;
}

/* Of their words: a tile has gaps between its fields. */
static uint64_t hash_ways(const way *ways, int count)
{
    uint64_t hash = KEPT_HASH_START;
    char text[256];
    for (int i = 0; i < count; i++) {
        int length =
            snprintf(text, sizeof text, GPU_TILE_FORMAT " ", GPU_TILE_VALUES(&ways[i].tile));
        MUST(length > 0 && (size_t)length < sizeof text);
        hash = kept_hash(hash, text, (size_t)length);
    }
    return hash;
}

be_status gpu_tile_choose(gpu_call *call, const gpu_tile_problem *p, gpu_tile *out, be_error *err)
{
    way_list list = {0};
    const gpu_tile *shapes = p->deep ? deep_shapes : wide_shapes;
    int shape_count = p->deep ? COUNT(deep_shapes) : COUNT(wide_shapes);
    for (int i = 0; i < COUNT(list.ways); i++) list.ways[i].cycles = INFINITY;
    for (int i = 0; i < shape_count; i++)
        for (int bk = 1; bk <= DEPTH_MAX; bk++) {
            gpu_tile t = shapes[i];
            t.bk = bk;
            if (depth_fits(p, bk)) try_depth(call, p, t, i, &list);
        }
    int count = take_best(&list);
    if (count == 0)
        FAIL(err, BE_UNAVAILABLE,
             "no tile of it fits into the %zu bytes of local memory and the %d work items of a "
             "group of this device",
             call->facts->local_bytes, call->facts->group_max);
    *out = list.ways[gpu_choose(call, count, hash_ways(list.ways, count))].tile;
    out->on_cpu = call->facts->is_cpu;
    out->group = tile_items(out) * out->ks;
    if (out->group < 64) out->group = 64;
    return BE_OK;
}

/* The words for how a result ends. */
#define END_WORDS (ACTIVATION_END_WORDS + 16)
static const char *end_words(bool add, bool keep, be_activation kind, char out[END_WORDS])
{
    char last[ACTIVATION_END_WORDS];
    snprintf(out, END_WORDS, "ADD=%d %s", add, activation_end_words(kind, keep, last));
    return out;
}

be_status gpu_parts_prepare(gpu_call *call, const gpu_parts *parts, int *unit, be_error *err)
{
    static const gpu_source *const sources[] = {&gpu_source_activation_list, &gpu_source_sum_parts,
                                                NULL};
    char end[END_WORDS];
    bool plain = !activation_needs_x(parts->activation);
    int lanes = parts->parts >= 64 ? 16 : parts->parts >= 16 ? 4 : 1, outs = 256 / lanes;
    *unit = call->unit_count;
    return gpu_use(call, sources + plain, 256, err,
                   "PARTS=%d WIDTH=%" PRId64 " LANES=%d OUTS=%d ONES=%d BIAS=%d ROWS=%" PRId64
                   " ACROSS=%d %s",
                   parts->parts, parts->width, lanes, outs, parts->ones, parts->bias, parts->rows,
                   parts->across, end_words(parts->add, parts->keep, parts->activation, end));
}

be_status gpu_parts_record(const gpu_call *call, gpu_recorder *recorder, const gpu_parts *parts,
                           int unit, const gpu_product_operands *o, be_error *err)
{
    int64_t count = parts->rows * parts->width;
    int lanes = parts->parts >= 64 ? 16 : parts->parts >= 16 ? 4 : 1;
    gpu_span from = gpu_part(call->scratch, 0, (size_t)(parts->parts * count) * sizeof(float));
    return gpu_record(
        recorder, call,
        &(gpu_unit_launch){unit, "sum_parts", gpu_groups(call, count, 256 / lanes, 8),
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
                       .add = p->add,
                       .keep = p->keep,
                       .activation = p->activation,
                       .across = p->across};
}

be_status gpu_product_prepare(gpu_call *call, const gpu_product *product, gpu_product_plan *out,
                              be_error *err)
{
    *out = (gpu_product_plan){.product = *product, .unit = call->unit_count, .sum_unit = -1};
    int64_t batch = product->batch > 1 ? product->batch : 1;
    gpu_tile_problem problem = {.batch = batch,
                                .m = product->columns + product->ones,
                                .n = product->rows,
                                .depth = product->depth,
                                .m_step = 1,
                                .gated = product->mask,
                                .may_split = batch == 1};
    TRY(gpu_tile_choose(call, &problem, &out->tile, err));
    bool split = out->tile.splits > 1;
    char p_words[64], q_words[64], end[END_WORDS];
    static const gpu_source *const sources[] = {&gpu_source_activation_list, &gpu_source_tile,
                                                &gpu_source_product, NULL};
    be_activation last = split ? BE_IDENTITY : product->activation;
    TRY(gpu_use(call, sources + !activation_needs_x(last), out->tile.group, err,
                GPU_TILE_FORMAT " BATCH=%" PRId64 " ROWS=%" PRId64 " COLUMNS=%" PRId64
                                " DEPTH=%" PRId64 " P_COLUMN=%" PRId64 " P_K=%" PRId64
                                " Q_ROW=%" PRId64 " Q_K=%" PRId64
                                " MASK=%d ONES=%d BIAS=%d ACROSS=%d %s %s %s",
                GPU_TILE_VALUES(&out->tile), batch, product->rows, product->columns, product->depth,
                product->p_column, product->p_k, product->q_row, product->q_k, product->mask,
                product->ones, product->bias && !split, product->across,
                end_words(product->add && !split, product->keep && !split, last, end),
                gpu_operand_words(call, "P", product->p_type, p_words),
                gpu_operand_words(call, "Q", product->q_type, q_words)));
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
    if (p->batch > 1) tiles *= p->batch;
    gpu_span y = o->y, extra = o->extra;
    gpu_parts parts = parts_of(plan);
    if (t->splits > 1) {
        y = gpu_part(call->scratch, 0,
                     (size_t)(parts.parts * parts.rows * parts.width) * sizeof(float));
        extra = (gpu_span){0};
    }
    TRY(gpu_record(
        recorder, call,
        &(gpu_unit_launch){plan->unit, "product", gpu_groups(call, tiles, 1, 64),
                           GPU_ARGUMENTS(gpu_reads(o->p), gpu_reads(o->q), gpu_reads(o->mask),
                                         gpu_reads(o->b), gpu_writes(y), gpu_writes(extra))},
        err));
    if (t->splits == 1) return BE_OK;
    return gpu_parts_record(call, recorder, &parts, plan->sum_unit, o, err);
}
