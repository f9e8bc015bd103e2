/* Tests of attention as a user meets it: what it must do whatever its numbers are, on the CPU with
 * every instruction set that this machine has, and the text of each mistake.  That its numbers are
 * right is tested with all ops (test_ops). */
#include "isa_fixture.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "breakeven/plan.h"
#include "core/rng.h"
#include "graph/graph.h"

/* Nothing divides by the sizes of blocks. */
enum { BATCH = 2, TOKENS = 131, HEADS = 3, SIZE = 20, WIDTH = HEADS * SIZE };
#define COUNT (BATCH * TOKENS * WIDTH)
#define BYTES (COUNT * sizeof(float))

/* q, k and v, and what a step makes of them: y, and the gradients of Σ y · weight. */
typedef struct numbers {
    float x[3][COUNT], weight[COUNT];
    int32_t lengths[BATCH];
    float y[COUNT], dx[3][COUNT];
} numbers;

typedef struct setting {
    bool causal, packed, with_lengths;
    int threads;
} setting;

static void fill(numbers *n)
{
    rng source = {.key = {.seed = 5, .stream = RNG_TEST, .sub = 77}};
    for (int o = 0; o < 3; o++)
        for (int i = 0; i < COUNT; i++) n->x[o][i] = 2.0f * rng_next_uniform(&source) - 1.0f;
    for (int i = 0; i < COUNT; i++) n->weight[i] = 2.0f * rng_next_uniform(&source) - 1.0f;
    for (int b = 0; b < BATCH; b++) n->lengths[b] = TOKENS - 37 * (b + 1);
}

static const numbers *start(void)
{
    static numbers once;
    if (once.lengths[0] == 0) fill(&once);
    return &once;
}

static numbers *copy_of(const numbers *n)
{
    numbers *copy = malloc(sizeof *copy);
    assert_non_null(copy);
    *copy = *n;
    return copy;
}

/* The graph's values: parameters, so that there are gradients. */
typedef struct model {
    be_graph *graph;
    be_value x[3], weight, lengths, y;
} model;

static model model_new(const setting *s)
{
    be_error err;
    const be_shape shape = shape_make(BE_F32, 3, BATCH, TOKENS, WIDTH, 0);
    const be_shape whole = shape_make(BE_F32, 3, BATCH, TOKENS, 3 * WIDTH, 0);
    static const char *const names[] = {"q", "k", "v"};
    model m = {.graph = be_graph_new(1), .lengths = BE_NONE};
    be_graph *g = m.graph;
    be_attention_options options = {.q = BE_NONE,
                                    .k = BE_NONE,
                                    .v = BE_NONE,
                                    .qkv = BE_NONE,
                                    .heads = HEADS,
                                    .causal = s->causal};
    for (int o = 0; o < (s->packed ? 1 : 3); o++)
        m.x[o] =
            be_parameter_add(g, names[o], s->packed ? whole : shape, (be_start){BE_CONSTANT, 0.0f});
    if (s->with_lengths) m.lengths = be_input(g, "lengths", shape_make(BE_I32, 1, BATCH, 0, 0, 0));
    options.lengths = m.lengths;
    if (s->packed) {
        options.qkv = m.x[0];
    } else {
        options.q = m.x[0];
        options.k = m.x[1];
        options.v = m.x[2];
    }
    m.weight = be_input(g, "weight", shape);
    m.y = be_attention(g, &options);
    be_value loss = be_sum_to(g, be_multiply(g, m.y, m.weight), shape_make(BE_F32, 1, 1, 0, 0, 0));
    be_graph_minimize(g, loss, &(be_optimizer){.kind = BE_SGD, .learning_rate = 1.0});
    ASSERT_OK(be_graph_check(g, &err));
    return m;
}

/* Rows of WIDTH, into or out of the rows of the packed tensor. */
static void pack(float *packed, float *part, int o, bool out)
{
    for (int r = 0; r < BATCH * TOKENS; r++) {
        float *row = packed + ((size_t)r * 3 + (size_t)o) * WIDTH;
        memcpy(out ? part + (size_t)r * WIDTH : row, out ? row : part + (size_t)r * WIDTH,
               WIDTH * sizeof(float));
    }
}

static void give(be_plan *plan, const model *m, const setting *s, numbers *n)
{
    be_error err;
    float *packed = malloc(3 * BYTES);
    assert_non_null(packed);
    for (int o = 0; o < 3; o++) {
        pack(packed, n->x[o], o, false);
        if (!s->packed) ASSERT_OK(be_plan_write(plan, m->x[o], n->x[o], BYTES, &err));
    }
    if (s->packed) ASSERT_OK(be_plan_write(plan, m->x[0], packed, 3 * BYTES, &err));
    ASSERT_OK(be_plan_write(plan, m->weight, n->weight, BYTES, &err));
    if (s->with_lengths)
        ASSERT_OK(be_plan_write(plan, m->lengths, n->lengths, sizeof n->lengths, &err));
    free(packed);
}

