/* Traces: gathered step by step, saved, compared. */
#include "protocol/trace.h"

#include <math.h>
#include <string.h>

#include "graph/graph.h"
#include "graph/reference.h"
#include "train/weights.h"

const trace_tensor *trace_find(const trace *t, const char *name)
{
    for (int i = 0; i < t->count; i++)
        if (strcmp(t->tensors[i].name, name) == 0) return &t->tensors[i];
    return NULL;
}

void trace_free(trace *t)
{
    arena_free(t->memory);
    *t = (trace){0};
}

double trace_error(const trace_tensor *a, const trace_tensor *b, int64_t *where)
{
    double difference = 0, size = 0;
    if (where) *where = 0;
    for (int64_t i = 0; i < b->count; i++) {
        double d = fabs(a->values[i] - b->values[i]);
        if (!isfinite(d)) {
            if (where) *where = i;
            return (double)NAN;
        }
        size = fmax(size, fabs(b->values[i]));
        if (d > difference) {
            difference = d;
            if (where) *where = i;
        }
    }
    return size > 0 ? difference / size : difference;
}

double trace_distance(const trace_tensor *a, const trace_tensor *b)
{
    double difference = 0, size = 0;
    for (int64_t i = 0; i < b->count; i++) {
        double d = a->values[i] - b->values[i];
        difference += d * d;
        size += b->values[i] * b->values[i];
    }
    return sqrt(size > 0 ? difference / size : difference);
}

double trace_largest(const trace_tensor *t)
{
    double largest = 0;
    for (int64_t i = 0; i < t->count; i++) largest = fmax(largest, fabs(t->values[i]));
    return largest;
}

/* ---------------------------------------------------------------- gathering */

/* What is traced: a plan or the reference. */
typedef struct trace_source {
    be_plan *plan;
    reference *reference;
} trace_source;

static be_status source_write(const trace_source *s, be_value value, const void *data, size_t bytes,
                              be_error *err)
{
    if (s->plan) return be_plan_write(s->plan, value, data, bytes, err);
    return reference_write(s->reference, value, data, bytes, err);
}

static be_status source_run(const trace_source *s, int64_t steps, be_error *err)
{
    if (s->plan) return be_plan_run(s->plan, steps, err);
    return reference_run(s->reference, steps, err);
}

static int source_parameter_count(const trace_source *s)
{
    return s->plan ? be_plan_parameter_count(s->plan) : reference_parameter_count(s->reference);
}

static be_parameter source_parameter(const trace_source *s, int index)
{
    return s->plan ? be_plan_parameter(s->plan, index) : reference_parameter(s->reference, index);
}

static int source_buffer_count(const trace_source *s)
{
    return s->plan ? be_plan_buffer_count(s->plan) : reference_buffer_count(s->reference);
}

static be_parameter source_buffer(const trace_source *s, int index)
{
    return s->plan ? be_plan_buffer(s->plan, index) : reference_buffer(s->reference, index);
}

static be_status trace_add(trace *t, const char *name, int rank, const int64_t *shape,
                           trace_tensor **out, be_error *err)
{
    void *values = NULL;
    trace_tensor *tensor = &t->tensors[t->count];
    *tensor = (trace_tensor){.rank = rank, .count = 1};
    for (int i = 0; i < rank; i++) {
        tensor->shape[i] = shape[i];
        tensor->count *= shape[i];
    }
    TRY(arena_printf(t->memory, &tensor->name, err, "%s", name));
    TRY(arena_alloc(t->memory, &values, ((size_t)tensor->count + 1) * sizeof(double), err));
    tensor->values = values;
    t->count++;
    *out = tensor;
    return BE_OK;
}

