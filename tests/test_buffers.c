/* Tests of buffers: where they lie, who may update and read them, what plans share and files hold.
 */
#include "graph_fixture.h"

#include <stdio.h>
#include <string.h>

#include "core/file.h"
#include "graph/reference.h"
#include "train/checkpoint.h"
#include "train/snapshot.h"
#include "train/weights.h"

enum { ROWS = 4, COLUMNS = 5 };

/* ---------------------------------------------------------------- an op that updates a buffer */

/* y = x, and the buffer [COLUMNS] becomes half of itself and half of row 0. */
static be_status follow_infer(op_infer *call, be_error *err)
{
    (void)err;
    call->out[0] = call->in[0];
    call->out[1] = call->in[1];
    return BE_OK;
}

static void follow_reference(const op_reference *call)
{
    for (int i = 0; i < ROWS * COLUMNS; i++) call->y[0][i] = call->x[0][i];
    for (int c = 0; c < COLUMNS; c++) call->y[1][c] = 0.5 * (call->x[1][c] + call->x[0][c]);
}

static be_status follow_gradient(op_gradient *call, be_error *err)
{
    (void)err;
    call->dx[0] = call->dy[0];
    return BE_OK;
}

static const be_op op_follow = {.name = "follow",
                                .inputs = 2,
                                .outputs = 2,
                                .updates = {0, 2},
                                .auxiliary = 2,
                                .infer = follow_infer,
                                .gradient = follow_gradient,
                                .reference = follow_reference,
                                .cost = no_cost};

static const be_op op_stay = {.name = "stay",
                              .inputs = 1,
                              .outputs = 1,
                              .infer = same_infer,
                              .reference = follow_reference,
                              .cost = no_cost};

/* The same, but when inferring it only reads. */
static const be_op op_follow_training = {.name = "follow_training",
                                         .inputs = 2,
                                         .outputs = 2,
                                         .updates = {0, 2},
                                         .auxiliary = 2,
                                         .inferring = &op_stay,
                                         .infer = follow_infer,
                                         .gradient = follow_gradient,
                                         .reference = follow_reference,
                                         .cost = no_cost};

static const be_start zero = {BE_CONSTANT, 0}, seven = {BE_CONSTANT, 7};
static const be_shape row = {BE_F32, 1, {COLUMNS}};
static const be_optimizer sgd = {.kind = BE_SGD, .learning_rate = 0.1};

/* w · follow(x), with the buffer "mean". */
static be_graph *following(const be_op *op, be_value *x, be_value *mean)
{
    be_graph *g = graph_of_rows(x);
    *mean = be_buffer_add(g, "mean", row, seven);
    be_value y = add(g, op, *x, *mean), w = be_parameter_add(g, "w", row, seven);
    be_graph_minimize(g, be_mean(g, be_multiply(g, y, w)), &sgd);
    return g;
}

static be_status planned(const be_graph *g, be_mode mode, be_error *err)
{
    be_graph *lowered = NULL;
    be_status status = graph_lower(g, &(be_plan_options){.mode = mode},
                                   &(lower_target){.device = NULL}, &lowered, err);
    be_graph_free(lowered);
    return status;
}

static void inference_updates_no_buffer(void **state)
{
    (void)state;
    be_error err;
    be_value x, mean;
    be_graph *g = following(&op_follow, &x, &mean);
    ASSERT_OK(planned(g, BE_TRAIN, &err));
    ASSERT_FAILS(planned(g, BE_INFER, &err), BE_USAGE, "op follow updates the buffer \"mean\"",
                 "inference changes no weights", "plan for training");
    be_graph_free(g);
    g = following(&op_follow_training, &x, &mean);
    ASSERT_OK(planned(g, BE_INFER, &err));
    be_graph_free(g);
}