static void take(be_plan *plan, const model *m, const setting *s, numbers *n)
{
    be_error err;
    float *packed = malloc(3 * BYTES);
    assert_non_null(packed);
    ASSERT_OK(be_plan_read(plan, m->y, n->y, BYTES, &err));
    for (int o = 0; o < (s->packed ? 1 : 3); o++)
        ASSERT_OK(be_plan_read(plan, be_plan_parameter(plan, o).gradient,
                               s->packed ? packed : n->dx[o], s->packed ? 3 * BYTES : BYTES, &err));
    for (int o = 0; o < 3 && s->packed; o++) pack(packed, n->dx[o], o, true);
    free(packed);
}

/* One step; false if the machine has no such instruction set. */
static bool run(const char *isa, const setting *s, numbers *n)
{
    be_error err;
    be_plan *plan = NULL;
    be_device *device = isa_open(isa, s->threads ? s->threads : 2);
    if (!device) return false;
    model m = model_new(s);
    be_plan_options options = {.mode = BE_TRAIN, .keep = &m.y, .keep_count = 1};
    ASSERT_OK(be_plan_new(m.graph, device, &options, &plan, &err));
    give(plan, &m, s, n);
    ASSERT_OK(be_plan_run(plan, 1, &err));
    take(plan, &m, s, n);
    be_plan_free(plan);
    be_graph_free(m.graph);
    be_device_close(device);
    return true;
}

static void assert_same_results(const numbers *a, const numbers *b)
{
    assert_memory_equal(a->y, b->y, BYTES);
    for (int o = 0; o < 3; o++) assert_memory_equal(a->dx[o], b->dx[o], BYTES);
}

/* Row `token` of sample b. */
static size_t row_of(int b, int token)
{
    return (size_t)(b * TOKENS + token) * WIDTH;
}

static bool rows_are_equal(const float *a, const float *b, size_t row)
{
    return memcmp(a + row, b + row, WIDTH * sizeof(float)) == 0;
}

/* Keys and values from token `from` of each sample on become others. */
static void change_keys(numbers *n, int from)
{
    for (int b = 0; b < BATCH; b++)
        for (size_t i = row_of(b, from); i < row_of(b, TOKENS); i++) {
            n->x[1][i] = 3.0f - n->x[1][i];
            n->x[2][i] = -5.0f;
        }
}

static void check_causal(const char *isa)
{
    enum { FROM = 75 };
    numbers *a = copy_of(start()), *b = copy_of(start());
    change_keys(b, FROM);
    const setting s = {.causal = true};
    if (run(isa, &s, a) && run(isa, &s, b))
        for (int n = 0; n < BATCH; n++)
            for (int t = 0; t < TOKENS; t++)
                assert_int_equal(rows_are_equal(a->y, b->y, row_of(n, t)), t < FROM);
    free(a);
    free(b);
}

static void check_lengths(const char *isa)
{
    static const float zeros[WIDTH];
    const setting s = {.with_lengths = true};
    numbers *a = copy_of(start()), *b = copy_of(start());
    for (int n = 0; n < BATCH; n++)
        for (size_t i = row_of(n, b->lengths[n]); i < row_of(n, TOKENS); i++) {
            b->x[1][i] = NAN;
            b->x[2][i] = INFINITY;
        }
    if (run(isa, &s, a) && run(isa, &s, b)) {
        assert_same_results(a, b);
        for (int n = 0; n < BATCH; n++)
            for (int t = 0; t < TOKENS; t++)
                for (int o = 1; o < 3; o++) {
                    bool is_zero = memcmp(a->dx[o] + row_of(n, t), zeros, sizeof zeros) == 0;
                    assert_int_equal(is_zero, t >= a->lengths[n]);
                }
    }
    free(a);
    free(b);
}

/* Lengths of 0 and below, of S and above; a sample without keys gives zeros. */
static void check_ends(const char *isa)
{
    static const float zeros[TOKENS * WIDTH];
    const setting s = {.with_lengths = true, .causal = true}, none = {.causal = true};
    numbers *a = copy_of(start()), *b = copy_of(start()), *c = copy_of(start());
    a->lengths[0] = 0;
    a->lengths[1] = TOKENS;
    b->lengths[0] = INT32_MIN;
    b->lengths[1] = INT32_MAX;
    if (run(isa, &s, a) && run(isa, &s, b) && run(isa, &none, c)) {
        assert_same_results(a, b);
        assert_memory_equal(a->y, zeros, sizeof zeros);
        for (int o = 0; o < 3; o++) assert_memory_equal(a->dx[o], zeros, sizeof zeros);
        assert_memory_equal(a->y + row_of(1, 0), c->y + row_of(1, 0), sizeof zeros);
    }
    free(a);
    free(b);
    free(c);
}