/* Read what a device has and widen it in place: it lies in the upper part of the room. */
static be_status read_plan(be_plan *plan, be_value value, trace_tensor *tensor, be_dtype dtype,
                           be_error *err)
{
    size_t each = dtype_bytes(dtype), bytes = (size_t)tensor->count * each;
    const char *narrow = (char *)tensor->values + (size_t)tensor->count * sizeof(double) - bytes;
    TRY(be_plan_read(plan, value, (void *)(uintptr_t)narrow, bytes, err));
    for (int64_t i = 0; i < tensor->count; i++) {
        float real;
        int32_t whole;
        const char *at = narrow + (size_t)i * each;
        if (dtype == BE_U8) {
            tensor->values[i] = (double)*(const uint8_t *)at;
            continue;
        }
        memcpy(&real, at, 4);
        memcpy(&whole, at, 4);
        tensor->values[i] = dtype == BE_F32 ? (double)real : (double)whole;
    }
    return BE_OK;
}

static be_status take_value(trace *t, const trace_source *s, const char *name, be_value value,
                            const be_shape *shape, be_error *err)
{
    trace_tensor *tensor = NULL;
    TRY(trace_add(t, name, shape->rank, shape->dim, &tensor, err));
    tensor->whole = shape->dtype != BE_F32;
    if (s->plan) return read_plan(s->plan, value, tensor, shape->dtype, err);
    const double *data = reference_data(s->reference, value);
    memcpy(tensor->values, data, (size_t)tensor->count * sizeof *data);
    return BE_OK;
}

static be_status take_parameters(trace *t, const trace_source *s, bool gradients, be_error *err)
{
    int count = source_parameter_count(s);
    for (int p = 0; p < count; p++) {
        char name[128];
        be_parameter parameter = source_parameter(s, p);
        snprintf(name, sizeof name, "%s.%s", gradients ? "grad" : "param", parameter.name);
        TRY(take_value(t, s, name, gradients ? parameter.gradient : parameter.value,
                       &parameter.shape, err));
    }
    return BE_OK;
}

static be_status take_buffers(trace *t, const trace_source *s, be_error *err)
{
    for (int b = 0; b < source_buffer_count(s); b++) {
        char name[128];
        be_parameter buffer = source_buffer(s, b);
        snprintf(name, sizeof name, "buffer.%s", buffer.name);
        TRY(take_value(t, s, name, buffer.value, &buffer.shape, err));
    }
    return BE_OK;
}

static be_status take_step(trace *t, const trace_source *s, const workload_model *model,
                           be_error *err)
{
    for (int i = 0; i < model->traced; i++) {
        be_shape shape = be_value_shape(model->graph, model->trace[i]);
        if (model->trace[i] == model->outputs.loss) shape.rank = 0;
        TRY(take_value(t, s, model->trace_name[i], model->trace[i], &shape, err));
    }
    return BE_OK;
}

static be_status take_losses(trace *t, const trace_source *s, int64_t steps, be_error *err)
{
    trace_tensor *tensor = NULL;
    TRY(trace_add(t, "losses", 1, &steps, &tensor, err));
    if (s->reference) return reference_losses(s->reference, steps, tensor->values, NULL, err);
    float losses[BE_LOSS_LOG];
    TRY(be_plan_losses(s->plan, steps, losses, NULL, err));
    for (int64_t i = 0; i < steps; i++) tensor->values[i] = (double)losses[i];
    return BE_OK;
}

static be_status write_weight(const trace_source *s, const safetensors *file,
                              const be_parameter *weight, be_error *err)
{
    safetensors_tensor like = weights_tensor(weight);
    const void *data = NULL;
    TRY(safetensors_expect(file, &like, &data, err));
    return source_write(s, weight->value, data, like.bytes, err);
}

static be_status write_weights(const trace_source *s, const char *path, be_error *err)
{
    safetensors *file = NULL;
    if (!path) return BE_OK;
    TRY(safetensors_open(&file, path, err));
    be_status status = BE_OK;
    for (int p = 0; status == BE_OK && p < source_parameter_count(s); p++) {
        be_parameter parameter = source_parameter(s, p);
        status = write_weight(s, file, &parameter, err);
    }
    for (int b = 0; status == BE_OK && b < source_buffer_count(s); b++) {
        be_parameter buffer = source_buffer(s, b);
        status = write_weight(s, file, &buffer, err);
    }
    safetensors_close(file);
    return status;
}

