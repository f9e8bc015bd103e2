/* See compare.h. */
#include "study/compare.h"

#include <inttypes.h>
#include <limits.h>
#include <math.h>
#include <string.h>

#include "core/json.h"
#include "core/memory.h"
#include "core/text.h"
#include "measure/stats.h"
#include "report/members.h"
#include "run/record_decode.h"
#include "study/compare_settings.h"

#define SEED 42 /* of the bootstrap */

typedef struct comparing {
    const compare_request *request;
    compare_row *rows;
    size_t count, room;
} comparing;

/* ---------------------------------------------------------------- rows */

/* In how much two records are not of the same work; `out`, may be NULL, is told what:
 * "precision (fp32 and bf16), batch (64 and 100)". */
static int differences(const record_measured *a, const record_measured *b, text_buffer *out)
{
    const struct {
        const char *name, *a, *b;
    } texts[] = {{"workload", a->workload, b->workload},
                 {"mode", a->mode, b->mode},
                 {"engine", a->engine, b->engine},
                 {"device", a->device, b->device},
                 {"precision", a->asked.precision, b->asked.precision}};
    const struct {
        const char *name;
        int64_t a, b;
    } counts[] = {{"batch", a->batch, b->batch},
#define X(id, member, ...) {#member, a->member, b->member},
                  WORKLOAD_VARIANT_LIST(X)
#undef X
    };
    int count = 0;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        if (strcmp(texts[i].a, texts[i].b) == 0) continue;
        if (out)
            text_add(out, "%s%s (%s and %s)", count ? ", " : "", texts[i].name, texts[i].a,
                     texts[i].b);
        count++;
    }
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        if (counts[i].a == counts[i].b) continue;
        if (out)
            text_add(out, "%s%s (%" PRId64 " and %" PRId64 ")", count ? ", " : "", counts[i].name,
                     counts[i].a, counts[i].b);
        count++;
    }
    return count;
}

static be_status row_of(comparing *c, const record_measured *record, compare_row **out,
                        be_error *err)
{
    void *rows = c->rows;
    for (size_t r = 0; r < c->count; r++)
        for (int s = 0; s < c->request->side_count; s++)
            if (c->rows[r].has[s] && !differences(&c->rows[r].of[s], record, NULL)) {
                *out = &c->rows[r];
                return BE_OK;
            }
    be_status status = memory_grow(&rows, &c->room, c->count + 1, sizeof *c->rows, err);
    c->rows = rows;
    TRY(status);
    *out = &c->rows[c->count++];
    **out = (compare_row){0};
    return BE_OK;
}

/* The fastest of the newest run. */
static bool is_better(const compare_row *row, int side, const record_measured *record, int64_t run)
{
    if (!row->has[side] || run != row->run[side]) return !row->has[side] || run > row->run[side];
    return record->step_s.median < row->of[side].step_s.median;
}

/* The records that a sweep was made from have none of their own: its result has it.  NULL: there is
 * none. */
static const json_t *environment_of(const compare_side *side, int64_t run)
{
    size_t i;
    json_t *item;
    json_array_foreach(side->records, i, item)
    {
        const json_t *record = report_member(item, chosen, record);
        if (json_integer_value(report_member(item, chosen, run)) == run &&
            strcmp(report_string(record, bench, kind), "sweep") == 0)
            return report_member(record, sweep, environment);
    }
    return NULL;
}

static be_status add_record(comparing *c, int side, const json_t *item, size_t number,
                            be_error *err)
{
    record_measured read;
    compare_row *row = NULL;
    const json_t *json = report_member(item, chosen, record);
    int64_t run = json_integer_value(report_member(item, chosen, run));
    record_place place = {
        .file = c->request->sides[side].title, .unit = "record", .number = number};
    if (strcmp(report_string(json, bench, kind), "bench") != 0) return BE_OK;
    const json_t *environment =
        json_object_get(json, "environment") ? NULL : environment_of(&c->request->sides[side], run);
    TRY(record_decode(json, environment, &place, &read, err));
    if (read.status != BE_OK || read.computes_nothing) return BE_OK;
    const char *only = c->request->workload;
    if (only && strcmp(only, read.workload) != 0) return BE_OK;
    TRY(row_of(c, &read, &row, err));
    if (!is_better(row, side, &read, run)) return BE_OK;
    row->of[side] = read;
    row->has[side] = true;
    row->run[side] = run;
    return BE_OK;
}