/* Whether it reads the old or the new values would be chance; through a view too. */
static void an_updated_buffer_has_no_other_reader(void **state)
{
    (void)state;
    be_error err;
    be_value x, mean;
    be_graph *g = following(&op_follow_training, &x, &mean);
    be_add(g, x, mean);
    ASSERT_FAILS(planned(g, BE_TRAIN, &err), BE_USAGE,
                 "op follow_training updates the buffer \"mean\"", "op add reads it too",
                 "a buffer of its own");
    ASSERT_OK(planned(g, BE_INFER, &err)); /* where nothing updates it */
    be_graph_free(g);
    g = following(&op_follow_training, &x, &mean);
    be_view(g, mean, (be_shape){BE_F32, 2, {1, COLUMNS}});
    ASSERT_FAILS(planned(g, BE_TRAIN, &err), BE_USAGE, "op view reads it too");
    be_graph_free(g);
    g = following(&op_follow_training, &x, &mean);
    add(g, &op_follow, x, mean);
    ASSERT_FAILS(planned(g, BE_TRAIN, &err), BE_USAGE, "op follow reads it too");
    be_graph_free(g);
}

static void the_reference_carries_them_from_step_to_step(void **state)
{
    (void)state;
    be_error err;
    be_value x, mean;
    reference *r = NULL;
    float rows[ROWS * COLUMNS] = {1, 2, 3, 4, 5};
    be_graph *g = following(&op_follow, &x, &mean);
    ASSERT_OK(reference_new(g, &(be_plan_options){.mode = BE_TRAIN}, &r, &err));
    ASSERT_OK(reference_write(r, x, rows, sizeof rows, &err));
    assert_int_equal(reference_parameter_count(r), 1);
    assert_int_equal(reference_buffer_count(r), 1);
    assert_string_equal(reference_buffer(r, 0).name, "mean");
    assert_int_equal(reference_buffer(r, 0).gradient, BE_NONE);
    double expected = 7;
    for (int step = 0; step < 3; step++) {
        assert_true(reference_data(r, mean)[2] == expected);
        ASSERT_OK(reference_run(r, 1, &err));
        expected = 0.5 * (expected + 3);
    }
    assert_true(reference_data(r, mean)[2] == expected);
    reference_free(r);
    be_graph_free(g);
}

/* ---------------------------------------------------------------- where they lie */

static void buffers_lie_behind_the_parameters(void **state)
{
    (void)state;
    be_graph *g = be_graph_new(1);
    be_value x = be_input(g, "x", (be_shape){BE_F32, 2, {ROWS, COLUMNS}});
    be_value first = be_buffer_add(g, "first", row, zero);
    be_value w = be_parameter_add(g, "w", row, seven);
    be_value second = be_buffer_add(g, "second", (be_shape){BE_F32, 0, {0}}, zero);
    be_value b = be_parameter_add(g, "b", row, seven);
    be_parameter_no_decay(g, w);
    be_value y = be_multiply(g, be_add(g, be_multiply(g, x, w), b), first);
    be_graph_minimize(g, be_mean(g, y), &sgd);
    be_graph *lowered = lower(g, &(be_plan_options){.mode = BE_TRAIN}, NULL);
    const graph_lowered *l = &lowered->lowered;
    size_t at[4];
    const be_value values[4] = {b, w, first, second};
    for (int i = 0; i < 4; i++) {
        assert_int_equal(graph_root(lowered, values[i], &at[i]), l->weights);
        assert_int_equal(at[i], 128 * i); /* 5 floats end within the 32 of one parameter */
    }
    assert_int_equal(lowered->values[first].alias_of, l->weights);
    /* The optimizer sees the parameters alone. */
    assert_int_equal(lowered->values[l->parameters].shape.dim[0], 64);
    assert_int_equal(lowered->values[l->gradients].shape.dim[0], 64);
    assert_int_equal(lowered->values[l->weights].shape.dim[0], 128);
    assert_int_equal(l->gradient_of[first], BE_NONE);
    be_graph_free(lowered);
    be_graph_free(g);
}

static void buffers_without_parameters_are_planned(void **state)
{
    (void)state;
    be_value x;
    be_graph *g = graph_of_rows(&x);
    be_multiply(g, x, be_buffer_add(g, "factor", row, seven));
    be_graph *lowered = lower(g, &(be_plan_options){.mode = BE_INFER}, NULL);
    assert_int_equal(lowered->lowered.parameters, BE_NONE);
    assert_int_not_equal(lowered->lowered.weights, BE_NONE);
    be_graph_free(lowered);
    be_graph_free(g);
}

