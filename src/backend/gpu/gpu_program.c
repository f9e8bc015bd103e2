/* A lowered graph on a GPU: memory, compiled kernels, and one list of launches that is a step.
 *
 * Everything is allocated, compiled and recorded when the program is built; a run only replays.
 * Inputs have a buffer each, so that a data set may be as large as one buffer can be. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "backend/gpu/gpu.h"
#include "backend/gpu/gpu_memory.h"
#include "backend/gpu/gpu_phases.h"
#include "backend/gpu/gpu_reference.h"
#include "backend/gpu/gpu_run.h"
#include "backend/gpu/gpu_widen.h"
#include "core/clock.h"

/* Where launches overlap: for how many nodes more the operands of a weight's gradient stay, about
 * those of a Transformer's block; and the scratch of how many bytes, at most this part of the
 * device's memory, nodes take in turn. */
#define LATE_NODES 10
#define SCRATCH_RING ((size_t)256 << 20)
#define SCRATCH_PART 64
#define SCRATCH_ALIGN 256

static be_status check_sizes(const gpu_call *call, be_error *err)
{
    char text[64];
    for (int i = 0; i < OP_MAX_IN + OP_MAX_OUT; i++) {
        const be_shape *s = i < OP_MAX_IN ? &call->in_shape[i] : &call->out_shape[i - OP_MAX_IN];
        if (s->rank >= 0 && shape_elements(s) > INT32_MAX)
            FAIL(err, BE_UNAVAILABLE,
                 "a tensor %s has more than 2^31 - 1 elements, which the kernels cannot count; use "
                 "a smaller batch",
                 shape_text(s, text));
    }
    return BE_OK;
}

/* What a call is before its op prepares it. */
static gpu_call call_before(const program *p, size_t n)
{
    const graph_node *node = &p->graph->nodes[n];
    gpu_call call = {.driver = p->driver,
                     .facts = &p->driver->facts,
                     .node = node,
                     .attrs = node->attrs,
                     .precision = p->graph->precision,
                     .memory = p->memory,
                     .has_library = p->library != NULL,
                     .is_dry = p->tuned.dry_run,
                     .forced_group = p->device->forced_group};
    for (int i = 0; i < OP_MAX_IN; i++) call.in_shape[i] = be_value_shape(p->graph, node->in[i]);
    for (int o = 0; o < OP_MAX_OUT; o++) call.out_shape[o] = be_value_shape(p->graph, node->out[o]);
    for (int i = 0; i < OP_MAX_IN; i++)
        if (node->in[i] != BE_NONE) call.in_layout[i] = p->graph->values[node->in[i]].layout;
    for (int o = 0; o < OP_MAX_OUT; o++)
        if (node->out[o] != BE_NONE) call.out_layout[o] = p->graph->values[node->out[o]].layout;
    for (int o = 0; o < OP_MAX_OUT; o++) call.is_in_place |= graph_is_in_place(p->graph, node, o);
    for (int k = 0; k < GPU_MAX_CHOICES; k++) call.wanted[k] = p->device->forced_way;
    if (gpu_stream_is_of(p->stream, n)) gpu_stream_shapes(p->stream, &call);
    return call;
}

/* Prepare it with one implementation; on failure the call holds nothing. */
static be_status call_try(gpu_call *call, const gpu_kernel *kernel, be_error *err)
{
    be_status status = check_sizes(call, err);
    if (status == BE_OK) status = gpu_check_precision(call, kernel, err);
    call->rounds = kernel->rounds >> call->precision & 1;
    if (status == BE_OK) status = gpu_kernel_prepare(kernel, call, err);
    if (status != BE_OK && call->release) call->release(call->state);
    if (status != BE_OK) call->release = NULL;
    if (status == BE_OK && !call->implementation) call->implementation = kernel->implementation;
    return status;
}

/* A library's implementation, where it is wanted and takes the node; else our own, which the plan
 * then names. */
static be_status call_choose(program *p, size_t n, be_error *err)
{
    int index = gpu_op_index(p->graph->nodes[n].op);
    bool is_own = !p->library || gpu_leaves(p->device, p->library, p->graph, &p->graph->nodes[n]);
    const gpu_kernel *candidates[] = {is_own ? NULL : p->library->table[index], gpu_table[index]};
    be_error first = {.status = BE_OK};
    be_status status = BE_UNAVAILABLE;
    for (int i = 0; i < 2 && status == BE_UNAVAILABLE; i++) {
        if (!candidates[i]) continue;
        p->calls[n] = call_before(p, n);
        p->kernels[n] = candidates[i];
        status = call_try(&p->calls[n], candidates[i], i ? err : &first);
        if (i == 0 && status != BE_OK && err) *err = first;
    }
    if (status == BE_UNAVAILABLE && first.status != BE_OK) status_prefix(err, "%s", first.text);
    return status;
}

