/* Tests of the interpreter's products in blocks: every width of vectors and every number of threads
 * against a plain loop, memory that is missing, and that the networks' work is done by them.  Each
 * op's own products are compared with its plain loops in test_ops. */
#include "small_workload.h"
#include "support.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "build_info.h"
#include "core/rng.h"
#include "graph/reference.h"
#include "graph/reference_product.h"

static double *random_doubles(int64_t count, uint32_t sub)
{
    rng source = {.key = {.seed = 7, .stream = RNG_TEST, .sub = sub}};
    double *out = malloc((size_t)count * sizeof *out);
    assert_non_null(out);
    for (int64_t i = 0; i < count; i++) out[i] = (double)rng_next_uniform(&source) - 0.5;
    return out;
}

/* c += a · b with a stored transposed, so that every distance is another one. */
static product_strided product_of(int64_t m, int64_t n, int64_t k, double *a, double *b, double *c)
{
    return (product_strided){
        .m = m, .n = n, .k = k, .a = {a, 1, m}, .b = {b, n, 1}, .c = {c, n, 1}};
}

static void add_plainly(const product_strided *p)
{
    for (int64_t i = 0; i < p->m; i++)
        for (int64_t j = 0; j < p->n; j++)
            for (int64_t k = 0; k < p->k; k++)
                p->c.data[i * p->c.row + j] +=
                    p->a.data[i + k * p->a.column] * p->b.data[k * p->b.row + j];
}

/* Sizes about the edges of tiles (6 rows; 4, 8 or 16 columns) and blocks (192, 240, 192). */
static const int64_t sizes[][3] = {{1, 1, 1},     {5, 3, 7},      {6, 16, 192},   {7, 17, 193},
                                   {193, 5, 400}, {12, 241, 191}, {200, 490, 210}};
#define SIZES (int)(sizeof sizes / sizeof *sizes)

static void check_size(const int64_t size[3], int lanes)
{
    be_error err;
    int64_t m = size[0], n = size[1], k = size[2];
    double *a = random_doubles(m * k, 1), *b = random_doubles(k * n, 2);
    double *expected = random_doubles(m * n, 3), *first = random_doubles(m * n, 3);
    product_strided plain = product_of(m, n, k, a, b, expected);
    add_plainly(&plain);
    for (int threads = 1; threads <= 5; threads += 2) {
        double *found = random_doubles(m * n, 3);
        product_strided p = product_of(m, n, k, a, b, found);
        p.lanes = lanes;
        ASSERT_OK(product_run_strided(&p, threads, &err));
        for (int64_t i = 0; i < m * n; i++)
            if (!(fabs(found[i] - expected[i]) <= 1e-13 * (1 + fabs(expected[i]))))
                fail_msg("%d x %d x %d, %d lanes, element %d: expected %.17g, found %.17g", (int)m,
                         (int)n, (int)k, lanes, (int)i, expected[i], found[i]);
        if (threads == 1) memcpy(first, found, (size_t)(m * n) * sizeof *found);
        assert_memory_equal(first, found, (size_t)(m * n) * sizeof *found);
        free(found);
    }
    free(a);
    free(b);
    free(expected);
    free(first);
}

static void products_are_the_plain_sums(void **state)
{
    (void)state;
    for (int lanes = 2; lanes <= 8; lanes *= 2)
        for (int s = 0; s < SIZES; s++) check_size(sizes[s], lanes);
}

static void a_product_of_nothing_changes_nothing(void **state)
{
    (void)state;
    be_error err;
    double c[4] = {1, 2, 3, 4}, a[4] = {0}, b[4] = {0};
    product_strided p = product_of(2, 2, 0, a, b, c);
    ASSERT_OK(product_run_strided(&p, 2, &err));
    assert_true(c[0] == 1 && c[3] == 4);
}

static void no_memory_is_an_error(void **state)
{
    (void)state;
    double c[4] = {1, 2, 3, 4}, a[4] = {1, 1, 1, 1}, b[4] = {1, 1, 1, 1};
    product_strided p = product_of(2, 2, 2, a, b, c);
    for (size_t n = 1; n <= 2; n++) {
        be_error err;
        memory_fail_at(n);
        ASSERT_FAILS(product_run_strided(&p, 2, &err), BE_NO_MEMORY, "product");
        assert_true(c[0] == 1 && c[3] == 4);
    }
    memory_fail_at(0);
}