static void bad_buffers_are_refused(void **state)
{
    (void)state;
    be_error err;
    static const struct {
        be_shape shape;
        be_start start;
        const char *found;
    } cases[] = {{{BE_I32, 1, {3}}, {BE_CONSTANT, 0}, "expected f32, found i32 [3]"},
                 {{BE_F32, 1, {3}}, {BE_UNIFORM, -1}, "found kind 0 with -1"},
                 {{BE_F32, 1, {0}}, {BE_CONSTANT, 0}, "dimensions of at least 1"}};
    for (int i = 0; i < 3; i++) {
        be_graph *g = be_graph_new(1);
        assert_int_equal(be_buffer_add(g, "mean", cases[i].shape, cases[i].start), BE_NONE);
        ASSERT_FAILS(be_graph_check(g, &err), BE_USAGE, "mean", cases[i].found);
        be_graph_free(g);
    }
    be_graph *g = be_graph_new(1);
    be_parameter_add(g, "mean", row, zero);
    be_buffer_add(g, "mean", row, zero);
    ASSERT_FAILS(be_graph_check(g, &err), BE_USAGE, "two values are named \"mean\"");
    be_graph_free(g);
}

/* ---------------------------------------------------------------- plans and files */

/* w · x + drift, trained by Adam: a parameter, a random and a constant buffer, two states. */
typedef struct drifting {
    be_graph *graph;
    be_device *device;
    be_value x, drift, factor;
} drifting;

static drifting drifting_new(uint64_t seed)
{
    be_error err;
    drifting d = {.graph = be_graph_new(seed)};
    be_graph *g = d.graph;
    d.x = be_input(g, "x", (be_shape){BE_F32, 2, {ROWS, COLUMNS}});
    d.drift = be_buffer_add(g, "n.drift", row, (be_start){BE_UNIFORM, 1});
    d.factor = be_buffer_add(g, "n.factor", row, seven);
    be_value w = be_parameter_add(g, "n.w", row, (be_start){BE_UNIFORM, 1});
    be_value y = be_multiply(g, be_add(g, be_multiply(g, d.x, w), d.drift), d.factor);
    be_graph_minimize(g, be_mean(g, be_multiply(g, y, y)),
                      &(be_optimizer){.kind = BE_ADAM, .learning_rate = 0.01});
    ASSERT_OK(be_device_open("cpu", &(be_device_options){.threads = 1}, &d.device, &err));
    return d;
}

static void drifting_free(drifting *d)
{
    be_device_close(d->device);
    be_graph_free(d->graph);
}

static be_plan *plan_of(const drifting *d, be_mode mode, be_plan *share)
{
    be_error err;
    be_plan *plan = NULL;
    float rows[ROWS * COLUMNS] = {1, 2, 3, 4, 5};
    be_plan_options options = {.mode = mode, .share = share};
    ASSERT_OK(be_plan_new(d->graph, d->device, &options, &plan, &err));
    ASSERT_OK(be_plan_write(plan, d->x, rows, sizeof rows, &err));
    return plan;
}

static void read_row(be_plan *plan, be_value value, float out[COLUMNS])
{
    be_error err;
    ASSERT_OK(be_plan_read(plan, value, out, COLUMNS * sizeof(float), &err));
}

static void write_row(be_plan *plan, be_value value, float all)
{
    be_error err;
    float values[COLUMNS];
    for (int c = 0; c < COLUMNS; c++) values[c] = all;
    ASSERT_OK(be_plan_write(plan, value, values, sizeof values, &err));
}

