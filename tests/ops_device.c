/* An op's case on a device: a small plan of its own, in which every value has its own place with
 * guard bytes around it, so that all memory can be poisoned before a step and looked at after it.
 */
#include "ops_case.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/memory.h"
#include "ops/op_list.h"

#define GUARD_BYTES 256

/* The two memories of a program, each seen as one value of bytes. */
enum { STATES, RESULTS, MEMORIES };

typedef struct bench {
    const ops_case *c;
    be_device *device;
    be_graph *g;
    memory_map map;
    program *program;
    be_value in[OP_MAX_IN], out[OP_MAX_OUT];
    size_t value_count; /* without the two below */
    be_value whole[MEMORIES];
    size_t bytes[MEMORIES];
    unsigned char *content[MEMORIES], *owned[MEMORIES]; /* owned: the byte belongs to a value */
    /* Output over_output lies in the memory of input over_input (be_op.in_place), which the case
     * fills; −1: none does. */
    int over_input, over_output;
    double rounding;
    unsigned halved;
    int summand;
    FILE *report;
} bench;

/* With `feed` blocked, every image that the user may give lies in that layout from the start. */
static be_status add_inputs(bench *b, value_layout feed, be_error *err)
{
    static const char *const names[OP_MAX_IN] = {"in 0", "in 1", "in 2", "in 3",
                                                 "in 4", "in 5", "in 6", "in 7"};
    for (int i = 0; i < OP_MAX_IN; i++) {
        const be_shape *shape = &b->c->in[i];
        b->in[i] = BE_NONE;
        if (shape->rank < 0) continue;
        bool is_updated = ops_is_updated(b->c->op, i);
        graph_value value = {.name = names[i],
                             .shape = *shape,
                             .kind = is_updated || i == b->over_input ? VALUE_STATE : VALUE_INPUT,
                             .alias_of = BE_NONE,
                             .producer = -1};
        if (shape->rank == 4 && shape->dtype != BE_I32 && !is_updated) value.layout = feed;
        TRY(graph_add_value(b->g, &value, &b->in[i], err));
    }
    return BE_OK;
}

static be_status add_nodes(bench *b, value_layout feed, value_layout block, be_error *err)
{
    const ops_case *c = b->c;
    for (int o = 0; o < OP_MAX_OUT; o++) b->out[o] = BE_NONE;
    TRY(graph_add_node(b->g, c->op, c->spec->attrs, b->in, b->out, err));
    if (c->is_narrow && c->op->narrow_copy) {
        graph_node *node = &b->g->nodes[b->g->node_count - 1];
        node->narrow = 1u << (c->op->narrow_copy - 1);
        TRY(graph_refresh_node(b->g, b->g->node_count - 1, err));
        memcpy(b->out, node->out, sizeof b->out);
    }
    for (int o = 0; o < OP_MAX_OUT; o++) {
        if (b->out[o] == BE_NONE || c->out[o].dtype == b->g->values[b->out[o]].shape.dtype)
            continue;
        b->g->values[b->out[o]].shape.dtype = c->out[o].dtype;
        if (c->is_narrow) b->g->nodes[b->g->node_count - 1].narrow |= 1u << o;
    }
    if (c->op == b->device->reorder) {
        b->g->values[b->out[0]].layout = feed == LAYOUT_PLAIN ? block : LAYOUT_PLAIN;
        return BE_OK;
    }
    lower_target target = {.device = b->device,
                           .layouts = b->device->reorder ? b->device->vtable->layouts : NULL,
                           .reorder = b->device->reorder};
    return pass_layout(b->g, &target, err);
}

static int find_node(const bench *b)
{
    int found = -1;
    for (size_t n = 0; n < b->g->node_count; n++)
        if (b->g->nodes[n].op == b->c->op) found = (int)n;
    MUST(found >= 0);
    return found;
}

/* Does the op itself see a blocked tensor? */
static bool is_blocked(const bench *b)
{
    bool blocked = false;
    const graph_node *node = &b->g->nodes[find_node(b)];
    for (int i = 0; i < OP_MAX_IN; i++)
        blocked |= node->in[i] != BE_NONE && b->g->values[node->in[i]].layout != LAYOUT_PLAIN;
    return blocked;
}

/* After the layouts, as the planner does it. */
static void place_over(bench *b)
{
    if (b->over_input < 0) return;
    const graph_node *node = &b->g->nodes[find_node(b)];
    be_value x = node->in[b->over_input], y = node->out[b->over_output];
    MUST(b->g->values[x].layout == b->g->values[y].layout && b->g->values[y].alias_of == BE_NONE);
    b->g->values[y].alias_of = x;
}