static be_status call_prepare(program *p, size_t n, be_error *err)
{
    const be_op *op = p->graph->nodes[n].op;
    if (!gpu_table[gpu_op_index(op)])
        FAIL(err, BE_UNAVAILABLE, "the device %s cannot run op %s: no implementation of it",
             p->device->id, op->name);
    be_status status = call_choose(p, n, err);
    if (status != BE_OK) status_prefix(err, "device %s: op %s", p->device->id, op->name);
    return status;
}

/* Prepare again, in the ways that were found to be the fastest. */
static be_status call_tune(program *p, size_t n, be_error *err)
{
    gpu_call *call = &p->calls[n], base = call_before(p, n);
    if (call->choice_count == 0 || p->device->forced_way) return BE_OK;
    TRY(gpu_tune(p->device, p->kernels[n], &base, call, &p->tuned, err));
    if (memcmp(base.wanted, call->wanted, sizeof base.wanted) == 0) return BE_OK;
    if (call->release) call->release(call->state);
    *call = base;
    return call_try(call, p->kernels[n], err);
}

/* The whole text of a unit, and its place among the distinct texts. */
static be_status add_unit(program *p, const gpu_unit *unit, int *out, be_error *err)
{
    const char *text;
    TRY(gpu_unit_text(unit, p->memory, &text, err));
    for (int m = 0; m < p->module_count; m++)
        if (strcmp(p->texts[m].text, text) == 0) {
            *out = m;
            return BE_OK;
        }
    *out = p->module_count++;
    p->texts[*out] = (gpu_text){.name = unit->sources[0]->file, .text = text};
    return BE_OK;
}

/* The dialect goes in front last, so that texts are compared without it. */
static be_status program_compile(program *p, be_error *err)
{
    for (int m = 0; m < p->module_count; m++)
        TRY(arena_printf(p->memory, &p->texts[m].text, err, "%s\n%s", p->driver->dialect,
                         p->texts[m].text));
    TRY(p->driver->vtable->compile(p->driver, p->texts, p->module_count, p->modules, err));
    p->compiled = true;
    return BE_OK;
}

static size_t aligned(size_t bytes)
{
    return (bytes + SCRATCH_ALIGN - 1) / SCRATCH_ALIGN * SCRATCH_ALIGN;
}

/* Two nodes that share scratch run one after the other.  So where launches overlap their parts lie
 * behind one another, and begin anew only when the ring is full. */
static void place_scratch(program *p)
{
    const gpu_facts *facts = &p->driver->facts;
    size_t part = facts->memory_bytes / SCRATCH_PART, sum = 0, at = 0, largest = 0;
    for (size_t n = 0; n < p->graph->node_count; n++) {
        size_t bytes = aligned(p->calls[n].scratch_bytes);
        sum += bytes;
        if (bytes > largest) largest = bytes;
    }
    size_t room = part < SCRATCH_RING ? part : SCRATCH_RING;
    if (!facts->overlaps || room < largest) room = largest;
    p->scratch_bytes = sum < room ? sum : room;
    for (size_t n = 0; n < p->graph->node_count; n++) {
        size_t bytes = aligned(p->calls[n].scratch_bytes);
        if (at + bytes > p->scratch_bytes) at = 0;
        p->scratch_at[n] = facts->overlaps ? at : 0;
        at += bytes;
    }
}

static bool share_the_same(const gpu_shared *a, const gpu_shared *b)
{
    return a->what == b->what && a->bytes == b->bytes &&
           memcmp(a->from, b->from, sizeof a->from) == 0;
}

/* Behind the ring. */
static void place_shared(program *p)
{
    for (size_t n = 0; n < p->graph->node_count; n++) {
        gpu_call *call = &p->calls[n];
        size_t first = 0;
        if (!call->shared.what) continue;
        while (!share_the_same(&p->calls[first].shared, &call->shared)) first++;
        call->fills_shared = first == n;
        p->shared_at[n] = first == n ? aligned(p->scratch_bytes) : p->shared_at[first];
        if (first == n) p->scratch_bytes = p->shared_at[n] + call->shared.bytes;
    }
}