static be_status collect(comparing *c, be_error *err)
{
    for (int s = 0; s < c->request->side_count; s++) {
        const compare_side *side = &c->request->sides[s];
        size_t i, before = 0;
        json_t *item;
        json_array_foreach(side->records, i, item) TRY(add_record(c, s, item, i + 1, err));
        for (size_t r = 0; r < c->count; r++) before += c->rows[r].has[s];
        if (!before)
            FAIL(err, BE_USAGE,
                 "%s: expected records of bench with a speed%s%s, found none; 'breakeven runs' "
                 "lists what is kept",
                 side->title, c->request->workload ? " of " : "",
                 c->request->workload ? c->request->workload : "");
    }
    return BE_OK;
}

/* ---------------------------------------------------------------- ratios */

static be_status blocks_of(const record_measured *record, stats_series *out, be_error *err)
{
    void *memory = NULL;
    size_t count = json_array_size(record->blocks), i;
    json_t *block;
    *out = (stats_series){.count = (int32_t)count,
                          .batch = (double)record->batch,
                          .samples_per_s = record->samples_per_s};
    if (!count) return BE_OK;
    TRY(memory_alloc(&memory, count * sizeof(double), "blocks", err));
    double *blocks_s = memory;
    json_array_foreach(record->blocks, i, block) blocks_s[i] = json_number_value(block);
    out->blocks_s = blocks_s;
    return BE_OK;
}

/* Without blocks on both sides there is a ratio, and no interval: UNSURE. */
static be_status compare_two(const record_measured *record, const record_measured *base,
                             stats_interval *ratio, be_error *err)
{
    stats_series both[2] = {{0}};
    *ratio = (stats_interval){base->samples_per_s / record->samples_per_s, NAN, NAN};
    be_status status = blocks_of(record, &both[0], err);
    if (status == BE_OK) status = blocks_of(base, &both[1], err);
    if (status == BE_OK && both[0].count && both[1].count)
        status = stats_ratio_apart(&both[0], &both[1], SEED, ratio, err);
    for (int i = 0; i < 2; i++) memory_free((void *)both[i].blocks_s);
    return status;
}

static be_status judge_row(comparing *c, compare_row *row, be_error *err)
{
    int base = c->request->baseline;
    for (int s = 0; s < c->request->side_count; s++) {
        if (s == base || !row->has[s] || !row->has[base]) continue;
        TRY(compare_two(&row->of[s], &row->of[base], &row->ratio[s], err));
        row->verdict[s] = stats_judge(&row->ratio[s]);
    }
    return BE_OK;
}

static bool all_have(const comparing *c, const compare_row *row)
{
    bool all = true;
    for (int s = 0; s < c->request->side_count; s++) all &= row->has[s];
    return all;
}

/* The geometric mean over the rows that all sides have.  The rows are measured one by one: the
 * squares of their intervals' halves add up. */
static json_t *mean_of(const comparing *c, int side)
{
    double sum = 0, squares = 0, count = 0;
    for (size_t r = 0; r < c->count; r++) {
        const stats_interval *ratio = &c->rows[r].ratio[side];
        if (!all_have(c, &c->rows[r])) continue;
        double half = log(ratio->high / ratio->low) / 2;
        sum += log(ratio->point);
        squares += half * half;
        count++;
    }
    double half = sqrt(squares) / count;
    stats_interval mean = {exp(sum / count), exp(sum / count - half), exp(sum / count + half)};
    if (!count) return json_null();
    return json_pack("{s:o, s:o, s:o, s:s, s:i}", "ratio", json_of_real(mean.point), "low",
                     json_of_real(mean.low), "high", json_of_real(mean.high), "verdict",
                     stats_verdict_name(stats_judge(&mean)), "rows", (int)count);
}

