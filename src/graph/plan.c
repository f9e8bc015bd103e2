/* Plans: lowering a graph for a device, its memory, its first contents, and running it. */
#include <inttypes.h>
#include <string.h>

#include "core/rng.h"
#include "core/rounding.h"
#include "graph/plan.h"
#include "graph/precision.h"
#include "graph/schedule.h"

const char *be_device_id(const be_device *device)
{
    return device->id;
}

const char *be_device_name(const be_device *device)
{
    return device->name;
}

int be_device_threads(const be_device *device)
{
    return device->threads;
}

void be_device_close(be_device *device)
{
    if (device) device->vtable->close(device);
}

static be_status plan_check(const be_plan *plan, be_value value, size_t bytes, be_error *err)
{
    if (plan->dry_run)
        FAIL(err, BE_USAGE, "this plan is a dry run and has no memory; plan again without dry_run");
    if (value < 0 || (size_t)value >= plan->graph->value_count)
        FAIL(err, BE_USAGE, "value %d is not in this plan's graph", (int)value);
    const graph_value *info = &plan->graph->values[value];
    char text[64];
    size_t plain = (size_t)shape_elements(&info->shape) * dtype_bytes(info->shape.dtype);
    if (bytes != plain)
        FAIL(err, BE_USAGE, "value \"%s\" is %s: expected %zu bytes, found %zu", info->name,
             shape_text(&info->shape, text), plain, bytes);
    return BE_OK;
}

be_status be_plan_write(be_plan *plan, be_value value, const void *data, size_t bytes,
                        be_error *err)
{
    TRY(plan_check(plan, value, bytes, err));
    memory_region region = plan->map.places[value].region;
    bool is_kept = region == REGION_INPUT || region == REGION_PERSISTENT ||
                   (region == REGION_HOST && plan->graph->values[value].kind == VALUE_BUFFER);
    if (!is_kept)
        FAIL(err, BE_USAGE,
             "value %d \"%s\" is made anew in each step; only inputs, parameters and states can be "
             "written",
             (int)value, plan->graph->values[value].name);
    return plan->device->vtable->write(plan->program, value, data, bytes, err);
}

/* What was read is given as the optimizer took it. */
static be_status clip_read(be_plan *plan, be_value value, void *data, be_error *err)
{
    float scale = 1.0f, *elements = data;
    be_value factor = graph_clip_factor(plan->graph, value);
    if (factor == BE_NONE) return BE_OK;
    TRY(plan->device->vtable->read(plan->program, factor, &scale, sizeof scale, err));
    int64_t count = shape_elements(&plan->graph->values[value].shape);
    for (int64_t i = 0; i < count; i++) elements[i] *= scale;
    return BE_OK;
}

be_status be_plan_read(be_plan *plan, be_value value, void *data, size_t bytes, be_error *err)
{
    TRY(plan_check(plan, value, bytes, err));
    const graph_value *info = &plan->graph->values[value];
    memory_region region = plan->map.places[value].region;
    if (region == REGION_NONE || (region == REGION_ACTIVATION && !info->keep))
        FAIL(err, BE_USAGE,
             "value %d \"%s\" does not outlive the step in this plan; name it in "
             "be_plan_options.keep",
             (int)value, info->name);
    TRY(plan->device->vtable->read(plan->program, value, data, bytes, err));
    return clip_read(plan, value, data, err);
}

be_status be_plan_bind(be_plan *plan, be_value value, const void *data, size_t bytes, be_error *err)
{
    TRY(plan_check(plan, value, bytes, err));
    if (plan->graph->values[value].kind != VALUE_INPUT)
        FAIL(err, BE_USAGE, "value \"%s\" is no input; only inputs can be bound",
             plan->graph->values[value].name);
    return plan->device->vtable->bind(plan->program, value, data, bytes, err);
}

static be_status plan_run(be_plan *plan, int64_t steps, bool checked, be_error *err)
{
    if (plan->dry_run)
        FAIL(err, BE_USAGE, "this plan is a dry run and cannot be run; plan again without dry_run");
    if (steps < 0) FAIL(err, BE_USAGE, "expected 0 or more steps, found %" PRId64, steps);
    return plan->device->vtable->run(plan->program, steps, checked, err);
}

