/* A lowered graph on the CPU: memory, one call a node, and the loop that runs them. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "backend/cpu/cpu.h"
#include "backend/cpu/cpu_begin.h"
#include "core/clock.h"
#include "core/room.h"
#include "core/team.h"
#include "group/group.h"

struct program {
    const cpu_device *device;
    const be_graph *graph;
    const memory_map *map;
    arena *memory;
    cpu_call *calls;
    const cpu_kernel **kernels;
    size_t call_count; /* prepared so far */
    cpu_begin *begins;
    size_t begin_count;
    unsigned char *persistent, *activations, *scratch;
    const unsigned char *shared_weights; /* another program's block, or NULL */
    const void **inputs;                 /* address of each input value, NULL until written */
    void **owned_inputs;                 /* those that were copied here */
    size_t scratch_bytes;
    char implementation[96];
    bool resolved; /* every operand of every call has its address */
};

static bool cpu_vt_has(const void *device, be_precision precision, const be_graph *g,
                       const graph_node *node, const be_op *op)
{
    (void)precision, (void)g, (void)node;
    return cpu_has(device, op);
}

static void cpu_vt_layouts(const void *device, const be_graph *g, const graph_node *node,
                           value_layout in[OP_MAX_IN], value_layout out[OP_MAX_OUT])
{
    const cpu_kernel *kernel = NULL;
    if (cpu_choose(device, g, node, &kernel, NULL) == BE_OK && kernel->layouts)
        kernel->layouts(device, g, node, in, out);
}

static unsigned char *value_address(const program *p, be_value value)
{
    const memory_place *place = &p->map->places[value];
    if (place->region == REGION_INPUT) return (unsigned char *)p->inputs[value];
    if (place->region == REGION_ACTIVATION) return p->activations + place->offset;
    MUST(place->region == REGION_PERSISTENT);
    if (p->shared_weights && p->graph->lowered.weights != BE_NONE) {
        const memory_place *block = &p->map->places[p->graph->lowered.weights];
        if (place->offset >= block->offset && place->offset < block->offset + block->bytes)
            return (unsigned char *)p->shared_weights + (place->offset - block->offset);
    }
    return p->persistent + place->offset;
}

static void call_describe(program *p, size_t n, cpu_call *call)
{
    const graph_node *node = &p->graph->nodes[n];
    *call = (cpu_call){.device = p->device,
                       .node = node,
                       .attrs = node->attrs,
                       .threads = p->device->base.threads};
    for (int i = 0; i < OP_MAX_IN; i++) {
        call->in_shape[i] = be_value_shape(p->graph, node->in[i]);
        if (node->in[i] != BE_NONE) call->in_layout[i] = p->graph->values[node->in[i]].layout;
    }
    for (int o = 0; o < OP_MAX_OUT; o++) {
        call->out_shape[o] = be_value_shape(p->graph, node->out[o]);
        if (node->out[o] != BE_NONE) call->out_layout[o] = p->graph->values[node->out[o]].layout;
    }
    if (node->out[0] != BE_NONE) {
        const graph_value *value = &p->graph->values[node->out[0]];
        call->out_elements = (int64_t)(value_bytes(value) / dtype_bytes(value->shape.dtype));
    }
}

static be_status program_prepare(program *p, be_error *err)
{
    void *calls = NULL, *kernels = NULL, *inputs = NULL, *owned = NULL, *begins = NULL;
    size_t nodes = p->graph->node_count, values = p->graph->value_count;
    TRY(arena_alloc(p->memory, &calls, (nodes + 1) * sizeof(cpu_call), err));
    TRY(arena_alloc(p->memory, &kernels, (nodes + 1) * sizeof(cpu_kernel *), err));
    TRY(arena_alloc(p->memory, &begins, (nodes + 1) * sizeof(cpu_begin), err));
    TRY(arena_alloc(p->memory, &inputs, (values + 1) * sizeof(void *), err));
    TRY(arena_alloc(p->memory, &owned, (values + 1) * sizeof(void *), err));
    p->calls = calls;
    p->kernels = kernels;
    p->begins = begins;
    p->inputs = inputs;
    p->owned_inputs = owned;
    bool native = false, onednn = false;
    for (size_t n = 0; n < nodes; n++) {
        call_describe(p, n, &p->calls[n]);
        TRY(cpu_choose(p->device, p->graph, &p->graph->nodes[n], &p->kernels[n], err));
        p->call_count = n + 1;
        if (p->kernels[n]->prepare) {
            be_status status = p->kernels[n]->prepare(&p->calls[n], p->memory, err);
            if (status != BE_OK) status_prefix(err, "op %s", p->graph->nodes[n].op->name);
            TRY(status);
        }
        bool is_native = strncmp(p->kernels[n]->implementation, "native", 6) == 0;
        native |= is_native || p->calls[n].implementation;
        onednn |= !is_native;
        if (p->calls[n].scratch_bytes > p->scratch_bytes)
            p->scratch_bytes = p->calls[n].scratch_bytes;
    }
    const dnnl_version_t *version = dnnl_version();
    int used = snprintf(p->implementation, sizeof p->implementation, "%s%s",
                        native ? "native " : "", native ? cpu_isa_text(p->device->isa) : "");
    if (onednn)
        snprintf(p->implementation + used, sizeof p->implementation - (size_t)used,
                 "%soneDNN %d.%d.%d", native ? " + " : "", version->major, version->minor,
                 version->patch);
    return BE_OK;
}