static void check_packed(const char *isa)
{
    numbers *a = copy_of(start()), *b = copy_of(start());
    const setting separate = {.causal = true, .with_lengths = true};
    const setting packed = {.causal = true, .with_lengths = true, .packed = true};
    if (run(isa, &separate, a) && run(isa, &packed, b)) assert_same_results(a, b);
    free(a);
    free(b);
}

/* Head h of b lies where head HEADS − 1 − h of a does. */
static void turn_heads(float *of)
{
    float row[WIDTH];
    for (size_t r = 0; r < COUNT; r += WIDTH) {
        memcpy(row, of + r, sizeof row);
        for (int h = 0; h < HEADS; h++)
            memcpy(of + r + h * SIZE, row + (HEADS - 1 - h) * SIZE, SIZE * sizeof(float));
    }
}

static void check_heads(const char *isa)
{
    const setting s = {.with_lengths = true};
    numbers *a = copy_of(start()), *b = copy_of(start());
    for (int o = 0; o < 3; o++) turn_heads(b->x[o]);
    turn_heads(b->weight);
    if (run(isa, &s, a) && run(isa, &s, b)) {
        turn_heads(b->y);
        for (int o = 0; o < 3; o++) turn_heads(b->dx[o]);
        assert_same_results(a, b);
    }
    free(a);
    free(b);
}

static void check_threads(const char *isa)
{
    numbers *a = copy_of(start()), *b = copy_of(start());
    for (int threads = 2; threads <= 4; threads++)
        if (run(isa, &(setting){.causal = true, .threads = 1}, a) &&
            run(isa, &(setting){.causal = true, .threads = threads}, b))
            assert_same_results(a, b);
    free(a);
    free(b);
}

static void each_isa(void (*check)(const char *isa))
{
    for (int i = 0; i < ISA_COUNT; i++) check(isas[i]);
}

static void a_later_key_does_not_change_an_earlier_output(void **state)
{
    (void)state;
    each_isa(check_causal);
}

static void a_key_beyond_the_length_does_not_exist(void **state)
{
    (void)state;
    each_isa(check_lengths);
}

static void lengths_have_ends(void **state)
{
    (void)state;
    each_isa(check_ends);
}

static void packed_and_separate_give_the_same_bits(void **state)
{
    (void)state;
    each_isa(check_packed);
}

static void each_head_is_for_itself(void **state)
{
    (void)state;
    each_isa(check_heads);
}

static void bits_do_not_depend_on_threads(void **state)
{
    (void)state;
    each_isa(check_threads);
}

/* One head of one column: exp(scale · q · k) is 1 and 3, so that y is (4 + 3 · 8) / 4. */
static void check_by_hand(const char *isa)
{
    be_error err;
    be_plan *plan = NULL;
    be_device *device = isa_open(isa, 1);
    if (!device) return;
    be_graph *g = be_graph_new(1);
    be_value q = be_input(g, "q", shape_make(BE_F32, 3, 1, 1, 1, 0));
    be_value k = be_input(g, "k", shape_make(BE_F32, 3, 1, 2, 1, 0));
    be_value v = be_input(g, "v", shape_make(BE_F32, 3, 1, 2, 1, 0));
    be_value y = be_attention(
        g,
        &(be_attention_options){
            .q = q, .k = k, .v = v, .qkv = BE_NONE, .lengths = BE_NONE, .heads = 1, .scale = 0.5f});
    ASSERT_OK(be_graph_check(g, &err));
    be_plan_options options = {.mode = BE_INFER, .keep = &y, .keep_count = 1};
    ASSERT_OK(be_plan_new(g, device, &options, &plan, &err));
    float found = 0.0f;
    ASSERT_OK(be_plan_write(plan, q, &(float){2.0f}, sizeof(float), &err));
    ASSERT_OK(be_plan_write(plan, k, (float[]){0.0f, logf(3.0f)}, 2 * sizeof(float), &err));
    ASSERT_OK(be_plan_write(plan, v, (float[]){4.0f, 8.0f}, 2 * sizeof(float), &err));
    ASSERT_OK(be_plan_run(plan, 1, &err));
    ASSERT_OK(be_plan_read(plan, y, &found, sizeof found, &err));
    if (!(fabsf(found - 7.0f) <= 2e-6f)) fail_msg("expected 7, found %.9g", (double)found);
    be_plan_free(plan);
    be_graph_free(g);
    be_device_close(device);
}

static void a_small_one_is_as_by_hand(void **state)
{
    (void)state;
    each_isa(check_by_hand);
}

/* Mistakes */

