/* Tests of traces and of parity: that equal trainings are found equal, and planted faults are not.
 */
#include "support.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/file.h"
#include "core/memory.h"
#include "data/dataset.h"
#include "data/order.h"
#include "data/safetensors.h"
#include "run/material.h"
#include "run/parity.h"

#define BATCH 4
#define STEPS 3

typedef struct fixture {
    be_device *device;
    be_dataset *set;
    workload_model model;
    int32_t order[BATCH * STEPS];
    trace_options options;
    trace plan, reference;
    char *folder;
} fixture;

static int set_up(void **state)
{
    be_error err = {0};
    fixture *f = calloc(1, sizeof *f);
    dataset_options data = {.seed = 1, .synthetic = true, .limit = BATCH * STEPS};
    ASSERT_OK(be_device_open("cpu", &(be_device_options){.threads = 1}, &f->device, &err));
    ASSERT_OK(dataset_open(DATASET_SHAPES, SPLIT_TRAIN, &data, &f->set, &err));
    workload_options model = {.seed = 3, .batch = BATCH, .data = &f->set->table};
    ASSERT_OK(workload_model_new(&workload_mlp_mnist, &model, &f->model, &err));
    for (int i = 0; i < BATCH * STEPS; i++) f->order[i] = i;
    f->options = (trace_options){
        .model = &f->model, .data = &f->set->table, .order = f->order, .steps = STEPS};
    ASSERT_OK(trace_of_plan(&f->plan, f->device, &f->options, &err));
    ASSERT_OK(trace_of_reference(&f->reference, &f->options, &err));
    f->folder = support_make_folder();
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    fixture *f = *state;
    trace_free(&f->plan);
    trace_free(&f->reference);
    be_graph_free(f->model.graph);
    dataset_close(f->set);
    be_device_close(f->device);
    support_remove_folder(f->folder);
    free(f);
    return 0;
}

static void equal_trainings_are_equal(void **state)
{
    fixture *f = *state;
    be_error err = {0};
    parity_result result;
    static const struct {
        const char *kind;
        int tensors;
    } rows[] = {{"input", 1}, {"target", 1},    {"weights", 6}, {"logits", 1},
                {"loss", 1},  {"gradients", 6}, {"losses", 1}};
    ASSERT_OK(parity_compare(&f->plan, &f->reference, PARITY_LIMIT, &result, &err));
    assert_true(result.good);
    assert_int_equal(result.count, 7);
    for (int k = 0; k < 7; k++) {
        assert_string_equal(result.rows[k].kind, rows[k].kind);
        assert_int_equal(result.rows[k].tensors, rows[k].tensors);
        assert_true(result.rows[k].error <= 1e-5);
        assert_true(result.rows[k].where[0]);
    }
    assert_true(parity_find(&result, "gradients")->error >
                0); /* float against double: not the same thing */
}

static trace_tensor *tensor_of(trace *t, const char *name)
{
    trace_tensor *tensor = (trace_tensor *)trace_find(t, name);
    assert_non_null(tensor);
    return tensor;
}

/* Where a network has them: as the first step leaves them, a row of their own. */
static void buffers_are_traced_and_compared(void **state)
{
    fixture *f = *state;
    be_error err = {0};
    parity_result result;
    trace plan = {0}, reference = {0};
    be_buffer_add(f->model.graph, "norm.mean", (be_shape){BE_F32, 1, {3}},
                  (be_start){BE_CONSTANT, 2});
    ASSERT_OK(be_graph_check(f->model.graph, &err));
    ASSERT_OK(trace_of_plan(&plan, f->device, &f->options, &err));
    ASSERT_OK(trace_of_reference(&reference, &f->options, &err));
    trace_tensor *found = tensor_of(&plan, "buffer.norm.mean");
    assert_int_equal(found->count, 3);
    assert_true(found->values[0] == 2 && found->values[2] == 2);
    ASSERT_OK(parity_compare(&plan, &reference, PARITY_LIMIT, &result, &err));
    assert_true(result.good);
    assert_int_equal(result.count, 8);
    assert_int_equal(parity_find(&result, "buffers")->tensors, 1);
    found->values[1] += 0.001;
    ASSERT_OK(parity_compare(&plan, &reference, PARITY_LIMIT, &result, &err));
    assert_false(result.good || parity_find(&result, "buffers")->good);
    assert_string_equal(parity_find(&result, "buffers")->where, "buffer.norm.mean [1]");
    found->name = "buffer.norm.other";
    ASSERT_FAILS(parity_compare(&plan, &reference, PARITY_LIMIT, &result, &err), BE_BAD_DATA,
                 "buffer.norm.mean with 3 elements", "found 0");
    trace_free(&plan);
    trace_free(&reference);
}