static int memory_of(const bench *b, be_value value)
{
    memory_region region = b->map.places[value].region;
    return region == REGION_PERSISTENT ? STATES : region == REGION_ACTIVATION ? RESULTS : -1;
}

static be_status place_values(bench *b, be_error *err)
{
    void *places = NULL;
    size_t end[MEMORIES] = {GUARD_BYTES, GUARD_BYTES};
    b->value_count = b->g->value_count;
    TRY(arena_alloc(b->g->memory, &places, (b->value_count + MEMORIES) * sizeof(memory_place),
                    err));
    b->map.places = places;
    for (size_t i = 0; i < b->value_count; i++) {
        const graph_value *value = &b->g->values[i];
        memory_place *place = &b->map.places[i];
        place->bytes = value_bytes(value);
        if (value->kind == VALUE_INPUT) {
            place->region = REGION_INPUT;
            continue;
        }
        if (value->alias_of != BE_NONE) continue;
        int memory = value->kind == VALUE_STATE ? STATES : RESULTS;
        place->region = memory == STATES ? REGION_PERSISTENT : REGION_ACTIVATION;
        place->offset = end[memory];
        end[memory] += (place->bytes + MEMORY_ALIGN - 1) / MEMORY_ALIGN * MEMORY_ALIGN;
        end[memory] += GUARD_BYTES;
    }
    for (size_t i = 0; i < b->value_count; i++) {
        be_value other = b->g->values[i].alias_of;
        if (other != BE_NONE) b->map.places[i] = b->map.places[other];
    }
    b->map.persistent_bytes = b->bytes[STATES] = end[STATES];
    b->map.activation_bytes = b->bytes[RESULTS] = end[RESULTS];
    for (int m = 0; m < MEMORIES; m++) {
        graph_value whole = {.name = "",
                             .shape = shape_make(BE_U8, 1, (int64_t)end[m], 0, 0, 0),
                             .kind = VALUE_RESULT,
                             .alias_of = BE_NONE,
                             .producer = -1};
        TRY(graph_add_value(b->g, &whole, &b->whole[m], err));
        b->map.places[b->whole[m]] = (memory_place){
            .region = m == STATES ? REGION_PERSISTENT : REGION_ACTIVATION, .bytes = end[m]};
    }
    return BE_OK;
}

static void mark_owned(bench *b)
{
    for (int m = 0; m < MEMORIES; m++) {
        b->content[m] = ops_alloc(b->bytes[m]);
        b->owned[m] = ops_alloc(b->bytes[m]);
    }
    for (size_t i = 0; i < b->value_count; i++) {
        int m = memory_of(b, (be_value)i);
        if (m >= 0) memset(b->owned[m] + b->map.places[i].offset, 1, b->map.places[i].bytes);
    }
}

static be_status bench_open(bench *b, const ops_setting *setting, value_layout feed, be_error *err)
{
    program_options options = {0};
    b->g = be_graph_new(1);
    TRY(be_graph_check(b->g, err));
    b->g->precision = b->c->precision;
    TRY(add_inputs(b, feed, err));
    TRY(add_nodes(b, feed, setting->block, err));
    if (feed != LAYOUT_PLAIN && !is_blocked(b)) return BE_OK;
    place_over(b);
    TRY(place_values(b, err));
    mark_owned(b);
    return b->device->vtable->build(b->device, b->g, &b->map, &options, &b->program, err);
}

static void bench_close(bench *b)
{
    if (b->program) b->device->vtable->free(b->program);
    be_graph_free(b->g);
    for (int m = 0; m < MEMORIES; m++) {
        free(b->content[m]);
        free(b->owned[m]);
    }
}

/* Where a value of the device's memory was read to. */
static unsigned char *content_of(const bench *b, be_value value)
{
    return b->content[memory_of(b, value)] + b->map.places[value].offset;
}

static be_status fill_memory(bench *b, const ops_draw *draw, unsigned char poison, be_error *err)
{
    for (int m = 0; m < MEMORIES; m++) memset(b->content[m], poison, b->bytes[m]);
    for (int i = 0; i < OP_MAX_IN; i++) {
        if (b->in[i] == BE_NONE || memory_of(b, b->in[i]) != STATES) continue;
        const graph_value *value = &b->g->values[b->in[i]];
        if (value->layout == LAYOUT_PLAIN)
            memcpy(content_of(b, b->in[i]), draw->in[i], ops_bytes(&b->c->in[i]));
        else
            layout_pack(draw->in[i], content_of(b, b->in[i]), &value->shape, value->layout);
    }
    for (int m = 0; m < MEMORIES; m++)
        TRY(b->device->vtable->write(b->program, b->whole[m], b->content[m], b->bytes[m], err));
    return BE_OK;
}

