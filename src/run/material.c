/* Files for runners. */
#include "run/material.h"

#include <float.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/memory.h"
#include "data/order.h"
#include "data/safetensors.h"

static be_status make_order(const material_options *options, int32_t **out, be_error *err)
{
    void *memory = NULL;
    int64_t count = options->set->count;
    TRY(memory_alloc(&memory, (size_t)count * sizeof(int32_t), "the order of the samples", err));
    *out = memory;
    order_epoch(options->seed, 0, *out, (int32_t)count);
    for (int64_t i = 0; options->in_order && i < count; i++) (*out)[i] = (int32_t)i;
    return BE_OK;
}

be_status material_gather(const material_options *options, int64_t count, data_table *out,
                          be_error *err)
{
    int32_t *order = NULL;
    MUST(count <= options->set->count);
    TRY(make_order(options, &order, err));
    be_status status = table_gather(options->set, order, count, out, err);
    memory_free(order);
    return status;
}

#define STRIDE ".stride"

/* A field as a tensor of the data file: its windows, where they are some, in one dimension. */
static safetensors_tensor field_tensor(const data_field *field)
{
    static const safetensors_dtype dtypes[] = {
        [BE_F32] = SAFETENSORS_F32, [BE_I32] = SAFETENSORS_I32, [BE_U8] = SAFETENSORS_U8};
    const be_shape *sample = &field->form.sample;
    safetensors_tensor out = {.name = field->form.name,
                              .dtype = dtypes[sample->dtype],
                              .rank = sample->rank + 1,
                              .shape = {field->form.count},
                              .data = field->bytes};
    for (int i = 0; i < sample->rank; i++) out.shape[i + 1] = sample->dim[i];
    if (!field->form.stride) return out;
    out.rank = 1;
    out.shape[0] = field_elements(field);
    return out;
}

/* Wider items first, as the format wants it. */
static be_status save_data(const material *m, const data_table *data, const int32_t *order,
                           be_error *err)
{
    safetensors_tensor tensors[2 * TABLE_FIELDS + 1] = {
        {.name = "order", .dtype = SAFETENSORS_I32, .rank = 1, .shape = {m->count}, .data = order}};
    char names[TABLE_FIELDS][64];
    int32_t strides[TABLE_FIELDS];
    int count = 1;
    for (int f = 0; f < data->fields; f++) {
        if (!data->field[f].form.stride) continue;
        strides[f] = (int32_t)data->field[f].form.stride;
        snprintf(names[f], sizeof names[f], "%s" STRIDE, data->field[f].form.name);
        tensors[count++] =
            (safetensors_tensor){.name = names[f], .dtype = SAFETENSORS_I32, .data = &strides[f]};
    }
    for (int narrow = 0; narrow < 2; narrow++)
        for (int f = 0; f < data->fields; f++)
            if ((data->field[f].form.sample.dtype == BE_U8) == narrow)
                tensors[count++] = field_tensor(&data->field[f]);
    return safetensors_save(m->data, &(safetensors_layout){tensors, count, NULL, 0}, err);
}

static be_status write_data(material *m, const material_options *options, be_error *err)
{
    const data_table *set = options->set;
    data_table part = {0};
    int32_t *order = NULL;
    bool all = !options->samples || options->samples >= set->count;
    m->count = all ? set->count : options->samples;
    TRY(make_order(options, &order, err));
    be_status status = BE_OK;
    if (!all) {
        for (int64_t i = 0; i < m->count; i++) order[i] = (int32_t)i;
        status = material_gather(options, m->count, &part, err);
    }
    if (status == BE_OK) status = save_data(m, all ? set : &part, order, err);
    memory_free(order);
    table_free(&part);
    return status;
}

/* Those of options->from, under the names and in the types that runners read. */
static be_status copy_weights(material *m, const material_options *options, const be_graph *graph,
                              be_error *err)
{
    be_device *device = NULL;
    be_plan *plan = NULL;
    be_plan_options planning = {.mode = BE_INFER, .leave_weights = 1};
    TRY(be_device_open("cpu", &(be_device_options){.threads = 1}, &device, err));
    be_status status = be_plan_new(graph, device, &planning, &plan, err);
    if (status == BE_OK)
        status = weights_load_file(plan, options->from, WEIGHTS_WHOLE, m->note, err);
    if (status == BE_OK) status = weights_save(plan, m->weights, NULL, 0, err);
    be_plan_free(plan);
    be_device_close(device);
    return status;
}