static be_status program_prepare(program *p, be_error *err)
{
    size_t nodes = p->graph->node_count, values = p->graph->value_count;
    const struct {
        void **to;
        size_t bytes;
    } arrays[] = {{(void **)&p->calls, (nodes + 1) * sizeof(gpu_call)},
                  {(void **)&p->kernels, (nodes + 1) * sizeof(gpu_kernel *)},
                  {(void **)&p->units, (nodes + 1) * sizeof *p->units},
                  {(void **)&p->texts, (nodes + 1) * GPU_MAX_UNITS * sizeof(gpu_text)},
                  {(void **)&p->modules, (nodes + 1) * GPU_MAX_UNITS * sizeof(gpu_module *)},
                  {(void **)&p->first_launch, (nodes + 1) * sizeof(size_t)},
                  {(void **)&p->scratch_at, (nodes + 1) * sizeof(size_t)},
                  {(void **)&p->shared_at, (nodes + 1) * sizeof(size_t)},
                  {(void **)&p->inputs, (values + 1) * sizeof(gpu_buffer)},
                  {(void **)&p->written, (values + 1) * sizeof(bool)}};
    for (size_t i = 0; i < sizeof arrays / sizeof arrays[0]; i++)
        TRY(arena_alloc(p->memory, arrays[i].to, arrays[i].bytes, err));
    p->search = p->driver->search;
    for (size_t n = 0; n < nodes; n++) {
        TRY(call_prepare(p, n, err));
        p->tuned.to_come += p->calls[n].choice_count;
    }
    for (size_t n = 0; n < nodes; n++) {
        TRY(call_tune(p, n, err));
        for (int u = 0; u < p->calls[n].unit_count; u++)
            TRY(add_unit(p, &p->calls[n].units[u], &p->units[n][u], err));
    }
    const gpu_search_count *now = &p->driver->search;
    p->search = (gpu_search_count){now->searched - p->search.searched, now->kept - p->search.kept,
                                   now->cut - p->search.cut, now->ns - p->search.ns};
    place_scratch(p);
    place_shared(p);
    return BE_OK;
}

static gpu_need program_need(const program *p)
{
    gpu_need need = {.states = p->map->persistent_bytes,
                     .activations = p->map->activation_bytes,
                     .scratch = p->scratch_bytes};
    for (size_t i = 0; i < p->graph->value_count; i++)
        if (gpu_stream_has(p->stream, (be_value)i))
            need.inputs += gpu_stream_span(p->stream, (be_value)i).bytes;
        else if (p->map->places[i].region == REGION_INPUT)
            need.inputs += p->map->places[i].bytes;
    if (p->graph->lowered.gradients != BE_NONE) need.turns = p->graph->lowered.turns;
    for (size_t n = 0; n < p->graph->node_count; n++) {
        const be_op *op = p->graph->nodes[n].op;
        if (op == &be_op_data_batch) need.batch = p->calls[n].out_shape[0].dim[0];
        /* It compares the samples of a batch with one another. */
        if (op == &be_op_symmetric_cross_entropy) need.turns = 0;
    }
    return need;
}

static be_status allocate_each(program *p, be_error *err)
{
    const gpu_driver_vtable *vt = p->driver->vtable;
    TRY(vt->alloc(p->driver, p->map->persistent_bytes, "parameters and states", &p->persistent,
                  err));
    TRY(vt->clear(p->driver, p->persistent, 0, p->map->persistent_bytes, err));
    TRY(vt->alloc(p->driver, p->map->activation_bytes, "activations", &p->activations, err));
    TRY(vt->alloc(p->driver, p->scratch_bytes, "scratch", &p->scratch, err));
    for (size_t i = 0; i < p->graph->value_count; i++)
        if (p->map->places[i].region == REGION_INPUT && !gpu_stream_has(p->stream, (be_value)i))
            TRY(vt->alloc(p->driver, p->map->places[i].bytes, p->graph->values[i].name,
                          &p->inputs[i], err));
    if (p->map->host_bytes) {
        TRY(vt->feed_new(p->driver, p->map->host_bytes, 1, &p->host_feed, err));
        TRY(vt->feed_claim(p->driver, p->host_feed, 0, &p->host, err));
    }
    return p->stream ? gpu_stream_open(p->stream, p->driver, err) : BE_OK;
}