/* Inputs are copied, or read where they lie: at an address that only fits their element type.
 * Blocked tensors are never a user's, so their implementations may count on aligned vectors. */
static be_status give_inputs(bench *b, const ops_draw *draw, void *const *own, bool is_lent,
                             be_error *err)
{
    for (int i = 0; i < OP_MAX_IN; i++) {
        if (b->in[i] == BE_NONE || b->map.places[b->in[i]].region != REGION_INPUT) continue;
        const graph_value *value = &b->g->values[b->in[i]];
        size_t bytes = value_bytes(value);
        bool lend = is_lent && value->layout == LAYOUT_PLAIN;
        char *data = (char *)own[i] + (lend ? dtype_bytes(value->shape.dtype) : 0);
        if (value->layout == LAYOUT_PLAIN)
            memcpy(data, draw->in[i], bytes);
        else
            layout_pack(draw->in[i], data, &value->shape, value->layout);
        if (lend)
            TRY(b->device->vtable->bind(b->program, b->in[i], data, bytes, err));
        else
            TRY(b->device->vtable->write(b->program, b->in[i], data, bytes, err));
    }
    return BE_OK;
}

typedef struct step {
    int draw;
    unsigned char poison;
    bool is_lent;
} step;

static be_status run_step(bench *b, const step *s, void *const *own, be_error *err)
{
    TRY(fill_memory(b, &b->c->draw[s->draw], s->poison, err));
    TRY(give_inputs(b, &b->c->draw[s->draw], own, s->is_lent, err));
    TRY(b->device->vtable->run(b->program, 1, false, err));
    for (int m = 0; m < MEMORIES; m++)
        TRY(b->device->vtable->read(b->program, b->whole[m], b->content[m], b->bytes[m], err));
    return BE_OK;
}

static bool check_guards(const bench *b, unsigned char poison)
{
    static const char *const names[] = {"states", "results"};
    for (int m = 0; m < MEMORIES; m++)
        for (size_t i = 0; i < b->bytes[m]; i++) {
            if (b->owned[m][i] || b->content[m][i] == poison) continue;
            fprintf(b->report, "wrote outside of its outputs: byte %zu of the %s\n", i, names[m]);
            for (size_t v = 0; v < b->value_count; v++)
                if (memory_of(b, (be_value)v) == m)
                    fprintf(b->report, "  value %zu: bytes %zu to %zu\n", v,
                            b->map.places[v].offset,
                            b->map.places[v].offset + b->map.places[v].bytes - 1);
            return false;
        }
    return true;
}

static bool check_inputs(const bench *b, const ops_draw *draw)
{
    bool is_good = true;
    for (int i = 0; i < OP_MAX_IN; i++) {
        if (b->in[i] == BE_NONE || b->map.places[b->in[i]].region != REGION_INPUT) continue;
        be_error err;
        size_t bytes = ops_bytes(&b->c->in[i]);
        void *data = ops_alloc(bytes);
        be_status status = b->device->vtable->read(b->program, b->in[i], data, bytes, &err);
        if (status != BE_OK || memcmp(data, draw->in[i], bytes) != 0) {
            fprintf(b->report, "input %d was changed%s%s\n", i, status == BE_OK ? "" : ": ",
                    status == BE_OK ? "" : err.text);
            is_good = false;
        }
        free(data);
    }
    return is_good;
}

/* The channels that do not exist must be zero: later ops sum over them, but not over codes. */
static bool check_padding(const bench *b, int o, const void *plain)
{
    const graph_value *value = &b->g->values[b->out[o]];
    size_t element = dtype_bytes(value->shape.dtype), bytes = value_bytes(value);
    unsigned char *packed = ops_alloc(bytes), *found = content_of(b, b->out[o]);
    layout_pack(plain, packed, &value->shape, value->layout);
    be_shape raw = shape_make(value->shape.dtype, 1, (int64_t)(bytes / element), 0, 0, 0);
    bool is_good = true;
    for (int64_t i = 0; i < raw.dim[0] && is_good; i++) {
        bool same = memcmp(packed + (size_t)i * element, found + (size_t)i * element, element) == 0;
        is_good = same || ops_get(&raw, found, i) == 0.0;
        if (!is_good)
            fprintf(b->report,
                    "output %d: channels beyond the last are not zero: %g at element %" PRId64
                    " of the blocked memory\n",
                    o, ops_get(&raw, found, i), i);
    }
    free(packed);
    return is_good;
}

