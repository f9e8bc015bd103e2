/* Weights between plans and files. */
#include "train/weights.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "core/half.h"
#include "core/text.h"
#include "data/shards.h"
#include "graph/graph.h"
#include "train/weight_names.h"

#define WEIGHT_DESCRIBED 200 /* bytes of a type and a shape */

int weights_count(const be_plan *plan)
{
    return be_plan_parameter_count(plan) + be_plan_buffer_count(plan);
}

be_parameter weights_at(const be_plan *plan, int index)
{
    int parameters = be_plan_parameter_count(plan);
    return index < parameters ? be_plan_parameter(plan, index)
                              : be_plan_buffer(plan, index - parameters);
}

safetensors_tensor weights_tensor(const be_parameter *parameter)
{
    safetensors_tensor tensor = {
        .name = parameter->name, .dtype = SAFETENSORS_F32, .rank = parameter->shape.rank};
    for (int i = 0; i < tensor.rank; i++) tensor.shape[i] = parameter->shape.dim[i];
    tensor.count = shape_elements(&parameter->shape);
    tensor.bytes = (size_t)tensor.count * sizeof(float);
    return tensor;
}

be_status weights_check_finite(const char *name, const float *values, int64_t count, be_error *err)
{
    for (int64_t i = 0; i < count; i++)
        if (!isfinite(values[i]))
            FAIL(err, BE_NUMERIC,
                 "%s: expected finite weights, found %g at element %" PRId64
                 ", so nothing was written; try a smaller learning rate",
                 name, (double)values[i], i);
    return BE_OK;
}

/* A file, and what was done to its tensors so that they fit. */
typedef struct weights_fit {
    const safetensors *file;
    weight_names names;
    weights_head head;
    int converted;                     /* tensors */
    const char *from;                  /* the type of the last of them */
    int surplus[WEIGHT_SURPLUS];       /* tensors that were passed over */
    const char *new_head;              /* which started anew */
    char head_found[WEIGHT_DESCRIBED]; /* its weight's type and shape in the file, or "none" */
} weights_fit;

static be_status convert(const safetensors_tensor *from, const void *data, float *out,
                         be_error *err)
{
    for (int64_t i = 0; i < from->count; i++) {
        if (from->dtype == SAFETENSORS_F16) out[i] = half_to_float(((const uint16_t *)data)[i]);
        if (from->dtype == SAFETENSORS_BF16) out[i] = brain_to_float(((const uint16_t *)data)[i]);
        if (from->dtype != SAFETENSORS_F64) continue;
        double value = ((const double *)data)[i];
        out[i] = (float)value;
        if (isfinite(value) && !isfinite(out[i]))
            FAIL(err, BE_BAD_DATA,
                 "tensor \"%s\": element %" PRId64
                 " is %g, which F32 cannot hold; scale the weights",
                 from->name, i, value);
    }
    return BE_OK;
}

static bool is_converted(safetensors_dtype dtype)
{
    return dtype == SAFETENSORS_F16 || dtype == SAFETENSORS_BF16 || dtype == SAFETENSORS_F64;
}

/* Is it what is wanted, perhaps of another type?  One number may have no dimension in a file. */
static bool fits(const safetensors_tensor *like, const safetensors_tensor *tensor)
{
    bool same = tensor->rank == like->rank || (tensor->rank == 0 && like->count == 1);
    for (int i = 0; same && i < tensor->rank; i++) same = tensor->shape[i] == like->shape[i];
    return same && (tensor->dtype == like->dtype || is_converted(tensor->dtype));
}

/* A head starts anew on request alone.  *done: its values are those that the plan began with. */
static be_status load_head(weights_fit *fit, const safetensors_tensor *like,
                           const safetensors_tensor *tensor, bool *is_loaded, be_error *err)
{
    char expected[WEIGHT_DESCRIBED], actual[WEIGHT_DESCRIBED] = "none";
    const char *head = weight_names_head(like->name);
    *is_loaded = head && fit->head == WEIGHTS_NEW_HEAD;
    if (!head || (!*is_loaded && tensor && fits(like, tensor))) return BE_OK;
    if (tensor) safetensors_describe(actual, sizeof actual, tensor);
    safetensors_describe(expected, sizeof expected, like);
    if (!*is_loaded)
        FAIL(err, BE_BAD_DATA,
             "%s: tensor \"%s\" of the head: expected %s, found %s; to start the head anew, train "
             "with --new-head",
             safetensors_name(fit->file), like->name, expected, actual);
    if (fit->new_head) return BE_OK;
    fit->new_head = head;
    memcpy(fit->head_found, actual, sizeof actual);
    return BE_OK;
}