static void plans_list_start_and_share_them(void **state)
{
    (void)state;
    be_error err;
    float values[COLUMNS], drawn[COLUMNS], shared[COLUMNS];
    drifting d = drifting_new(3);
    be_plan *plan = plan_of(&d, BE_TRAIN, NULL), *test = plan_of(&d, BE_INFER, plan);
    assert_int_equal(be_plan_parameter_count(plan), 1);
    assert_int_equal(be_plan_describe(plan).parameters, COLUMNS); /* buffers are none */
    assert_int_equal(be_plan_buffer_count(test), 2);
    be_parameter drift = be_plan_buffer(plan, 0);
    assert_string_equal(drift.name, "n.drift");
    assert_string_equal(be_plan_buffer(plan, 1).name, "n.factor");
    assert_int_equal(drift.value, d.drift);
    assert_int_equal(drift.gradient, BE_NONE);
    assert_int_equal(drift.shape.dim[0], COLUMNS);
    read_row(plan, d.factor, values);
    for (int c = 0; c < COLUMNS; c++) assert_true(values[c] == 7);
    graph_fill_start(d.graph, d.drift, 0, drawn);
    read_row(plan, d.drift, values);
    assert_memory_equal(values, drawn, sizeof values);
    read_row(plan, be_plan_parameter(plan, 0).value, shared);
    assert_memory_not_equal(values, shared, sizeof values); /* drawn by itself */
    ASSERT_OK(be_plan_run(plan, 3, &err));
    read_row(plan, d.drift, values);
    assert_memory_equal(values, drawn, sizeof values); /* training leaves it alone */
    write_row(test, d.drift, 5);
    read_row(plan, d.drift, shared);
    assert_true(shared[0] == 5 && shared[COLUMNS - 1] == 5);
    be_plan_free(test);
    be_plan_free(plan);
    drifting_free(&d);
}

static void other_buffers_are_not_shared(void **state)
{
    (void)state;
    be_error err;
    drifting d = drifting_new(3), more = drifting_new(3);
    be_buffer_add(more.graph, "more", row, zero);
    be_plan *plan = plan_of(&d, BE_TRAIN, NULL), *out = NULL;
    be_plan_options options = {.mode = BE_INFER, .share = plan};
    ASSERT_FAILS(be_plan_new(more.graph, d.device, &options, &out, &err), BE_USAGE,
                 "share: expected a plan of the same network", "found other buffers");
    be_plan_free(plan);
    drifting_free(&more);
    drifting_free(&d);
}

static void losses_of(be_plan *plan, float out[4])
{
    be_error err;
    ASSERT_OK(be_plan_run(plan, 4, &err));
    ASSERT_OK(be_plan_losses(plan, 4, out, NULL, &err));
}

/* A checkpoint and a snapshot hold all that the next steps follow from. */
static void a_resumed_training_has_them(void **state)
{
    (void)state;
    be_error err;
    char *folder = support_make_folder(), path[FILE_PATH_BYTES];
    checkpoint_state where = {
        .workload = "drift", .data = "none", .step = 5, .optimizer.kind = BE_ADAM};
    float expected[4], found[4];
    void *snapshot = NULL;
    checkpoint c;
    drifting d = drifting_new(3), other = drifting_new(4);
    be_plan *plan = plan_of(&d, BE_TRAIN, NULL), *resumed = plan_of(&other, BE_TRAIN, NULL);
    write_row(plan, d.factor, 0.5f);
    ASSERT_OK(be_plan_run(plan, 5, &err));
    ASSERT_OK(checkpoint_save(plan, folder, &where, CHECKPOINT_LAST, path, &err));
    ASSERT_OK(snapshot_new(&snapshot, plan, &err));
    ASSERT_OK(snapshot_take(snapshot, plan, &err));
    losses_of(plan, expected);
    write_row(plan, d.factor, 2);
    ASSERT_OK(snapshot_restore(snapshot, plan, &err));
    losses_of(plan, found);
    assert_memory_equal(found, expected, sizeof found);
    ASSERT_OK(checkpoint_open(&c, path, "drift", &err));
    ASSERT_OK(checkpoint_restore(&c, resumed, &err));
    checkpoint_close(&c);
    losses_of(resumed, found);
    assert_memory_equal(found, expected, sizeof found);
    memory_free(snapshot);
    be_plan_free(plan);
    be_plan_free(resumed);
    drifting_free(&other);
    drifting_free(&d);
    support_remove_folder(folder);
}

/* A file of these tensors, F32 [COLUMNS] but where `rank` says otherwise, is loaded. */
static be_status loaded(be_plan *plan, const safetensors_tensor *tensors, int count,
                        char note[WEIGHTS_NOTE_BYTES], be_error *out)
{
    be_error err;
    char *folder = support_make_folder(), path[FILE_PATH_BYTES];
    safetensors *file = NULL;
    support_path(path, sizeof path, folder, "w.safetensors");
    ASSERT_OK(safetensors_save(path, &(safetensors_layout){tensors, count, NULL, 0}, &err));
    ASSERT_OK(safetensors_open(&file, path, &err));
    be_status status = weights_load(plan, file, WEIGHTS_WHOLE, note, out);
    safetensors_close(file);
    support_remove_folder(folder);
    return status;
}

