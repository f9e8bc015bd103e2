/* Where the time of a plan's step goes: the device times its nodes, and this says what they are.
 *
 * Steps are done for it, so parameters and states are kept before and put back after. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "core/clock.h"
#include "graph/plan.h"

/* ---------------------------------------------------------------- what a step changes */

/* A block of its own, not a part of another. */
static bool is_kept(const be_plan *plan, size_t value)
{
    return plan->map.places[value].region == REGION_PERSISTENT &&
           plan->graph->values[value].alias_of == BE_NONE;
}

static be_status states_new(const be_plan *plan, void **out, be_error *err)
{
    size_t bytes = 1;
    for (size_t i = 0; i < plan->graph->value_count; i++)
        if (is_kept(plan, i)) bytes += value_bytes(&plan->graph->values[i]);
    return memory_alloc(out, bytes, "a copy of parameters and states", err);
}

static be_status states_copy(be_plan *plan, char *at, bool restore, be_error *err)
{
    const device_vtable *vt = plan->device->vtable;
    for (size_t i = 0; i < plan->graph->value_count; i++) {
        if (!is_kept(plan, i)) continue;
        size_t bytes = value_bytes(&plan->graph->values[i]);
        TRY(restore ? vt->write(plan->program, (be_value)i, at, bytes, err)
                    : vt->read(plan->program, (be_value)i, at, bytes, err));
        at += bytes;
    }
    return BE_OK;
}

/* ---------------------------------------------------------------- what a node is */

/* Data is all that depends on no parameter; forward ends with the loss.  `needs` says which values
 * depend on a parameter, and is filled node by node. */
static be_phase node_phase(const be_plan *plan, size_t n, bool *needs)
{
    const be_graph *g = plan->graph;
    const graph_node *node = &g->nodes[n];
    bool any = false;
    for (int i = 0; i < OP_MAX_IN; i++)
        any |= node->in[i] != BE_NONE && (needs[node->in[i]] || graph_is_weight(g, node->in[i]));
    for (int o = 0; o < OP_MAX_OUT; o++)
        if (node->out[o] != BE_NONE) needs[node->out[o]] = any;
    if (node->op == g->recipe.advance) return BE_PHASE_LOSS_READ;
    const be_op *const rules[] = {g->recipe.optimizer, g->recipe.schedule, g->recipe.clip,
                                  g->recipe.all_reduce, g->recipe.take_turn};
    for (int k = 0; plan->train && k < 5; k++)
        if (node->op == rules[k]) return BE_PHASE_OPTIMIZER;
    if (!any) return BE_PHASE_DATA;
    size_t offset;
    int loss =
        g->recipe.loss == BE_NONE ? -1 : g->values[graph_root(g, g->recipe.loss, &offset)].producer;
    return loss < 0 || (int)n <= loss ? BE_PHASE_FORWARD : BE_PHASE_BACKWARD;
}

static bool node_has(const be_graph *g, const graph_node *node, be_value value)
{
    for (int i = 0; i < OP_MAX_IN; i++)
        if (graph_begins_with(g, graph_wide_input(g, node, i), value)) return true;
    for (int o = 0; o < OP_MAX_OUT; o++)
        if (node->out[o] == value) return true;
    return false;
}

/* The layer of the parameter that it reads, or whose gradient it makes: "conv1". */
static be_status node_layer(const be_plan *plan, const graph_node *node, const char **out,
                            be_error *err)
{
    *out = "";
    for (int i = 0; i < be_plan_parameter_count(plan); i++) {
        const be_parameter *p = &plan->parameters[i];
        bool mine = node_has(plan->graph, node, p->value);
        if (!mine && p->gradient != BE_NONE) mine = node_has(plan->graph, node, p->gradient);
        if (!mine) continue;
        const char *dot = strrchr(p->name, '.');
        int length = dot ? (int)(dot - p->name) : (int)strlen(p->name);
        return arena_printf(plan->graph->memory, out, err, "%.*s", length, p->name);
    }
    return BE_OK;
}

