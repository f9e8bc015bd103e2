/* Tests of what rounding does to a training, and of limits made of it: an engine that rounds as it
 * says passes, one with a bug beneath the rounding does not, and what cannot be proved is told.
 *
 * The engines here are the double reference, rounding on a grid of its own: so bugs can be planted
 * in bf16 on any processor. */
#include "support.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "data/dataset.h"
#include "data/safetensors.h"
#include "run/gate.h"
#include "run/rounding.h"

#define BATCH 4
#define STEPS 3
#define ELSEWHERE 1.2 /* a grid that is none of the draws' */

typedef struct fixture {
    workload varied;
    const workload *workload;
    be_dataset *set;
    workload_model model;
    int32_t order[BATCH * STEPS];
    trace_options options;
    trace right, rounding;
    char *folder;
} fixture;

static fixture *fixture_new(const workload *base, workload_variant variant)
{
    be_error err = {0};
    fixture *f = calloc(1, sizeof *f);
    dataset_options data = {.seed = 1, .synthetic = true, .limit = BATCH * STEPS};
    ASSERT_OK(workload_vary(base, &variant, &f->varied, &f->workload, &err));
    workload_variant all = workload_complete(f->workload);
    ASSERT_OK(f->workload->data(f->workload, &all, SPLIT_TRAIN, &data, &f->set, &err));
    workload_options model = {.seed = 3, .batch = BATCH, .data = &f->set->table};
    ASSERT_OK(workload_model_new(f->workload, &model, &f->model, &err));
    for (int i = 0; i < BATCH * STEPS; i++) f->order[i] = i;
    f->options = (trace_options){
        .model = &f->model, .data = &f->set->table, .order = f->order, .steps = STEPS};
    ASSERT_OK(trace_of_reference(&f->right, &f->options, &err));
    f->options.precision = BE_PRECISION_BF16;
    ASSERT_OK(rounding_measure(&f->rounding, &f->options, &f->right, &err));
    f->folder = support_make_folder();
    return f;
}

static int tear_down(void **state)
{
    fixture *f = *state;
    trace_free(&f->right);
    trace_free(&f->rounding);
    be_graph_free(f->model.graph);
    dataset_close(f->set);
    support_remove_folder(f->folder);
    free(f);
    return 0;
}

static int set_up_mlp(void **state)
{
    *state = fixture_new(&workload_mlp_mnist, (workload_variant){0});
    return 0;
}

#define CLIP_WIDTH 64

static int set_up_clip(void **state)
{
    *state = fixture_new(
        &workload_clip,
        (workload_variant){.layers = 1, .width = CLIP_WIDTH, .seq = 24, .size = 64, .vocab = 1024});
    return 0;
}

static trace_tensor *tensor_of(const trace *t, const char *name)
{
    trace_tensor *tensor = (trace_tensor *)trace_find(t, name);
    if (!tensor) fail_msg("no tensor %s", name);
    return tensor;
}

static double *numbers_of(const fixture *f, const char *name)
{
    return tensor_of(&f->rounding, name)->values;
}

/* An engine that rounds otherwise than the draws did, from the weights of a file. */
static trace engine(const fixture *f, const char *weights)
{
    be_error err = {0};
    trace out;
    trace_options options = f->options;
    options.grid = ELSEWHERE;
    options.weights = weights;
    ASSERT_OK(trace_of_reference(&out, &options, &err));
    return out;
}

static parity_result compared(const fixture *f, const trace *found)
{
    be_error err = {0};
    parity_result result;
    ASSERT_OK(gate_judge("bf16", found, &f->right, &f->rounding, &result, &err));
    return result;
}

/* ---------------------------------------------------------------- the measure */

static void it_is_of_the_size_of_the_precision(void **state)
{
    fixture *f = *state;
    be_error err = {0};
    trace tf32;
    trace_options options = f->options;
    options.precision = BE_PRECISION_TF32;
    ASSERT_OK(rounding_measure(&tf32, &options, &f->right, &err));
    assert_int_equal(f->rounding.count, f->right.count);
    for (int i = 0; i < f->right.count; i++) {
        const char *name = f->right.tensors[i].name;
        const double *wide = numbers_of(f, name), *fine = tensor_of(&tf32, name)->values;
        assert_string_equal(f->rounding.tensors[i].name, name);
        if (strncmp(name, "grad.", 5) == 0) {
            /* Two operands, rounded to 8 bits or 11, in a few products. */
            assert_true(wide[ROUNDING_DISTANCE] > 5e-4 && wide[ROUNDING_DISTANCE] < 0.16);
            assert_true(fine[ROUNDING_DISTANCE] > 5e-5 && fine[ROUNDING_DISTANCE] < 0.04);
        } else if (strncmp(name, "param.", 6) == 0) {
            assert_true(wide[ROUNDING_ERROR] == 0 && wide[ROUNDING_DISTANCE] == 0);
        }
    }
    trace_free(&tf32);
}