static be_status write_inputs(const trace_source *s, const trace_options *options, be_error *err)
{
    const workload_model *model = options->model;
    be_shape order = be_value_shape(model->graph, model->order);
    size_t order_bytes = (size_t)order.dim[0] * sizeof(int32_t);
    if (s->plan) {
        TRY(workload_bind(model, s->plan, options->data, err));
        return be_plan_bind(s->plan, model->order, options->order, order_bytes, err);
    }
    for (int f = 0; f < model->form.fields; f++) {
        const data_field *field = table_find(options->data, model->form.field[f].form.name);
        MUST(field && field->bytes);
        TRY(reference_write(s->reference, model->inputs[f], field->bytes, field_whole_bytes(field),
                            err));
    }
    return reference_write(s->reference, model->order, options->order, order_bytes, err);
}

/* In the order of the file: the parameters are taken before the step, the rest behind it. */
static be_status gather(trace *t, const trace_source *s, const trace_options *options,
                        be_error *err)
{
    void *memory = NULL;
    trace before = {0};
    int parameters = source_parameter_count(s);
    if (options->steps < 1 || options->steps > BE_LOSS_LOG)
        FAIL(err, BE_USAGE, "expected 1 to %d steps to compare, found %lld", BE_LOSS_LOG,
             (long long)options->steps);
    TRY(write_inputs(s, options, err));
    TRY(write_weights(s, options->weights, err));
    int others = options->model->traced + source_buffer_count(s) + 1; /* and the losses */
    TRY(arena_alloc(t->memory, &memory,
                    ((size_t)others + 3 * (size_t)parameters) * sizeof(trace_tensor), err));
    t->tensors = memory;
    before = (trace){.memory = t->memory, .tensors = t->tensors + others + 2 * parameters};
    TRY(take_parameters(&before, s, false, err));
    TRY(source_run(s, 1, err));
    TRY(take_step(t, s, options->model, err));
    memcpy(&t->tensors[t->count], before.tensors, (size_t)parameters * sizeof(trace_tensor));
    t->count += parameters;
    TRY(take_buffers(t, s, err));
    if (!options->infer) TRY(take_parameters(t, s, true, err));
    for (int64_t step = 1; step < options->steps; step++) {
        if (options->interrupted && *options->interrupted)
            FAIL(err, BE_INTERRUPTED, "stopped by a signal");
        TRY(source_run(s, 1, err));
    }
    return take_losses(t, s, options->steps, err);
}

static be_status gather_or_free(trace *t, const trace_source *s, const trace_options *options,
                                be_error *err)
{
    be_status status = arena_new(&t->memory, err);
    if (status == BE_OK) status = gather(t, s, options, err);
    if (status != BE_OK) trace_free(t);
    return status;
}

be_status trace_of_plan(trace *out, be_device *device, const trace_options *options, be_error *err)
{
    const workload_model *model = options->model;
    be_plan_options plan = {.mode = options->infer ? BE_INFER : BE_TRAIN,
                            .precision = options->precision,
                            .keep = model->trace,
                            .keep_count = model->traced,
                            .data_on_host = options->data_on_host,
                            .leave_weights = options->weights != NULL};
    trace_source s = {0};
    *out = (trace){0};
    TRY(be_plan_new(model->graph, device, &plan, &s.plan, err));
    be_status status = gather_or_free(out, &s, options, err);
    be_plan_free(s.plan);
    return status;
}

static be_status trace_one(trace *out, const trace_options *options, be_error *err)
{
    trace_source s = {0};
    *out = (trace){0};
    be_plan_options plan = {.mode = options->infer ? BE_INFER : BE_TRAIN,
                            .precision = options->precision};
    TRY(reference_new(options->model->graph, &plan, &s.reference, err));
    if (options->grid > 0) {
        reference_set_grid(s.reference, options->grid);
        reference_round_results(s.reference);
    }
    be_status status = gather_or_free(out, &s, options, err);
    reference_free(s.reference);
    return status;
}

/* ---------------------------------------------------------------- several workers */

static bool begins(const trace_tensor *tensor, const char *word)
{
    return strncmp(tensor->name, word, strlen(word)) == 0;
}