/* What is allowed of output 0, which is the summand and a part that was bf16 before: that part is
 * rounded once more.  NULL: this is no such output. */
static double *allowed_of_sum(const bench *b, const ops_draw *draw, int o)
{
    int i = b->summand - 1;
    if (o != 0 || i < 0 || b->c->in[i].rank < 0 || !draw->allowed[0]) return NULL;
    int64_t count = shape_elements(&b->c->out[0]);
    double *allowed = ops_alloc((size_t)count * sizeof *allowed);
    for (int64_t k = 0; k < count; k++)
        allowed[k] = draw->allowed[0][k] + 0x1p-8 * fabs(draw->y[0][k] - draw->x[i][k]);
    return allowed;
}

static bool check_output(const bench *b, int draw, int o)
{
    char index[96];
    ops_difference difference;
    const graph_value *value = &b->g->values[b->out[o]];
    const be_shape *shape = &b->c->out[o];
    void *plain = ops_alloc(ops_bytes(shape));
    bool is_good = true;
    if (value->layout == LAYOUT_PLAIN) {
        memcpy(plain, content_of(b, b->out[o]), ops_bytes(shape));
    } else {
        layout_unpack(content_of(b, b->out[o]), plain, shape, value->layout);
        bool has_padding = value->layout != LAYOUT_ROWS_APART && dtype_is_real(shape->dtype);
        if (has_padding && draw != OPS_NANS) is_good = check_padding(b, o, plain);
    }
    double *of_sum = allowed_of_sum(b, &b->c->draw[draw], o);
    ops_expectation expected = {.shape = shape,
                                .values = b->c->draw[draw].y[o],
                                .tolerance = b->c->spec->tolerance + b->rounding,
                                .allowed = of_sum ? of_sum : b->c->draw[draw].allowed[o],
                                .rounding = b->halved >> o & 1 ? 0x1p-8 : 0.0,
                                .with_nan = draw == OPS_NANS};
    bool is_code = !dtype_is_real(shape->dtype); /* counts and indices of a NaN may be any */
    if (!(is_code && expected.with_nan) && !ops_compare(&expected, plain, &difference)) {
        fprintf(b->report,
                "output %d: %" PRId64 " of %" PRId64 " elements are wrong, the first at %s: "
                "expected %.9g, found %.9g\n  largest error %.3g, allowed %.3g there; the largest "
                "value is %.3g\n",
                o, difference.wrong, shape_elements(shape),
                ops_index_text(shape, difference.first, index), difference.expected,
                difference.found, difference.largest_error,
                expected.allowed ? expected.allowed[difference.first]
                                 : expected.tolerance * difference.scale,
                difference.scale);
        is_good = false;
    }
    free(of_sum);
    free(plain);
    return is_good;
}

static bool check_step(const bench *b, const step *s)
{
    bool is_good = check_guards(b, s->poison) && check_inputs(b, &b->c->draw[s->draw]);
    for (int o = 0; o < OP_MAX_OUT; o++)
        if (b->out[o] != BE_NONE) is_good &= check_output(b, s->draw, o);
    return is_good;
}

/* An output as it lies in memory, without what is between rows; returns its bytes. */
static size_t copy_output(const bench *b, int o, void *to)
{
    const graph_value *value = &b->g->values[b->out[o]];
    size_t bytes = b->map.places[b->out[o]].bytes;
    if (value->layout == LAYOUT_ROWS_APART) {
        bytes = ops_bytes(&value->shape);
        layout_unpack(content_of(b, b->out[o]), to, &value->shape, value->layout);
    } else {
        memcpy(to, content_of(b, b->out[o]), bytes);
    }
    return bytes;
}

/* Keep all outputs as they lie in memory, or compare them with those that were kept. */
static bool same_bits(const bench *b, unsigned char *before, bool is_first)
{
    bool is_same = true;
    for (int o = 0; o < OP_MAX_OUT && is_same; o++) {
        if (b->out[o] == BE_NONE) continue;
        unsigned char *now = is_first ? before : ops_alloc(b->map.places[b->out[o]].bytes);
        size_t bytes = copy_output(b, o, now);
        is_same = memcmp(before, now, bytes) == 0;
        if (!is_same)
            fprintf(b->report, "output %d: a second run of the same gave other bits\n", o);
        if (!is_first) free(now);
        before += bytes;
    }
    return is_same;
}

/* A step from lent memory, one with a NaN, and twice the same other inputs with other poison, so
 * that whatever is left of the step before, or was never written, shows. */
