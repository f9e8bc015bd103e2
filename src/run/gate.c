/* The reference of a workload. */
#include "run/gate.h"

#include <inttypes.h>
#include <string.h>

#include "core/memory.h"
#include "graph/graph.h"
#include "graph/precision.h"
#include "run/gate_store.h"
#include "run/rounding.h"

/* ---------------------------------------------------------------- the variant */

/* What the gate is computed on: what was asked for, or, where that is too large, a variant of the
 * network and the first pictures at its size. */
typedef struct gate_subject {
    material_options options;
    data_table set; /* its samples are owned, if `options` points here */
} gate_subject;

/* How many samples the steps of the gate see: the first in the order of training. */
static int64_t sample_count(const gate *g, const data_table *set)
{
    int64_t samples = g->batch * g->steps;
    return samples < set->count ? samples : set->count - set->count % g->batch;
}

static be_status reduce(gate *g, const gate_options *options, gate_subject *out, be_error *err)
{
    const material_options *full = options->material;
    const workload *base = NULL, *varied = NULL;
    int64_t count = sample_count(g, full->set);
    TRY(workload_find(full->workload->name, &base, err));
    TRY(workload_vary(base, &g->variant, &g->varied, &varied, err));
    varied = workload_at_gate(varied, &g->varied);
    TRY(material_gather(full, count, &out->set, err));
    TRY(workload_fit(varied, &out->set, err));
    out->options = (material_options){.workload = varied,
                                      .set = &out->set,
                                      .seed = full->seed,
                                      .batch = g->batch,
                                      .in_order = true};
    TRY(material_new(&g->material, &out->options, err));
    material_options sample = *full;
    sample.samples = count;
    return g->infer && !varied->operate ? material_new(&g->sample, &sample, err) : BE_OK;
}

/* ---------------------------------------------------------------- the reference */

/* The first samples in the order of training. */
static be_status gather(gate *g, const material_options *material, be_error *err)
{
    gate_source *s = &g->source;
    void *memory = NULL;
    int64_t count = sample_count(g, material->set);
    TRY(material_gather(material, count, &s->samples, err));
    TRY(memory_alloc(&memory, (size_t)count * sizeof(int32_t), "an order", err));
    s->order = memory;
    for (int64_t i = 0; i < count; i++) s->order[i] = (int32_t)i;
    return BE_OK;
}

/* Something that is computed in double: the reference, or what the rounding of a precision does to
 * it. */
typedef struct gate_quantity {
    be_precision precision;
    bool is_rounding;
} gate_quantity;

static be_status compute(const gate *g, gate_quantity what, trace *out, be_error *err)
{
    const gate_source *s = &g->source;
    workload_model model = {0};
    int batch = (int)g->batch / (g->parts ? g->parts : 1);
    workload_options model_options = {.seed = g->seed, .batch = batch, .data = &s->samples};
    TRY(workload_model_new(g->reduced ? &g->varied : s->workload, &model_options, &model, err));
    trace_options tracing = {.model = &model,
                             .data = &s->samples,
                             .order = s->order,
                             .weights = s->weights,
                             .steps = g->steps,
                             .parts = g->parts,
                             .infer = g->infer,
                             .precision = what.precision,
                             .interrupted = s->interrupted};
    be_status status = what.is_rounding ? rounding_measure(out, &tracing, &g->reference, err)
                                        : trace_of_reference(out, &tracing, err);
    be_graph_free(model.graph);
    return status;
}

static uint64_t hash_table(const data_table *t)
{
    uint64_t hash = GATE_STORE_HASH;
    for (int f = 0; f < t->fields; f++) {
        const data_field *field = &t->field[f];
        hash = gate_store_hash(hash, field->form.name, strlen(field->form.name));
        hash = gate_store_hash(hash, &field->form.sample, sizeof field->form.sample);
        hash = gate_store_hash(hash, field->form.mean, sizeof field->form.mean);
        hash = gate_store_hash(hash, field->form.std, sizeof field->form.std);
        hash = gate_store_hash(hash, field->bytes, field_whole_bytes(field));
    }
    return hash;
}

/* Of a file's bytes; 0 where there is none. */
static be_status hash_file(const char *path, uint64_t *out, be_error *err)
{
    const void *bytes = NULL;
    size_t length = 0;
    *out = 0;
    if (!path) return BE_OK;
    TRY(file_map(&bytes, &length, path, err));
    *out = gate_store_hash(GATE_STORE_HASH, bytes, length);
    file_unmap(bytes, length);
    return BE_OK;
}

#define KEPT_FORMAT 3 /* of the files: 2 shuffled a smaller variant's samples twice */

/* All that it depends on.  NULL: no memory. */
static json_t *gate_key(const gate *g, gate_quantity what)
{
    const gate_source *s = &g->source;
    json_t *key =
        json_pack("{s:i, s:s, s:s, s:i, s:I, s:I, s:I, s:b, s:I, s:I}", "format", KEPT_FORMAT,
                  "workload", g->workload, "precision", precision_name(what.precision), "draws",
                  what.is_rounding ? ROUNDING_DRAWS : 0, "seed", (json_int_t)g->seed, "batch",
                  (json_int_t)g->batch, "steps", (json_int_t)g->steps, "infer", g->infer, "data",
                  (json_int_t)hash_table(&s->samples), "build", (json_int_t)s->build);
    if (key && s->weights_hash)
        json_object_set_new(key, "weights", json_integer((json_int_t)s->weights_hash));
    if (key && g->parts) json_object_set_new(key, "parts", json_integer(g->parts));
    for (int d = 0; key && d < WORKLOAD_DIMENSIONS; d++)
        json_object_set_new(key, workload_dimension_names[d],
                            json_integer(workload_variant_get(&g->variant, (workload_dimension)d)));
    return key;
}