static be_status list_ops(be_plan *plan, bool *needs, be_error *err)
{
    const be_graph *g = plan->graph;
    void *memory = NULL;
    TRY(arena_alloc(g->memory, &memory, (g->node_count + 1) * sizeof(be_op_time), err));
    be_op_time *ops = memory;
    for (size_t n = 0; n < g->node_count; n++) {
        const device_vtable *vt = plan->device->vtable;
        op_cost cost = graph_node_cost(g, &g->nodes[n]);
        int turns = graph_node_turns(g, n);
        ops[n] = (be_op_time){.op = g->nodes[n].op->name,
                              .implementation = vt->implementation(plan->program, (int)n),
                              .phase = node_phase(plan, n, needs),
                              .launches = vt->launches(plan->program, (int)n),
                              .flops = cost.flops * turns,
                              .bytes = cost.bytes * turns};
        TRY(node_layer(plan, &g->nodes[n], &ops[n].name, err));
    }
    plan->op_times = ops;
    return BE_OK;
}

/* ---------------------------------------------------------------- measuring */

/* As the training loop does it: once per block, of BE_LOSS_LOG steps at most. */
static be_status time_loss_read(be_plan *plan, be_plan_times *out, be_error *err)
{
    const device_vtable *vt = plan->device->vtable;
    int64_t blocks = (out->steps + BE_LOSS_LOG - 1) / BE_LOSS_LOG;
    if (!plan->train) return BE_OK;
    device_counts before = vt->counts(plan->program);
    int64_t start_ns = clock_now_ns();
    TRY(be_plan_losses(plan, 0, NULL, NULL, err)); /* reads them all */
    int64_t ns = blocks * (clock_now_ns() - start_ns);
    device_counts after = vt->counts(plan->program);
    out->wall_ns += ns;
    out->phase_ns[BE_PHASE_LOSS_READ] += ns;
    out->synchronisations += blocks * (after.waits - before.waits);
    out->download_bytes += blocks * (after.download_bytes - before.download_bytes);
    return BE_OK;
}

static be_status time_steps(be_plan *plan, int64_t *node_ns, be_plan_times *out, be_error *err)
{
    device_times times = {.node_ns = node_ns};
    TRY(plan->device->vtable->time(plan->program, out->steps, &times, err));
    out->wall_ns = times.wall_ns;
    out->phase_ns[BE_PHASE_UPLOAD] = times.upload_ns;
    out->phase_ns[BE_PHASE_IDLE_HOST] = times.idle_host_ns;
    out->phase_ns[BE_PHASE_IDLE_OTHER] = times.idle_other_ns;
    out->launches = times.counts.launches;
    out->synchronisations = times.counts.waits;
    out->upload_bytes = times.counts.upload_bytes;
    out->download_bytes = times.counts.download_bytes;
    out->launch_order = times.launch_order;
    for (int n = 0; n < out->op_count; n++) {
        plan->op_times[n].ns = node_ns[n];
        out->phase_ns[plan->op_times[n].phase] += node_ns[n];
    }
    return time_loss_read(plan, out, err);
}

/* `memory`: a number for each node, then a byte for each value. */
static be_status measure(be_plan *plan, int64_t *memory, be_plan_times *out, be_error *err)
{
    void *states = NULL;
    if (!plan->op_times) TRY(list_ops(plan, (bool *)(memory + plan->graph->node_count), err));
    out->ops = plan->op_times;
    out->op_count = (int)plan->graph->node_count;
    TRY(states_new(plan, &states, err));
    be_status status = states_copy(plan, states, false, err);
    if (status == BE_OK) {
        status = time_steps(plan, memory, out, err);
        be_error second = {0};
        be_status restored = states_copy(plan, states, true, status == BE_OK ? err : &second);
        if (status == BE_OK) status = restored;
    }
    memory_free(states);
    return status;
}

be_status be_plan_phases(be_plan *plan, int64_t steps, be_plan_times *out, be_error *err)
{
    void *memory = NULL;
    *out = (be_plan_times){.steps = steps};
    if (plan->dry_run)
        FAIL(err, BE_USAGE, "this plan is a dry run and cannot be run; plan again without dry_run");
    if (steps < 1) FAIL(err, BE_USAGE, "expected 1 or more steps, found %" PRId64, steps);
    TRY(memory_alloc(&memory,
                     plan->graph->node_count * sizeof(int64_t) + plan->graph->value_count + 1,
                     "times", err));
    be_status status = measure(plan, memory, out, err);
    memory_free(memory);
    return status;
}
