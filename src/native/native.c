/* The native engine behind the protocol. */
#include "native/native.h"
#include "graph/precision.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "backend/backend.h"
#include "core/clock.h"
#include "core/memory.h"
#include "protocol/trace.h"
#include "train/evaluate.h"
#include "train/ranks.h"
#include "train/weights.h"

/* ---------------------------------------------------------------- the data file */

static const safetensors_dtype file_dtypes[] = {
    [BE_F32] = SAFETENSORS_F32, [BE_I32] = SAFETENSORS_I32, [BE_U8] = SAFETENSORS_U8};

/* Elements from one sample to the next, for a field whose samples are windows; else 0. */
static be_status take_stride(const safetensors *file, const char *path, const char *field,
                             int64_t *out, be_error *err)
{
    char name[64];
    const void *data = NULL;
    safetensors_tensor like = {.name = name, .dtype = SAFETENSORS_I32};
    snprintf(name, sizeof name, "%s.stride", field);
    *out = 0;
    if (!safetensors_find(file, name)) return BE_OK;
    TRY(safetensors_expect(file, &like, &data, err));
    *out = *(const int32_t *)data;
    if (*out < 1)
        FAIL(err, BE_BAD_DATA,
             "%s: expected '%s' to be at least 1, found %" PRId64 "; write the data file again",
             path, name, *out);
    return BE_OK;
}

/* The windows of a tensor of one dimension, which they cover exactly. */
static be_status take_windows(const safetensors *file, const char *path, data_field *field,
                              be_error *err)
{
    const char *name = field->form.name;
    const safetensors_tensor *tensor = safetensors_find(file, name);
    safetensors_tensor expected = {
        .name = name, .dtype = file_dtypes[field->form.sample.dtype], .rank = -1};
    int64_t each = shape_elements(&field->form.sample), stride = field->form.stride;
    TRY(safetensors_expect(file, &expected, &field->bytes, err));
    if (tensor->rank != 1 || tensor->count < each || (tensor->count - each) % stride != 0)
        FAIL(err, BE_BAD_DATA,
             "%s: expected '%s' to have one dimension that windows of %" PRId64
             " elements, %" PRId64 " apart, cover exactly, found %d dimensions and %" PRId64
             " elements; write the data file again",
             path, name, each, stride, tensor->rank, tensor->count);
    field->form.count = (tensor->count - each) / stride + 1;
    return BE_OK;
}

/* A field that the workload reads, `wanted`, with as many samples as the first one has. */
static be_status take_field(const safetensors *file, const char *path, const data_field *field,
                            int64_t count, data_field *out, be_error *err)
{
    const be_shape *sample = &field->form.sample;
    const safetensors_tensor *tensor = safetensors_find(file, field->form.name);
    safetensors_tensor expected = {.name = field->form.name,
                                   .dtype = file_dtypes[sample->dtype],
                                   .rank = sample->rank + 1,
                                   .shape = {count    ? count
                                             : tensor ? tensor->shape[0]
                                                      : 0}};
    *out = *field;
    TRY(take_stride(file, path, field->form.name, &out->form.stride, err));
    if (out->form.stride) {
        TRY(take_windows(file, path, out, err));
        if (count && out->form.count != count)
            FAIL(err, BE_BAD_DATA,
                 "%s: expected %" PRId64 " samples of '%s', found %" PRId64
                 "; write the data file again",
                 path, count, field->form.name, out->form.count);
        return BE_OK;
    }
    for (int i = 0; i < sample->rank; i++) expected.shape[i + 1] = sample->dim[i];
    out->form.count = expected.shape[0];
    return safetensors_expect(file, &expected, &out->bytes, err);
}

static const protocol_transform *find_transform(const protocol_job *job, const char *field)
{
    for (int t = 0; t < job->transform_count; t++)
        if (strcmp(job->transforms[t].field, field) == 0) return &job->transforms[t];
    return NULL;
}

/* How the job normalises the field, if the workload wants that. */
static be_status take_transform(const protocol_job *job, const data_field *form_field,
                                data_field *field, be_error *err)
{
    const protocol_transform *from = find_transform(job, form_field->form.name);
    if (!form_field->form.normalize) return BE_OK;
    int channels = (int)form_field->form.sample.dim[0];
    if (!from || from->channels != channels)
        FAIL(err, BE_USAGE,
             "expected %d values in 'normalize.%s.mean' and 'normalize.%s.std', one per channel, "
             "found %d",
             channels, form_field->form.name, form_field->form.name, from ? from->channels : 0);
    for (int c = 0; c < channels; c++) {
        field->form.mean[c] = (float)from->mean[c];
        field->form.std[c] = (float)from->std[c];
    }
    return BE_OK;
}

