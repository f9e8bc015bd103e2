/* Batches from the memory of the host. */
#include "backend/gpu/gpu_stream.h"

#include <inttypes.h>
#include <string.h>

#include "ops/input/data_batch.h"

#define SLOT_STEPS 16                 /* as many as a driver may replay at once */
#define SLOT_BYTES ((size_t)16 << 20) /* but no more than this, if one batch is not more alone */

#define PIECE_ALIGN 16 /* of a field's part of a slot's memory */

/* The order and the fields: the inputs of data_batch but the clock. */
enum { ORDER = 0, FIELD = 1, INPUTS_MAX = FIELD + DATA_BATCH_FIELDS };

typedef struct host_input {
    be_value value;
    const void *data;  /* NULL: not written yet */
    void *own;         /* memory for what is written, made when it is needed */
    size_t bytes;      /* of a sample, or of an entry of the order */
    size_t apart;      /* bytes from one sample to the next in `data` */
    size_t slot_bytes; /* of a slot's part of the ring */
    size_t at;         /* a field: where its part lies in the slot's memory */
} host_input;

struct gpu_stream {
    gpu_driver *driver; /* NULL: not opened */
    size_t node;
    const data_batch_attrs *attrs;
    int64_t count, order_count; /* of samples; of entries of the order */
    bool moves;                 /* the graph counts its steps; else each has the batch of step 0 */
    host_input inputs[INPUTS_MAX];
    int input_count;

    int64_t steps; /* of a slot */
    size_t slot_bytes;
    gpu_buffer rings[INPUTS_MAX];
    gpu_feed *feed;
    struct {
        int64_t first, end; /* steps whose batches lie there; first == end: none */
    } slots[GPU_FEED_SLOTS];
};

/* ---------------------------------------------------------------- making */

static be_status find_node(const be_graph *g, size_t *out, be_error *err)
{
    int found = 0, others = 0;
    for (size_t n = 0; n < g->node_count; n++)
        if (g->nodes[n].op == &be_op_data_batch) {
            *out = n;
            found++;
        }
    for (size_t n = 0; found == 1 && n < g->node_count; n++)
        for (int i = 0; n != *out && i < OP_MAX_IN; i++)
            for (int k = 0; k < OP_MAX_IN; k++)
                others += k != DATA_BATCH_CLOCK && g->nodes[n].in[i] != BE_NONE &&
                          g->nodes[n].in[i] == g->nodes[*out].in[k];
    if (found != 1)
        FAIL(err, BE_USAGE,
             "data on the host: expected one order by which the graph gathers its batches, found "
             "%d; keep the data on the device",
             found);
    if (others)
        FAIL(err, BE_USAGE,
             "data on the host: expected inputs that be_gather alone uses, found %d other uses; "
             "keep the data on the device",
             others);
    return BE_OK;
}

static int64_t fitting_steps(size_t batch_bytes)
{
    size_t steps = SLOT_BYTES / batch_bytes;
    return steps > SLOT_STEPS ? SLOT_STEPS : steps < 1 ? 1 : (int64_t)steps;
}

/* The inputs, and how many bytes a batch has. */
static size_t take_inputs(gpu_stream *s, const be_graph *g, const graph_node *node)
{
    size_t batch = 0;
    s->input_count = FIELD + data_batch_count(node->in);
    for (int i = 0; i < s->input_count; i++) {
        be_value value = node->in[i == ORDER ? DATA_BATCH_ORDER : DATA_BATCH_FIELD + i - FIELD];
        be_shape shape = be_value_shape(g, value);
        static const data_batch_field entries = {0};
        const data_batch_field *field = i == ORDER ? &entries : &s->attrs->fields[i - FIELD];
        data_batch_span span = data_batch_samples(field, &shape);
        s->inputs[i].value = value;
        s->inputs[i].bytes = (size_t)span.elements * dtype_bytes(shape.dtype);
        s->inputs[i].apart = (size_t)span.stride * dtype_bytes(shape.dtype);
        if (i == ORDER)
            s->order_count = span.count;
        else
            batch += (size_t)s->attrs->batch * s->inputs[i].bytes;
        s->count = span.count;
    }
    return batch;
}

