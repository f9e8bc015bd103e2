/* A workload of the ladder in a user's own model. */
#include "study/yardstick.h"

#include <string.h>

#include "graph/graph.h"
#include "report/sheet.h"

#define SAMPLES 1024 /* generated: what is timed is the step, whatever it is of */

static bool has_shape(const json_t *list, const be_shape *shape)
{
    if (json_array_size(list) != (size_t)shape->rank) return false;
    for (int i = 0; i < shape->rank; i++)
        if (json_integer_value(json_array_get(list, (size_t)i)) != shape->dim[i]) return false;
    return true;
}

static const json_t *shape_of(const json_t *weights, const char *name)
{
    size_t i;
    json_t *weight;
    json_array_foreach(weights, i, weight)
    {
        const char *text = json_string_value(json_object_get(weight, "name"));
        if (text && strcmp(text, name) == 0) return json_object_get(weight, "shape");
    }
    return NULL;
}

static int64_t count_weights(const json_t *weights)
{
    int64_t sum = 0;
    size_t i, d;
    json_t *weight, *dim;
    json_array_foreach(weights, i, weight)
    {
        int64_t size = 1;
        json_array_foreach(json_object_get(weight, "shape"), d, dim) size *=
            json_integer_value(dim);
        sum += size;
    }
    return sum;
}

/* Pictures of another edge and sequences of another length have the same weights. */
static workload_variant variant_of(const workload *w, const json_t *input)
{
    size_t rank = json_array_size(input);
    int last = (int)json_integer_value(json_array_get(input, rank ? rank - 1 : 0));
    workload_variant variant = {0};
    if (rank == 4 && w->own.size && w->own.size != last) variant.size = last;
    if (rank == 2 && w->own.seq && w->own.seq != last) variant.seq = last;
    return variant;
}

/* Whether a sample has as many numbers as the workload's first field: pictures as [N, C, H, W] or
 * in one row, tokens as [N, T]. */
static bool reads(const workload *w, const json_t *input)
{
    data_table form = workload_form(w, 1);
    const be_shape *sample = &form.field[0].form.sample;
    int64_t elements = 1, needs = 1;
    for (size_t i = 1; i < json_array_size(input); i++)
        elements *= json_integer_value(json_array_get(input, i));
    for (int i = 0; i < sample->rank; i++) needs *= sample->dim[i];
    return json_array_size(input) > 1 && elements == needs;
}

static be_status has_weights(const workload *w, const json_t *weights, bool *out, be_error *err)
{
    workload_model model = {0};
    be_parameter *parameters = NULL;
    int count = 0;
    *out = false;
    if (w->parameters != count_weights(weights)) return BE_OK;
    TRY(workload_model_new(w, &(workload_options){.batch = 1, .count = 1}, &model, err));
    be_status status = graph_list_weights(model.graph, VALUE_PARAMETER, &parameters, &count, err);
    bool same = status == BE_OK && json_array_size(weights) == (size_t)count;
    for (int i = 0; same && i < count; i++)
        same = has_shape(shape_of(weights, parameters[i].name), &parameters[i].shape);
    be_graph_free(model.graph);
    *out = same;
    return status;
}

be_status yardstick_find(const json_t *weights, const json_t *input, workload *room,
                         const workload **out, be_error *err)
{
    *out = NULL;
    for (int i = 0; weights && i < WORKLOAD_COUNT; i++) {
        const workload *base = workload_table[i], *w;
        workload_variant variant = variant_of(base, input);
        bool same;
        /* A size that it cannot have: it is another network. */
        if (workload_vary(base, &variant, room, &w, NULL) != BE_OK || !reads(w, input)) continue;
        TRY(has_weights(w, weights, &same, err));
        if (!same) continue;
        *out = w;
        return BE_OK;
    }
    return BE_OK;
}

be_status yardstick_open(yardstick *out, const study_request *request, const study_watch *watch,
                         be_error *err)
{
    const workload *w = out->workload;
    dataset_options data = {.synthetic = true, .seed = request->seed, .limit = SAMPLES};
    TRY(workload_data(w, SPLIT_TRAIN, &data, &out->set, err));
    out->options =
        (material_options){.workload = w, .set = &out->set->table, .seed = request->seed};
    TRY(material_new(&out->material, &out->options, err));
    gate_options gate = {.material = &out->options,
                         .folder = out->material.folder.path,
                         .infer = request->infer,
                         .precisions = 1U << BE_PRECISION_FP32,
                         .interrupted = watch->stop};
    study_progress(watch, "%s: the reference of the native engine ...", w->name);
    return gate_new(&out->gate, &gate, err);
}

static bool has_device(const json_t *hello, const char *device)
{
    size_t i;
    json_t *item;
    json_array_foreach(json_object_get(hello, "devices"), i, item)
    {
        const char *id = json_string_value(json_object_get(item, "id"));
        if (id && strcmp(id, device) == 0) return true;
    }
    return false;
}

static void join_on(bench_plan *plan, const engine *native, const bench_contender *like)
{
    for (int i = 0; i < plan->contender_count; i++) {
        const bench_contender *other = &plan->contenders[i];
        if (other->is_yardstick && strcmp(other->device, like->device) == 0 &&
            other->threads == like->threads)
            return;
    }
    if (plan->contender_count < BENCH_CONTENDERS_MAX)
        plan->contenders[plan->contender_count++] = (bench_contender){
            native, like->device, like->threads, .precision = "fp32", .is_yardstick = true};
}

be_status yardstick_join(const yardstick *y, bench_plan *plan, const study_request *request,
                         const study_watch *watch, be_error *err)
{
    engine_question questions[ENGINE_COUNT] = {{0}};
    engine_options asking = {.interrupted = watch->stop};
    int native = 0, own = plan->contender_count;
    while (strcmp(engine_names[native], "native") != 0) native++;
    questions[native].engine = &plan->engines[native];
    engine_ask(questions, &asking);
    if (questions[native].status != BE_OK) {
        *err = questions[native].error;
        return questions[native].status;
    }
    plan->hello[native] = questions[native].hello;
    for (int i = 0; i < own; i++)
        if (has_device(plan->hello[native], plan->contenders[i].device))
            join_on(plan, &plan->engines[native], &plan->contenders[i]);
    study_note(watch,
               "%s has the weights of %s: the native engine trains that beside it, on generated "
               "data, with the loss and the optimizer of the ladder",
               request->workloads[0]->name, y->workload->name);
    return BE_OK;
}

void yardstick_close(yardstick *y)
{
    gate_free(&y->gate);
    material_free(&y->material);
    dataset_close(y->set);
    *y = (yardstick){0};
}