/* What was kept, or what is computed anew, which is kept then if that is possible. */
static be_status find_kept(gate *g, gate_quantity what, trace *out, be_error *err)
{
    be_error reason;
    json_t *key = NULL;
    if (g->source.build) {
        key = gate_key(g, what);
        if (!key) FAIL(err, BE_NO_MEMORY, "no memory left to look for a reference; free some");
    }
    bool is_kept = key && gate_store_load(out, key, &reason) == BE_OK;
    be_status status = is_kept ? BE_OK : compute(g, what, out, err);
    if (status == BE_OK && !is_kept) {
        trace_round(out);
        /* A full disk or a folder that cannot be written: it is computed anew the next time. */
        if (key) (void)!gate_store_save(out, key, &reason);
    }
    g->was_kept &= is_kept;
    json_decref(key);
    return status;
}

be_status gate_find_rounding(gate *g, be_precision precision, be_error *err)
{
    MUST(!g->own);
    if (g->rounding[precision].count) return BE_OK;
    return find_kept(g, (gate_quantity){precision, true}, &g->rounding[precision], err);
}

static be_status find_reference(gate *g, const gate_options *options, be_error *err)
{
    be_error reason;
    if (gate_store_build(&g->source.build, &reason) != BE_OK) g->source.build = 0;
    g->was_kept = true;
    for (int p = BE_PRECISION_TF32; p < BE_PRECISION_COUNT; p++)
        if (options->precisions >> p & 1)
            TRY(workload_check_precision(options->material->workload, (be_precision)p, err));
    TRY(find_kept(g, (gate_quantity){BE_PRECISION_FP32, false}, &g->reference, err));
    for (int p = BE_PRECISION_TF32; p < BE_PRECISION_COUNT; p++)
        if (options->precisions >> p & 1) TRY(gate_find_rounding(g, (be_precision)p, err));
    return BE_OK;
}

static be_status make(gate *g, const gate_options *options, gate_subject *subject, be_error *err)
{
    TRY(file_format_path(g->path, err, "%s/parity.safetensors", options->folder));
    subject->options = *options->material;
    if (g->reduced) TRY(reduce(g, options, subject, err));
    g->source.workload = options->material->workload;
    g->source.interrupted = options->interrupted;
    TRY(gather(g, &subject->options, err));
    if (!g->reduced) {
        g->source.weights = options->weights;
        TRY(hash_file(options->weights, &g->source.weights_hash, err));
    }
    return find_reference(g, options, err);
}

/* Whether a worker computes other statistics of its part than of the whole batch. */
static be_status has_batch_norms(const workload *w, bool *out, be_error *err)
{
    workload_model model = {0};
    *out = false;
    TRY(workload_model_new(w, &(workload_options){.batch = 1, .count = 1}, &model, err));
    for (size_t v = 0; v < model.graph->value_count; v++)
        *out |= model.graph->values[v].kind == VALUE_BUFFER;
    be_graph_free(model.graph);
    return BE_OK;
}

static be_status cut(gate *g, const gate_options *options, be_error *err)
{
    const workload *w = options->material->workload;
    int64_t workers = options->workers, there = options->material->set->count;
    bool parts = false;
    if (workers <= 1) return BE_OK;
    TRY(has_batch_norms(w, &parts, err));
    g->parts = parts ? (int)workers : 0;
    g->steps = parts ? 1 : g->steps;
    g->batch = parts ? w->gate.batch * workers : (w->gate.batch + workers - 1) / workers * workers;
    if (g->batch > there)
        FAIL(err, BE_USAGE,
             "expected at least %" PRId64 " samples for the gate of %" PRId64
             " workers, found %" PRId64 "; use fewer workers",
             g->batch, workers, there);
    return BE_OK;
}

be_status gate_new(gate *out, const gate_options *options, be_error *err)
{
    const workload *w = options->material->workload;
    int64_t there = options->material->set->count;
    gate_subject subject = {0};
    *out = (gate){.workload = w->name,
                  .seed = options->material->seed,
                  .batch = there < w->gate.batch ? there : w->gate.batch,
                  .steps = w->gate.steps,
                  .infer = options->infer};
    out->variant = workload_gate_variant(w, &out->reduced);
    be_status status = cut(out, options, err);
    if (status == BE_OK) status = make(out, options, &subject, err);
    table_free(&subject.set);
    if (status != BE_OK) gate_free(out);
    return status;
}

void gate_free(gate *g)
{
    material_free(&g->material);
    material_free(&g->sample);
    trace_free(&g->reference);
    for (int p = 0; p < BE_PRECISION_COUNT; p++) trace_free(&g->rounding[p]);
    table_free(&g->source.samples);
    memory_free(g->source.order);
    g->source = (gate_source){0};
}
