/* Batches from the memory of the host. */
#include "backend/gpu/gpu_stream.h"

#include <inttypes.h>
#include <string.h>

#include "ops/input/data_batch.h"

#define SLOT_STEPS 16                 /* as many as a driver may replay at once */
#define SLOT_BYTES ((size_t)16 << 20) /* but no more than this, if one batch is not more alone */

enum { IMAGES, LABELS, ORDER, INPUTS };

typedef struct host_input {
    be_value value;
    const void *data; /* NULL: not written yet */
    void *own;        /* memory for what is written, made when it is needed */
} host_input;

struct gpu_stream {
    gpu_driver *driver; /* NULL: not opened */
    size_t node;
    const data_batch_attrs *attrs;
    be_shape images;
    int64_t order_count;
    bool moves; /* the graph counts its steps; else each has the batch of step 0 */
    host_input inputs[INPUTS];

    int64_t steps; /* of a slot */
    size_t image_bytes, slot_images, slot_labels;
    gpu_buffer rings[INPUTS];
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
            for (int k = 0; k < INPUTS; k++)
                others += g->nodes[n].in[i] != BE_NONE && g->nodes[n].in[i] == g->nodes[*out].in[k];
    if (found != 1)
        FAIL(err, BE_USAGE,
             "data on the host: expected one be_data_batch in the graph, found %d; keep the data "
             "on the device",
             found);
    if (others)
        FAIL(
            err, BE_USAGE,
            "data on the host: expected inputs that be_data_batch alone uses, found %d other uses; "
            "keep the data on the device",
            others);
    return BE_OK;
}

static int64_t fitting_steps(size_t batch_bytes)
{
    size_t steps = SLOT_BYTES / batch_bytes;
    return steps > SLOT_STEPS ? SLOT_STEPS : steps < 1 ? 1 : (int64_t)steps;
}

be_status gpu_stream_new(const be_graph *g, int steps, gpu_stream **out, be_error *err)
{
    void *memory = NULL;
    size_t node = 0;
    *out = NULL;
    TRY(find_node(g, &node, err));
    TRY(memory_alloc(&memory, sizeof(gpu_stream), "a stream of batches", err));
    gpu_stream *s = memory;
    const graph_node *data_batch = &g->nodes[node];
    s->node = node;
    s->attrs = data_batch->attrs;
    s->images = be_value_shape(g, data_batch->in[IMAGES]);
    s->order_count = be_value_shape(g, data_batch->in[ORDER]).dim[0];
    s->moves = g->recipe.loss != BE_NONE;
    for (int i = 0; i < INPUTS; i++) s->inputs[i].value = data_batch->in[i];
    s->image_bytes = (size_t)(s->images.dim[1] * s->images.dim[2] * s->images.dim[3]);
    size_t batch = (size_t)s->attrs->batch;
    s->steps = steps ? steps : fitting_steps(batch * (s->image_bytes + sizeof(int32_t)));
    s->slot_images = (size_t)s->steps * batch * s->image_bytes;
    s->slot_labels = (size_t)s->steps * batch * sizeof(int32_t);
    *out = s;
    return BE_OK;
}

void gpu_stream_free(gpu_stream *s)
{
    if (!s) return;
    if (s->feed) s->driver->vtable->feed_free(s->driver, s->feed);
    for (int i = 0; i < INPUTS; i++) {
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
    for (int i = 0; i < INPUTS; i++) call->in_shape[i].dim[0] = ring_places(s);
    call->streamed_order = s->order_count;
}

/* The order of a ring never changes: place i has picture i. */
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
    for (int i = 0; i < INPUTS; i++)
        TRY(vt->alloc(driver, gpu_stream_span(s, s->inputs[i].value).bytes, "a ring of batches",
                      &s->rings[i], err));
    TRY(vt->feed_new(driver, s->slot_images + s->slot_labels, &s->feed, err));
    return write_order(s, err);
}

/* ---------------------------------------------------------------- the inputs */

static int input_index(const gpu_stream *s, be_value value)
{
    for (int i = 0; i < INPUTS; i++)
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
    return (gpu_span){s->rings[i], 0,
                      GPU_FEED_SLOTS * (i == IMAGES ? s->slot_images : s->slot_labels)};
}

static be_status check_order(const gpu_stream *s, const int32_t *order, be_error *err)
{
    for (int64_t i = 0; i < s->order_count; i++)
        if (order[i] < 0 || order[i] >= s->images.dim[0])
            FAIL(err, BE_BAD_DATA,
                 "expected an order of pictures from 0 to %" PRId64 ", found %d at element %" PRId64
                 "; write a good one",
                 s->images.dim[0] - 1, order[i], i);
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

/* The batches of steps [first, end) into the slot's memory, from place `at` of the slot on. */
static void gather(const gpu_stream *s, char *memory, int64_t at, int64_t first, int64_t end)
{
    const char *images = s->inputs[IMAGES].data;
    const int32_t *labels = s->inputs[LABELS].data, *order = s->inputs[ORDER].data;
    char *to = memory + (size_t)at * s->image_bytes;
    int32_t *label = (int32_t *)(memory + s->slot_images) + at;
    for (int64_t t = first; t < end; t++)
        for (int64_t i = 0; i < s->attrs->batch; i++) {
            int64_t place = data_batch_place(s->attrs, t, i, s->order_count);
            /* A place behind the end of a clipped order is not looked at. */
            int32_t from = place < 0 ? 0 : order[place];
            memcpy(to, images + (size_t)from * s->image_bytes, s->image_bytes);
            *label++ = labels[from];
            to += s->image_bytes;
        }
}

/* Fill the slot of step t with the batches from there to the end of the slot. */
static be_status fill(gpu_stream *s, int slot, int64_t t, be_error *err)
{
    const gpu_driver_vtable *vt = s->driver->vtable;
    void *memory = NULL;
    int64_t end = (t / s->steps + 1) * s->steps, at = t % s->steps * s->attrs->batch;
    size_t images = (size_t)at * s->image_bytes, labels = (size_t)at * sizeof(int32_t);
    gpu_copy copies[] = {{.to = s->rings[IMAGES],
                          .to_offset = (size_t)slot * s->slot_images + images,
                          .from_offset = images,
                          .bytes = s->slot_images - images},
                         {.to = s->rings[LABELS],
                          .to_offset = (size_t)slot * s->slot_labels + labels,
                          .from_offset = s->slot_images + labels,
                          .bytes = s->slot_labels - labels}};
    s->slots[slot].end = s->slots[slot].first;
    TRY(vt->feed_claim(s->driver, s->feed, slot, &memory, err));
    gather(s, memory, at, t, end);
    TRY(vt->feed_send(s->driver, s->feed, slot, copies, 2, err));
    s->slots[slot].first = t;
    s->slots[slot].end = end;
    return BE_OK;
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