/* The grids are draws: a right engine on a third one is as far off, and not the same. */
static void another_grid_is_another_draw(void **state)
{
    const fixture *f = *state;
    trace found = engine(f, NULL);
    parity_result result = compared(f, &found);
    const trace_tensor *right = tensor_of(&f->right, "grad.fc2.weight");
    double distance = trace_distance(tensor_of(&found, "grad.fc2.weight"), right),
           drawn = numbers_of(f, "grad.fc2.weight")[ROUNDING_DISTANCE];
    assert_true(result.good);
    assert_true(distance > drawn / 3 && distance < 2 * drawn && distance != drawn);
    trace_free(&found);
}

/* ---------------------------------------------------------------- limits */

/* Move every element of a gradient by the share. */
static void move(const trace *t, const fixture *f, const char *name, double share)
{
    const trace_tensor *right = tensor_of(&f->right, name);
    trace_tensor *found = tensor_of(t, name);
    for (int64_t i = 0; i < right->count; i++) found->values[i] = (1 + share) * right->values[i];
}

static void limits_follow_the_rounding(void **state)
{
    const fixture *f = *state;
    trace found = engine(f, NULL);
    double *rounding = numbers_of(f, "grad.fc2.weight");
    for (int wide = 0; wide < 2; wide++) {
        double limit = wide ? PARITY_ROUNDING_TIMES * 0.4 : 0.32;
        if (wide) rounding[ROUNDING_DISTANCE] = 0.4;
        for (int beyond = 0; beyond < 2; beyond++) {
            move(&found, f, "grad.fc2.weight", beyond ? 1.01 * limit : 0.99 * limit);
            parity_result result = compared(f, &found);
            const parity_row *row = parity_find(&result, "gradients");
            assert_int_equal(row->good, !beyond);
            assert_int_equal(result.good, !beyond);
            assert_string_equal(row->where, "grad.fc2.weight");
            assert_float_equal(row->limit, limit, 1e-12);
            assert_float_equal(row->rounding, rounding[ROUNDING_DISTANCE], 0);
            assert_int_equal(row->unproven, 0);
        }
    }
    trace_free(&found);
}

/* Errors of what is no gradient, by the largest element. */
static void outputs_have_their_own_limit(void **state)
{
    const fixture *f = *state;
    trace found = engine(f, NULL);
    numbers_of(f, "logits")[ROUNDING_ERROR] = 0.1;
    move(&found, f, "logits", 0.19);
    assert_true(compared(f, &found).good);
    move(&found, f, "logits", 0.21);
    parity_result result = compared(f, &found);
    assert_false(parity_find(&result, "logits")->good || result.good);
    trace_free(&found);
}

static void what_proves_nothing_is_told(void **state)
{
    const fixture *f = *state;
    trace found = engine(f, NULL);
    numbers_of(f, "grad.fc2.weight")[ROUNDING_DISTANCE] = 0.5;
    move(&found, f, "grad.fc2.weight", 1);
    parity_result result = compared(f, &found);
    const parity_row *row = parity_find(&result, "gradients");
    assert_true(row->good);
    assert_int_equal(row->unproven, 2); /* and its bias, a sum of the same signals */
    assert_string_equal(row->unproven_where, "grad.fc2.weight");
    /* Garbage is found even there. */
    move(&found, f, "grad.fc2.weight", PARITY_GROSS_TIMES * 0.5 + 0.1);
    assert_false(compared(f, &found).good);
    tensor_of(&found, "grad.fc2.weight")->values[0] = (double)NAN;
    assert_false(compared(f, &found).good);
    trace_free(&found);
}

/* A rounding that is no number widens nothing. */
static void without_a_number_the_floor_holds(void **state)
{
    const fixture *f = *state;
    const double none[] = {(double)NAN, (double)INFINITY};
    trace found = engine(f, NULL);
    move(&found, f, "grad.fc2.weight", 0.4);
    for (int i = 0; i < 2; i++) {
        numbers_of(f, "grad.fc2.weight")[ROUNDING_DISTANCE] = none[i];
        assert_false(compared(f, &found).good);
    }
    trace_free(&found);
}