be_status gpu_stream_new(const be_graph *g, int steps, gpu_stream **out, be_error *err)
{
    void *memory = NULL;
    size_t node = 0;
    *out = NULL;
    TRY(find_node(g, &node, err));
    TRY(memory_alloc(&memory, sizeof(gpu_stream), "a stream of batches", err));
    gpu_stream *s = memory;
    s->node = node;
    s->attrs = g->nodes[node].attrs;
    s->moves = g->recipe.loss != BE_NONE;
    size_t batch_bytes = take_inputs(s, g, &g->nodes[node]);
    s->steps = steps ? steps : fitting_steps(batch_bytes);
    for (int i = 0; i < s->input_count; i++) {
        host_input *input = &s->inputs[i];
        input->slot_bytes = (size_t)(s->steps * s->attrs->batch) * input->bytes;
        if (i == ORDER) continue;
        input->at = s->slot_bytes;
        s->slot_bytes += (input->slot_bytes + PIECE_ALIGN - 1) / PIECE_ALIGN * PIECE_ALIGN;
    }
    *out = s;
    return BE_OK;
}

void gpu_stream_free(gpu_stream *s)
{
    if (!s) return;
    if (s->feed) s->driver->vtable->feed_free(s->driver, s->feed);
    for (int i = 0; i < s->input_count; i++) {
        if (s->rings[i]) s->driver->vtable->free(s->driver, s->rings[i]);
        memory_free(s->inputs[i].own);
    }
    memory_free(s);
}

bool gpu_stream_is_of(const gpu_stream *s, size_t node)
{
    return s && s->node == node;
}

/* Places of a ring. */
static int64_t ring_places(const gpu_stream *s)
{
    return GPU_FEED_SLOTS * s->steps * s->attrs->batch;
}

void gpu_stream_shapes(const gpu_stream *s, gpu_call *call)
{
    for (int i = 0; i < OP_MAX_IN; i++) {
        be_shape *shape = &call->in_shape[i];
        if (i == DATA_BATCH_CLOCK || shape->rank < 1) continue;
        shape->dim[0] = ring_places(s);
        if (i >= DATA_BATCH_FIELD && s->attrs->fields[i - DATA_BATCH_FIELD].stride)
            shape->dim[0] *= shape_elements(&s->attrs->fields[i - DATA_BATCH_FIELD].sample);
    }
    call->streamed_order = s->order_count;
}

/* The order of a ring never changes: place i has sample i. */
static be_status write_order(gpu_stream *s, be_error *err)
{
    void *memory = NULL;
    int64_t places = ring_places(s);
    TRY(memory_alloc(&memory, (size_t)places * sizeof(int32_t), "the order of a ring", err));
    int32_t *order = memory;
    for (int64_t i = 0; i < places; i++) order[i] = (int32_t)i;
    be_status status = s->driver->vtable->upload(s->driver, s->rings[ORDER], 0, order,
                                                 (size_t)places * sizeof(int32_t), err);
    memory_free(memory);
    return status;
}

be_status gpu_stream_open(gpu_stream *s, gpu_driver *driver, be_error *err)
{
    const gpu_driver_vtable *vt = driver->vtable;
    s->driver = driver;
    for (int i = 0; i < s->input_count; i++)
        TRY(vt->alloc(driver, gpu_stream_span(s, s->inputs[i].value).bytes, "a ring of batches",
                      &s->rings[i], err));
    TRY(vt->feed_new(driver, s->slot_bytes, GPU_FEED_SLOTS, &s->feed, err));
    return write_order(s, err);
}

/* ---------------------------------------------------------------- the inputs */

static int input_index(const gpu_stream *s, be_value value)
{
    for (int i = 0; i < s->input_count; i++)
        if (s->inputs[i].value == value) return i;
    return -1;
}

bool gpu_stream_has(const gpu_stream *s, be_value value)
{
    return s && value != BE_NONE && input_index(s, value) >= 0;
}

gpu_span gpu_stream_span(const gpu_stream *s, be_value value)
{
    int i = input_index(s, value);
    MUST(i >= 0);
    return (gpu_span){s->rings[i], 0, GPU_FEED_SLOTS * s->inputs[i].slot_bytes};
}

static be_status check_order(const gpu_stream *s, const int32_t *order, be_error *err)
{
    for (int64_t i = 0; i < s->order_count; i++)
        if (order[i] < 0 || order[i] >= s->count)
            FAIL(err, BE_BAD_DATA,
                 "expected an order of samples from 0 to %" PRId64 ", found %d at element %" PRId64
                 "; write a good one",
                 s->count - 1, order[i], i);
    return BE_OK;
}

