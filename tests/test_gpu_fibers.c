/* Barriers: the kernels as host C, their work items as fibers that run in forward, reverse and
 * shuffled order between two barriers.  The results must be right and equal to the bit, and with
 * any one BARRIER() taken out of the source they must not: a case that shows it is found for each.
 *
 *     test_gpu_fibers [--op NAME] */
#include <stdlib.h>
#include <string.h>

#include "gpu_host.h"
#include "graph/precision.h"
#include "ops_case.h"

/* The cases: small, but with several rounds of everything that stands between barriers.  The group
 * size 0 is the op's own. */
static const struct {
    const char *op, *name;
    int group;
    value_layout layout;
    be_precision precision; /* of products; in tf32 those on tensor cores */
} cases[] = {
    {"layer_norm", "odd with a residual", 16, LAYOUT_PLAIN, BE_PRECISION_FP32},
    {"layer_norm_backward", "odd", 16, LAYOUT_PLAIN, BE_PRECISION_FP32},
    {"layer_norm_backward", "parts of several rounds", 4, LAYOUT_PLAIN, BE_PRECISION_FP32},
    {"layer_norm_backward", "parts of several rounds", 20, LAYOUT_PLAIN, BE_PRECISION_FP32},
    {"embedding_backward", "odd", 16, LAYOUT_PLAIN, BE_PRECISION_FP32},
    {"embedding_backward", "a row in several chunks", 24, LAYOUT_PLAIN, BE_PRECISION_FP32},
    {"mean_tokens", "odd", 64, LAYOUT_PLAIN, BE_PRECISION_FP32},
    {"l2_normalize", "odd", 16, LAYOUT_PLAIN, BE_PRECISION_FP32},
    {"l2_normalize_backward", "odd", 16, LAYOUT_PLAIN, BE_PRECISION_FP32},
    {"transpose", "odd", 16, LAYOUT_PLAIN, BE_PRECISION_FP32},
    {"softmax", "odd", 16, LAYOUT_PLAIN, BE_PRECISION_FP32},
    {"softmax_backward", "odd", 16, LAYOUT_PLAIN, BE_PRECISION_FP32},
    {"softmax_cross_entropy", "odd", 16, LAYOUT_PLAIN, BE_PRECISION_FP32},
    {"softmax_cross_entropy", "many classes, several threads", 16, LAYOUT_PLAIN, BE_PRECISION_FP32},
    {"symmetric_cross_entropy", "odd", 16, LAYOUT_PLAIN, BE_PRECISION_FP32},
    {"clip_gradients", "too long", 16, LAYOUT_PLAIN, BE_PRECISION_FP32},
    {"sum_rows", "odd", 12, LAYOUT_PLAIN, BE_PRECISION_FP32},
    {"sum_rows", "many rows by words", 12, LAYOUT_PLAIN, BE_PRECISION_FP32},
    {"batch_norm", "images", 12, LAYOUT_PLAIN, BE_PRECISION_FP32},
    {"batch_norm_backward", "residual, relu", 12, LAYOUT_PLAIN, BE_PRECISION_FP32},
    {"batch_norm", "many images", 12, LAYOUT_CHANNELS_LAST, BE_PRECISION_FP32},
    {"batch_norm_backward", "many images", 12, LAYOUT_CHANNELS_LAST, BE_PRECISION_FP32},
    {"linear", "odd", 0, LAYOUT_PLAIN, BE_PRECISION_FP32},
    {"linear", "one output", 24, LAYOUT_PLAIN, BE_PRECISION_FP32},
    {"linear", "cnn-mnist 1", 64, LAYOUT_PLAIN, BE_PRECISION_FP32},
    {"linear_backward", "input first", 0, LAYOUT_PLAIN, BE_PRECISION_FP32},
    {"matmul", "odd, a transposed", 0, LAYOUT_PLAIN, BE_PRECISION_FP32},
    {"conv2d", "padded", 0, LAYOUT_PLAIN, BE_PRECISION_FP32},
    {"conv2d", "six", 24, LAYOUT_PLAIN, BE_PRECISION_FP32},
    {"conv2d_pool", "odd rest", 0, LAYOUT_PLAIN, BE_PRECISION_FP32},
    {"conv2d_pool", "six", 24, LAYOUT_PLAIN, BE_PRECISION_FP32},
    {"conv2d_backward", "six", 0, LAYOUT_PLAIN, BE_PRECISION_FP32},
    {"conv2d_backward", "padded", 64, LAYOUT_PLAIN, BE_PRECISION_FP32},
    {"conv2d_pool_backward", "odd rest", 0, LAYOUT_PLAIN, BE_PRECISION_FP32},
    {"conv2d_pool_backward", "six", 24, LAYOUT_PLAIN, BE_PRECISION_FP32},
    {"attention", "packed, causal, lengths", 24, LAYOUT_PLAIN, BE_PRECISION_FP32},
    {"attention", "several blocks", 0, LAYOUT_PLAIN, BE_PRECISION_FP32},
    {"attention_backward", "packed, causal, lengths", 24, LAYOUT_PLAIN, BE_PRECISION_FP32},
    {"attention_backward", "several blocks", 0, LAYOUT_PLAIN, BE_PRECISION_FP32},
    {"attention", "several blocks", 0, LAYOUT_PLAIN, BE_PRECISION_TF32},
    {"attention", "more keys, heads of 32", 0, LAYOUT_PLAIN, BE_PRECISION_TF32},
    {"attention", "clip's text", 0, LAYOUT_PLAIN, BE_PRECISION_TF32},
    {"attention_backward", "several blocks", 0, LAYOUT_PLAIN, BE_PRECISION_TF32},
    {"attention_backward", "more keys, heads of 32", 0, LAYOUT_PLAIN, BE_PRECISION_TF32},
    {"attention_backward", "clip's text", 0, LAYOUT_PLAIN, BE_PRECISION_TF32},
};
#define CASES ((int)(sizeof cases / sizeof cases[0]))