/* oneDNN chooses by where it is called from, too. */
static be_status program_prepare_in_team(program *p, be_error *err)
{
    team t;
    TRY(team_begin(&t, p->device->base.threads, err));
    be_status status = program_prepare(p, err);
    team_end(&t);
    return status;
}

/* Before any of it is touched: a system promises more than it has, and then ends the program. */
static be_status program_fits(const program *p, be_error *err)
{
    const double gib = 1024.0 * 1024.0 * 1024.0;
    double needed = (double)p->map->persistent_bytes + (double)p->map->activation_bytes +
                    (double)p->scratch_bytes;
    int64_t room = room_here();
    if (room < 0 || needed <= (double)room) return BE_OK;
    FAIL(
        err, BE_NO_MEMORY,
        "a step: expected at most the %.1f GiB of memory here, found that it takes %.1f GiB; use a "
        "smaller batch",
        (double)room / gib, needed / gib);
}

static be_status program_allocate(program *p, const program_options *options, be_error *err)
{
    TRY(program_fits(p, err));
    void *persistent = NULL, *activations = NULL, *scratch = NULL;
    TRY(memory_alloc(&persistent, p->map->persistent_bytes, "parameters and states", err));
    p->persistent = persistent;
    TRY(memory_alloc(&activations, p->map->activation_bytes, "activations", err));
    p->activations = activations;
    TRY(memory_alloc(&scratch, p->scratch_bytes, "scratch", err));
    p->scratch = scratch;
    /* NaN from the start: who counts on zeros here would read what another node left. */
    memset(scratch, 0xFF, p->scratch_bytes);
    if (options->share)
        p->shared_weights = value_address(options->share, options->share->graph->lowered.weights);
    return BE_OK;
}

static void cpu_vt_free(program *p)
{
    if (!p) return;
    for (size_t n = 0; n < p->call_count; n++)
        if (p->kernels[n]->release) p->kernels[n]->release(&p->calls[n]);
    for (size_t i = 0; p->owned_inputs && i < p->graph->value_count; i++)
        memory_free(p->owned_inputs[i]);
    memory_free(p->persistent);
    memory_free(p->activations);
    memory_free(p->scratch);
    arena_free(p->memory);
    memory_free(p);
}

static be_status cpu_vt_build(be_device *device, const be_graph *g, const memory_map *map,
                              const program_options *options, program **out, be_error *err)
{
    void *memory = NULL;
    *out = NULL;
    TRY(memory_alloc(&memory, sizeof(program), "program", err));
    program *p = memory;
    p->device = (const cpu_device *)device;
    p->graph = g;
    p->map = map;
    be_status status = arena_new(&p->memory, err);
    if (status == BE_OK) status = program_prepare_in_team(p, err);
    if (status == BE_OK && !options->dry_run) status = program_allocate(p, options, err);
    if (status == BE_OK)
        *out = p;
    else
        cpu_vt_free(p);
    return status;
}

static be_status cpu_vt_write(program *p, be_value value, const void *data, size_t bytes,
                              be_error *err)
{
    if (p->graph->values[value].kind == VALUE_INPUT) {
        if (!p->owned_inputs[value])
            TRY(memory_alloc(&p->owned_inputs[value], bytes, p->graph->values[value].name, err));
        memcpy(p->owned_inputs[value], data, bytes);
        p->inputs[value] = p->owned_inputs[value];
        p->resolved = false;
        return BE_OK;
    }
    MUST(p->graph->values[value].layout == LAYOUT_PLAIN);
    memcpy(value_address(p, value), data, bytes);
    return BE_OK;
}