static bool run_steps(bench *b)
{
    static const step steps[] = {{OPS_RANDOM, 0xFF, true},
                                 {OPS_NANS, 0x7F, false},
                                 {OPS_ZEROS, 0xFF, false},
                                 {OPS_ZEROS, 0x7F, false}};
    be_error err;
    void *own[OP_MAX_IN] = {NULL};
    unsigned char *before = ops_alloc(b->bytes[STATES] + b->bytes[RESULTS]);
    bool is_good = true;
    for (int i = 0; i < OP_MAX_IN; i++) {
        if (b->in[i] == BE_NONE) continue;
        size_t room = value_bytes(&b->g->values[b->in[i]]) + 2 * MEMORY_ALIGN;
        own[i] = aligned_alloc(MEMORY_ALIGN, room / MEMORY_ALIGN * MEMORY_ALIGN);
    }
    for (int s = 0; s < 4 && is_good; s++) {
        be_status status = run_step(b, &steps[s], own, &err);
        if (status != BE_OK) fprintf(b->report, "%s\n", err.text);
        is_good = status == BE_OK && check_step(b, &steps[s]);
        if (is_good && s > 1) is_good = same_bits(b, before, s == 2);
        if (!is_good) fprintf(b->report, "(in step %d)\n", s);
    }
    for (int i = 0; i < OP_MAX_IN; i++) free(own[i]);
    free(before);
    return is_good;
}

typedef struct over {
    int input, output;
} over;

static ops_result run_fed(const ops_case *c, const ops_setting *setting, value_layout feed,
                          over place, FILE *report)
{
    be_error err;
    bench b = {.c = c,
               .device = setting->device,
               .over_input = place.input,
               .over_output = place.output,
               .rounding = setting->rounding,
               .halved = setting->halved,
               .summand = setting->summand,
               .report = report};
    ops_result result = OPS_PASSED;
    be_status status = bench_open(&b, setting, feed, &err);
    if (status != BE_OK) {
        fprintf(report, "%s\n", err.text);
        result = status == BE_UNAVAILABLE ? OPS_REFUSED : OPS_FAILED;
    } else if (b.program) {
        const char *found = setting->device->vtable->implementation(b.program, find_node(&b));
        const char *wanted = setting->implementation;
        if (feed != LAYOUT_PLAIN && setting->blocked) wanted = setting->blocked;
        if (strncasecmp(found, wanted, strlen(wanted)) != 0) {
            fprintf(report, "expected the implementation %s, found %s\n", wanted, found);
            result = OPS_FAILED;
        } else if (!run_steps(&b)) {
            fprintf(report, "(by %s, its inputs %s", found,
                    feed == LAYOUT_PLAIN ? "plain" : "blocked");
            if (place.input >= 0)
                fprintf(report, ", output %d in the memory of input %d", place.output, place.input);
            fprintf(report, ")\n");
            result = OPS_FAILED;
        }
    }
    bench_close(&b);
    return result;
}

/* In plain and in blocked layouts. */
static ops_result run_layouts(const ops_case *c, const ops_setting *setting, over place,
                              FILE *report)
{
    bool is_convolution = c->op == &be_op_conv2d || c->op == &be_op_conv2d_backward;
    bool is_mixed = c->precision == BE_PRECISION_BF16 && is_convolution;
    /* What a convolution makes in bf16 is bf16 where the channels come last, and nowhere else. */
    if ((is_mixed && c->is_narrow) || setting->is_block_alone)
        return run_fed(c, setting, setting->block, place, report);
    ops_result plain = run_fed(c, setting, LAYOUT_PLAIN, place, report);
    if (plain == OPS_FAILED || !setting->device->reorder || is_mixed) return plain;
    ops_result blocked = run_fed(c, setting, setting->block, place, report);
    if (blocked == OPS_REFUSED) return plain;
    return blocked == OPS_FAILED ? OPS_FAILED : plain == OPS_REFUSED ? blocked : plain;
}

static bool may_lie_over(const ops_case *c, over place)
{
    const be_shape *x = &c->in[place.input], *y = &c->out[place.output];
    return c->op->in_place[place.output] >> place.input & 1 && x->rank >= 0 && y->rank >= 0 &&
           x->dtype == y->dtype && ops_bytes(x) == ops_bytes(y);
}

ops_result ops_run_on_device(const ops_case *c, const ops_setting *setting, FILE *report)
{
    ops_result result = run_layouts(c, setting, (over){-1, -1}, report);
    for (int o = 0; o < c->op->outputs; o++)
        for (int i = 0; i < c->op->inputs; i++)
            if (result == OPS_PASSED && may_lie_over(c, (over){i, o}))
                result = run_layouts(c, setting, (over){i, o}, report);
    return result;
}