/* A network whose work is left to the plain loops takes minutes where it could take a second. */
static void networks_are_computed_in_blocks(void **state)
{
    (void)state;
    for (int i = 0; i < WORKLOAD_COUNT; i++) {
        be_error err;
        workload_model model;
        reference *r = NULL;
        workload room;
        const workload *w = small_workload(i, &room);
        workload_options options = {.seed = 1, .batch = w->gate.batch, .count = 8};
        ASSERT_OK(workload_model_new(w, &options, &model, &err));
        ASSERT_OK(reference_new(model.graph, &(be_plan_options){.mode = BE_TRAIN}, &r, &err));
        reference_work work = reference_work_of(r);
        if (!(work.blocked_flops >= 0.75 * (work.blocked_flops + work.plain_flops)))
            fail_msg("%s: %.3g operations in blocks, %.3g by plain loops", workload_table[i]->name,
                     work.blocked_flops, work.plain_flops);
        printf("# %s: %.3g operations in blocks, %.3g by plain loops\n", workload_table[i]->name,
               work.blocked_flops, work.plain_flops);
        if (!(work.plain_flops < 1e9))
            fail_msg("%s: %.3g operations by plain loops", workload_table[i]->name,
                     work.plain_flops);
        reference_free(r);
        be_graph_free(model.graph);
    }
}

/* The linear layers of GPT-2 without what lies between them, at the size of its gate: 2 of them,
 * width 768, 2 × 32 tokens.
 */
enum { WIDTH = 768, TOKENS = 64, VOCABULARY = 2048 };

static be_value transformer_layer(be_graph *g, be_value x, int layer)
{
    char name[4][16];
    for (int i = 0; i < 4; i++) snprintf(name[i], sizeof name[i], "h%d.%d", layer, i);
    be_value all = be_linear(g, x, &(be_linear_options){name[0], .features = 3 * WIDTH});
    x = be_linear(g, all, &(be_linear_options){name[1], .features = WIDTH});
    return be_linear(
        g, be_relu(g, be_linear(g, x, &(be_linear_options){name[2], .features = 4 * WIDTH})),
        &(be_linear_options){name[3], .features = WIDTH});
}

static void a_transformer_is_computed_in_blocks(void **state)
{
    (void)state;
    be_error err;
    reference *r = NULL;
    double losses[3];
    if (strcmp(BUILD_SANITIZERS, "none") != 0) skip(); /* half a gigabyte */
    be_graph *g = be_graph_new(1);
    be_value x = be_input(g, "x", (be_shape){BE_F32, 2, {TOKENS, WIDTH}});
    be_value target = be_input(g, "target", (be_shape){BE_I32, 1, {TOKENS}}), y = x;
    for (int layer = 0; layer < 2; layer++) y = transformer_layer(g, y, layer);
    be_value loss = be_softmax_cross_entropy(
        g, be_linear(g, y, &(be_linear_options){"head", .features = VOCABULARY}), target);
    be_graph_minimize(g, loss, &(be_optimizer){.kind = BE_ADAMW, .learning_rate = 1e-4f});
    ASSERT_OK(be_graph_check(g, &err));
    ASSERT_OK(reference_new(g, &(be_plan_options){.mode = BE_TRAIN}, &r, &err));
    static float tokens[TOKENS * WIDTH];
    static int32_t next[TOKENS];
    rng source = {.key = {.seed = 5, .stream = RNG_TEST}};
    for (int i = 0; i < TOKENS * WIDTH; i++) tokens[i] = rng_next_uniform(&source) - 0.5f;
    for (int i = 0; i < TOKENS; i++) next[i] = (int32_t)rng_next_below(&source, VOCABULARY);
    ASSERT_OK(reference_write(r, x, tokens, sizeof tokens, &err));
    ASSERT_OK(reference_write(r, target, next, sizeof next, &err));
    ASSERT_OK(reference_run(r, 3, &err));
    ASSERT_OK(reference_losses(r, 3, losses, NULL, &err));
    assert_true(losses[2] < losses[1] && losses[1] < losses[0]);
    reference_work work = reference_work_of(r);
    assert_true(work.blocked_flops > 6e9 && work.plain_flops < 0.1 * work.blocked_flops);
    reference_free(r);
    be_graph_free(g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(products_are_the_plain_sums),
        cmocka_unit_test(a_product_of_nothing_changes_nothing),
        cmocka_unit_test(no_memory_is_an_error),
        cmocka_unit_test(networks_are_computed_in_blocks),
        cmocka_unit_test(a_transformer_is_computed_in_blocks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