/* The fields of a file that the workload reads, checked. */
static be_status take_data(const workload *w, const safetensors *file, const protocol_job *job,
                           const char *path, data_table *out, be_error *err)
{
    data_table form = workload_form(w, 0);
    *out = (data_table){.name = path,
                        .source = path,
                        .sample = form.sample,
                        .unit = form.unit,
                        .units_a_sample = form.units_a_sample};
    for (; out->fields < form.fields; out->fields++) {
        const data_field *form_field = &form.field[out->fields];
        data_field *field = &out->field[out->fields];
        TRY(take_field(file, path, form_field, out->count, field, err));
        out->count = field->form.count;
        if (out->count < 1 || out->count > INT32_MAX)
            FAIL(err, BE_BAD_DATA,
                 "%s: expected '%s' to have 1 to 2^31 - 1 samples, found %" PRId64
                 "; write the data file again",
                 path, field->form.name, out->count);
        TRY(take_transform(job, form_field, field, err));
        TRY(field_check(field, form_field, path, err));
    }
    return BE_OK;
}

static be_status take_order(native_session *s, const char *path, be_error *err)
{
    const void *data = NULL;
    safetensors_tensor like = {.name = "order", .dtype = SAFETENSORS_I32, .rank = -1};
    TRY(safetensors_expect(s->file, &like, &data, err));
    const safetensors_tensor *tensor = safetensors_find(s->file, "order");
    if (tensor->rank != 1 || tensor->count < 1 || tensor->count > INT32_MAX)
        FAIL(err, BE_BAD_DATA,
             "%s: expected 'order' to have one dimension of 1 to 2^31 - 1, found %d dimensions and "
             "%" PRId64 " elements; write the data file again",
             path, tensor->rank, tensor->count);
    s->order = data;
    s->order_count = tensor->count;
    data_field order = {
        .form = {.name = "order", .count = tensor->count, .sample = {BE_I32, 0, {0}}},
        /* Where nothing is read of the samples, any of them will do. */
        .below = s->data.fields ? (int32_t)s->data.count : 0,
        .bytes = data};
    return field_check(&order, &order, path, err);
}

/* ---------------------------------------------------------------- preparing */

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
        FAIL(err, BE_USAGE,
             "expected 'optimizer.name' to be sgd, adam, adamw or none, found \"%s\"", from->name);
    *out = (be_optimizer){.kind = (be_optimizer_kind)kind,
                          .learning_rate = from->lr,
                          .weight_decay = from->weight_decay,
                          .max_gradient_norm = from->max_gradient_norm,
                          .schedule = from->schedule};
    if (kind == BE_SGD) {
        out->momentum = from->momentum;
    } else if (kind != BE_NO_UPDATE) {
        out->beta1 = from->beta1;
        out->beta2 = from->beta2;
        out->epsilon = from->epsilon;
    }
    return BE_OK;
}

static be_status check_job(const protocol_job *job, be_error *err)
{
    bool train = strcmp(job->mode, "train") == 0;
    if (!train && strcmp(job->mode, "infer") != 0)
        FAIL(err, BE_USAGE, "expected 'mode' to be train or infer, found \"%s\"", job->mode);
    if (job->data_on && strcmp(job->data_on, "device") != 0 && strcmp(job->data_on, "host") != 0)
        FAIL(err, BE_USAGE, "expected 'data_on' to be device or host, found \"%s\"", job->data_on);
    if (!job->data) FAIL(err, BE_USAGE, "expected 'data' to name a data file, found none; add it");
    if (job->batch > INT32_MAX)
        FAIL(err, BE_USAGE, "expected a batch below 2^31, found %" PRId64, job->batch);
    return BE_OK;
}

static be_status open_data(native_session *s, const protocol_job *job, be_error *err)
{
    TRY(safetensors_open(&s->file, job->data, err));
    TRY(take_data(s->workload, s->file, job, job->data, &s->data, err));
    TRY(take_order(s, job->data, err));
    s->options = (workload_options){.seed = job->seed,
                                    .batch = (int)job->batch / s->turns,
                                    .data = &s->data,
                                    .order_count = s->order_count,
                                    .optimizer = s->train ? &s->optimizer : NULL};
    return BE_OK;
}

static be_status bind_data(native_session *s, be_error *err)
{
    TRY(workload_bind(&s->model, s->plan, &s->data, err));
    return be_plan_bind(s->plan, s->model.order, s->order,
                        (size_t)s->order_count * sizeof *s->order, err);
}

static be_status make_plan(native_session *s, be_error *err)
{
    be_plan_options plan = {.mode = s->train ? BE_TRAIN : BE_INFER,
                            .precision = s->precision,
                            .data_on_host = s->data_on_host,
                            .accumulate = s->turns,
                            .leave_weights = s->weights_path != NULL};
    TRY(be_plan_new(s->model.graph, s->device, &plan, &s->plan, err));
    TRY(bind_data(s, err));
    if (!s->weights_path) return BE_OK;
    return weights_load_file(s->plan, s->weights_path, WEIGHTS_WHOLE, NULL, err);
}