/* The faults that a wrong kernel makes, in one element or in all. */
/* The largest error between a step of parts and one of the whole batch, over gradients and loss. */
static double error_of_parts(const fixture *f, const workload *w, int parts)
{
    be_error err = {0};
    trace whole = {0}, cut = {0};
    double largest = 0;
    workload_options wanted = {.seed = 3, .batch = BATCH, .data = &f->set->table};
    trace_options options = {.data = &f->set->table, .order = f->order, .steps = 1};
    workload_model model = {0};
    ASSERT_OK(workload_model_new(w, &wanted, &model, &err));
    options.model = &model;
    ASSERT_OK(trace_of_reference(&whole, &options, &err));
    be_graph_free(model.graph);
    wanted.batch = BATCH / parts;
    options.parts = parts;
    ASSERT_OK(workload_model_new(w, &wanted, &model, &err));
    ASSERT_OK(trace_of_reference(&cut, &options, &err));
    be_graph_free(model.graph);
    assert_int_equal(cut.count, whole.count);
    for (int i = 0; i < whole.count; i++) {
        const trace_tensor *a = &cut.tensors[i], *b = &whole.tensors[i];
        assert_string_equal(a->name, b->name);
        assert_memory_equal(a->shape, b->shape, sizeof a->shape);
        if (strncmp(b->name, "buffer.", 7) != 0) largest = fmax(largest, trace_error(a, b, NULL));
    }
    trace_free(&whole);
    trace_free(&cut);
    return largest;
}

/* What several workers compute of a batch is what one does, but for batch norms, of which each
 * takes the means of its part. */
static void parts_make_a_whole(void **state)
{
    fixture *f = *state;
    be_error err = {0};
    workload room;
    const workload *small = NULL;
    assert_true(error_of_parts(f, &workload_mlp_mnist, 2) < 1e-12);
    assert_true(error_of_parts(f, &workload_mlp_mnist, 4) < 1e-12);
    ASSERT_OK(workload_vary(&workload_resnet18_cifar, &(workload_variant){.size = 8}, &room, &small,
                            &err));
    dataset_options data = {.seed = 1, .synthetic = true, .limit = BATCH * STEPS};
    be_dataset *digits = f->set;
    ASSERT_OK(workload_data(small, SPLIT_TRAIN, &data, &f->set, &err));
    assert_true(error_of_parts(f, small, 2) > 1e-3);
    dataset_close(f->set);
    f->set = digits;
}

static void plant(trace_tensor *t, int fault)
{
    int64_t most = 0;
    double first = t->values[0];
    for (int64_t i = 0; i < t->count; i++)
        if (fabs(t->values[i]) > fabs(t->values[most])) most = i;
    switch (fault) {
    case 0:
        t->values[t->count - 1] = (double)NAN;
        break;
    case 1:
        t->values[0] = (double)INFINITY;
        break;
    case 2:
        t->values[most] = -t->values[most];
        break;
    case 3:
        t->values[most] *= 2;
        break;
    case 4:
        t->values[most] *= 1 + 2e-4;
        break;
    default: /* off by one */
        for (int64_t i = 0; i + 1 < t->count; i++) t->values[i] = t->values[i + 1];
        t->values[t->count - 1] = t->count > 1 ? first : first + 1;
    }
}

