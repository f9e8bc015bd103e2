/* See gpu_run.h. */
#include "backend/gpu/gpu_run.h"

#include <inttypes.h>

gpu_span gpu_run_span(const program *p, be_value value)
{
    if (value == BE_NONE) return (gpu_span){0};
    const memory_place *place = &p->map->places[value];
    if (gpu_stream_has(p->stream, value)) return gpu_stream_span(p->stream, value);
    if (place->region == REGION_INPUT) return (gpu_span){p->inputs[value], 0, place->bytes};
    if (place->region == REGION_ACTIVATION)
        return (gpu_span){p->activations, place->offset, place->bytes};
    if (place->region == REGION_HOST)
        return (gpu_span){(gpu_buffer)p->host, place->offset, place->bytes};
    MUST(place->region == REGION_PERSISTENT);
    if (p->share && p->graph->lowered.weights != BE_NONE) {
        const memory_place *block = &p->map->places[p->graph->lowered.weights];
        if (place->offset >= block->offset && place->offset < block->offset + block->bytes) {
            gpu_span shared = gpu_run_span(p->share, p->share->graph->lowered.weights);
            return (gpu_span){shared.buffer, shared.offset + (place->offset - block->offset),
                              place->bytes};
        }
    }
    return (gpu_span){p->persistent, place->offset, place->bytes};
}

be_status gpu_run_host(const program *p, be_value value, void **out, be_error *err)
{
    const memory_place *place = &p->map->places[value];
    *out = NULL;
    if (place->region != REGION_HOST) return BE_OK;
    TRY(p->driver->vtable->synchronise(p->driver, err));
    *out = (char *)p->host + place->offset;
    return BE_OK;
}

static be_status check_inputs(const program *p, be_error *err)
{
    for (size_t n = 0; n < p->graph->node_count; n++)
        for (int i = 0; i < OP_MAX_IN; i++) {
            be_value value = p->graph->nodes[n].in[i];
            if (value == BE_NONE || p->map->places[value].region != REGION_INPUT) continue;
            if (!p->written[value])
                FAIL(err, BE_USAGE,
                     "input \"%s\" was never written; write it before the first step",
                     p->graph->values[value].name);
        }
    return BE_OK;
}

static be_status node_launch(program *p, size_t n, be_error *err)
{
    for (size_t i = p->first_launch[n]; i < p->first_launch[n + 1]; i++)
        TRY(p->driver->vtable->launch(p->driver, &p->recorder.launches[i], err));
    return BE_OK;
}

static be_status check_finite(program *p, size_t n, int64_t step, be_error *err)
{
    const graph_node *node = &p->graph->nodes[n];
    for (int o = 0; o < OP_MAX_OUT; o++) {
        if (node->out[o] == BE_NONE) continue;
        be_dtype dtype = p->calls[n].out_shape[o].dtype;
        size_t at = 0;
        double y = 0;
        gpu_span span = p->calls[n].out[o];
        void *found = NULL;
        TRY(gpu_run_host(p, node->out[o], &found, err));
        if (!found) {
            found = p->finite;
            TRY(p->driver->vtable->download(p->driver, span.buffer, span.offset, found, span.bytes,
                                            err));
        }
        if (!dtype_all_finite(dtype, found, span.bytes / dtype_bytes(dtype), &at, &y))
            FAIL(err, BE_NUMERIC,
                 "step %" PRId64 ": op %s (number %zu of the plan) gave %g at element %zu of "
                 "its output %d, the first result that is not finite; try a smaller learning "
                 "rate",
                 step, node->op->name, n, y, at, o);
    }
    return BE_OK;
}

/* Host memory for the largest result. */
static be_status make_finite(program *p, be_error *err)
{
    size_t bytes = 0;
    void *memory = NULL;
    if (p->finite) return BE_OK;
    for (size_t i = 0; i < p->graph->value_count; i++)
        if (p->map->places[i].bytes > bytes) bytes = p->map->places[i].bytes;
    TRY(memory_alloc(&memory, bytes, "results to look at", err));
    p->finite = memory;
    return BE_OK;
}

static be_status node_checked(program *p, size_t n, int64_t step, be_error *err)
{
    TRY(node_launch(p, n, err));
    return check_finite(p, n, step, err);
}

/* Steps done before the next one, or turns where a step has several; 0 in a graph that does not
 * count them. */
static be_status read_clock(program *p, be_value clock, int32_t *out, be_error *err)
{
    *out = 0;
    if (clock == BE_NONE) return BE_OK;
    gpu_span span = gpu_run_span(p, clock);
    return p->driver->vtable->download(p->driver, span.buffer, span.offset, out, sizeof *out, err);
}

/* The clock that says which batch is the next. */
static be_value batch_clock(const program *p)
{
    return p->graph->lowered.turns > 1 ? p->graph->lowered.turn : p->graph->clock;
}

/* The batch of the step, or turn, that the clock says. */
static be_status need_batch(program *p, be_error *err)
{
    int64_t steps = 0;
    int32_t now = 0;
    if (!p->stream) return BE_OK;
    TRY(read_clock(p, batch_clock(p), &now, err));
    return gpu_stream_need(p->stream, now, &steps, err);
}

static be_status run_checked(program *p, int64_t steps, be_error *err)
{
    size_t begin = p->graph->lowered.begin, end = graph_turn_end(p->graph);
    TRY(make_finite(p, err));
    for (int64_t s = 0; s < steps; s++) {
        int32_t now = 0;
        TRY(read_clock(p, p->graph->clock, &now, err));
        for (int turn = 0; turn < p->graph->lowered.turns; turn++) {
            TRY(need_batch(p, err));
            for (size_t n = begin; n < end; n++) TRY(node_checked(p, n, now, err));
        }
        for (size_t n = end; n < p->graph->node_count; n++) TRY(node_checked(p, n, now, err));
    }
    return p->driver->vtable->synchronise(p->driver, err);
}

/* So many turns, *t being done.  As many at once as have their batches on the device; the host
 * gathers the next ones while these run. */
static be_status run_turns(program *p, int64_t turns, int64_t *t, be_error *err)
{
    const gpu_driver_vtable *vt = p->driver->vtable;
    if (!p->stream) return vt->replay(p->driver, p->turn, turns, err);
    for (int64_t end = *t + turns, part = 0; *t < end; *t += part) {
        TRY(gpu_stream_need(p->stream, *t, &part, err));
        if (part > end - *t) part = end - *t;
        TRY(vt->replay(p->driver, p->turn, part, err));
        TRY(gpu_stream_pass(p->stream, *t + part, err));
    }
    return BE_OK;
}

be_status gpu_run(program *p, int64_t steps, bool checked, be_error *err)
{
    int32_t clock = 0;
    TRY(check_inputs(p, err));
    if (p->begin) TRY(p->driver->vtable->replay(p->driver, p->begin, 1, err));
    if (checked) return run_checked(p, steps, err);
    if (p->stream) TRY(read_clock(p, batch_clock(p), &clock, err));
    int64_t t = clock;
    if (!p->end) TRY(run_turns(p, steps, &t, err));
    for (int64_t s = 0; p->end && s < steps; s++) {
        TRY(run_turns(p, p->graph->lowered.turns, &t, err));
        TRY(p->driver->vtable->replay(p->driver, p->end, 1, err));
    }
    return p->driver->vtable->synchronise(p->driver, err);
}
