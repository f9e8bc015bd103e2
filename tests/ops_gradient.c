/* Gradients against finite differences, all in double and by the references alone.
 *
 * The op's outputs, but those that are not f32 or for its backward op alone, are projected to a
 * scalar by random weights r: L = Σ r·y over all of them.  The gradient function, given dy = r,
 * adds nodes; their references give dL/dx, which central differences of the op's own reference must
 * confirm.  An op that makes a loss is its own scalar. */
#include "ops_case.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/rng.h"
#include "ops/op_list.h"

#define SAMPLES 8
#define SAMPLES_OF_LARGE 1
#define LARGE_FLOPS 3e6 /* a reference takes milliseconds from here on */
#define REDRAWS 40
#define STEP 1e-5
#define GRADIENT_TOLERANCE 1e-6

typedef struct check {
    const ops_case *c;
    be_graph *g;
    double **values; /* by value of the graph */
    op_gradient call;
    graph_node node;                /* the forward node */
    double *projection[OP_MAX_OUT]; /* NULL: no gradient flows back through the output */
    rng source;
    int samples;
    FILE *report;
} check;

static void evaluate_node(const check *k, const graph_node *node)
{
    be_shape in[OP_MAX_IN], out[OP_MAX_OUT];
    double *x[OP_MAX_IN] = {NULL}, *y[OP_MAX_OUT] = {NULL};
    for (int i = 0; i < OP_MAX_IN; i++) {
        in[i] = be_value_shape(k->g, node->in[i]);
        if (node->in[i] != BE_NONE) x[i] = k->values[node->in[i]];
    }
    for (int o = 0; o < OP_MAX_OUT; o++) {
        out[o] = be_value_shape(k->g, node->out[o]);
        if (node->out[o] == BE_NONE) continue;
        double **value = &k->values[node->out[o]];
        size_t bytes = (size_t)shape_elements(&out[o]) * sizeof(double);
        if (!*value) *value = ops_alloc(bytes);
        y[o] = *value;
        int updated = node->op->updates[o] - 1;
        if (updated < 0 || !x[updated]) continue;
        memcpy(y[o], x[updated], bytes);
        x[updated] = y[o];
    }
    node->op->reference(
        &(op_reference){.attrs = node->attrs, .in = in, .out = out, .x = x, .y = y});
}

/* L for the inputs as they stand now. */
static double loss_of(const check *k)
{
    evaluate_node(k, &k->g->nodes[0]);
    double sum = 0;
    for (int o = 0; o < OP_MAX_OUT; o++)
        for (int64_t i = 0; k->projection[o] && i < shape_elements(&k->c->out[o]); i++)
            sum += k->projection[o][i] * k->values[k->node.out[o]][i];
    return sum;
}

static bool carries_gradient(const ops_case *c, int o)
{
    return c->out[o].rank >= 0 && dtype_is_real(c->out[o].dtype) && !(c->op->auxiliary >> o & 1);
}

static be_status build(check *k, unsigned need, bool is_root, be_error *err)
{
    const ops_case *c = k->c;
    be_value in[OP_MAX_IN];
    k->g = be_graph_new(1);
    TRY(be_graph_check(k->g, err));
    for (int i = 0; i < OP_MAX_IN; i++) {
        in[i] = BE_NONE;
        if (c->in[i].rank < 0) continue;
        graph_value value = {.name = "",
                             .shape = c->in[i],
                             .kind = VALUE_INPUT,
                             .alias_of = BE_NONE,
                             .producer = -1};
        TRY(graph_add_value(k->g, &value, &in[i], err));
    }
    TRY(graph_add_node(k->g, c->op, c->spec->attrs, in, NULL, err));
    k->node = k->g->nodes[0];
    k->call = (op_gradient){.graph = k->g, .node = &k->node, .is_root = is_root};
    for (int o = 0; o < OP_MAX_OUT; o++) k->call.dy[o] = BE_NONE;
    for (int i = 0; i < OP_MAX_IN; i++) {
        k->call.need[i] = need >> i & 1;
        k->call.dx[i] = k->call.sum[i] = BE_NONE;
    }
    for (int o = 0; o < OP_MAX_OUT && !is_root; o++)
        if (carries_gradient(c, o))
            TRY(graph_add_value(k->g,
                                &(graph_value){.name = "",
                                               .shape = c->out[o],
                                               .kind = VALUE_INPUT,
                                               .alias_of = BE_NONE,
                                               .producer = -1},
                                &k->call.dy[o], err));
    return c->op->gradient(&k->call, err);
}

static void close_graph(check *k)
{
    for (size_t i = 0; k->g && k->values && i < k->g->value_count; i++) free(k->values[i]);
    free(k->values);
    be_graph_free(k->g);
    k->values = NULL;
    k->g = NULL;
}

/* Fill inputs and projection, and evaluate everything. */
static void evaluate(check *k, bool *reached)
{
    const ops_case *c = k->c;
    k->values = ops_alloc(k->g->value_count * sizeof(double *));
    for (int i = 0; i < OP_MAX_IN; i++) {
        if (c->in[i].rank < 0) continue;
        size_t bytes = (size_t)shape_elements(&c->in[i]) * sizeof(double);
        k->values[k->node.in[i]] = ops_alloc(bytes);
        memcpy(k->values[k->node.in[i]], c->draw[OPS_RANDOM].x[i], bytes);
    }
    for (int o = 0; o < OP_MAX_OUT; o++) {
        if (k->call.dy[o] == BE_NONE) continue;
        size_t bytes = (size_t)shape_elements(&c->out[o]) * sizeof(double);
        k->values[k->call.dy[o]] = ops_alloc(bytes);
        memcpy(k->values[k->call.dy[o]], k->projection[o], bytes);
    }
    for (size_t n = 0; n < k->g->node_count; n++) {
        evaluate_node(k, &k->g->nodes[n]);
        for (int i = 0; i < OP_COUNT; i++) reached[i] |= op_table[i] == k->g->nodes[n].op;
    }
}