static void planted_faults_are_found(void **state)
{
    fixture *f = *state;
    be_error err = {0};
    const struct {
        const char *tensor;
        const char *kind;
    } places[] = {{"input", "input"},
                  {"target", "target"},
                  {"logits", "logits"},
                  {"loss", "loss"},
                  {"param.fc2.bias", "weights"},
                  {"grad.fc1.weight", "gradients"},
                  {"grad.fc3.bias", "gradients"},
                  {"losses", "losses"}};
    for (size_t p = 0; p < sizeof places / sizeof places[0]; p++)
        for (int fault = 0; fault < 6; fault++) {
            parity_result result;
            trace_tensor *tensor = tensor_of(&f->plan, places[p].tensor);
            size_t bytes = (size_t)tensor->count * sizeof(double);
            double *kept = malloc(bytes);
            memcpy(kept, tensor->values, bytes);
            plant(tensor, fault);
            ASSERT_OK(parity_compare(&f->plan, &f->reference, PARITY_LIMIT, &result, &err));
            memcpy(tensor->values, kept, bytes);
            free(kept);
            assert_false(result.good);
            for (int k = 0; k < result.count; k++)
                assert_int_equal(result.rows[k].good,
                                 strcmp(result.rows[k].kind, places[p].kind) != 0);
            assert_memory_equal(parity_find(&result, places[p].kind)->where, places[p].tensor,
                                strlen(places[p].tensor));
        }
}

static void the_place_is_named(void **state)
{
    fixture *f = *state;
    be_error err = {0};
    parity_result result;
    tensor_of(&f->plan, "grad.fc2.weight")->values[128 * 5 + 7] += 100;
    ASSERT_OK(parity_compare(&f->plan, &f->reference, PARITY_LIMIT, &result, &err));
    assert_string_equal(parity_find(&result, "gradients")->where, "grad.fc2.weight [5, 7]");
    tensor_of(&f->plan, "grad.fc3.bias")->values[9] = (double)NAN; /* worse than any number */
    ASSERT_OK(parity_compare(&f->plan, &f->reference, PARITY_LIMIT, &result, &err));
    assert_string_equal(parity_find(&result, "gradients")->where, "grad.fc3.bias [9]");
}

static void missing_tensors_break_parity(void **state)
{
    fixture *f = *state;
    be_error err = {0};
    parity_result result;
    tensor_of(&f->plan, "grad.fc1.bias")->name = "grad.fc9.bias";
    ASSERT_FAILS(parity_compare(&f->plan, &f->reference, PARITY_LIMIT, &result, &err), BE_BAD_DATA,
                 "grad.fc1.bias with 128 elements", "found 0");
    f->reference.count--; /* the losses come last */
    tensor_of(&f->plan, "grad.fc9.bias")->name = "grad.fc1.bias";
    ASSERT_OK(parity_compare(&f->plan, &f->reference, PARITY_LIMIT, &result, &err));
    assert_false(result.good);
    assert_false(parity_find(&result, "losses")->good);
}

static void errors_are_relative_to_the_largest(void **state)
{
    (void)state;
    double left[] = {1, 2, -4.4}, right[] = {1, 2, -4}, zeros[] = {0, 0, 0};
    trace_tensor a = {.name = "a", .count = 3, .values = left};
    trace_tensor b = {.name = "b", .count = 3, .values = right};
    int64_t where = 0;
    assert_true(fabs(trace_error(&a, &b, &where) - 0.1) < 1e-12);
    assert_int_equal(where, 2);
    b.values = zeros;
    assert_true(fabs(trace_error(&a, &b, NULL) - 4.4) < 1e-12);
    a.values = zeros;
    assert_true(trace_error(&a, &b, NULL) == 0);
}

/* Rounding in the place of a gradient that is 0 by symmetry is measured against the layer's weight;
 * a gradient that is only small is not. */