typedef struct mistake {
    int64_t q[3], k[3], v[3], qkv[3]; /* 0: none */
    int64_t lengths;
    int heads;
    float scale;
    const char *texts[2];
} mistake;

static const mistake mistakes[] = {
    {{2, 5, 12}, {2, 7, 12}, {2, 7, 12}, {0}, 0, 5, 0, {"divides the width 12", "found 5"}},
    {{0}, {0}, {0}, {2, 5, 36}, 0, 7, 0, {"divides the width 12", "found 7"}},
    {{0}, {0}, {0}, {2, 5, 35}, 0, 5, 0, {"qkv", "three equal parts"}},
    {{2, 5, 12}, {2, 7, 12}, {2, 7, 12}, {0}, 0, 0, 0, {"at least 1 head", "found 0"}},
    {{2, 5, 12},
     {3, 7, 12},
     {3, 7, 12},
     {0},
     0,
     2,
     0,
     {"k: expected f32 [2, 7, 12]", "[3, 7, 12]"}},
    {{2, 5, 12},
     {2, 7, 12},
     {2, 8, 12},
     {0},
     0,
     2,
     0,
     {"v: expected f32 [2, 7, 12]", "[2, 8, 12]"}},
    {{2, 5, 12}, {0}, {2, 7, 12}, {0}, 0, 2, 0, {"side by side", "found no k"}},
    {{2, 5, 12}, {2, 7, 12}, {0}, {0}, 0, 2, 0, {"side by side", "found no v"}},
    {{2, 5, 12}, {0}, {0}, {0}, 0, 2, 0, {"or qkv", "found no k and no v"}},
    {{2, 5, 12}, {0}, {0}, {2, 5, 36}, 0, 2, 0, {"found both", "BE_NONE"}},
    {{0}, {0}, {0}, {2, 5, 36}, 3, 2, 0, {"lengths: expected i32 [2]", "i32 [3]"}},
    {{0}, {0}, {0}, {2, 5, 36}, 0, 2, -1, {"finite scale", "found -1"}},
    {{0}, {0}, {0}, {2, 5, 36}, 0, 2, NAN, {"finite scale", "nan"}},
    {{0}, {2, 7, 12}, {2, 7, 12}, {0}, 0, 2, 0, {"input 0 is missing", "attention"}},
};

static be_value input(be_graph *g, const char *name, const int64_t dim[3])
{
    return dim[0] ? be_input(g, name, shape_make(BE_F32, 3, dim[0], dim[1], dim[2], 0)) : BE_NONE;
}

static void every_mistake_is_named(void **state)
{
    (void)state;
    be_error err;
    for (size_t i = 0; i < sizeof mistakes / sizeof mistakes[0]; i++) {
        const mistake *m = &mistakes[i];
        be_graph *g = be_graph_new(1);
        be_attention_options options = {.q = input(g, "q", m->q),
                                        .k = input(g, "k", m->k),
                                        .v = input(g, "v", m->v),
                                        .qkv = input(g, "qkv", m->qkv),
                                        .lengths = BE_NONE,
                                        .heads = m->heads,
                                        .scale = m->scale};
        if (m->lengths)
            options.lengths = be_input(g, "lengths", shape_make(BE_I32, 1, m->lengths, 0, 0, 0));
        assert_int_equal(be_attention(g, &options), BE_NONE);
        ASSERT_FAILS(be_graph_check(g, &err), BE_USAGE, m->texts[0], m->texts[1]);
        be_graph_free(g);
    }
    assert_int_equal(be_attention(NULL, &(be_attention_options){.heads = 1}), BE_NONE);
}

static void a_row_is_no_sequence(void **state)
{
    (void)state;
    be_error err;
    be_graph *g = be_graph_new(1);
    be_value x = be_input(g, "x", shape_make(BE_F32, 2, 5, 36, 0, 0));
    be_attention(
        g, &(be_attention_options){
               .q = BE_NONE, .k = BE_NONE, .v = BE_NONE, .qkv = x, .lengths = BE_NONE, .heads = 2});
    ASSERT_FAILS(be_graph_check(g, &err), BE_USAGE, "attention: qkv: expected f32 of 3 dimensions",
                 "f32 [5, 36]");
    be_graph_free(g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_small_one_is_as_by_hand),
        cmocka_unit_test(a_later_key_does_not_change_an_earlier_output),
        cmocka_unit_test(a_key_beyond_the_length_does_not_exist),
        cmocka_unit_test(lengths_have_ends),
        cmocka_unit_test(packed_and_separate_give_the_same_bits),
        cmocka_unit_test(each_head_is_for_itself),
        cmocka_unit_test(bits_do_not_depend_on_threads),
        cmocka_unit_test(every_mistake_is_named),
        cmocka_unit_test(a_row_is_no_sequence),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