static be_status cpu_vt_bind(program *p, be_value value, const void *data, size_t bytes,
                             be_error *err)
{
    (void)bytes;
    (void)err;
    p->inputs[value] = data;
    p->resolved = false;
    return BE_OK;
}

static be_status cpu_vt_read(program *p, be_value value, void *data, size_t bytes, be_error *err)
{
    const graph_value *info = &p->graph->values[value];
    const void *from = value_address(p, value);
    if (!from)
        FAIL(err, BE_USAGE, "input \"%s\" was never written; write it before reading it",
             info->name);
    if (info->layout == LAYOUT_PLAIN)
        memcpy(data, from, bytes);
    else
        layout_unpack(from, data, &info->shape, info->layout);
    return BE_OK;
}

/* Give every operand its address; refuses if an input has none yet. */
static be_status program_resolve(program *p, be_error *err)
{
    for (size_t n = 0; n < p->call_count; n++) {
        cpu_call *call = &p->calls[n];
        for (int i = 0; i < OP_MAX_IN; i++) {
            if (call->node->in[i] == BE_NONE) continue;
            call->in[i] = value_address(p, call->node->in[i]);
            if (!call->in[i])
                FAIL(err, BE_USAGE,
                     "input \"%s\" was never written; write it before the first step",
                     p->graph->values[call->node->in[i]].name);
        }
        for (int o = 0; o < OP_MAX_OUT; o++)
            if (call->node->out[o] != BE_NONE) call->out[o] = value_address(p, call->node->out[o]);
        call->scratch = p->scratch;
    }
    p->begin_count = cpu_begin_find(p->calls, p->kernels, p->call_count, p->graph, p->begins);
    p->resolved = true;
    return BE_OK;
}

static be_status check_finite(const program *p, const cpu_call *call, int64_t step, be_error *err)
{
    for (int o = 0; o < OP_MAX_OUT; o++) {
        be_value value = call->node->out[o];
        if (value == BE_NONE) continue;
        be_dtype dtype = call->out_shape[o].dtype;
        size_t at = 0, count = value_bytes(&p->graph->values[value]) / dtype_bytes(dtype);
        double y = 0;
        if (!dtype_all_finite(dtype, call->out[o], count, &at, &y))
            FAIL(err, BE_NUMERIC,
                 "step %" PRId64 ": op %s (number %d of the plan) gave %g at element %zu of its "
                 "output %d, the first result that is not finite; try a smaller learning rate",
                 step, call->node->op->name, (int)(call - p->calls), y, at, o);
    }
    return BE_OK;
}

/* Nodes `first` to `end`, `times` times, within a run or a step. */
typedef struct program_part {
    size_t first, end;
    int times;
} program_part;

/* What begins a run, then what a step is. */
enum { PART_BEGIN, PART_TURNS, PART_END, PARTS };

static void program_parts(const program *p, program_part parts[PARTS])
{
    size_t begin = p->graph->lowered.begin, end = graph_turn_end(p->graph);
    parts[PART_BEGIN] = (program_part){0, begin, 1};
    parts[PART_TURNS] = (program_part){begin, end, p->graph->lowered.turns};
    parts[PART_END] = (program_part){end, p->call_count, 1};
}

/* What begins behind node n; *next is the first that has not begun. */
static be_status begin_after(const program *p, size_t n, size_t *next, be_error *err)
{
    for (; *next < p->begin_count && p->begins[*next].after <= n; (*next)++) {
        size_t call = p->begins[*next].call;
        if (p->begins[*next].after == n) TRY(p->kernels[call]->begin(&p->calls[call], err));
    }
    return BE_OK;
}

static be_status part_run(program *p, const program_part *part, int64_t step, bool checked,
                          be_error *err)
{
    size_t next = 0;
    for (int turn = 0; turn < part->times; turn++)
        for (size_t n = part->first; n < part->end; n++) {
            TRY(p->kernels[n]->run(&p->calls[n], err));
            if (checked) TRY(check_finite(p, &p->calls[n], step, err));
            if (turn == part->times - 1) TRY(begin_after(p, n, &next, err));
            group_beat(p->graph->lowered.group);
        }
    return BE_OK;
}