static be_status program_allocate(program *p, be_error *err)
{
    gpu_need need = program_need(p);
    TRY(gpu_memory_check(p->driver, &need, err));
    size_t free_bytes = gpu_memory_free(p->driver);
    be_status status = allocate_each(p, err);
    if (status != BE_NO_MEMORY) return status;
    return gpu_memory_refuse(p->driver, &need, free_bytes, err);
}

static be_status make_sequences(program *p, be_error *err)
{
    const gpu_driver_vtable *vt = p->driver->vtable;
    gpu_launch *launches = p->recorder.launches;
    size_t begin = p->first_launch[p->graph->lowered.begin];
    size_t end = p->first_launch[graph_turn_end(p->graph)], all = p->recorder.count;
    if (begin > 0) TRY(vt->sequence(p->driver, launches, (int)begin, &p->begin, err));
    TRY((vt->step ? vt->step : vt->sequence)(p->driver, launches + begin, (int)(end - begin),
                                             &p->turn, err));
    if (end == all) return BE_OK;
    return vt->sequence(p->driver, launches + end, (int)(all - end), &p->end, err);
}

static be_status program_record(program *p, bool dry_run, be_error *err)
{
    gpu_module *modules[GPU_MAX_UNITS];
    p->recorder.driver = p->driver;
    for (size_t n = 0; n < p->graph->node_count; n++) {
        gpu_call *call = &p->calls[n];
        p->first_launch[n] = p->recorder.count;
        for (int i = 0; !dry_run && i < OP_MAX_IN; i++)
            call->in[i] = gpu_run_span(p, call->node->in[i]);
        for (int o = 0; !dry_run && o < OP_MAX_OUT; o++)
            call->out[o] = gpu_run_span(p, call->node->out[o]);
        call->scratch = (gpu_span){p->scratch, p->scratch_at[n], call->scratch_bytes};
        if (call->shared.what)
            call->shared_span = (gpu_span){p->scratch, p->shared_at[n], call->shared.bytes};
        for (int u = 0; u < call->unit_count; u++) modules[u] = p->modules[p->units[n][u]];
        p->recorder.modules = dry_run ? NULL : modules;
        TRY(gpu_kernel_record(p->kernels[n], call, &p->recorder, err));
    }
    p->first_launch[p->graph->node_count] = p->recorder.count;
    return dry_run ? BE_OK : make_sequences(p, err);
}

static void gpu_vt_free(program *p)
{
    if (!p) return;
    gpu_driver *driver = p->driver;
    const gpu_driver_vtable *vt = driver->vtable;
    if (p->begin) vt->sequence_free(driver, p->begin);
    if (p->turn) vt->sequence_free(driver, p->turn);
    if (p->end) vt->sequence_free(driver, p->end);
    gpu_stream_free(p->stream);
    for (size_t n = 0; p->calls && n < p->graph->node_count; n++)
        if (p->calls[n].release) p->calls[n].release(p->calls[n].state);
    for (int m = 0; p->compiled && m < p->module_count; m++) vt->module_free(driver, p->modules[m]);
    for (size_t i = 0; p->inputs && i < p->graph->value_count; i++)
        if (p->inputs[i]) vt->free(driver, p->inputs[i]);
    if (p->persistent) vt->free(driver, p->persistent);
    if (p->activations) vt->free(driver, p->activations);
    if (p->scratch) vt->free(driver, p->scratch);
    if (p->host_feed) vt->feed_free(driver, p->host_feed);
    memory_free_array(p->recorder.launches);
    memory_free(p->finite);
    arena_free(p->memory);
    memory_free(p);
}

/* "native + cuDNN 9.14.0, CUDA 13.0, …": every implementation that takes part. */
static void describe_implementations(program *p)
{
    bool is_tuned = p->tuned.searched + p->tuned.kept + p->tuned.cut > 0;
    char left[64] = "";
    if (p->search.cut > 0)
        snprintf(left, sizeof left, ", %d product%s untried", p->search.cut,
                 p->search.cut == 1 ? "" : "s");
    size_t room = sizeof p->implementation;
    size_t used = gpu_implementations_text(p->calls, p->graph->node_count, p->implementation, room);
    if (used < room)
        snprintf(p->implementation + used, room - used, "%s%s%s%s%s%s", used ? ", " : "",
                 p->driver->facts.software, is_tuned ? ", tuned" : "", left,
                 *p->driver->facts.remark ? ", " : "", p->driver->facts.remark);
}