static be_status write_weights(material *m, const material_options *options, be_error *err)
{
    workload_model model = {0};
    const workload *w = options->workload;
    int64_t batch = w->operate ? options->batch : 1;
    workload_options model_options = {.seed = options->seed, .batch = (int)batch, .count = batch};
    TRY(workload_model_new(options->workload, &model_options, &model, err));
    be_status status = options->from ? copy_weights(m, options, model.graph, err)
                                     : weights_save_start(model.graph, m->weights, err);
    be_graph_free(model.graph);
    return status;
}

be_status material_set_batch(material *m, const material_options *options, int64_t batch,
                             be_error *err)
{
    material_options of_batch = *options;
    of_batch.batch = batch;
    return write_weights(m, &of_batch, err);
}

static be_status make_folder(material *m, be_error *err)
{
    TRY(folder_temporary_new(&m->folder, err));
    json_t *name = json_string(m->folder.path);
    json_decref(name);
    if (!name)
        FAIL(err, BE_USAGE,
             "TMPDIR: expected a folder whose name is UTF-8, as the JSON that tells runners of it, "
             "found other bytes; set it to another folder");
    TRY(file_format_path(m->data, err, "%s/data.safetensors", m->folder.path));
    return file_format_path(m->weights, err, "%s/weights.safetensors", m->folder.path);
}

be_status material_new(material *out, const material_options *options, be_error *err)
{
    *out = (material){0};
    be_status status = make_folder(out, err);
    bool own = options->workload->file;
    if (status == BE_OK && !own) status = write_data(out, options, err);
    bool of_batch = options->workload->operate && !options->batch; /* material_set_batch's */
    if (status == BE_OK && !own && !of_batch) status = write_weights(out, options, err);
    if (status != BE_OK) material_free(out);
    return status;
}

void material_free(material *m)
{
    folder_temporary_remove(&m->folder);
}

/* The number of fewest digits that is this one in single precision: 0.1307, not 0.130699992. */
static double as_written(float value)
{
    char text[32];
    for (int digits = 1; digits < FLT_DECIMAL_DIG; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, (double)value);
        if (strtof(text, NULL) == value) return strtod(text, NULL);
    }
    return (double)value;
}

protocol_job material_job(const material *m, const material_options *options)
{
    static const char *const names[] = {
#define X(id, text) text,
        BE_OPTIMIZER_LIST(X)
#undef X
    };
    const workload *w = options->workload;
    const be_optimizer *o = &w->optimizer;
    bool adam = o->kind == BE_ADAM || o->kind == BE_ADAMW;
    protocol_job job = {.workload = w->name,
                        .model = w->file,
                        .precision = "fp32",
                        .mode = w->link ? "infer" : "train",
                        .data = w->file ? NULL : m->data,
                        .weights = m->weights,
                        .seed = options->seed,
                        .threads = 1,
                        .batch = w->batch,
                        .variant = w->variant,
                        .optimizer = {.name = names[o->kind],
                                      .lr = o->learning_rate,
                                      .momentum = o->momentum,
                                      .weight_decay = o->weight_decay,
                                      .max_gradient_norm = o->max_gradient_norm,
                                      .matrices_decay = w->matrices_decay,
                                      .schedule = o->schedule,
                                      .beta1 = !adam             ? 0
                                               : o->beta1 != 0.0 ? o->beta1
                                                                 : 0.9,
                                      .beta2 = !adam             ? 0
                                               : o->beta2 != 0.0 ? o->beta2
                                                                 : 0.999,
                                      .epsilon = !adam               ? 0
                                                 : o->epsilon != 0.0 ? o->epsilon
                                                                     : 1e-8}};
    for (int f = 0; f < options->set->fields; f++) {
        const be_field *field = &options->set->field[f].form;
        if (!field->normalize) continue;
        protocol_transform *t = &job.transforms[job.transform_count++];
        *t = (protocol_transform){.field = field->name, .channels = (int)field->sample.dim[0]};
        for (int c = 0; c < t->channels; c++) {
            t->mean[c] = as_written(field->mean[c]);
            t->std[c] = as_written(field->std[c]);
        }
    }
    return job;
}