static be_status program_run(program *p, int64_t steps, bool checked, be_error *err)
{
    be_value clock = p->graph->clock;
    program_part parts[PARTS];
    program_parts(p, parts);
    TRY(part_run(p, &parts[PART_BEGIN], 0, checked, err));
    for (int64_t s = 0; s < steps; s++) {
        int64_t step = clock == BE_NONE ? s : *(const int32_t *)value_address(p, clock);
        for (int k = PART_TURNS; k < PARTS; k++) TRY(part_run(p, &parts[k], step, checked, err));
    }
    return BE_OK;
}

static be_status cpu_vt_run(program *p, int64_t steps, bool checked, be_error *err)
{
    team t;
    if (!p->resolved) TRY(program_resolve(p, err));
    TRY(team_begin(&t, p->device->base.threads, err));
    be_status status = program_run(p, steps, checked, err);
    team_end(&t);
    return status;
}

static be_status part_time(program *p, const program_part *part, int64_t *node_ns,
                           int64_t *before_ns, be_error *err)
{
    for (int turn = 0; turn < part->times; turn++)
        for (size_t n = part->first; n < part->end; n++) {
            TRY(p->kernels[n]->run(&p->calls[n], err));
            int64_t now_ns = clock_now_ns();
            node_ns[n] += now_ns - *before_ns;
            *before_ns = now_ns;
        }
    return BE_OK;
}

static int cpu_launches(const program *p)
{
    int count = 0;
    for (size_t n = 0; n < p->call_count; n++) count += graph_node_turns(p->graph, n);
    return count;
}

/* The loop of a run with a clock reading after each node; the wall time has both ends of it. */
static be_status program_time(program *p, int64_t steps, device_times *times, be_error *err)
{
    program_part parts[PARTS];
    program_parts(p, parts);
    TRY(part_run(p, &parts[PART_BEGIN], 0, false, err));
    int64_t start_ns = clock_now_ns(), before_ns = start_ns;
    for (int64_t s = 0; s < steps; s++)
        for (int k = PART_TURNS; k < PARTS; k++)
            TRY(part_time(p, &parts[k], times->node_ns, &before_ns, err));
    int64_t end_ns = clock_now_ns();
    times->wall_ns = end_ns - start_ns;
    times->idle_other_ns = end_ns - before_ns;
    times->counts.launches = steps * cpu_launches(p);
    return BE_OK;
}

static be_status cpu_vt_time(program *p, int64_t steps, device_times *times, be_error *err)
{
    team t;
    if (!p->resolved) TRY(program_resolve(p, err));
    TRY(team_begin(&t, p->device->base.threads, err));
    be_status status = program_time(p, steps, times, err);
    team_end(&t);
    return status;
}

/* Nothing is copied or waited for; what is launched is known without counting. */
static device_counts cpu_vt_counts(const program *p)
{
    (void)p;
    return (device_counts){0};
}

static int cpu_vt_launches(const program *p, int node)
{
    return graph_node_turns(p->graph, (size_t)node);
}

static void cpu_vt_describe(const program *p, be_plan_facts *facts)
{
    facts->launches = cpu_launches(p);
    facts->scratch_bytes = p->scratch_bytes;
    facts->implementation = p->implementation;
}

static const char *cpu_vt_implementation(const program *p, int node)
{
    const char *own = p->calls[node].implementation;
    return own ? own : p->kernels[node]->implementation;
}

static void cpu_vt_close(be_device *device)
{
    cpu_device *cpu = (cpu_device *)device;
    if (cpu->stream) dnnl_stream_destroy(cpu->stream);
    if (cpu->engine) dnnl_engine_destroy(cpu->engine);
    memory_free(cpu);
}

const device_vtable cpu_vtable = {.close = cpu_vt_close,
                                  .has = cpu_vt_has,
                                  .layouts = cpu_vt_layouts,
                                  .build = cpu_vt_build,
                                  .free = cpu_vt_free,
                                  .write = cpu_vt_write,
                                  .read = cpu_vt_read,
                                  .bind = cpu_vt_bind,
                                  .run = cpu_vt_run,
                                  .time = cpu_vt_time,
                                  .counts = cpu_vt_counts,
                                  .launches = cpu_vt_launches,
                                  .reference = cpu_reference,
                                  .describe = cpu_vt_describe,
                                  .implementation = cpu_vt_implementation,
                                  .probe_new = cpu_probe_new,
                                  .probe_free = cpu_probe_free,
                                  .probe_run = cpu_probe_run};
