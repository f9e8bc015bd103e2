/* The table of workloads, and a workload as a training graph over a data set. */
#include "workloads/workload.h"

#include <stdio.h>
#include <string.h>

#include "core/status.h"
#include "graph/graph.h"

const workload *const workload_table[WORKLOAD_COUNT] = {
#define X(name) &workload_##name,
    WORKLOAD_LIST(X)
#undef X
};

be_status workload_find(const char *name, const workload **out, be_error *err)
{
    char names[256] = "";
    size_t used = 0;
    for (int i = 0; i < WORKLOAD_COUNT; i++) {
        if (strcmp(workload_table[i]->name, name) == 0) {
            *out = workload_table[i];
            return BE_OK;
        }
        used += (size_t)snprintf(names + used, sizeof names - used, "%s%s", i ? ", " : "",
                                 workload_table[i]->name);
    }
    *out = NULL;
    FAIL(err, BE_USAGE, "workload \"%s\": expected one of %s", name, names);
}

static be_status options_check(const workload *w, const workload_options *options, int batch,
                               be_error *err)
{
    int64_t order = options->order_count ? options->order_count : options->count;
    if (batch < 1)
        FAIL(err, BE_USAGE, "%s: expected a batch of at least 1, found %d", w->name, batch);
    if (batch > order && !options->clip)
        FAIL(err, BE_USAGE,
             "%s: expected a batch of at most the %lld images of the set, found %d; use a smaller "
             "--batch",
             w->name, (long long)order, batch);
    return BE_OK;
}

be_status workload_model_new(const workload *w, const workload_options *options,
                             workload_model *out, be_error *err)
{
    int batch = options->batch ? options->batch : w->batch;
    *out = (workload_model){0};
    TRY(options_check(w, options, batch, err));
    be_batch_options data = {.count = options->count,
                             .order_count =
                                 options->order_count ? options->order_count : options->count,
                             .batch = batch,
                             .channels = w->channels,
                             .height = w->height,
                             .width = w->width,
                             .clip = options->clip};
    memcpy(data.mean, options->mean, sizeof data.mean);
    memcpy(data.std, options->std, sizeof data.std);
    be_graph *g = be_graph_new(options->seed);
    out->graph = g;
    out->batch = be_data_batch(g, &data);
    out->logits = w->build(g, out->batch.x, w->variant.times ? w->variant.times : 1);
    out->loss = be_softmax_cross_entropy(g, out->logits, out->batch.target);
    be_graph_minimize(g, out->loss, options->optimizer ? options->optimizer : &w->optimizer);
    be_status status = be_graph_check(g, err);
    if (status != BE_OK) {
        be_graph_free(g);
        out->graph = NULL;
    }
    return status;
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
    workload_model model;
    *out = base;
    if (!variant->times && !variant->size) return BE_OK;
    *out = room;
    *room = *base;
    room->variant = *variant;
    if (variant->size) room->height = room->width = variant->size;
    if (room->variant.times < 0 || room->variant.times > WORKLOAD_TIMES_MAX)
        FAIL(err, BE_USAGE, "%s: expected a width of 1 to %d times its own, found %d", base->name,
             WORKLOAD_TIMES_MAX, room->variant.times);
    if (room->height < 1 || room->height > WORKLOAD_SIZE_MAX)
        FAIL(err, BE_USAGE, "%s: expected pictures of 1 to %d pixels, found %d", base->name,
             WORKLOAD_SIZE_MAX, room->height);
    workload_options options = {.batch = 1, .count = 1, .std = {1, 1, 1, 1}};
    be_status status = workload_model_new(room, &options, &model, err);
    if (status != BE_OK) {
        status_prefix(err, "%s with pictures of %d pixels", base->name, room->height);
        return status;
    }
    room->parameters = count_parameters(model.graph);
    be_graph_free(model.graph);
    return BE_OK;
}