static be_status load_parameter(be_plan *plan, const be_parameter *parameter, weights_fit *fit,
                                be_error *err)
{
    const void *data = NULL;
    void *memory = NULL;
    bool is_loaded = false;
    safetensors_tensor like = weights_tensor(parameter);
    size_t bytes = like.bytes;
    const safetensors_tensor *tensor = weight_names_find(&fit->names, fit->file, like.name);
    TRY(load_head(fit, &like, tensor, &is_loaded, err));
    if (is_loaded) return BE_OK;
    if (tensor) like.name = tensor->name;
    if (tensor && tensor->rank == 0 && like.count == 1) like.rank = 0;
    bool converted = tensor && is_converted(tensor->dtype);
    if (converted) like.dtype = tensor->dtype;
    TRY(safetensors_expect(fit->file, &like, &data, err));
    if (!converted) return be_plan_write(plan, parameter->value, data, bytes, err);
    fit->converted++;
    fit->from = safetensors_dtype_name(tensor->dtype);
    TRY(memory_alloc(&memory, bytes, "converted weights", err));
    be_status status = convert(tensor, data, memory, err);
    if (status == BE_OK) status = be_plan_write(plan, parameter->value, memory, bytes, err);
    memory_free(memory);
    return status;
}

/* Whose tensors a file should hold. */
typedef struct weights_owner {
    const be_plan *plan;
    const weight_names *names;
} weights_owner;

/* Of the network, or what may stand beside it: known surplus, and the states in a checkpoint. */
static bool is_known(const void *context, const char *name)
{
    const weights_owner *owner = context;
    if (strncmp(name, "optimizer.", 10) == 0 || weight_names_surplus(owner->names, name) >= 0)
        return true;
    for (int i = 0; i < weights_count(owner->plan); i++)
        if (weight_names_match(owner->names, weights_at(owner->plan, i).name, name)) return true;
    return false;
}

/* A head that the network ties to its table has to be that table. */
static be_status check_tied(const weights_fit *fit, const safetensors_tensor *head, be_error *err)
{
    const safetensors_tensor *table = weight_names_find(&fit->names, fit->file, fit->names.network);
    if (table && table->dtype == head->dtype && table->bytes == head->bytes &&
        memcmp(table->data, head->data, head->bytes) == 0)
        return BE_OK;
    FAIL(err, BE_BAD_DATA,
         "%s: tensor \"%s\": expected the numbers of \"%s\", to which this network ties its head, "
         "found others; take the tensor out of the file, or train a network with a head of its own",
         safetensors_name(fit->file), head->name, fit->names.network);
}

static be_status pass_over_surplus(weights_fit *fit, be_error *err)
{
    for (int i = 0; i < safetensors_count(fit->file); i++) {
        const safetensors_tensor *t = safetensors_at(fit->file, i);
        int surplus = weight_names_surplus(&fit->names, t->name);
        if (surplus < 0) continue;
        if (weight_names_is_tied_head(surplus)) TRY(check_tied(fit, t, err));
        fit->surplus[surplus]++;
    }
    return BE_OK;
}

static void write_note(const weights_fit *fit, int count, char note[WEIGHTS_NOTE_BYTES])
{
    text_buffer b = text_begin(note, WEIGHTS_NOTE_BYTES);
#define NEXT (b.used ? "; " : "")
    if (fit->new_head)
        text_add(&b, "the head \"%s\" starts anew (in the file: %s)", fit->new_head,
                 fit->head_found);
    if (*fit->names.wrapper)
        text_add(&b, "%sthe names of the weights are taken without \"%s\"", NEXT,
                 fit->names.wrapper);
    if (*fit->names.dropped)
        text_add(&b, "%sthe names of the weights are taken with \"%s\" before them", NEXT,
                 fit->names.dropped);
    if (fit->names.gamma)
        text_add(&b, "%sLayerNorm.gamma and .beta are taken as weight and bias", NEXT);
    if (fit->converted)
        text_add(&b, "%s%d of %d tensors are converted from %s to F32", NEXT, fit->converted, count,
                 fit->from);
    for (int i = 0; i < WEIGHT_SURPLUS; i++)
        if (fit->surplus[i])
            text_add(&b, "%s%d tensor%s %s %s passed over", NEXT, fit->surplus[i],
                     fit->surplus[i] > 1 ? "s" : "", weight_names_surplus_told(i),
                     fit->surplus[i] > 1 ? "are" : "is");
#undef NEXT
}