static struct {
    int number, failed;
} tally;

static void result(bool is_good, const char *name, const char *notes)
{
    printf("%s %d - %s\n", is_good ? "ok" : "not ok", ++tally.number, name);
    tally.failed += !is_good;
    if (!is_good) printf("# %.900s\n", notes);
    fflush(stdout);
}

#define BARRIER_TEXT "BARRIER();"
#define BARRIERS_MAX 64

/* Where barriers stand: file and line.  A removal takes the one that has this place. */
typedef struct place {
    char file[64];
    int line;
    bool is_needed; /* a case fails without it */
} place;

typedef struct removal {
    place *places; /* all that were met */
    int count;
    const place *without; /* this one is to be removed, or NULL */
} removal;

static place *find_place(removal *r, const char *file, int line)
{
    for (int i = 0; i < r->count; i++)
        if (r->places[i].line == line && strcmp(r->places[i].file, file) == 0) return &r->places[i];
    if (r->count == BARRIERS_MAX) abort();
    place *p = &r->places[r->count++];
    *p = (place){.line = line};
    snprintf(p->file, sizeof p->file, "%s", file);
    return p;
}

/* Note each barrier of a kernel's text, and blank the one that is to go. */
static char *change_text(const char *name, const char *text, void *context)
{
    removal *r = context;
    char *changed = strdup(text), file[64] = "";
    int line = 0;
    (void)name;
    if (!changed) abort();
    for (char *at = changed; *at;) {
        char *end = at + strcspn(at, "\n");
        line++;
        if (sscanf(at, "#line %d \"%63[^\"]\"", &line, file) == 2) line--;
        char *barrier = strstr(at, BARRIER_TEXT);
        if (*file && barrier && barrier < end) {
            place *p = find_place(r, file, line);
            if (p == r->without) memset(barrier, ' ', strlen(BARRIER_TEXT));
        }
        at = end + (*end == '\n');
    }
    return changed;
}

