/* The table of workloads, and a workload as a training graph over a data set. */
#include "workloads/workload.h"

#include <stdio.h>
#include <string.h>

#include "core/status.h"
#include "core/text.h"
#include "graph/graph.h"
#include "graph/precision.h"

const workload *const workload_table[WORKLOAD_COUNT] = {
#define X(name) &workload_##name,
    WORKLOAD_LIST(X)
#undef X
};

const workload *const operation_table[OPERATION_COUNT] = {
#define X(name) &workload_##name,
    OPERATION_LIST(X)
#undef X
};

static const workload *at(int index)
{
    return index < WORKLOAD_COUNT ? workload_table[index] : operation_table[index - WORKLOAD_COUNT];
}

const char *workload_names(char out[WORKLOAD_NAMES])
{
    text_buffer b = text_begin(out, WORKLOAD_NAMES);
    for (int i = 0; i < WORKLOAD_COUNT + OPERATION_COUNT; i++) text_add(&b, "%s ", at(i)->name);
    return out;
}

be_status workload_find(const char *name, const workload **out, be_error *err)
{
    char names[WORKLOAD_NAMES];
    for (int i = 0; i < WORKLOAD_COUNT + OPERATION_COUNT; i++) {
        *out = at(i);
        if (strcmp((*out)->name, name) == 0) return BE_OK;
    }
    *out = NULL;
    FAIL(err, BE_USAGE, "workload \"%s\": expected one of %s(see 'breakeven workloads')", name,
         workload_names(names));
}

/* ---------------------------------------------------------------- variants */

const char *const workload_dimension_names[WORKLOAD_DIMENSIONS] = {
#define X(id, member, ...) #member,
    WORKLOAD_VARIANT_LIST(X)
#undef X
};

const int workload_dimension_most[WORKLOAD_DIMENSIONS] = {
#define X(id, member, before, after, most, ...) most,
    WORKLOAD_VARIANT_LIST(X)
#undef X
};

int *workload_variant_at(workload_variant *variant, workload_dimension dimension)
{
    switch (dimension) {
#define X(id, member, ...) \
    case WORKLOAD_##id:    \
        return &variant->member;
        WORKLOAD_VARIANT_LIST(X)
#undef X
    case WORKLOAD_DIMENSIONS:
        break;
    }
    MUST(!"a dimension of the list");
    return NULL;
}

int workload_variant_get(const workload_variant *variant, workload_dimension dimension)
{
    workload_variant copy = *variant;
    return *workload_variant_at(&copy, dimension);
}

workload_variant workload_complete(const workload *w)
{
    workload_variant all = w->own;
    for (int d = 0; d < WORKLOAD_DIMENSIONS; d++) {
        int value = workload_variant_get(&w->variant, (workload_dimension)d);
        if (value) *workload_variant_at(&all, (workload_dimension)d) = value;
    }
    return all;
}

workload_variant workload_gate_variant(const workload *w, bool *reduced)
{
    workload_variant out = w->variant, all = workload_complete(w);
    *reduced = w->gate.apart || w->operate; /* whose weights are of the gate's batch */
    for (int i = 0; i < WORKLOAD_DIMENSIONS; i++) {
        workload_dimension d = (workload_dimension)i;
        int limit = workload_variant_get(&w->gate.most, d);
        if (limit == 0 || workload_variant_get(&all, d) <= limit) continue;
        *workload_variant_at(&out, d) = limit;
        *reduced = true;
    }
    return out;
}

const workload *workload_at_gate(const workload *variant, workload *room)
{
    if (room != variant) *room = *variant;
    if (room->gate.rate > 0.0 && !room->is_gate) room->optimizer.learning_rate *= room->gate.rate;
    room->is_gate = true;
    return room;
}

/* How a dimension is told, and what the workload may vary. */
static const struct {
    const char *before, *after;
} told[WORKLOAD_DIMENSIONS] = {
#define X(id, member, before, after, ...) {before, after},
    WORKLOAD_VARIANT_LIST(X)
#undef X
};

/* Whether a width of the workload is told in times its own. */
static bool widens(const workload *base, workload_dimension d)
{
    return d == WORKLOAD_WIDTH && base->own.width == 1;
}

int workload_most(const workload *base, workload_dimension d)
{
    if (d == WORKLOAD_SIZE && !base->words[d]) return WORKLOAD_PIXELS;
    return widens(base, d) ? WORKLOAD_WIDTH_TIMES : workload_dimension_most[d];
}

static const char *before_text(const workload *base, workload_dimension d)
{
    return base->words[d] ? base->words[d]->before : told[d].before;
}

static const char *after_text(const workload *base, workload_dimension d)
{
    if (base->words[d]) return base->words[d]->after;
    return widens(base, d) ? "times its own" : told[d].after;
}