be_status be_plan_run(be_plan *plan, int64_t steps, be_error *err)
{
    return plan_run(plan, steps, false, err);
}

/* What a log still has of steps that are now done again is no result of these. */
static be_status clear_log(be_plan *plan, be_value log, int64_t steps, be_error *err)
{
    float entries[BE_LOSS_LOG];
    int64_t before = 0;
    if (log == BE_NONE || plan->dry_run) return BE_OK;
    TRY(be_plan_steps(plan, &before, err));
    TRY(be_plan_read(plan, log, entries, sizeof entries, err));
    for (int64_t i = 0; i < steps && i < BE_LOSS_LOG; i++) entries[(before + i) % BE_LOSS_LOG] = 0;
    return be_plan_write(plan, log, entries, sizeof entries, err);
}

be_status be_plan_run_checked(be_plan *plan, int64_t steps, be_error *err)
{
    TRY(clear_log(plan, plan->graph->lowered.loss_log, steps, err));
    TRY(clear_log(plan, plan->graph->lowered.norm_log, steps, err));
    return plan_run(plan, steps, true, err);
}

be_status be_plan_steps(be_plan *plan, int64_t *steps, be_error *err)
{
    int32_t now = 0;
    *steps = 0;
    be_value clock = plan->graph->clock;
    if (clock == BE_NONE) FAIL(err, BE_USAGE, "this plan has no loss and counts no steps");
    TRY(be_plan_read(plan, clock, &now, sizeof now, err));
    *steps = now;
    return BE_OK;
}

be_status be_plan_set_steps(be_plan *plan, int64_t steps, be_error *err)
{
    be_value clock = plan->graph->clock;
    if (clock == BE_NONE) FAIL(err, BE_USAGE, "this plan has no loss and counts no steps");
    int64_t turns = plan->graph->lowered.turns;
    if (steps < 0 || steps > INT32_MAX / turns)
        FAIL(err, BE_USAGE, "expected 0 to 2^31 - 1 steps, or turns of them, found %" PRId64,
             steps * turns);
    int32_t now = (int32_t)steps, turn = (int32_t)(steps * turns);
    if (turns > 1) TRY(be_plan_write(plan, plan->graph->lowered.turn, &turn, sizeof turn, err));
    return be_plan_write(plan, clock, &now, sizeof now, err);
}

static be_status check_trains(const be_plan *plan, be_error *err)
{
    if (plan->graph->lowered.rate == BE_NONE)
        FAIL(err, BE_USAGE, "this plan does not train and has no learning rate");
    return BE_OK;
}

static be_status write_rates(be_plan *plan, double rate, be_error *err)
{
    be_value rates = plan->graph->lowered.rates;
    size_t bytes = value_bytes(&plan->graph->values[rates]);
    void *memory = NULL;
    TRY(memory_alloc(&memory, bytes, "the learning rates", err));
    schedule_fill(&plan->graph->recipe.rates, rate, memory);
    be_status status = be_plan_write(plan, rates, memory, bytes, err);
    memory_free(memory);
    return status;
}

be_status be_plan_set_learning_rate(be_plan *plan, double rate, be_error *err)
{
    TRY(check_trains(plan, err));
    if (plan->graph->lowered.rates != BE_NONE) return write_rates(plan, rate, err);
    float single = (float)rate; /* as devices keep it */
    return be_plan_write(plan, plan->graph->lowered.rate, &single, sizeof single, err);
}

be_status be_plan_learning_rate(be_plan *plan, double *rate, be_error *err)
{
    float single = 0;
    *rate = 0;
    TRY(check_trains(plan, err));
    TRY(be_plan_read(plan, plan->graph->lowered.rate, &single, sizeof single, err));
    *rate = (double)single;
    return BE_OK;
}

/* How many of `count` entries of a log there are, of the steps done. */
static be_status check_count(be_plan *plan, int64_t count, int64_t *steps, const char *what,
                             be_error *err)
{
    TRY(be_plan_steps(plan, steps, err));
    if (count < 0 || count > BE_LOSS_LOG || count > *steps)
        FAIL(err, BE_USAGE,
             "expected at most %d %s of the %" PRId64 " steps done, asked for %" PRId64,
             BE_LOSS_LOG, what, *steps, count);
    return BE_OK;
}