static bool is_mean(const trace_tensor *tensor)
{
    return begins(tensor, "loss") || begins(tensor, "grad.");
}

/* Of the batch: each worker has some of its rows. */
static bool is_cut(const trace_tensor *tensor)
{
    return !is_mean(tensor) && !begins(tensor, "param.") && !begins(tensor, "buffer.");
}

/* Room for what all parts make of the tensors of one. */
static be_status begin_parts(trace *t, const trace *part, int parts, be_error *err)
{
    void *memory = NULL;
    TRY(arena_new(&t->memory, err));
    TRY(arena_alloc(t->memory, &memory, ((size_t)part->count + 1) * sizeof(trace_tensor), err));
    t->tensors = memory;
    for (int i = 0; i < part->count; i++) {
        const trace_tensor *from = &part->tensors[i];
        trace_tensor *to = NULL;
        int64_t shape[BE_MAX_RANK];
        memcpy(shape, from->shape, sizeof shape);
        if (is_cut(from)) shape[0] *= parts;
        TRY(trace_add(t, from->name, from->rank, shape, &to, err));
        to->whole = from->whole;
        memset(to->values, 0, (size_t)to->count * sizeof(double));
    }
    return BE_OK;
}

static void add_part(trace *t, const trace *part, int index, int parts)
{
    for (int i = 0; i < part->count; i++) {
        const trace_tensor *from = &part->tensors[i];
        double *to = t->tensors[i].values;
        if (is_mean(from))
            for (int64_t v = 0; v < from->count; v++) to[v] += from->values[v] / parts;
        else if (is_cut(from))
            memcpy(to + index * from->count, from->values, (size_t)from->count * sizeof(double));
        else if (index == 0)
            memcpy(to, from->values, (size_t)from->count * sizeof(double));
    }
}

/* The part of each worker, moved to the front of the order. */
static be_status trace_parts(trace *out, const trace_options *options, int32_t *order,
                             be_error *err)
{
    const workload_model *model = options->model;
    int64_t count = be_value_shape(model->graph, model->order).dim[0];
    int64_t batch = be_value_shape(model->graph, model->trace[0]).dim[0];
    be_status status = BE_OK;
    MUST(options->steps == 1 && batch * options->parts <= count);
    for (int p = 0; p < options->parts && status == BE_OK; p++) {
        trace part = {0};
        trace_options one = *options;
        one.order = order;
        for (int64_t i = 0; i < count; i++) order[i] = options->order[(p * batch + i) % count];
        status = trace_one(&part, &one, err);
        if (status == BE_OK && p == 0) status = begin_parts(out, &part, options->parts, err);
        if (status == BE_OK) add_part(out, &part, p, options->parts);
        trace_free(&part);
    }
    return status;
}

be_status trace_of_reference(trace *out, const trace_options *options, be_error *err)
{
    void *order = NULL;
    int64_t count = be_value_shape(options->model->graph, options->model->order).dim[0];
    if (options->parts <= 1) return trace_one(out, options, err);
    *out = (trace){0};
    TRY(memory_alloc(&order, (size_t)count * sizeof(int32_t), "an order", err));
    be_status status = trace_parts(out, options, order, err);
    memory_free(order);
    if (status != BE_OK) trace_free(out);
    return status;
}

/* ---------------------------------------------------------------- files */

static be_status take_tensor(trace *t, const safetensors_tensor *from, be_error *err)
{
    trace_tensor *tensor = NULL;
    if (from->rank > BE_MAX_RANK ||
        (from->dtype != SAFETENSORS_F32 && from->dtype != SAFETENSORS_I64))
        FAIL(err, BE_BAD_DATA,
             "tensor \"%s\": expected F32 or I64 of at most %d dimensions, found %s of %d; the "
             "runner does not keep to the protocol",
             from->name, BE_MAX_RANK, safetensors_dtype_name(from->dtype), from->rank);
    TRY(trace_add(t, from->name, from->rank, from->shape, &tensor, err));
    tensor->whole = from->dtype == SAFETENSORS_I64;
    for (int64_t i = 0; i < tensor->count; i++)
        tensor->values[i] = from->dtype == SAFETENSORS_F32
                                ? (double)((const float *)from->data)[i]
                                : (double)((const int64_t *)from->data)[i];
    return BE_OK;
}