static be_status program_make(program *p, const program_options *options, be_error *err)
{
    TRY(arena_new(&p->memory, err));
    TRY(gpu_library_find(p->device, p->graph->precision, &p->library, err));
    if (options->data_on_host)
        TRY(gpu_stream_new(p->graph, p->device->stream_steps, &p->stream, err));
    TRY(program_prepare(p, err));
    if (!options->dry_run) {
        TRY(program_allocate(p, err)); /* first: it is quick, and compiling is not */
        TRY(program_compile(p, err));
    }
    TRY(program_record(p, options->dry_run, err));
    describe_implementations(p);
    return BE_OK;
}

static be_status gpu_vt_build(be_device *device, const be_graph *g, const memory_map *map,
                              const program_options *options, program **out, be_error *err)
{
    void *memory = NULL;
    *out = NULL;
    TRY(memory_alloc(&memory, sizeof(program), "program", err));
    program *p = memory;
    p->device = (gpu_device *)device;
    p->driver = p->device->driver;
    p->graph = g;
    p->map = map;
    p->share = options->share;
    p->tuned.dry_run = options->dry_run;
    be_status status = program_make(p, options, err);
    if (status == BE_OK)
        *out = p;
    else
        gpu_vt_free(p);
    return status;
}

static be_status gpu_vt_write(program *p, be_value value, const void *data, size_t bytes,
                              be_error *err)
{
    gpu_span span = gpu_run_span(p, value);
    void *host = NULL;
    TRY(gpu_run_host(p, value, &host, err));
    if (host)
        memcpy(host, data, bytes);
    else if (gpu_stream_has(p->stream, value))
        TRY(gpu_stream_write(p->stream, value, data, bytes, err));
    else
        TRY(p->driver->vtable->upload(p->driver, span.buffer, span.offset, data, bytes, err));
    p->written[value] = true;
    return BE_OK;
}

/* Only the streamed mode reads from there later. */
static be_status gpu_vt_bind(program *p, be_value value, const void *data, size_t bytes,
                             be_error *err)
{
    if (!gpu_stream_has(p->stream, value)) return gpu_vt_write(p, value, data, bytes, err);
    TRY(gpu_stream_bind(p->stream, value, data, bytes, err));
    p->written[value] = true;
    return BE_OK;
}

static be_status gpu_vt_read(program *p, be_value value, void *data, size_t bytes, be_error *err)
{
    if (p->map->places[value].region == REGION_INPUT && !p->written[value])
        FAIL(err, BE_USAGE, "input \"%s\" was never written; write it before reading it",
             p->graph->values[value].name);
    if (gpu_stream_has(p->stream, value)) {
        gpu_stream_read(p->stream, value, data, bytes);
        return BE_OK;
    }
    void *host = NULL;
    TRY(gpu_run_host(p, value, &host, err));
    if (host) {
        memcpy(data, host, bytes);
        return BE_OK;
    }
    return gpu_read_plain(p->driver, gpu_run_span(p, value), &p->graph->values[value], data, bytes,
                          err);
}

static device_counts gpu_vt_counts(const program *p)
{
    const gpu_driver *d = p->driver;
    return (device_counts){.launches = d->launches,
                           .waits = d->waits,
                           .upload_bytes = d->fed_bytes,
                           .download_bytes = d->read_bytes};
}

static int gpu_vt_launches(const program *p, int node)
{
    return (int)(p->first_launch[node + 1] - p->first_launch[node]) *
           graph_node_turns(p->graph, (size_t)node);
}

/* Time nodes `first` to `end`, whose launches are a sequence of their own. */
static be_status time_part(const gpu_phases_job *form, size_t first, size_t end,
                           device_times *times, be_error *err)
{
    program *p = form->program;
    void *memory = NULL;
    size_t before = p->first_launch[first];
    TRY(memory_alloc(&memory, (end - first + 1) * sizeof(size_t), "launches", err));
    size_t *launches = memory;
    for (size_t n = first; n <= end; n++) launches[n - first] = p->first_launch[n] - before;
    gpu_phases_job job = *form;
    job.launches = p->recorder.launches + before;
    job.first_launch = launches;
    job.nodes = end - first;
    be_status status = gpu_phases_measure(&job, times, err);
    memory_free(memory);
    return status;
}