be_status gpu_stream_bind(gpu_stream *s, be_value value, const void *data, size_t bytes,
                          be_error *err)
{
    int i = input_index(s, value);
    (void)bytes;
    if (i == ORDER) TRY(check_order(s, data, err));
    s->inputs[i].data = data;
    for (int slot = 0; slot < GPU_FEED_SLOTS; slot++) s->slots[slot].end = s->slots[slot].first;
    return BE_OK;
}

be_status gpu_stream_write(gpu_stream *s, be_value value, const void *data, size_t bytes,
                           be_error *err)
{
    host_input *input = &s->inputs[input_index(s, value)];
    TRY(gpu_stream_bind(s, value, data, bytes, err));
    input->data = NULL;
    if (!input->own) TRY(memory_alloc(&input->own, bytes, "an input that stays on the host", err));
    memcpy(input->own, data, bytes);
    input->data = input->own;
    return BE_OK;
}

void gpu_stream_read(const gpu_stream *s, be_value value, void *data, size_t bytes)
{
    memcpy(data, s->inputs[input_index(s, value)].data, bytes);
}

/* ---------------------------------------------------------------- steps */

/* A field of the batches of steps [first, end) into the slot's memory. */
static void gather(const gpu_stream *s, const host_input *field, char *memory, int64_t first,
                   int64_t end)
{
    const char *samples = field->data;
    const int32_t *order = s->inputs[ORDER].data;
    char *to = memory + field->at + (size_t)(first % s->steps * s->attrs->batch) * field->bytes;
    for (int64_t t = first; t < end; t++)
        for (int64_t i = 0; i < s->attrs->batch; i++) {
            int64_t place = data_batch_place(s->attrs, t, i, s->order_count);
            /* A place behind the end of a clipped order is not looked at. */
            int32_t from = place < 0 ? 0 : order[place];
            memcpy(to, samples + (size_t)from * field->apart, field->bytes);
            to += field->bytes;
        }
}

/* Fill the slot of step t with the batches from there to the end of the slot. */
static be_status fill(gpu_stream *s, int slot, int64_t t, be_error *err)
{
    const gpu_driver_vtable *vt = s->driver->vtable;
    void *memory = NULL;
    gpu_copy copies[DATA_BATCH_FIELDS];
    int64_t end = (t / s->steps + 1) * s->steps, at = t % s->steps * s->attrs->batch;
    s->slots[slot].end = s->slots[slot].first;
    TRY(vt->feed_claim(s->driver, s->feed, slot, &memory, err));
    for (int i = FIELD; i < s->input_count; i++) {
        const host_input *field = &s->inputs[i];
        size_t before = (size_t)at * field->bytes;
        gather(s, field, memory, t, end);
        copies[i - FIELD] = (gpu_copy){.to = s->rings[i],
                                       .to_offset = (size_t)slot * field->slot_bytes + before,
                                       .from_offset = field->at + before,
                                       .bytes = field->slot_bytes - before};
    }
    TRY(vt->feed_send(s->driver, s->feed, slot, copies, s->input_count - FIELD, err));
    s->slots[slot].first = t;
    s->slots[slot].end = end;
    return BE_OK;
}

int64_t gpu_stream_bytes(const gpu_stream *s, int64_t steps)
{
    int64_t bytes = 0;
    if (!s->moves) return 0;
    for (int i = FIELD; i < s->input_count; i++) bytes += (int64_t)s->inputs[i].bytes;
    return steps * s->attrs->batch * bytes;
}

static int slot_of(const gpu_stream *s, int64_t t)
{
    return (int)(t / s->steps % GPU_FEED_SLOTS);
}

be_status gpu_stream_need(gpu_stream *s, int64_t t, int64_t *steps, be_error *err)
{
    int slot = slot_of(s, t);
    if (t < 0) FAIL(err, BE_USAGE, "expected a clock of 0 or more steps, found %" PRId64, t);
    if (t < s->slots[slot].first || t >= s->slots[slot].end) TRY(fill(s, slot, t, err));
    *steps = s->moves ? s->slots[slot].end - t : INT64_MAX;
    return BE_OK;
}

be_status gpu_stream_pass(gpu_stream *s, int64_t t, be_error *err)
{
    int64_t steps = 0;
    if (!s->moves || t % s->steps != 0) return BE_OK;
    TRY(s->driver->vtable->feed_release(s->driver, s->feed, slot_of(s, t - 1), err));
    return gpu_stream_need(s, t, &steps, err);
}