be_status be_plan_gradient_norms(be_plan *plan, int64_t count, float *norms, be_error *err)
{
    int64_t steps = 0;
    float log[BE_LOSS_LOG];
    if (plan->graph->lowered.norm_log == BE_NONE)
        FAIL(err, BE_USAGE,
             "this plan does not clip its gradients and keeps no norm of them; set "
             "be_optimizer.max_gradient_norm");
    TRY(check_count(plan, count, &steps, "norms", err));
    TRY(be_plan_read(plan, plan->graph->lowered.norm_log, log, sizeof log, err));
    for (int64_t i = 0; i < count; i++) norms[i] = log[(steps - count + i) % BE_LOSS_LOG];
    return BE_OK;
}

be_status be_plan_losses(be_plan *plan, int64_t count, float *losses, int32_t *correct,
                         be_error *err)
{
    int64_t steps = 0;
    float loss_log[BE_LOSS_LOG];
    int32_t correct_log[BE_LOSS_LOG];
    TRY(check_count(plan, count, &steps, "losses", err));
    TRY(be_plan_read(plan, plan->graph->lowered.loss_log, loss_log, sizeof loss_log, err));
    TRY(be_plan_read(plan, plan->graph->lowered.correct_log, correct_log, sizeof correct_log, err));
    for (int64_t i = 0; i < count; i++) {
        int64_t at = (steps - count + i) % BE_LOSS_LOG;
        if (losses) losses[i] = loss_log[at];
        if (correct) correct[i] = correct_log[at];
    }
    return BE_OK;
}

int be_plan_parameter_count(const be_plan *plan)
{
    return plan->parameter_count;
}

be_parameter be_plan_parameter(const be_plan *plan, int index)
{
    return plan->parameters[index];
}

int be_plan_buffer_count(const be_plan *plan)
{
    return plan->buffer_count;
}

be_parameter be_plan_buffer(const be_plan *plan, int index)
{
    return plan->buffers[index];
}

int be_plan_slot_count(const be_plan *plan)
{
    return plan->train ? plan->graph->recipe.slots : 0;
}

be_parameter be_plan_slot(const be_plan *plan, int index)
{
    be_value value = plan->graph->lowered.slot[index];
    return (be_parameter){.name = plan->graph->values[value].name,
                          .shape = plan->graph->values[value].shape,
                          .value = value,
                          .gradient = BE_NONE};
}

be_parameter be_plan_slot_part(const be_plan *plan, int slot, int parameter)
{
    be_value value = plan->graph->lowered.slot_of[slot][plan->parameters[parameter].value];
    return (be_parameter){.name = plan->graph->values[value].name,
                          .shape = plan->graph->values[value].shape,
                          .value = value,
                          .gradient = BE_NONE};
}

be_plan_facts be_plan_describe(const be_plan *plan)
{
    return plan->facts;
}

void graph_fill_start(const be_graph *g, be_value value, uint32_t index, float *out)
{
    bool is_buffer = g->values[value].kind == VALUE_BUFFER;
    rng_key key = {.seed = g->seed, .stream = is_buffer ? RNG_BUFFER : RNG_PARAMETER, .sub = index};
    be_start start = g->values[value].start;
    int64_t count = shape_elements(&g->values[value].shape);
    switch (start.kind) {
    case BE_UNIFORM:
        rng_fill_uniform(key, start.value, out, count);
        break;
    case BE_NORMAL:
        rng_fill_normal(key, start.value, out, count);
        break;
    case BE_CONSTANT:
        for (int64_t i = 0; i < count; i++) out[i] = start.value;
        break;
    case BE_ALTERNATING:
        for (int64_t i = 0; i < count; i++) out[i] = i % 2 ? -start.value : start.value;
        break;
    case BE_KAIMING:
        MUST(!"resolved when the parameter was added");
    }
}

static size_t largest_of(const be_parameter *weights, int count, size_t largest)
{
    for (int i = 0; i < count; i++) {
        size_t bytes = (size_t)shape_elements(&weights[i].shape) * sizeof(float);
        if (bytes > largest) largest = bytes;
    }
    return largest;
}