be_status weights_load(be_plan *plan, const safetensors *file, weights_head head,
                       char note[WEIGHTS_NOTE_BYTES], be_error *err)
{
    int count = weights_count(plan);
    weights_fit fit = {.file = file, .head = head};
    fit.names = weight_names_of(file, count > 0 ? weights_at(plan, 0).name : "");
    for (int p = 0; p < count; p++) {
        be_parameter parameter = weights_at(plan, p);
        TRY(load_parameter(plan, &parameter, &fit, err));
    }
    if (head == WEIGHTS_NEW_HEAD && !fit.new_head)
        FAIL(err, BE_USAGE,
             "--new-head: expected a network whose head is classifier, fc or head, found none; "
             "leave it out");
    TRY(safetensors_expect_only(file, is_known, &(weights_owner){plan, &fit.names}, err));
    TRY(pass_over_surplus(&fit, err));
    if (note) write_note(&fit, count, note);
    return BE_OK;
}

be_status weights_load_file(be_plan *plan, const char *path, weights_head head,
                            char note[WEIGHTS_NOTE_BYTES], be_error *err)
{
    safetensors *file = NULL;
    TRY(shards_open(&file, path, err));
    be_status status = weights_load(plan, file, head, note, err);
    safetensors_close(file);
    return status;
}

/* Where the values of a parameter come from when it is written. */
typedef struct weights_source {
    be_plan *plan;
    const be_graph *graph; /* instead: its start */
    int parameters;        /* the buffers follow them */
} weights_source;

static be_status save_values(const weights_source *from, const be_parameter *parameter, int index,
                             safetensors_writer *writer, be_error *err)
{
    safetensors_tensor tensor = weights_tensor(parameter);
    void *values = NULL;
    TRY(memory_alloc(&values, tensor.bytes, "weights to be written", err));
    be_status status = BE_OK;
    if (from->plan)
        status = be_plan_read(from->plan, parameter->value, values, tensor.bytes, err);
    else
        graph_fill_start(from->graph, parameter->value,
                         (uint32_t)(index < from->parameters ? index : index - from->parameters),
                         values);
    if (status == BE_OK) status = weights_check_finite(tensor.name, values, tensor.count, err);
    if (status == BE_OK) status = safetensors_write(writer, values, tensor.bytes, err);
    memory_free(values);
    return status;
}

static be_status save_all(const weights_source *from, const be_parameter *parameters, int count,
                          const char *path, const safetensors_layout *layout, be_error *err)
{
    safetensors_writer *writer = NULL;
    TRY(safetensors_write_begin(&writer, path, layout, err));
    for (int p = 0; p < count; p++) {
        be_status status = save_values(from, &parameters[p], p, writer, err);
        if (status == BE_OK) continue;
        safetensors_write_abort(writer);
        return status;
    }
    return safetensors_write_commit(writer, err);
}

/* A block for the list of parameters and the list of tensors of `count`. */
static be_status lists_new(int count, be_parameter **parameters, safetensors_tensor **tensors,
                           be_error *err)
{
    void *memory = NULL;
    size_t each = sizeof(be_parameter) + sizeof(safetensors_tensor);
    TRY(memory_alloc(&memory, ((size_t)count + 1) * each, "the list of weights", err));
    *parameters = memory;
    *tensors = (safetensors_tensor *)(*parameters + count + 1);
    return BE_OK;
}

be_status weights_save(be_plan *plan, const char *path, const safetensors_string *metadata,
                       int metadata_count, be_error *err)
{
    int count = weights_count(plan);
    be_parameter *parameters = NULL;
    safetensors_tensor *tensors = NULL;
    TRY(lists_new(count, &parameters, &tensors, err));
    for (int p = 0; p < count; p++) {
        parameters[p] = weights_at(plan, p);
        tensors[p] = weights_tensor(&parameters[p]);
        if (weight_names_is_scalar(tensors[p].name)) tensors[p].rank = 0;
    }
    safetensors_layout layout = {tensors, count, metadata, metadata_count};
    be_status status =
        save_all(&(weights_source){.plan = plan}, parameters, count, path, &layout, err);
    memory_free(parameters);
    return status;
}

be_status weights_save_start(const be_graph *g, const char *path, be_error *err)
{
    int trained = 0, others = 0;
    be_parameter *parameters = NULL, *listed = NULL, *buffers = NULL;
    safetensors_tensor *tensors = NULL;
    TRY(graph_list_weights(g, VALUE_PARAMETER, &listed, &trained, err));
    TRY(graph_list_weights(g, VALUE_BUFFER, &buffers, &others, err));
    TRY(lists_new(trained + others, &parameters, &tensors, err));
    memcpy(parameters, listed, (size_t)trained * sizeof *listed);
    memcpy(parameters + trained, buffers, (size_t)others * sizeof *buffers);
    for (int i = 0; i < trained + others; i++) tensors[i] = weights_tensor(&parameters[i]);
    safetensors_layout layout = {tensors, trained + others, NULL, 0};
    weights_source source = {.graph = g, .parameters = trained};
    be_status status = save_all(&source, parameters, trained + others, path, &layout, err);
    memory_free(parameters);
    return status;
}