/* The central difference at element e of input i; false where L has a kink there. */
static bool difference_at(const check *k, int i, int64_t e, double *out)
{
    double *x = &k->values[k->node.in[i]][e], kept = *x;
    *x = kept + STEP;
    double above = loss_of(k);
    *x = kept - STEP;
    double below = loss_of(k);
    *x = kept;
    double middle = loss_of(k); /* last: a forward output may itself be the gradient */
    double right = (above - middle) / STEP, left = (middle - below) / STEP;
    double rounding = 1e-10 * (fabs(middle) + 1.0) / STEP;
    *out = (above - below) / (2.0 * STEP);
    return fabs(right - left) <= 1e-3 * (fabs(right) + fabs(left)) + rounding;
}

static bool check_input(check *k, int i)
{
    char index[96];
    const be_shape *shape = &k->c->in[i];
    int64_t count = shape_elements(shape), smooth = 0;
    be_value value = k->call.dx[i];
    if (value == BE_NONE) {
        fprintf(k->report, "input %d: the op says it is differentiable, and gives no gradient\n",
                i);
        return false;
    }
    be_shape found = be_value_shape(k->g, value);
    if (!shape_equal(&found, shape)) {
        fprintf(k->report, "input %d: its gradient has another shape\n", i);
        return false;
    }
    const double *dx = k->values[value];
    double scale = 0, rounding = 1e-10 * (fabs(loss_of(k)) + 1.0);
    for (int64_t e = 0; e < count; e++)
        if (!(fabs(dx[e]) <= scale)) scale = fabs(dx[e]);
    for (int tries = 0; tries < REDRAWS && smooth < k->samples; tries++) {
        double expected;
        int64_t e = (int64_t)rng_next_below(&k->source, (uint32_t)count);
        if (tries == 1) e = 0;
        if (tries == 2) e = count - 1;
        if (!difference_at(k, i, e, &expected)) continue;
        smooth++;
        if (!(fabs(dx[e] - expected) <= GRADIENT_TOLERANCE * scale + rounding)) {
            fprintf(k->report,
                    "input %d, element %s: the finite difference is %.9g, the gradient "
                    "%.9g\n",
                    i, ops_index_text(shape, e, index), expected, dx[e]);
            return false;
        }
    }
    if (smooth == k->samples) return true;
    fprintf(k->report, "input %d: too few smooth places\n", i);
    return false;
}

/* Random weights for every output that carries a gradient. */
static void draw_projection(check *k)
{
    for (int o = 0; o < OP_MAX_OUT; o++) {
        if (!carries_gradient(k->c, o)) continue;
        int64_t count = shape_elements(&k->c->out[o]);
        k->projection[o] = ops_alloc((size_t)count * sizeof(double));
        for (int64_t i = 0; i < count; i++)
            k->projection[o][i] = 2.0 * (double)rng_next_uniform(&k->source) - 1.0;
    }
}

static bool is_large(const ops_case *c)
{
    return c->op->cost(c->spec->attrs, c->in, c->out).flops >= LARGE_FLOPS;
}

/* The gradients of the inputs in `need` alone, as a layer without a layer before it asks them. */
static bool check_needs(const ops_case *c, unsigned need, bool *reached, FILE *report)
{
    be_error err, why;
    check k = {.c = c,
               .source = {.key = {.seed = c->seed, .stream = RNG_TEST, .sub = 0xD1FFu}},
               .samples = is_large(c) ? SAMPLES_OF_LARGE : SAMPLES,
               .report = report};
    draw_projection(&k);
    be_status status = build(&k, need, false, &why);
    if (status != BE_OK && shape_elements(&c->out[0]) == 1) {
        close_graph(&k);
        k.projection[0][0] = 1.0;
        status = build(&k, need, true, &err);
    }
    bool is_good = status == BE_OK;
    if (!is_good) fprintf(report, "the gradient function failed: %s\n", why.text);
    if (is_good) evaluate(&k, reached);
    for (int i = 0; i < c->op->inputs && is_good; i++)
        if (need >> i & 1) is_good = check_input(&k, i);
    if (!is_good) fprintf(report, "(with gradients asked of the inputs in the mask %#x)\n", need);
    close_graph(&k);
    for (int o = 0; o < OP_MAX_OUT; o++) free(k.projection[o]);
    return is_good;
}

bool ops_check_gradient(const ops_case *c, bool *reached, FILE *report)
{
    unsigned all = 0;
    bool is_good = true;
    for (int i = 0; i < c->op->inputs; i++)
        if (c->in[i].rank >= 0 && dtype_is_real(c->in[i].dtype))
            all |= c->op->differentiable & 1u << i;
    if (!all) return true; /* whole numbers alone */
    if (!dtype_is_real(c->out[0].dtype)) {
        fprintf(report, "output 0 holds no real numbers and has no gradient\n");
        return false;
    }
    for (int i = 0; i < c->op->inputs && is_good && !is_large(c); i++)
        if (all >> i & 1) is_good = check_needs(c, 1u << i, reached, report);
    return is_good && check_needs(c, all, reached, report);
}