static const op_case *find_case(const be_op **op, const char *op_name, const char *name)
{
    *op = op_find(op_name);
    for (int k = 0; *op && k < (*op)->case_count; k++)
        if (strcmp((*op)->cases[k].name, name) == 0) return &(*op)->cases[k];
    printf("# no case %s of %s\n", name, op_name);
    abort();
}

typedef struct way {
    gpu_host_order order;
    value_layout layout; /* of the images */
} way;

/* All outputs of one run of a case, one after the other, or NULL if the run fails. */
static unsigned char *run_once(be_device *device, const ops_case *c, const way *how, size_t *bytes,
                               FILE *report);

/* One case in three orders: right, and of the same bits. */
static bool run_orders(be_device *device, int index, bool first_only, FILE *report)
{
    const be_op *op;
    ops_case c;
    const op_case *spec = find_case(&op, cases[index].op, cases[index].name);
    unsigned char *first = NULL;
    bool is_good = ops_case_open(&c, op, spec, cases[index].precision, 1, report);
    ((gpu_device *)device)->forced_group = cases[index].group;
    for (int order = 0; is_good && order < 3; order++) {
        size_t bytes = 0;
        unsigned char *found = run_once(
            device, &c, &(way){(gpu_host_order)order, cases[index].layout}, &bytes, report);
        is_good = found && (!first || memcmp(first, found, bytes) == 0);
        if (found && !is_good) fprintf(report, "other bits in another order of the items\n");
        if (first)
            free(found);
        else
            first = found;
        if (first_only && !is_good) break;
    }
    free(first);
    ops_case_close(&c);
    return is_good;
}

typedef struct bench {
    be_graph *g;
    be_value in[OP_MAX_IN], out[OP_MAX_OUT];
    memory_map map;
    program *program;
} bench;

static be_status write_input(bench *b, be_device *device, const ops_case *c, int i, be_error *err)
{
    const graph_value *value = &b->g->values[b->in[i]];
    size_t bytes = ops_bytes(&c->in[i]);
    unsigned char *packed = ops_alloc(bytes);
    if (value->layout == LAYOUT_PLAIN)
        memcpy(packed, c->draw[0].in[i], bytes);
    else
        layout_pack(c->draw[0].in[i], packed, &value->shape, value->layout);
    be_status status = device->vtable->write(b->program, b->in[i], packed, bytes, err);
    free(packed);
    return status;
}

static be_status bench_open(bench *b, be_device *device, const ops_case *c, value_layout layout,
                            be_error *err)
{
    program_options options = {0};
    b->g = be_graph_new(1);
    TRY(be_graph_check(b->g, err));
    b->g->precision = c->precision;
    for (int i = 0; i < OP_MAX_IN; i++) {
        b->in[i] = BE_NONE;
        if (c->in[i].rank < 0) continue;
        graph_value value = {.name = "",
                             .shape = c->in[i],
                             .layout = c->in[i].rank == 4 ? layout : LAYOUT_PLAIN,
                             .kind = ops_is_updated(c->op, i) ? VALUE_STATE : VALUE_INPUT,
                             .alias_of = BE_NONE,
                             .producer = -1};
        TRY(graph_add_value(b->g, &value, &b->in[i], err));
    }
    TRY(graph_add_node(b->g, c->op, c->spec->attrs, b->in, b->out, err));
    for (int o = 0; o < OP_MAX_OUT; o++)
        if (b->out[o] != BE_NONE) {
            graph_value *value = &b->g->values[b->out[o]];
            value->keep = true;
            value->layout = value->shape.rank == 4 ? layout : LAYOUT_PLAIN;
        }
    TRY(memory_plan(b->g, 0, &b->map, err));
    TRY(device->vtable->build(device, b->g, &b->map, &options, &b->program, err));
    for (int i = 0; i < OP_MAX_IN; i++)
        if (b->in[i] != BE_NONE) TRY(write_input(b, device, c, i, err));
    return device->vtable->run(b->program, 1, false, err);
}

