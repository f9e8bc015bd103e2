/* The native engine behind the protocol. */
#include "native/native.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "backend/backend.h"
#include "core/clock.h"
#include "core/memory.h"
#include "protocol/trace.h"
#include "train/evaluate.h"
#include "train/snapshot.h"
#include "train/weights.h"

/* The tensors of a data file, checked against the workload. */
typedef struct data_tensors {
    const uint8_t *images;
    const int32_t *labels, *order;
    int64_t count, order_count;
} data_tensors;

static be_status check_range(const int32_t *values, int64_t count, int64_t limit, const char *name,
                             const char *path, be_error *err)
{
    for (int64_t i = 0; i < count; i++)
        if (values[i] < 0 || values[i] >= limit)
            FAIL(err, BE_BAD_DATA,
                 "%s: expected '%s' from 0 to %" PRId64 ", found %d at element %" PRId64
                 "; write the data file again",
                 path, name, limit - 1, values[i], i);
    return BE_OK;
}

static be_status take_integers(const safetensors *file, const char *name, const char *path,
                               const int32_t **out, int64_t *count, be_error *err)
{
    const void *data = NULL;
    safetensors_tensor wanted = {.name = name, .dtype = SAFETENSORS_I32, .rank = -1};
    TRY(safetensors_expect(file, &wanted, &data, err));
    const safetensors_tensor *found = safetensors_find(file, name);
    if (found->rank != 1 || found->count < 1 || found->count > INT32_MAX)
        FAIL(err, BE_BAD_DATA,
             "%s: expected '%s' to have one dimension of 1 to 2^31 - 1, found %d dimensions and "
             "%" PRId64 " elements; write the data file again",
             path, name, found->rank, found->count);
    *out = data;
    *count = found->count;
    return BE_OK;
}

static be_status take_data(const workload *w, const safetensors *file, const char *path,
                           bool with_order, data_tensors *out, be_error *err)
{
    const void *data = NULL;
    TRY(take_integers(file, "labels", path, &out->labels, &out->count, err));
    safetensors_tensor images = {.name = "images",
                                 .dtype = SAFETENSORS_U8,
                                 .rank = 4,
                                 .shape = {out->count, w->channels, w->height, w->width}};
    TRY(safetensors_expect(file, &images, &data, err));
    out->images = data;
    TRY(check_range(out->labels, out->count, w->classes, "labels", path, err));
    if (!with_order) return BE_OK;
    TRY(take_integers(file, "order", path, &out->order, &out->order_count, err));
    return check_range(out->order, out->order_count, out->count, "order", path, err);
}

static be_status take_optimizer(const protocol_optimizer *from, be_optimizer *out, be_error *err)
{
    static const char *const names[] = {
#define X(id, text) text,
        BE_OPTIMIZER_LIST(X)
#undef X
    };
    int kind = 0, kinds = (int)(sizeof names / sizeof names[0]);
    while (kind < kinds && strcmp(names[kind], from->name) != 0) kind++;
    if (kind == kinds)
        FAIL(err, BE_USAGE, "expected 'optimizer.name' to be sgd, adam or adamw, found \"%s\"",
             from->name);
    *out = (be_optimizer){.kind = (be_optimizer_kind)kind,
                          .learning_rate = from->lr,
                          .weight_decay = from->weight_decay};
    if (kind == BE_SGD) {
        out->momentum = from->momentum;
    } else {
        out->beta1 = from->beta1;
        out->beta2 = from->beta2;
        out->epsilon = from->epsilon;
    }
    return BE_OK;
}

static be_status check_job(const protocol_job *job, const workload *w, be_error *err)
{
    bool train = strcmp(job->mode, "train") == 0;
    if (!train && strcmp(job->mode, "infer") != 0)
        FAIL(err, BE_USAGE, "expected 'mode' to be train or infer, found \"%s\"", job->mode);
    if (job->data_on && strcmp(job->data_on, "device") != 0 && strcmp(job->data_on, "host") != 0)
        FAIL(err, BE_USAGE, "expected 'data_on' to be device or host, found \"%s\"", job->data_on);
    if (strcmp(job->precision, "fp32") != 0)
        FAIL(err, BE_UNAVAILABLE,
             "precision %s: the native engine has fp32 alone on the CPU; ask for that",
             job->precision);
    if (job->channels != w->channels)
        FAIL(err, BE_USAGE,
             "expected %d values in 'normalize.mean' and 'normalize.std', one a channel, found %d",
             w->channels, job->channels);
    if (!job->data) FAIL(err, BE_USAGE, "expected 'data' to name a data file, found none; add it");
    if (job->batch > INT32_MAX)
        FAIL(err, BE_USAGE, "expected a batch below 2^31, found %" PRId64, job->batch);
    return BE_OK;
}

static be_status open_data(native_session *s, const protocol_job *job, be_error *err)
{
    data_tensors data = {0};
    TRY(safetensors_open(&s->data, job->data, err));
    TRY(take_data(s->workload, s->data, job->data, true, &data, err));
    s->images = data.images;
    s->labels = data.labels;
    s->order = data.order;
    s->count = data.count;
    s->order_count = data.order_count;
    s->options = (workload_options){.seed = job->seed,
                                    .batch = (int)job->batch,
                                    .count = data.count,
                                    .order_count = data.order_count,
                                    .optimizer = s->train ? &s->optimizer : NULL};
    for (int c = 0; c < job->channels; c++) {
        s->options.mean[c] = (float)job->mean[c];
        s->options.std[c] = (float)job->std[c];
    }
    return BE_OK;
}