static be_status fill_weights(be_plan *plan, const be_parameter *weights, int count, float *room,
                              be_error *err)
{
    for (int i = 0; i < count; i++) {
        size_t bytes = (size_t)shape_elements(&weights[i].shape) * sizeof(float);
        graph_fill_start(plan->graph, weights[i].value, (uint32_t)i, room);
        TRY(be_plan_write(plan, weights[i].value, room, bytes, err));
    }
    return BE_OK;
}

/* One by one: room for all of them would be as much again. */
be_status plan_draw(be_plan *plan, be_error *err)
{
    void *room = NULL;
    size_t bytes = largest_of(plan->parameters, plan->parameter_count, 0);
    bytes = largest_of(plan->buffers, plan->buffer_count, bytes);
    TRY(memory_alloc(&room, bytes, "initial weights", err));
    rounding found = rounding_usual();
    be_status status = fill_weights(plan, plan->parameters, plan->parameter_count, room, err);
    if (status == BE_OK) status = fill_weights(plan, plan->buffers, plan->buffer_count, room, err);
    memory_free(room);
    rounding_restore(found);
    return status;
}

static be_status write_states(be_plan *plan, be_error *err)
{
    for (size_t i = 0; i < plan->graph->value_count; i++) {
        const graph_value *value = &plan->graph->values[i];
        if (value->kind != VALUE_STATE || value->start.value == 0.0f) continue;
        MUST(shape_elements(&value->shape) == 1 && value->shape.dtype == BE_F32);
        TRY(be_plan_write(plan, (be_value)i, &value->start.value, sizeof(float), err));
    }
    return BE_OK;
}

be_status graph_list_weights(const be_graph *g, value_kind kind, be_parameter **out, int *count,
                             be_error *err)
{
    void *memory = NULL;
    TRY(arena_alloc(g->memory, &memory, (g->value_count + 1) * sizeof(be_parameter), err));
    *out = memory;
    *count = 0;
    bool has_gradient = kind == VALUE_PARAMETER && g->lowered.gradient_of;
    for (size_t i = 0; i < g->value_count; i++)
        if (g->values[i].kind == kind)
            (*out)[(*count)++] =
                (be_parameter){.name = g->values[i].name,
                               .shape = g->values[i].shape,
                               .value = (be_value)i,
                               .gradient = has_gradient ? g->lowered.gradient_of[i] : BE_NONE};
    return BE_OK;
}

static be_status list_weights(be_plan *plan, be_error *err)
{
    TRY(graph_list_weights(plan->graph, VALUE_PARAMETER, &plan->parameters, &plan->parameter_count,
                           err));
    TRY(graph_list_weights(plan->graph, VALUE_BUFFER, &plan->buffers, &plan->buffer_count, err));
    for (int i = 0; i < plan->parameter_count; i++)
        plan->facts.parameters += shape_elements(&plan->parameters[i].shape);
    return BE_OK;
}

op_cost graph_node_cost(const be_graph *g, const graph_node *node)
{
    be_shape in[OP_MAX_IN], out[OP_MAX_OUT];
    for (int i = 0; i < OP_MAX_IN; i++) in[i] = be_value_shape(g, node->in[i]);
    for (int o = 0; o < OP_MAX_OUT; o++) out[o] = be_value_shape(g, node->out[o]);
    return node->op->cost(node->attrs, in, out);
}

op_cost graph_cost(const be_graph *g)
{
    op_cost total = {0};
    for (size_t n = 0; n < g->node_count; n++) {
        op_cost cost = graph_node_cost(g, &g->nodes[n]);
        total.flops += cost.flops * graph_node_turns(g, n);
        total.bytes += cost.bytes * graph_node_turns(g, n);
    }
    return total;
}