/* ---------------------------------------------------------------- the result */

static void put(json_t *row, const char *name, const char *letter, json_t *value)
{
    json_t *group = json_object_get(row, name);
    if (!group) json_object_set_new(row, name, group = json_object());
    json_object_set_new(group, letter, value);
}

/* A whole training of that many epochs, its start included. */
static void put_epochs(const compare_request *request, const record_measured *r, json_t *row,
                       const char *letter, double price)
{
    double steps = ceil((double)request->epochs * (double)r->data_count / (double)r->batch);
    double start_s = r->start_s + r->prepare_s + fmax(r->first_step_s - r->step_s.median, 0);
    double seconds = steps * r->step_s.median + (isnan(start_s) ? 0 : start_s);
    if (!request->epochs || r->data_count < 1 || strcmp(r->mode, "train") != 0) return;
    put(row, "epochs_s", letter, json_of_real(seconds));
    put(row, "epochs_j", letter, json_of_real(steps * r->energy_per_step_j));
    put(row, "epochs_price", letter, json_of_real(seconds / 3600 * price));
}

static void put_side(const compare_request *request, const compare_row *from, int s, json_t *row)
{
    const char letter[2] = {(char)('A' + s), 0};
    const record_measured *r = &from->of[s];
    double price = request->sides[s].price;
    if (!from->has[s]) return;
    put(row, "step_s", letter, json_of_real(r->step_s.median));
    put(row, "step_low_s", letter, json_of_real(r->step_s.low));
    put(row, "step_high_s", letter, json_of_real(r->step_s.high));
    put(row, "samples_per_s", letter, json_of_real(r->samples_per_s));
    put(row, "samples_per_j", letter, json_of_real((double)r->batch / r->energy_per_step_j));
    put(row, "samples_per_price", letter, json_of_real(r->samples_per_s * 3600 / price));
    put(row, "threads", letter, json_of_count(r->threads));
    put(row, "device_name", letter, json_of_known(r->device_name));
    put(row, "run", letter, json_integer(from->run[s]));
    put_epochs(request, r, row, letter, price);
    if (s == request->baseline || !from->has[request->baseline]) return;
    put(row, "ratio", letter, json_of_real(from->ratio[s].point));
    put(row, "ratio_low", letter, json_of_real(from->ratio[s].low));
    put(row, "ratio_high", letter, json_of_real(from->ratio[s].high));
    put(row, "verdict", letter, json_string(stats_verdict_name(from->verdict[s])));
}

static json_t *row_json(const comparing *c, const compare_row *from)
{
    int first = 0;
    while (!from->has[first]) first++;
    const record_measured *r = &from->of[first];
    json_t *row =
        json_pack("{s:i, s:s, s:s, s:s, s:s, s:s, s:s, s:I}", "schema", 1, "kind", "comparison",
                  "workload", r->workload, "mode", r->mode, "engine", r->engine, "device",
                  r->device, "precision", r->asked.precision, "batch", (json_int_t)r->batch);
#define X(id, member, ...) json_object_set_new(row, #member, json_of_count(r->member));
    WORKLOAD_VARIANT_LIST(X)
#undef X
    for (int s = 0; s < c->request->side_count; s++) put_side(c->request, from, s, row);
    return row;
}

