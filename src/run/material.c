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
#include "train/weights.h"

static be_status make_order(const material_options *options, int32_t **out, be_error *err)
{
    void *memory = NULL;
    int64_t count = options->set->count;
    TRY(memory_alloc(&memory, (size_t)count * sizeof(int32_t), "the order of the pictures", err));
    *out = memory;
    order_epoch(options->seed, 0, *out, (int32_t)count);
    return BE_OK;
}

be_status material_gather(const material_options *options, int64_t count, uint8_t **images,
                          int32_t **labels, be_error *err)
{
    const be_dataset *set = options->set;
    size_t each = (size_t)dataset_image_bytes(set);
    void *image_memory = NULL, *label_memory = NULL;
    int32_t *order = NULL;
    MUST(count <= set->count);
    TRY(make_order(options, &order, err));
    be_status status = memory_alloc(&image_memory, (size_t)count * each, "pictures", err);
    if (status == BE_OK)
        status = memory_alloc(&label_memory, (size_t)count * sizeof(int32_t), "labels", err);
    if (status == BE_OK) {
        *images = image_memory;
        *labels = label_memory;
        for (int64_t i = 0; i < count; i++) {
            memcpy(*images + (size_t)i * each, set->images + (size_t)order[i] * each, each);
            (*labels)[i] = set->labels[order[i]];
        }
    } else {
        memory_free(image_memory);
    }
    memory_free(order);
    return status;
}

static be_status save_data(const material *m, const be_dataset *set, const uint8_t *images,
                           const int32_t *labels, const int32_t *order, be_error *err)
{
    const safetensors_tensor tensors[] = {
        {.name = "order", .dtype = SAFETENSORS_I32, .rank = 1, .shape = {m->count}, .data = order},
        {.name = "labels",
         .dtype = SAFETENSORS_I32,
         .rank = 1,
         .shape = {m->count},
         .data = labels},
        {.name = "images",
         .dtype = SAFETENSORS_U8,
         .rank = 4,
         .shape = {m->count, set->channels, set->height, set->width},
         .data = images}};
    return safetensors_save(m->data, &(safetensors_layout){tensors, 3, NULL, 0}, err);
}

static be_status write_data(material *m, const material_options *options, be_error *err)
{
    const be_dataset *set = options->set;
    int32_t *order = NULL, *labels = NULL;
    uint8_t *images = NULL;
    bool all = !options->samples || options->samples >= set->count;
    m->count = all ? set->count : options->samples;
    TRY(make_order(options, &order, err));
    be_status status = BE_OK;
    if (!all) {
        for (int64_t i = 0; i < m->count; i++) order[i] = (int32_t)i;
        status = material_gather(options, m->count, &images, &labels, err);
    }
    if (status == BE_OK)
        status =
            save_data(m, set, all ? set->images : images, all ? set->labels : labels, order, err);
    memory_free(order);
    memory_free(images);
    memory_free(labels);
    return status;
}

static be_status write_weights(const material *m, const material_options *options, be_error *err)
{
    workload_model model = {0};
    workload_options wanted = {.seed = options->seed, .batch = 1, .count = 1};
    for (int c = 0; c < 4; c++) wanted.std[c] = 1.0f;
    TRY(workload_model_new(options->workload, &wanted, &model, err));
    be_status status = weights_save_start(model.graph, m->weights, err);
    be_graph_free(model.graph);
    return status;
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
    if (status == BE_OK) status = write_data(out, options, err);
    if (status == BE_OK) status = write_weights(out, options, err);
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
    bool adam = o->kind != BE_SGD;
    protocol_job job = {.workload = w->name,
                        .precision = "fp32",
                        .mode = "train",
                        .data = m->data,
                        .weights = m->weights,
                        .seed = options->seed,
                        .threads = 1,
                        .batch = w->batch,
                        .variant = w->variant,
                        .channels = w->channels,
                        .optimizer = {.name = names[o->kind],
                                      .lr = o->learning_rate,
                                      .momentum = o->momentum,
                                      .weight_decay = o->weight_decay,
                                      .beta1 = !adam             ? 0
                                               : o->beta1 != 0.0 ? o->beta1
                                                                 : 0.9,
                                      .beta2 = !adam             ? 0
                                               : o->beta2 != 0.0 ? o->beta2
                                                                 : 0.999,
                                      .epsilon = !adam               ? 0
                                                 : o->epsilon != 0.0 ? o->epsilon
                                                                     : 1e-8}};
    for (int c = 0; c < w->channels; c++) {
        job.mean[c] = as_written(options->set->mean[c]);
        job.std[c] = as_written(options->set->std[c]);
    }
    return job;
}