static be_status check_dimension(const workload *base, const workload_variant *variant,
                                 workload_dimension d, be_error *err)
{
    int value = workload_variant_get(variant, d);
    char names[256];
    text_buffer b = TEXT_BUFFER(names);
    if (!value) return BE_OK;
    for (int i = 0; i < WORKLOAD_DIMENSIONS; i++)
        if (workload_variant_get(&base->own, (workload_dimension)i))
            text_add(&b, "%s%s", b.used ? ", " : "", workload_dimension_names[i]);
    if (!workload_variant_get(&base->own, d))
        FAIL(err, BE_USAGE, "%s has no %s that could be varied; it has %s", base->name,
             workload_dimension_names[d], b.used ? names : "nothing of the kind");
    if (value < 1 || value > workload_most(base, d))
        FAIL(err, BE_USAGE, "%s: expected %s 1 to %d %s, found %d", base->name,
             before_text(base, d), workload_most(base, d), after_text(base, d), value);
    return BE_OK;
}

const char *workload_variant_text(const workload *base, const workload_variant *variant,
                                  const char *first, const char *last, char out[WORKLOAD_TEXT])
{
    text_buffer b = text_begin(out, WORKLOAD_TEXT);
    int others = 0;
    for (int i = 0; i < WORKLOAD_DIMENSIONS; i++)
        others += workload_variant_get(variant, (workload_dimension)i) != 0;
    for (int i = 0; i < WORKLOAD_DIMENSIONS; i++) {
        workload_dimension d = (workload_dimension)i;
        int value = workload_variant_get(variant, d);
        if (value && others--)
            text_add(&b, "%s%s %d %s",
                     !b.used  ? first
                     : others ? ", "
                              : last,
                     before_text(base, d), value, after_text(base, d));
    }
    return out;
}

/* ---------------------------------------------------------------- graphs */

data_table workload_form(const workload *w, int64_t count)
{
    data_table form = {0};
    workload_variant all = workload_complete(w);
    w->form(&all, &form);
    form.name = w->dataset;
    form.count = count;
    for (int f = 0; f < form.fields; f++) {
        be_field *field = &form.field[f].form;
        field->count = count;
        for (int c = 0; c < 4; c++) {
            field->mean[c] = 0.0f;
            field->std[c] = 1.0f;
        }
    }
    return form;
}

int64_t workload_targets(const data_table *form)
{
    int64_t count = 0;
    for (int f = 0; f < form->fields; f++)
        if (form->field[f].form.target) count += shape_elements(&form->field[f].form.sample);
    return count;
}

be_status workload_data(const workload *w, dataset_split split, const dataset_options *options,
                        be_dataset **out, be_error *err)
{
    workload_variant all = workload_complete(w);
    *out = NULL;
    return w->data(w, &all, split, options, out, err);
}

be_status workload_fit(const workload *w, data_table *data, be_error *err)
{
    workload_variant all = workload_complete(w);
    return w->fit ? w->fit(&all, data, err) : BE_OK;
}

static be_status options_check(const workload *w, const workload_options *options, int64_t order,
                               const char *sample, be_error *err)
{
    int batch = options->batch ? options->batch : w->batch;
    if (batch < 1)
        FAIL(err, BE_USAGE, "%s: expected a batch of at least 1, found %d", w->name, batch);
    if (batch > order && !options->clip)
        FAIL(err, BE_USAGE,
             "%s: expected a batch of at most the %lld %ss of the set, found %d; use a smaller "
             "--batch",
             w->name, (long long)order, sample, batch);
    return BE_OK;
}

static void add_trace(workload_model *m, be_value value, const char *kind, const char *field)
{
    snprintf(m->trace_name[m->traced], sizeof m->trace_name[0], "%s%s%s", kind, field ? "." : "",
             field ? field : "");
    m->trace[m->traced++] = value;
}

/* The fields that are no targets, or those that are. */
static void trace_fields(workload_model *m, bool targets)
{
    int count = 0;
    for (int f = 0; f < m->form.fields; f++) count += !m->form.field[f].form.target == !targets;
    for (int f = 0; f < m->form.fields; f++) {
        const be_field *field = &m->form.field[f].form;
        if (!field->target == !targets)
            add_trace(m, m->batch[f], targets ? "target" : "input", count > 1 ? field->name : NULL);
    }
}

/* The batch: each field as the data has it, read as the workload says. */
static void gather_fields(workload_model *m, const data_table *data, const be_batching *batching)
{
    for (int f = 0; f < m->form.fields; f++) {
        const be_field *form = &m->form.field[f].form;
        be_field field = table_find(data, form->name)->form;
        field.normalize = form->normalize;
        field.target = form->target;
        m->batch[f] = be_gather(m->graph, &field, batching);
        m->inputs[f] = be_value_find(m->graph, field.name);
    }
}