static json_t *result_json(const comparing *c)
{
    const compare_request *request = c->request;
    json_t *sides = json_array(), *rows = json_array(), *means = json_object();
    json_t *missing = json_object();
    for (int s = 0; s < request->side_count; s++) {
        const char letter[2] = {(char)('A' + s), 0};
        int lacks = 0;
        for (size_t r = 0; r < c->count; r++) lacks += !c->rows[r].has[s];
        json_array_append_new(sides,
                              json_pack("{s:s, s:o, s:o, s:o}", "letter", letter, "name",
                                        json_of_text(request->sides[s].name), "title",
                                        json_of_text(request->sides[s].title), "price_per_hour",
                                        json_of_real(request->sides[s].price)));
        json_object_set_new(missing, letter, json_integer(lacks));
        if (s != request->baseline) json_object_set_new(means, letter, mean_of(c, s));
    }
    for (size_t r = 0; r < c->count; r++) json_array_append_new(rows, row_json(c, &c->rows[r]));
    const char baseline[2] = {(char)('A' + request->baseline), 0};
    return json_pack("{s:i, s:s, s:o, s:s, s:o, s:o, s:o, s:o, s:o}", "schema", 1, "kind",
                     "comparisons", "sides", sides, "baseline", baseline, "epochs",
                     json_of_count(request->epochs ? request->epochs : -1), "differences",
                     compare_differences(request, c->rows, c->count), "rows", rows, "means", means,
                     "missing", missing);
}

/* ---------------------------------------------------------------- the question */

static be_status check_slower(const comparing *c, be_error *err)
{
    int failing = 0;
    const compare_row *worst = NULL;
    int side = 0;
    for (size_t r = 0; r < c->count; r++)
        for (int s = 0; s < c->request->side_count; s++) {
            const compare_row *row = &c->rows[r];
            if (row->verdict[s] != STATS_SLOWER || !(row->ratio[s].point > 1 + c->request->slower))
                continue;
            failing++;
            if (worst && row->ratio[s].point <= worst->ratio[side].point) continue;
            worst = row;
            side = s;
        }
    if (!worst) return BE_OK;
    const record_measured *r = &worst->of[side];
    FAIL(err, BE_SLOWER,
         "expected nothing to be slower by more than %g %%, found %d row%s; the worst is %s, %s on "
         "%s, batch %" PRId64 ": %.1f %% slower in %s",
         100 * c->request->slower, failing, failing == 1 ? "" : "s", r->workload, r->engine,
         r->device, r->batch, 100 * (worst->ratio[side].point - 1), c->request->sides[side].title);
}

/* The side of a row that one alone has. */
static int side_of(const compare_row *row)
{
    int side = 0;
    while (!row->has[side]) side++;
    return side;
}

/* No two sides have a row in common: which come nearest, and in what they differ. */
static be_status refuse_apart(const comparing *c, be_error *err)
{
    const compare_row *nearest[2] = {NULL, NULL};
    int least = INT_MAX;
    for (size_t r = 0; r < c->count; r++)
        for (size_t k = 0; k < r; k++) {
            const compare_row *a = &c->rows[k], *b = &c->rows[r];
            int apart = differences(&a->of[side_of(a)], &b->of[side_of(b)], NULL);
            if (side_of(a) == side_of(b) || apart >= least) continue;
            least = apart;
            nearest[0] = a;
            nearest[1] = b;
        }
    char what[400];
    text_buffer b = TEXT_BUFFER(what);
    int sides[2] = {side_of(nearest[0]), side_of(nearest[1])};
    differences(&nearest[0]->of[sides[0]], &nearest[1]->of[sides[1]], &b);
    FAIL(err, BE_USAGE,
         "expected measurements of the same workload, engine, device, precision and batch in two "
         "of them, found none: nothing can be compared; the nearest, of %s and %s, differ in %s",
         c->request->sides[sides[0]].title, c->request->sides[sides[1]].title, what);
}

static be_status compare(comparing *c, json_t **out, be_error *err)
{
    size_t both = 0;
    TRY(collect(c, err));
    for (size_t r = 0; r < c->count; r++) {
        int have = 0;
        TRY(judge_row(c, &c->rows[r], err));
        for (int s = 0; s < c->request->side_count; s++) have += c->rows[r].has[s];
        both += have > 1;
    }
    if (!both) return refuse_apart(c, err);
    *out = result_json(c);
    TRY(json_check(*out, "the comparison", err));
    return isnan(c->request->slower) ? BE_OK : check_slower(c, err);
}

be_status study_compare(const compare_request *request, json_t **out, be_error *err)
{
    comparing c = {.request = request};
    *out = NULL;
    be_status status = compare(&c, out, err);
    memory_free_array(c.rows);
    return status;
}