static void a_bias_without_gradient_is_measured_against_its_weight(void **state)
{
    fixture *f = *state;
    be_error err = {0};
    parity_result result;
    trace_tensor *bias = tensor_of(&f->reference, "grad.fc1.bias");
    trace_tensor *other = tensor_of(&f->plan, "grad.fc1.bias");
    double layer = trace_largest(tensor_of(&f->reference, "grad.fc1.weight"));
    for (int64_t i = 0; i < bias->count; i++) {
        bias->values[i] = 1e-12 * layer * (double)(i % 3);
        other->values[i] = 1e-7 * layer * (double)(i % 5);
    }
    ASSERT_OK(parity_compare(&f->plan, &f->reference, PARITY_LIMIT, &result, &err));
    assert_true(parity_find(&result, "gradients")->good);
    other->values[3] = 1e-3 * layer;
    ASSERT_OK(parity_compare(&f->plan, &f->reference, PARITY_LIMIT, &result, &err));
    assert_false(parity_find(&result, "gradients")->good);
    for (int64_t i = 0; i < bias->count; i++) {
        bias->values[i] = 1e-4 * layer;
        other->values[i] = 1.01e-4 * layer;
    }
    ASSERT_OK(parity_compare(&f->plan, &f->reference, PARITY_LIMIT, &result, &err));
    assert_false(parity_find(&result, "gradients")->good);
}

/* Pairs have no target; one that a single engine has is missed. */
static void a_target_may_be_missing_from_both(void **state)
{
    fixture *f = *state;
    be_error err = {0};
    parity_result result;
    tensor_of(&f->plan, "target")->name = "input.more";
    ASSERT_FAILS(parity_compare(&f->plan, &f->reference, PARITY_LIMIT, &result, &err), BE_BAD_DATA,
                 "target with", "found 0");
    tensor_of(&f->reference, "target")->name = "input.more";
    ASSERT_OK(parity_compare(&f->plan, &f->reference, PARITY_LIMIT, &result, &err));
    assert_true(result.good && !parity_find(&result, "target"));
}

/* ---------------------------------------------------------------- files */

static void files_hold_the_trace(void **state)
{
    fixture *f = *state;
    be_error err = {0};
    char path[FILE_PATH_BYTES];
    trace found = {0};
    parity_result result;
    support_path(path, sizeof path, f->folder, "trace");
    ASSERT_OK(trace_save(&f->plan, path, true, &err));
    ASSERT_OK(trace_of_file(&found, path, &err));
    assert_int_equal(found.count, f->plan.count);
    ASSERT_OK(parity_compare(&found, &f->plan, 0, &result, &err)); /* bit for bit */
    assert_true(result.good);
    assert_int_equal(trace_find(&found, "loss")->rank, 0);
    trace_free(&found);
    safetensors *file = NULL;
    ASSERT_OK(safetensors_open(&file, path, &err));
    assert_int_equal(safetensors_find(file, "target")->dtype, SAFETENSORS_I64);
    safetensors_close(file);
    ASSERT_OK(trace_save(&f->plan, path, false, &err));
    ASSERT_OK(trace_of_file(&found, path, &err));
    assert_int_equal(found.count, f->plan.count - 1);
    assert_null(trace_find(&found, "losses"));
    trace_free(&found);
}

static void bad_files_are_refused(void **state)
{
    fixture *f = *state;
    be_error err = {0};
    char path[FILE_PATH_BYTES];
    trace found = {0};
    uint8_t byte = 1;
    support_path(path, sizeof path, f->folder, "bad");
    safetensors_tensor tensor = {
        .name = "input", .dtype = SAFETENSORS_U8, .rank = 1, .shape = {1}, .data = &byte};
    ASSERT_OK(safetensors_save(path, &(safetensors_layout){&tensor, 1, NULL, 0}, &err));
    ASSERT_FAILS(trace_of_file(&found, path, &err), BE_BAD_DATA, path, "\"input\"",
                 "expected F32 or I64", "found U8");
    support_write_file(path, "{}", 2);
    ASSERT_FAILS(trace_of_file(&found, path, &err), BE_BAD_DATA, path);
    ASSERT_FAILS(trace_of_file(&found, "/nowhere", &err), BE_IO, "/nowhere");
}

