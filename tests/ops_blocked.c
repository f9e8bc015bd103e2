/* An op's products in blocks against its plain loops: the same sums, on any number of threads. */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "ops_case.h"

#define BLOCKED_TOLERANCE                                                   \
    1e-12 /* of the largest result; the sums are of at most 10,000 products \
           */

static size_t double_bytes(const be_shape *shape)
{
    return (size_t)shape_elements(shape) * sizeof(double);
}

static bool compare_output(const ops_case *c, int draw, int o, const double *found, FILE *report)
{
    const double *expected = c->draw[draw].y[o];
    double scale = 0;
    int64_t count = shape_elements(&c->out[o]);
    for (int64_t i = 0; i < count; i++) scale = fmax(scale, fabs(expected[i]));
    for (int64_t i = 0; i < count; i++) {
        /* A NaN may reach further: padding is multiplied too. */
        bool good = isnan(expected[i])
                        ? isnan(found[i])
                        : (draw == OPS_NANS && isnan(found[i])) ||
                              fabs(found[i] - expected[i]) <= BLOCKED_TOLERANCE * scale;
        char text[96];
        if (good) continue;
        fprintf(report, "draw %d, output %d %s: expected %.17g, found %.17g\n", draw, o,
                ops_index_text(&c->out[o], i, text), expected[i], found[i]);
        return false;
    }
    return true;
}

/* One draw on that many threads, into `y`, which held NaNs. */
static bool run_blocked(const ops_case *c, int draw, int threads, double **y, FILE *report)
{
    be_error err;
    double *x[OP_MAX_IN];
    bool good = true;
    for (int i = 0; i < OP_MAX_IN; i++) x[i] = c->draw[draw].x[i];
    for (int o = 0; o < OP_MAX_OUT; o++)
        for (int64_t i = 0; y[o] && i < shape_elements(&c->out[o]); i++) y[o][i] = (double)NAN;
    op_reference call = {
        .attrs = c->spec->attrs, .in = c->in, .out = c->out, .x = x, .y = y, .threads = threads};
    if (c->op->blocked(&call, &err) != BE_OK) {
        fprintf(report, "%s\n", err.text);
        return false;
    }
    for (int o = 0; good && o < OP_MAX_OUT; o++)
        if (y[o]) good = compare_output(c, draw, o, y[o], report);
    return good;
}

bool ops_check_blocked(const ops_case *c, FILE *report)
{
    double *first[OP_MAX_OUT] = {NULL}, *y[OP_MAX_OUT] = {NULL};
    bool good = true;
    for (int o = 0; o < OP_MAX_OUT; o++) {
        if (c->out[o].rank < 0) continue;
        first[o] = ops_alloc(double_bytes(&c->out[o]));
        y[o] = ops_alloc(double_bytes(&c->out[o]));
    }
    for (int draw = 0; good && draw < OPS_DRAWS; draw++) {
        good = run_blocked(c, draw, 1, first, report);
        for (int threads = 2; good && threads <= 3; threads++) {
            good = run_blocked(c, draw, threads, y, report);
            for (int o = 0; good && o < OP_MAX_OUT; o++)
                if (y[o] && memcmp(first[o], y[o], double_bytes(&c->out[o])) != 0) {
                    fprintf(report, "output %d: other bits on %d threads than on one\n", o,
                            threads);
                    good = false;
                }
        }
    }
    for (int o = 0; o < OP_MAX_OUT; o++) {
        free(first[o]);
        free(y[o]);
    }
    return good;
}