static void collect_facts(be_plan *plan)
{
    be_graph *g = plan->graph;
    op_cost cost = graph_cost(g);
    plan->facts.flops_per_step = cost.flops;
    plan->facts.bytes_per_step = cost.bytes;
    plan->facts.nodes = (int)g->node_count;
    plan->facts.counted = g->recipe.counted ? g->recipe.counted : "";
    plan->facts.persistent_bytes = plan->map.persistent_bytes;
    plan->facts.activation_bytes = plan->map.activation_bytes;
    plan->facts.activation_sum_bytes = plan->map.activation_sum_bytes;
    for (size_t n = 0; n < g->node_count; n++)
        plan->facts.reorders += plan->device->reorder && g->nodes[n].op == plan->device->reorder;
    plan->device->vtable->describe(plan->program, &plan->facts);
}

static bool same_weights(const be_parameter *a, int a_count, const be_parameter *b, int b_count)
{
    bool same = a_count == b_count;
    for (int i = 0; same && i < a_count; i++)
        same = strcmp(a[i].name, b[i].name) == 0 && shape_equal(&a[i].shape, &b[i].shape);
    return same;
}

static be_status share_check(const be_plan *plan, const be_plan *share, be_error *err)
{
    if (share->dry_run)
        FAIL(err, BE_USAGE, "share: that plan is a dry run and has no parameters in memory");
    if (share->device != plan->device || !same_weights(share->parameters, share->parameter_count,
                                                       plan->parameters, plan->parameter_count))
        FAIL(err, BE_USAGE,
             "share: expected a plan of the same network on the same device, found other "
             "parameters");
    if (!same_weights(share->buffers, share->buffer_count, plan->buffers, plan->buffer_count))
        FAIL(err, BE_USAGE,
             "share: expected a plan of the same network on the same device, found other buffers");
    if (plan->map.host_bytes)
        FAIL(err, BE_USAGE,
             "share: expected a plan without buffers in the memory of the host, found %zu bytes "
             "there; give it weights of its own",
             plan->map.host_bytes);
    for (int i = 0; i < plan->parameter_count; i++)
        if (share->graph->values[share->parameters[i].value].alias_bytes !=
            plan->graph->values[plan->parameters[i].value].alias_bytes)
            FAIL(err, BE_USAGE,
                 "share: parameter \"%s\" lies elsewhere in that plan; call be_parameter_no_decay "
                 "for the same parameters in both graphs",
                 plan->parameters[i].name);
    return BE_OK;
}

typedef struct plan_target {
    const be_device *device;
    be_precision precision;
} plan_target;

static bool target_has(const void *target, const be_graph *g, const graph_node *node,
                       const be_op *op)
{
    const plan_target *t = target;
    return t->device->vtable->has(t->device, t->precision, g, node, op);
}

static be_status plan_prepare(be_plan *plan, const be_graph *g, const be_plan_options *options,
                              be_error *err)
{
    const be_device *device = plan->device;
    const plan_target question = {device, options->precision};
    lower_target target = {.device = device,
                           .has = target_has,
                           .has_of = &question,
                           .layouts = device->reorder ? device->vtable->layouts : NULL,
                           .reorder = device->reorder,
                           .is_apart = device->is_apart,
                           .mixes = device->vtable->mixes,
                           .rounds = device->vtable->rounds};
    TRY(graph_lower(g, options, &target, &plan->graph, err));
    TRY(memory_plan(plan->graph, device->late_nodes, &plan->map, err));
    TRY(list_weights(plan, err));
    if (options->share) TRY(share_check(plan, options->share, err));
    bool is_shared = options->share && plan->graph->lowered.weights != BE_NONE;
    program_options build = {.share = is_shared ? options->share->program : NULL,
                             .dry_run = plan->dry_run,
                             .data_on_host = options->data_on_host != 0};
    TRY(device->vtable->build(plan->device, plan->graph, &plan->map, &build, &plan->program, err));
    collect_facts(plan);
    if (plan->dry_run) return BE_OK;
    TRY(write_states(plan, err));
    if (plan->graph->lowered.rates != BE_NONE)
        TRY(write_rates(plan, plan->graph->recipe.learning_rate, err));
    bool draws = !options->share && !options->leave_weights;
    if (draws && plan->parameter_count + plan->buffer_count) TRY(plan_draw(plan, err));
    return BE_OK;
}