/* The turns of a step, and what comes behind them, where it has several. */
static be_status time_parts(program *p, int64_t steps, device_times *times, be_error *err)
{
    size_t begin = p->graph->lowered.begin, end = graph_turn_end(p->graph);
    gpu_phases_job job = {.driver = p->driver,
                          .turns = p->graph->lowered.turns,
                          .whole = p->turn,
                          .is_streamed = p->stream != NULL,
                          .run = gpu_run,
                          .program = p,
                          .steps = steps};
    device_times all = {.node_ns = times->node_ns + begin},
                 last = {.node_ns = times->node_ns + end};
    TRY(time_part(&job, begin, end, &all, err));
    job.turns = 1;
    job.whole = p->end;
    job.is_streamed = false;
    if (p->end) TRY(time_part(&job, end, p->graph->node_count, &last, err));
    /* A streamed run's time is that of whole steps. */
    times->wall_ns = all.wall_ns + (p->stream ? 0 : last.wall_ns);
    times->upload_ns = all.upload_ns + last.upload_ns - (p->stream ? last.wall_ns : 0);
    times->idle_other_ns = all.idle_other_ns + last.idle_other_ns;
    times->idle_host_ns = all.idle_host_ns < 0 || last.idle_host_ns < 0 ? -1 : all.idle_host_ns;
    return BE_OK;
}

static be_status gpu_vt_time(program *p, int64_t steps, device_times *times, be_error *err)
{
    device_counts before = gpu_vt_counts(p);
    TRY(gpu_run(p, steps, false, err));
    device_counts after = gpu_vt_counts(p);
    int64_t turns = steps * p->graph->lowered.turns;
    int64_t begin = (int64_t)p->first_launch[p->graph->lowered.begin];
    times->counts =
        (device_counts){.launches = after.launches - before.launches - begin,
                        .waits = after.waits - before.waits,
                        .upload_bytes = p->stream ? gpu_stream_bytes(p->stream, turns) : 0,
                        .download_bytes = after.download_bytes - before.download_bytes};
    if (p->driver->vtable->order)
        times->launch_order = p->driver->vtable->order(p->driver, p->turn);
    return time_parts(p, steps, times, err);
}

static void gpu_vt_describe(const program *p, be_plan_facts *facts)
{
    for (size_t n = 0; n < p->graph->node_count; n++) facts->launches += gpu_vt_launches(p, (int)n);
    facts->scratch_bytes = p->scratch_bytes;
    facts->implementation = p->implementation;
    facts->tuned = p->tuned.searched + p->search.searched;
    facts->tuned_before = p->tuned.kept + p->search.kept;
    facts->tuned_partly = p->tuned.cut + p->search.cut;
    facts->tune_seconds = (double)(p->tuned.ns + p->search.ns) * 1e-9;
}

static const char *gpu_vt_implementation(const program *p, int node)
{
    return p->calls[node].implementation;
}

static void gpu_vt_close(be_device *device)
{
    gpu_device *gpu = (gpu_device *)device;
    gpu_reference_free(gpu);
    gpu->driver->vtable->close(gpu->driver);
    memory_free(gpu);
}

const device_vtable gpu_vtable = {.close = gpu_vt_close,
                                  .has = gpu_has,
                                  .layouts = gpu_layouts,
                                  .mixes = gpu_mixes,
                                  .rounds = gpu_rounds,
                                  .build = gpu_vt_build,
                                  .free = gpu_vt_free,
                                  .write = gpu_vt_write,
                                  .read = gpu_vt_read,
                                  .bind = gpu_vt_bind,
                                  .run = gpu_run,
                                  .time = gpu_vt_time,
                                  .counts = gpu_vt_counts,
                                  .launches = gpu_vt_launches,
                                  .reference = gpu_reference_run,
                                  .describe = gpu_vt_describe,
                                  .implementation = gpu_vt_implementation,
                                  .probe_new = gpu_probe_new,
                                  .probe_free = gpu_probe_free,
                                  .probe_run = gpu_probe_run};

be_status gpu_device_new(gpu_driver *driver, const char *id, be_device **out, be_error *err)
{
    void *memory = NULL;
    double limit;
    *out = NULL;
    be_status status = gpu_tune_limit(driver, &limit, err);
    if (status == BE_OK) status = memory_alloc(&memory, sizeof(gpu_device), "gpu device", err);
    if (status != BE_OK) {
        driver->vtable->close(driver);
        return status;
    }
    gpu_device *device = memory;
    snprintf(device->id, sizeof device->id, "%s", id);
    device->driver = driver;
    device->tune_limit = limit;
    device->base = (be_device){.vtable = &gpu_vtable,
                               .reorder = &be_op_reorder,
                               .id = device->id,
                               .name = driver->facts.name,
                               .is_apart = true,
                               .late_nodes = driver->facts.overlaps ? LATE_NODES : 0};
    *out = &device->base;
    return BE_OK;
}