static void build_model(const workload *w, const workload_options *options, workload_model *m)
{
    be_graph *g = m->graph;
    workload_variant all = workload_complete(w);
    m->outputs.group = options->group;
    if (w->operate)
        operation_build(g, w, &all, options->batch ? options->batch : w->batch, &m->outputs);
    else
        w->build(g, m->batch, &all, &m->outputs);
    MUST(m->outputs.traced <= WORKLOAD_TRACES);
    trace_fields(m, false);
    trace_fields(m, true);
    for (int i = 0; i < m->outputs.traced; i++)
        add_trace(m, m->outputs.trace[i], m->outputs.trace_name[i], NULL);
    add_trace(m, m->outputs.loss, "loss", NULL);
    be_graph_minimize(g, m->outputs.loss, options->optimizer ? options->optimizer : &w->optimizer);
}

/* The start of workload_gate.apart. */
static void part_norms(be_graph *g)
{
    static const char suffix[] = ".bias";
    for (size_t i = 0; i < g->value_count; i++) {
        char running[128];
        graph_value *value = &g->values[i];
        size_t length = strlen(value->name), end = sizeof suffix - 1;
        if (value->kind != VALUE_PARAMETER || length < end ||
            strcmp(value->name + length - end, suffix) != 0)
            continue;
        snprintf(running, sizeof running, "%.*s.running_mean", (int)(length - end), value->name);
        if (be_value_find(g, running) != BE_NONE) value->start = (be_start){BE_ALTERNATING, 2.5f};
    }
}

be_status workload_model_new(const workload *w, const workload_options *options,
                             workload_model *out, be_error *err)
{
    int batch = options->batch ? options->batch : w->batch;
    *out = (workload_model){.form = workload_form(w, options->count)};
    data_table described = out->form;
    const data_table *data = options->data ? options->data : &described;
    int64_t order = options->order_count ? options->order_count : data->count;
    TRY(options_check(w, options, order, out->form.sample, err));
    TRY(table_check(data, &out->form, w->name, err));
    be_graph *g = be_graph_new(options->seed);
    out->graph = g;
    out->order = be_input(g, "order", shape_make(BE_I32, 1, order, 0, 0, 0));
    gather_fields(out, data, &(be_batching){out->order, batch, options->clip});
    build_model(w, options, out);
    if (w->is_gate && w->gate.apart) part_norms(g);
    be_status status = be_graph_check(g, err);
    if (status != BE_OK) {
        be_graph_free(g);
        out->graph = NULL;
    }
    return status;
}

be_status workload_check_precision(const workload *w, be_precision precision, be_error *err)
{
    workload_model model = {0};
    bool has = false;
    if (precision == BE_PRECISION_FP32) return BE_OK;
    TRY(workload_model_new(w, &(workload_options){.batch = 1, .count = 1}, &model, err));
    for (size_t n = 0; n < model.graph->node_count; n++)
        has |= model.graph->nodes[n].op->narrow != 0;
    be_graph_free(model.graph);
    if (has) return BE_OK;
    FAIL(err, BE_USAGE,
         "expected --precision fp32, found %s: %s has no products, and they alone are computed in "
         "%s",
         precision_name(precision), w->name, precision_name(precision));
}

be_status workload_bind(const workload_model *model, be_plan *plan, const data_table *data,
                        be_error *err)
{
    for (int f = 0; f < model->form.fields; f++) {
        const data_field *field = table_find(data, model->form.field[f].form.name);
        MUST(field && field->bytes);
        TRY(be_plan_bind(plan, model->inputs[f], field->bytes, field_whole_bytes(field), err));
    }
    return BE_OK;
}

static int64_t count_parameters(const be_graph *g)
{
    int64_t count = 0;
    for (size_t v = 0; v < g->value_count; v++)
        if (g->values[v].kind == VALUE_PARAMETER) count += shape_elements(&g->values[v].shape);
    return count;
}

be_status workload_vary(const workload *base, const workload_variant *variant, workload *room,
                        const workload **out, be_error *err)
{
    static const workload_variant nothing = {0};
    workload_model model;
    char text[WORKLOAD_TEXT];
    *out = base;
    if (memcmp(variant, &nothing, sizeof nothing) == 0) return BE_OK;
    if (base->file) { /* which dimensions it has its runner knows */
        *room = *base;
        room->variant = *variant;
        *out = room;
        return BE_OK;
    }
    for (int d = 0; d < WORKLOAD_DIMENSIONS; d++)
        TRY(check_dimension(base, variant, (workload_dimension)d, err));
    *out = room;
    *room = *base;
    room->variant = *variant;
    /* An operation's operands are of its usual batch. */
    workload_options options = {.batch = base->operate ? 0 : 1, .count = base->batch};
    be_status status = workload_model_new(room, &options, &model, err);
    if (status != BE_OK) {
        status_prefix(err, "%s with %s", base->name,
                      workload_variant_text(base, variant, "", " and ", text));
        return status;
    }
    room->parameters = count_parameters(model.graph);
    be_graph_free(model.graph);
    return BE_OK;
}