static be_status bind_data(native_session *s, be_error *err)
{
    const workload *w = s->workload;
    const be_batch *batch = &s->model.batch;
    size_t pixels = (size_t)w->channels * (size_t)w->height * (size_t)w->width;
    size_t count = (size_t)s->count, orders = (size_t)s->order_count;
    TRY(be_plan_bind(s->plan, batch->images, s->images, count * pixels, err));
    TRY(be_plan_bind(s->plan, batch->labels, s->labels, count * sizeof *s->labels, err));
    return be_plan_bind(s->plan, batch->order, s->order, orders * sizeof *s->order, err);
}

static be_status load_weights(native_session *s, const char *path, be_error *err)
{
    safetensors *file = NULL;
    s->weights_path = path;
    TRY(safetensors_open(&file, path, err));
    be_status status = weights_load(s->plan, file, NULL, err);
    safetensors_close(file);
    return status;
}

static be_status prepare(native_session *s, const protocol_job *job,
                         const be_device_options *device, be_error *err)
{
    const workload *base = NULL;
    be_device_options with_threads = *device;
    with_threads.threads = job->threads;
    /* One word for devices of several kinds: it is for those that can take it. */
    if (!backend_has_library(job->device, device->library)) with_threads.library = NULL;
    TRY(workload_find(job->workload, &base, err));
    TRY(workload_vary(base, &job->variant, &s->varied, &s->workload, err));
    TRY(check_job(job, s->workload, err));
    if (s->train) TRY(take_optimizer(&job->optimizer, &s->optimizer, err));
    TRY(be_device_open(job->device, &with_threads, &s->device, err));
    TRY(open_data(s, job, err));
    TRY(workload_model_new(s->workload, &s->options, &s->model, err));
    be_plan_options plan = {.mode = s->train ? BE_TRAIN : BE_INFER,
                            .data_on_host = s->data_on_host};
    TRY(be_plan_new(s->model.graph, s->device, &plan, &s->plan, err));
    TRY(bind_data(s, err));
    if (job->weights) TRY(load_weights(s, job->weights, err));
    TRY(snapshot_new(&s->prepared, s->plan, err));
    return snapshot_take(s->prepared, s->plan, err);
}

be_status native_open(native_session *s, const protocol_job *job, const be_device_options *device,
                      be_error *err)
{
    *s = (native_session){.train = strcmp(job->mode, "train") == 0,
                          .data_on_host = job->data_on && strcmp(job->data_on, "host") == 0};
    be_status status = prepare(s, job, device, err);
    if (status != BE_OK) native_close(s);
    return status;
}

void native_close(native_session *s)
{
    memory_free(s->prepared);
    be_plan_free(s->plan);
    be_graph_free(s->model.graph);
    safetensors_close(s->data);
    be_device_close(s->device);
    *s = (native_session){0};
}

be_status native_run(native_session *s, int64_t steps, int64_t *wall_ns, float *losses,
                     double *loss, be_error *err)
{
    float last = 0;
    *loss = (double)NAN;
    *wall_ns = 0;
    for (int64_t done = 0; done < steps;) {
        /* The plan remembers its last BE_LOSS_LOG losses. */
        int64_t block = losses && steps - done > BE_LOSS_LOG ? BE_LOSS_LOG : steps - done;
        int64_t start_ns = clock_now_ns();
        TRY(be_plan_run(s->plan, block, err));
        *wall_ns += clock_now_ns() - start_ns;
        if (losses) TRY(be_plan_losses(s->plan, block, losses + done, NULL, err));
        done += block;
    }
    if (!s->train) return BE_OK;
    TRY(be_plan_losses(s->plan, 1, &last, NULL, err));
    *loss = (double)last;
    return BE_OK;
}

be_status native_parity(native_session *s, int64_t steps, const char *path, be_error *err)
{
    trace t = {0};
    trace_options options = {.model = &s->model,
                             .images = s->images,
                             .labels = s->labels,
                             .order = s->order,
                             .weights = s->weights_path,
                             .steps = steps,
                             .infer = !s->train,
                             .data_on_host = s->data_on_host};
    TRY(trace_of_plan(&t, s->device, &options, err));
    be_status status = trace_save(&t, path, true, err);
    trace_free(&t);
    TRY(status);
    return snapshot_restore(s->prepared, s->plan, err);
}

static be_status evaluate_data(native_session *s, const data_tensors *data, native_evaluation *out,
                               be_error *err)
{
    evaluator e;
    evaluation result;
    evaluator_options options = {.workload = s->workload,
                                 .device = s->device,
                                 .share = s->plan,
                                 .batch = s->options.batch,
                                 .count = data->count,
                                 .images = data->images,
                                 .labels = data->labels,
                                 .data_on_host = s->data_on_host};
    memcpy(options.mean, s->options.mean, sizeof options.mean);
    memcpy(options.std, s->options.std, sizeof options.std);
    TRY(evaluator_open(&e, &options, err));
    be_status status = evaluator_run(&e, &result, err);
    evaluator_close(&e);
    TRY(status);
    *out = (native_evaluation){result.count, result.correct, result.loss};
    return BE_OK;
}

be_status native_evaluate(native_session *s, const char *path, native_evaluation *out,
                          be_error *err)
{
    safetensors *file = NULL;
    data_tensors data = {0};
    TRY(safetensors_open(&file, path, err));
    be_status status = take_data(s->workload, file, path, false, &data, err);
    if (status == BE_OK) status = evaluate_data(s, &data, out, err);
    safetensors_close(file);
    return status;
}