static bool read_outputs(const bench *b, be_device *device, const ops_case *c, unsigned char *out,
                         FILE *report)
{
    bool is_good = true;
    for (int o = 0; o < c->op->outputs; o++) {
        be_error err;
        ops_difference difference;
        if (c->out[o].rank < 0) continue;
        size_t bytes = ops_bytes(&c->out[o]);
        if (device->vtable->read(b->program, b->out[o], out, bytes, &err) != BE_OK) return false;
        ops_expectation expected = {
            .shape = &c->out[o],
            .values = c->draw[0].y[o],
            .tolerance =
                c->spec->tolerance + (c->precision == BE_PRECISION_TF32 ? OPS_ROUNDED_TF32 : 0.0)};
        if (!ops_compare(&expected, out, &difference)) {
            fprintf(report, "output %d is wrong\n", o);
            is_good = false;
        }
        out += bytes;
    }
    return is_good;
}

static unsigned char *run_once(be_device *device, const ops_case *c, const way *how, size_t *bytes,
                               FILE *report)
{
    be_error err;
    bench b = {0};
    *bytes = 0;
    for (int o = 0; o < c->op->outputs; o++)
        if (c->out[o].rank >= 0) *bytes += ops_bytes(&c->out[o]);
    unsigned char *out = ops_alloc(*bytes);
    gpu_host_set_order(device, how->order);
    be_status status = bench_open(&b, device, c, how->layout, &err);
    if (status != BE_OK) fprintf(report, "%s\n", err.text);
    bool is_good = status == BE_OK && read_outputs(&b, device, c, out, report);
    if (b.program) device->vtable->free(b.program);
    be_graph_free(b.g);
    if (is_good) return out;
    free(out);
    return NULL;
}

/* A case, and then each barrier that its kernels have and that is not known to be needed. */
static void run_case(be_device *device, int index, removal *r)
{
    char name[160], *text = NULL;
    size_t length = 0;
    FILE *report = open_memstream(&text, &length);
    if (!report) abort();
    r->without = NULL;
    bool is_good = run_orders(device, index, false, report);
    fclose(report);
    snprintf(name, sizeof name, "%s %s, %s, groups of %d: one result in three orders",
             cases[index].op, cases[index].name, precision_name(cases[index].precision),
             cases[index].group);
    result(is_good, name, text);
    free(text);
    FILE *nowhere = fopen("/dev/null", "w");
    if (!nowhere) abort();
    for (int i = 0; is_good && i < r->count; i++) {
        if (r->places[i].is_needed) continue;
        r->without = &r->places[i];
        r->places[i].is_needed = !run_orders(device, index, true, nowhere);
    }
    fclose(nowhere);
}

int main(int argc, char **argv)
{
    be_error err;
    be_device *device;
    static place places[BARRIERS_MAX];
    removal r = {.places = places};
    const char *only = argc == 3 && strcmp(argv[1], "--op") == 0 ? argv[2] : NULL;
    if (gpu_host_open(GPU_HOST_FIBERS, &device, &err) != BE_OK) {
        printf("not ok 1 - %s\n1..1\n", err.text);
        return 1;
    }
    gpu_host_set_change(device, change_text, &r);
    for (int i = 0; i < CASES; i++)
        if (!only || strcmp(only, cases[i].op) == 0) run_case(device, i, &r);
    for (int i = 0; i < r.count; i++) {
        char name[120];
        snprintf(name, sizeof name, "without the barrier of %s:%d a case fails", r.places[i].file,
                 r.places[i].line);
        result(r.places[i].is_needed, name, "no case notices");
    }
    result(r.count > 0 || only, "barriers were found", "the kernels have none");
    printf("1..%d\n", tally.number);
    be_device_close(device);
    return tally.failed ? 1 : 0;
}