static void files_of_weights_hold_them_exactly(void **state)
{
    (void)state;
    be_error err;
    char note[WEIGHTS_NOTE_BYTES];
    static const float values[COLUMNS] = {1, 2, 3, 4, 5};
    static const int64_t counted = 12;
    drifting d = drifting_new(3);
    be_plan *plan = plan_of(&d, BE_TRAIN, NULL);
#define TENSOR(text) \
    {.name = text, .dtype = SAFETENSORS_F32, .rank = 1, .shape = {COLUMNS}, .data = values}
    safetensors_tensor tensors[] = {
        TENSOR("n.w"),
        TENSOR("n.drift"),
        TENSOR("n.factor"),
        {.name = "n.num_batches_tracked", .dtype = SAFETENSORS_I64, .rank = 0, .data = &counted},
        TENSOR("optimizer.adam.m"),
        TENSOR("n.running")};
    float found[COLUMNS];
    ASSERT_OK(loaded(plan, tensors, 3, note, &err));
    assert_string_equal(note, "");
    read_row(plan, d.factor, found);
    assert_memory_equal(found, values, sizeof found);
    ASSERT_OK(loaded(plan, tensors, 5, note, &err));
    assert_string_equal(note, "1 tensor num_batches_tracked is passed over");
    ASSERT_FAILS(loaded(plan, tensors, 6, note, &err), BE_BAD_DATA,
                 "expected the tensors of this model alone, found \"n.running\" too",
                 "take that tensor out of it");
    ASSERT_FAILS(loaded(plan, tensors, 2, note, &err), BE_BAD_DATA,
                 "expected a tensor \"n.factor\", found none of that name");
    tensors[1].shape[0] = 4;
    ASSERT_FAILS(loaded(plan, tensors, 3, note, &err), BE_BAD_DATA, "\"n.drift\"",
                 "expected F32 [5], found F32 [4]");
    be_plan_free(plan);
    drifting_free(&d);
}

static void check_file(const char *path, be_plan *plan)
{
    be_error err;
    static const char *const names[] = {"n.w", "n.drift", "n.factor"};
    safetensors *file = NULL;
    ASSERT_OK(safetensors_open(&file, path, &err));
    assert_int_equal(safetensors_count(file), 3);
    for (int i = 0; i < 3; i++) {
        float values[COLUMNS];
        const safetensors_tensor *tensor = safetensors_at(file, i);
        assert_string_equal(tensor->name, names[i]);
        read_row(plan, weights_at(plan, i).value, values);
        assert_memory_equal(tensor->data, values, sizeof values);
    }
    safetensors_close(file);
}

/* The start from the graph alone is that of a plan, and both are written in one order. */
static void they_are_saved_behind_the_parameters(void **state)
{
    (void)state;
    be_error err;
    char *folder = support_make_folder(), path[FILE_PATH_BYTES];
    drifting d = drifting_new(3);
    be_plan *plan = plan_of(&d, BE_TRAIN, NULL);
    support_path(path, sizeof path, folder, "w.safetensors");
    ASSERT_OK(weights_save_start(d.graph, path, &err));
    check_file(path, plan);
    ASSERT_OK(be_plan_run(plan, 2, &err));
    write_row(plan, d.factor, 0.5f);
    ASSERT_OK(weights_save(plan, path, NULL, 0, &err));
    check_file(path, plan);
    be_plan_free(plan);
    drifting_free(&d);
    support_remove_folder(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(inference_updates_no_buffer),
        cmocka_unit_test(an_updated_buffer_has_no_other_reader),
        cmocka_unit_test(the_reference_carries_them_from_step_to_step),
        cmocka_unit_test(buffers_lie_behind_the_parameters),
        cmocka_unit_test(buffers_without_parameters_are_planned),
        cmocka_unit_test(bad_buffers_are_refused),
        cmocka_unit_test(plans_list_start_and_share_them),
        cmocka_unit_test(other_buffers_are_not_shared),
        cmocka_unit_test(a_resumed_training_has_them),
        cmocka_unit_test(files_of_weights_hold_them_exactly),
        cmocka_unit_test(they_are_saved_behind_the_parameters),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