static be_status check_link(const native_session *s, be_error *err)
{
    if (!s->workload->link || s->device->is_apart) return BE_OK;
    FAIL(err, BE_UNAVAILABLE,
         "%s: expected a device with memory of its own, found %s, whose memory is the host's; name "
         "a GPU (--device cuda:0), or measure op:copy",
         s->workload->name, s->device->id);
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
    TRY(check_job(job, err));
    TRY(ranks_check_turns(s->workload, job->batch, s->turns, 1, err));
    TRY(precision_find(job->precision, &s->precision, err));
    if (s->train) TRY(take_optimizer(&job->optimizer, &s->optimizer, err));
    TRY(be_device_open(job->device, &with_threads, &s->device, err));
    TRY(check_link(s, err));
    TRY(open_data(s, job, err));
    TRY(workload_model_new(s->workload, &s->options, &s->model, err));
    s->weights_path = job->weights;
    return make_plan(s, err);
}

be_status native_open(native_session *s, const protocol_job *job, const be_device_options *device,
                      be_error *err)
{
    *s = (native_session){.train = strcmp(job->mode, "train") == 0,
                          .turns = job->accumulate > 1 ? job->accumulate : 1,
                          .data_on_host = job->data_on && strcmp(job->data_on, "host") == 0};
    be_status status = prepare(s, job, device, err);
    if (status != BE_OK) native_close(s);
    return status;
}

void native_close(native_session *s)
{
    be_plan_free(s->plan);
    be_graph_free(s->model.graph);
    safetensors_close(s->file);
    be_device_close(s->device);
    *s = (native_session){0};
}

be_status native_run(native_session *s, int64_t steps, int64_t *wall_ns, float *losses,
                     double *loss, be_error *err)
{
    float last = 0;
    *loss = (double)NAN;
    *wall_ns = 0;
    for (int64_t step = 0; step < steps;) {
        /* The plan remembers its last BE_LOSS_LOG losses. */
        int64_t block = losses && steps - step > BE_LOSS_LOG ? BE_LOSS_LOG : steps - step;
        int64_t start_ns = clock_now_ns();
        TRY(be_plan_run(s->plan, block, err));
        *wall_ns += clock_now_ns() - start_ns;
        if (losses) TRY(be_plan_losses(s->plan, block, losses + step, NULL, err));
        step += block;
    }
    if (!s->train) return BE_OK;
    TRY(be_plan_losses(s->plan, 1, &last, NULL, err));
    *loss = (double)last;
    return BE_OK;
}

/* With a new plan; on failure the old one stays. */
static be_status start_again(native_session *s, be_error *err)
{
    be_plan *old = s->plan;
    s->plan = NULL;
    be_status status = make_plan(s, err);
    be_plan_free(status == BE_OK ? old : s->plan);
    if (status != BE_OK) s->plan = old;
    return status;
}

be_status native_parity(native_session *s, int64_t steps, const char *path, be_error *err)
{
    trace t = {0};
    trace_options options = {.model = &s->model,
                             .precision = s->precision,
                             .data = &s->data,
                             .order = s->order,
                             .weights = s->weights_path,
                             .steps = steps,
                             .infer = !s->train,
                             .data_on_host = s->data_on_host};
    TRY(trace_of_plan(&t, s->device, &options, err));
    be_status status = trace_save(&t, path, true, err);
    trace_free(&t);
    TRY(status);
    int64_t step = 0;
    TRY(be_plan_steps(s->plan, &step, err));
    return step > 0 ? start_again(s, err) : BE_OK;
}

static be_status evaluate_data(native_session *s, const data_table *data, native_evaluation *out,
                               be_error *err)
{
    evaluator e;
    evaluation result;
    evaluator_options options = {.workload = s->workload,
                                 .precision = s->precision,
                                 .device = s->device,
                                 .share = s->plan,
                                 .batch = s->options.batch,
                                 .data = data,
                                 .data_on_host = s->data_on_host};
    TRY(evaluator_open(&e, &options, err));
    be_status status = evaluator_run(&e, &result, err);
    evaluator_close(&e);
    TRY(status);
    *out = (native_evaluation){result.count, result.correct, result.loss};
    return BE_OK;
}

/* As the session was prepared. */
static void take_transforms(const data_table *data, protocol_job *out)
{
    for (int f = 0; f < data->fields; f++) {
        const be_field *field = &data->field[f].form;
        protocol_transform *t = &out->transforms[out->transform_count++];
        *t = (protocol_transform){.field = field->name,
                                  .channels = field->sample.rank ? (int)field->sample.dim[0] : 0};
        for (int c = 0; c < t->channels && c < PROTOCOL_CHANNELS_MAX; c++) {
            t->mean[c] = (double)field->mean[c];
            t->std[c] = (double)field->std[c];
        }
    }
}

be_status native_evaluate(native_session *s, const char *path, native_evaluation *out,
                          be_error *err)
{
    safetensors *file = NULL;
    data_table data = {0};
    protocol_job job = {.transform_count = 0};
    TRY(safetensors_open(&file, path, err));
    take_transforms(&s->data, &job);
    be_status status = take_data(s->workload, file, &job, path, &data, err);
    if (status == BE_OK) status = evaluate_data(s, &data, out, err);
    safetensors_close(file);
    return status;
}