be_status be_plan_new(const be_graph *g, be_device *device, const be_plan_options *options,
                      be_plan **out, be_error *err)
{
    void *memory = NULL;
    *out = NULL;
    TRY(memory_alloc(&memory, sizeof(be_plan), "plan", err));
    be_plan *plan = memory;
    plan->device = device;
    plan->train = options->mode == BE_TRAIN;
    plan->dry_run = options->dry_run != 0;
    rounding before = rounding_usual();
    be_status status = plan_prepare(plan, g, options, err);
    if (status == BE_UNAVAILABLE && options->precision != BE_PRECISION_FP32)
        status_prefix(err, "precision %s", precision_name(options->precision));
    rounding_restore(before);
    if (status == BE_OK)
        *out = plan;
    else
        be_plan_free(plan);
    return status;
}

void be_plan_free(be_plan *plan)
{
    if (!plan) return;
    if (plan->program) plan->device->vtable->free(plan->program);
    be_graph_free(plan->graph);
    memory_free(plan);
}

static const char *layout_text(value_layout layout)
{
    switch (layout) {
    case LAYOUT_PLAIN:
        return "";
    case LAYOUT_CHANNELS_LAST:
        return "(channels last)";
    case LAYOUT_ROWS_APART:
        return "(rows apart)";
    case LAYOUT_BLOCKED8:
        return "(blocked by 8)";
    case LAYOUT_BLOCKED16:
        return "(blocked by 16)";
    }
    MUST(!"a layout that is known");
    return "";
}

static void print_values(const be_plan *plan, FILE *out)
{
    static const char *const regions[] = {"-", "input", "persistent", "activation"};
    const be_graph *g = plan->graph;
    char text[64];
    fprintf(out, "\n%5s  %-26s %-11s %10s %10s  %s\n", "value", "shape", "region", "offset",
            "bytes", "alive");
    for (size_t i = 0; i < g->value_count; i++) {
        const memory_place *place = &plan->map.places[i];
        if (place->region == REGION_NONE) continue;
        fprintf(out, "%5zu  %-26s %-11s %10zu %10zu  ", i, shape_text(&g->values[i].shape, text),
                regions[place->region], place->offset, place->bytes);
        if (place->region == REGION_ACTIVATION) fprintf(out, "%d-%d ", place->first, place->last);
        fprintf(out, "%s%s\n", g->values[i].name, layout_text(g->values[i].layout));
    }
}

void be_plan_print(const be_plan *plan, FILE *out)
{
    const be_graph *g = plan->graph;
    const be_plan_facts *facts = &plan->facts;
    fprintf(out, "%4s  %-24s %-18s %s\n", "node", "op", "implementation", "values read -> written");
    for (size_t n = 0; n < g->node_count; n++) {
        const graph_node *node = &g->nodes[n];
        fprintf(out, "%4zu  %-24s %-18s", n, node->op->name,
                plan->device->vtable->implementation(plan->program, (int)n));
        for (int i = 0; i < node->op->inputs; i++)
            if (node->in[i] != BE_NONE) fprintf(out, " %d", (int)node->in[i]);
        fprintf(out, " ->");
        for (int o = 0; o < node->op->outputs; o++)
            if (node->out[o] != BE_NONE) fprintf(out, " %d", (int)node->out[o]);
        fprintf(out, "\n");
    }
    print_values(plan, out);
    fprintf(out,
            "\n%d nodes, %d launches, %d reorders, %" PRId64 " parameters, %.3f GFLOP a step\n"
            "memory: %.2f MiB persistent, %.2f MiB activations (%.2f without reuse), %.2f MiB "
            "scratch\n",
            facts->nodes, facts->launches, facts->reorders, facts->parameters,
            facts->flops_per_step * 1e-9, (double)facts->persistent_bytes / 1048576.0,
            (double)facts->activation_bytes / 1048576.0,
            (double)facts->activation_sum_bytes / 1048576.0,
            (double)facts->scratch_bytes / 1048576.0);
    if (facts->tuned + facts->tuned_before + facts->tuned_partly > 0)
        fprintf(out,
                "tuning: %d products tried in all ways and %d in some, in %.1f s; %d known from "
                "before\n",
                facts->tuned, facts->tuned_partly, facts->tune_seconds, facts->tuned_before);
}