static be_status take_file(trace *t, const safetensors *file, be_error *err)
{
    void *memory = NULL;
    int count = safetensors_count(file);
    TRY(arena_new(&t->memory, err));
    TRY(arena_alloc(t->memory, &memory, ((size_t)count + 1) * sizeof(trace_tensor), err));
    t->tensors = memory;
    for (int i = 0; i < count; i++) TRY(take_tensor(t, safetensors_at(file, i), err));
    return BE_OK;
}

be_status trace_of_safetensors(trace *out, const safetensors *file, be_error *err)
{
    *out = (trace){0};
    be_status status = take_file(out, file, err);
    if (status != BE_OK) trace_free(out);
    return status;
}

be_status trace_of_file(trace *out, const char *path, be_error *err)
{
    safetensors *file = NULL;
    *out = (trace){0};
    TRY(safetensors_open(&file, path, err));
    be_status status = trace_of_safetensors(out, file, err);
    if (status != BE_OK) status_prefix(err, "%s", path);
    safetensors_close(file);
    return status;
}

void trace_round(trace *t)
{
    for (int i = 0; i < t->count; i++) {
        double *values = t->tensors[i].values;
        for (int64_t v = 0; !t->tensors[i].whole && v < t->tensors[i].count; v++)
            values[v] = (double)(float)values[v];
    }
}

/* The tensor's values as the file has them, in `narrow`. */
static void narrow_values(const trace_tensor *tensor, void *narrow)
{
    for (int64_t i = 0; i < tensor->count; i++) {
        if (tensor->whole)
            ((int64_t *)narrow)[i] = (int64_t)tensor->values[i];
        else
            ((float *)narrow)[i] = (float)tensor->values[i];
    }
}

/* The tensors as the file has them; `narrow` has room for their values. */
static int describe_tensors(const trace *t, bool losses, char *narrow, safetensors_tensor *out)
{
    int count = 0;
    for (int i = 0; i < t->count; i++) {
        const trace_tensor *from = &t->tensors[i];
        if (!losses && strcmp(from->name, "losses") == 0) continue;
        out[count] = (safetensors_tensor){.name = from->name,
                                          .dtype = from->whole ? SAFETENSORS_I64 : SAFETENSORS_F32,
                                          .rank = from->rank,
                                          .data = narrow};
        memcpy(out[count].shape, from->shape, (size_t)from->rank * sizeof(int64_t));
        narrow_values(from, narrow);
        narrow += (size_t)from->count * sizeof(int64_t);
        count++;
    }
    return count;
}

typedef struct trace_file {
    const char *path;
    bool losses;
    const safetensors_string *metadata;
    int metadata_count;
} trace_file;

static be_status save_file(const trace *t, const trace_file *form, be_error *err)
{
    void *memory = NULL;
    size_t room = ((size_t)t->count + 1) * sizeof(safetensors_tensor), values = 0;
    for (int i = 0; i < t->count; i++) values += (size_t)t->tensors[i].count;
    TRY(memory_alloc(&memory, room + values * sizeof(int64_t), "the tensors to be written", err));
    safetensors_tensor *tensors = memory;
    int count = describe_tensors(t, form->losses, (char *)memory + room, tensors);
    safetensors_layout layout = {tensors, count, form->metadata, form->metadata_count};
    be_status status = safetensors_save(form->path, &layout, err);
    memory_free(memory);
    return status;
}

be_status trace_save(const trace *t, const char *path, bool losses, be_error *err)
{
    return save_file(t, &(trace_file){.path = path, .losses = losses}, err);
}

be_status trace_save_with(const trace *t, const char *path, bool losses,
                          const safetensors_string *metadata, int metadata_count, be_error *err)
{
    return save_file(t, &(trace_file){path, losses, metadata, metadata_count}, err);
}
