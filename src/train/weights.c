/* Weights between plans and files. */
#include "train/weights.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "core/half.h"
#include "core/text.h"
#include "graph/graph.h"

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

/* What was done to the tensors of a file so that they fit. */
typedef struct weights_fit {
    const char *prefix;         /* of the names in the file */
    int converted, passed_over; /* tensors; of the latter PyTorch's counters */
    const char *from;           /* the type of the last of them */
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

static be_status load_parameter(be_plan *plan, const safetensors *file,
                                const be_parameter *parameter, weights_fit *fit, be_error *err)
{
    char name[256];
    const void *data = NULL;
    void *memory = NULL;
    safetensors_tensor wanted = weights_tensor(parameter);
    size_t bytes = wanted.bytes;
    snprintf(name, sizeof name, "%s%s", fit->prefix, parameter->name);
    wanted.name = name;
    const safetensors_tensor *found = safetensors_find(file, name);
    bool converted = found && is_converted(found->dtype);
    if (converted) wanted.dtype = found->dtype;
    TRY(safetensors_expect(file, &wanted, &data, err));
    if (!converted) return be_plan_write(plan, parameter->value, data, bytes, err);
    fit->converted++;
    fit->from = safetensors_dtype_name(found->dtype);
    TRY(memory_alloc(&memory, bytes, "converted weights", err));
    be_status status = convert(found, data, memory, err);
    if (status == BE_OK) status = be_plan_write(plan, parameter->value, memory, bytes, err);
    memory_free(memory);
    return status;
}

/* What stands before the name of the model's first parameter: DistributedDataParallel puts
 * "module.", torch.compile "_orig_mod.". */
static const char *find_prefix(const safetensors *file, const char *first)
{
    static const char *const prefixes[] = {"", "module.", "_orig_mod.", "module._orig_mod.",
                                           "_orig_mod.module."};
    char name[256];
    for (size_t i = 0; i < sizeof prefixes / sizeof *prefixes; i++) {
        snprintf(name, sizeof name, "%s%s", prefixes[i], first);
        if (safetensors_find(file, name)) return prefixes[i];
    }
    return "";
}

/* Whose tensors a file should hold. */
typedef struct weights_owner {
    const be_plan *plan;
    const char *prefix;
} weights_owner;

/* Batch norm's number of steps in PyTorch, which has no meaning where it has a momentum. */
static bool is_counter(const char *name)
{
    static const char counter[] = ".num_batches_tracked";
    size_t length = strlen(name), end = sizeof counter - 1;
    return length > end && strcmp(name + length - end, counter) == 0;
}

/* Of the network, or what may stand beside it: counters, and the states in a checkpoint. */
static bool is_known(const void *context, const char *name)
{
    const weights_owner *owner = context;
    size_t prefix = strlen(owner->prefix);
    if (is_counter(name) || strncmp(name, "optimizer.", 10) == 0) return true;
    if (strncmp(name, owner->prefix, prefix) != 0) return false;
    for (int i = 0; i < weights_count(owner->plan); i++)
        if (strcmp(weights_at(owner->plan, i).name, name + prefix) == 0) return true;
    return false;
}

static void write_note(const weights_fit *fit, int count, char note[WEIGHTS_NOTE_BYTES])
{
    text_buffer b = text_begin(note, WEIGHTS_NOTE_BYTES);
    if (*fit->prefix)
        text_add(&b, "the names of the weights are taken without \"%s\"", fit->prefix);
    if (fit->converted)
        text_add(&b, "%s%d of %d tensors are converted from %s to F32", b.used ? "; " : "",
                 fit->converted, count, fit->from);
    if (fit->passed_over)
        text_add(&b, "%s%d tensor%s num_batches_tracked %s passed over", b.used ? "; " : "",
                 fit->passed_over, fit->passed_over > 1 ? "s" : "",
                 fit->passed_over > 1 ? "are" : "is");
}

be_status weights_load(be_plan *plan, const safetensors *file, char note[WEIGHTS_NOTE_BYTES],
                       be_error *err)
{
    int count = weights_count(plan);
    weights_fit fit = {.prefix = ""};
    if (count > 0) fit.prefix = find_prefix(file, weights_at(plan, 0).name);
    for (int p = 0; p < count; p++) {
        be_parameter parameter = weights_at(plan, p);
        TRY(load_parameter(plan, file, &parameter, &fit, err));
    }
    TRY(safetensors_expect_only(file, is_known, &(weights_owner){plan, fit.prefix}, err));
    for (int i = 0; i < safetensors_count(file); i++)
        fit.passed_over += is_counter(safetensors_at(file, i)->name);
    if (note) write_note(&fit, count, note);
    return BE_OK;
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
    }
    safetensors_layout layout = {tensors, count, metadata, metadata_count};
    be_status status =
        save_all(&(weights_source){.plan = plan}, parameters, count, path, &layout, err);
    memory_free(parameters);
    return status;
}

be_status weights_save_start(const be_graph *g, const char *path, be_error *err)
{
    int trained = 0, kept = 0;
    be_parameter *parameters = NULL, *listed = NULL, *buffers = NULL;
    safetensors_tensor *tensors = NULL;
    TRY(graph_list_weights(g, VALUE_PARAMETER, &listed, &trained, err));
    TRY(graph_list_weights(g, VALUE_BUFFER, &buffers, &kept, err));
    TRY(lists_new(trained + kept, &parameters, &tensors, err));
    memcpy(parameters, listed, (size_t)trained * sizeof *listed);
    memcpy(parameters + trained, buffers, (size_t)kept * sizeof *buffers);
    for (int i = 0; i < trained + kept; i++) tensors[i] = weights_tensor(&parameters[i]);
    safetensors_layout layout = {tensors, trained + kept, NULL, 0};
    weights_source source = {.graph = g, .parameters = trained};
    be_status status = save_all(&source, parameters, trained + kept, path, &layout, err);
    memory_free(parameters);
    return status;
}