/* A bias whose sum cancels is off by what the sum's parts are off by. */
static void a_bias_is_rounded_as_its_layer(void **state)
{
    const fixture *f = *state;
    trace found = engine(f, NULL);
    trace_tensor *bias = tensor_of(&f->right, "grad.fc2.bias");
    double part =
        0.1 * trace_largest(tensor_of(&f->right, "grad.fc2.weight")) / trace_largest(bias);
    for (int64_t i = 0; i < bias->count; i++) bias->values[i] *= part;
    numbers_of(f, "grad.fc2.weight")[ROUNDING_DISTANCE] = 0.04; /* of the bias: 0.4 */
    move(&found, f, "grad.fc2.bias", 0.79);
    assert_true(compared(f, &found).good);
    move(&found, f, "grad.fc2.bias", 0.81);
    assert_false(compared(f, &found).good);
    trace_free(&found);
}

/* ---------------------------------------------------------------- bugs */

static void transpose(float *values, int64_t side)
{
    for (int64_t i = 0; i < side; i++)
        for (int64_t k = 0; k < i; k++) {
            float kept = values[i * side + k];
            values[i * side + k] = values[k * side + i];
            values[k * side + i] = kept;
        }
}

/* The right weights as a file, but one: transposed if it is square, or else 0. */
static void write_weights(const fixture *f, const char *spoiled, const char *path)
{
    be_error err = {0};
    safetensors_tensor tensors[64];
    int count = 0;
    for (int i = 0; i < f->right.count; i++) {
        const trace_tensor *from = &f->right.tensors[i];
        if (strncmp(from->name, "param.", 6) != 0) continue;
        float *values = calloc((size_t)from->count, sizeof *values);
        bool is_spoiled = strcmp(from->name + 6, spoiled) == 0;
        bool is_square = from->rank == 2 && from->shape[0] == from->shape[1];
        for (int64_t e = 0; e < from->count && (!is_spoiled || is_square); e++)
            values[e] = (float)from->values[e];
        if (is_spoiled && is_square) transpose(values, from->shape[0]);
        assert_true(count < 64);
        tensors[count] = (safetensors_tensor){
            .name = from->name + 6, .dtype = SAFETENSORS_F32, .rank = from->rank, .data = values};
        memcpy(tensors[count++].shape, from->shape, sizeof from->shape);
    }
    ASSERT_OK(safetensors_save(path, &(safetensors_layout){tensors, count, NULL, 0}, &err));
    for (int i = 0; i < count; i++) free((void *)(uintptr_t)tensors[i].data);
}

/* An engine whose kernel misreads one weight, while it tells the right one. */
static trace misreading(const fixture *f, const char *weight)
{
    char path[512], name[200];
    support_path(path, sizeof path, f->folder, "weights.safetensors");
    write_weights(f, weight, path);
    trace found = engine(f, path);
    snprintf(name, sizeof name, "param.%s", weight);
    memcpy(tensor_of(&found, name)->values, tensor_of(&f->right, name)->values,
           (size_t)tensor_of(&f->right, name)->count * sizeof(double));
    return found;
}

static void expect_broken(const fixture *f, trace *found, const char *what)
{
    parity_result result = compared(f, found);
    if (result.good) fail_msg("%s passes", what);
    trace_free(found);
}

static void bugs_of_a_classifier_are_found(void **state)
{
    const fixture *f = *state;
    trace found = misreading(f, "fc2.bias");
    expect_broken(f, &found, "a missing bias");
    found = engine(f, NULL);
    move(&found, f, "grad.fc1.weight", 1);
    expect_broken(f, &found, "a doubled gradient of a weight");
    found = engine(f, NULL);
    move(&found, f, "grad.fc3.bias", -1);
    expect_broken(f, &found, "a dropped gradient of a bias");
}

#define PROJECTION "text_model.encoder.layers.0.self_attn.v_proj.weight"

static void bugs_of_two_towers_are_found(void **state)
{
    const fixture *f = *state;
    trace found = engine(f, NULL);
    parity_result result = compared(f, &found);
    assert_true(result.good);
    move(&found, f, "grad.logit_scale", -1);
    expect_broken(f, &found, "a dropped gradient of logit_scale");
    found = engine(f, NULL);
    move(&found, f, "grad." PROJECTION, 1);
    expect_broken(f, &found, "a doubled gradient of a projection");
    found = misreading(f, PROJECTION);
    expect_broken(f, &found, "a transposed operand");
}

#define TEST(name, set_up) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(it_is_of_the_size_of_the_precision, set_up_mlp),
        TEST(another_grid_is_another_draw, set_up_mlp),
        TEST(limits_follow_the_rounding, set_up_mlp),
        TEST(outputs_have_their_own_limit, set_up_mlp),
        TEST(what_proves_nothing_is_told, set_up_mlp),
        TEST(without_a_number_the_floor_holds, set_up_mlp),
        TEST(a_bias_is_rounded_as_its_layer, set_up_mlp),
        TEST(bugs_of_a_classifier_are_found, set_up_mlp),
        TEST(bugs_of_two_towers_are_found, set_up_clip),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