/* The weights of the material are the start that a plan gives itself; the data is in its order. */
static void material_is_what_training_begins_with(void **state)
{
    fixture *f = *state;
    be_error err = {0};
    material m;
    trace with_file = {0};
    parity_result result;
    material_options options = {
        .workload = &workload_mlp_mnist, .set = &f->set->table, .seed = 3, .samples = 5};
    ASSERT_OK(material_new(&m, &options, &err));
    assert_int_equal(m.count, 5);
    f->options.weights = m.weights;
    ASSERT_OK(trace_of_plan(&with_file, f->device, &f->options, &err));
    ASSERT_OK(parity_compare(&with_file, &f->plan, 0, &result, &err));
    assert_true(result.good);
    trace_free(&with_file);
    protocol_job job = material_job(&m, &options);
    assert_string_equal(job.optimizer.name, "sgd");
    assert_true(fabs(job.optimizer.lr - 0.01) < 1e-8 && job.transform_count == 1);
    int32_t order[BATCH * STEPS];
    data_table part;
    size_t each = (size_t)dataset_image_bytes(f->set);
    order_epoch(3, 0, order, BATCH * STEPS);
    ASSERT_OK(material_gather(&options, 5, &part, &err));
    for (int i = 0; i < 5; i++) {
        assert_memory_equal((const uint8_t *)part.field[0].bytes + (size_t)i * each,
                            f->set->images + (size_t)order[i] * each, each);
        assert_int_equal(((const int32_t *)part.field[1].bytes)[i], f->set->labels[order[i]]);
    }
    table_free(&part);
    char folder[FILE_PATH_BYTES];
    snprintf(folder, sizeof folder, "%s", m.folder.path);
    assert_true(file_is_folder(folder));
    material_free(&m);
    material_free(&m);
    assert_false(file_is_folder(folder));
}

static be_status trace_and_save(void *context, be_error *err)
{
    fixture *f = context;
    char path[FILE_PATH_BYTES];
    trace t = {0}, again = {0};
    support_path(path, sizeof path, f->folder, "faulty");
    TRY(trace_of_plan(&t, f->device, &f->options, err));
    be_status status = trace_save(&t, path, true, err);
    trace_free(&t);
    TRY(status);
    TRY(trace_of_file(&again, path, err));
    trace_free(&again);
    return BE_OK;
}

static void allocations_may_fail(void **state)
{
    assert_true(support_fail_each_allocation(trace_and_save, *state, 3000) > 10);
}

static void bad_requests_are_refused(void **state)
{
    fixture *f = *state;
    be_error err = {0};
    trace t = {0};
    volatile sig_atomic_t interrupted = 1;
    f->options.steps = BE_LOSS_LOG + 1;
    ASSERT_FAILS(trace_of_plan(&t, f->device, &f->options, &err), BE_USAGE, "1 to 4096 steps",
                 "found 4097");
    f->options.steps = STEPS;
    f->options.interrupted = &interrupted;
    ASSERT_FAILS(trace_of_plan(&t, f->device, &f->options, &err), BE_INTERRUPTED, "signal");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(equal_trainings_are_equal),
        TEST(parts_make_a_whole),
        TEST(buffers_are_traced_and_compared),
        TEST(planted_faults_are_found),
        TEST(the_place_is_named),
        TEST(missing_tensors_break_parity),
        cmocka_unit_test(errors_are_relative_to_the_largest),
        TEST(a_bias_without_gradient_is_measured_against_its_weight),
        TEST(a_target_may_be_missing_from_both),
        TEST(files_hold_the_trace),
        TEST(bad_files_are_refused),
        TEST(material_is_what_training_begins_with),
        TEST(allocations_may_fail),
        TEST(bad_requests_are_refused),
    };
#undef TEST
    return cmocka_run_group_tests(tests, NULL, NULL);
}
