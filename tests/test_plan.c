/* Tests of plans on the CPU: devices, reading and writing, what is kept, dry runs, sharing, and how
 * each refusal is said. */
#include "plan_network.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/rng.h"
#include "core/topology.h"

/* Devices. */

static void devices_refuse_nonsense(void **state)
{
    (void)state;
    be_error err;
    be_device *device = NULL;
    ASSERT_FAILS(be_device_open("gpu:7", NULL, &device, &err), BE_UNAVAILABLE, "\"gpu:7\"",
                 "breakeven devices");
    ASSERT_FAILS(be_device_open("", NULL, &device, &err), BE_UNAVAILABLE, "device \"\"");
    ASSERT_FAILS(be_device_open("cpu", &(be_device_options){.threads = -1}, &device, &err),
                 BE_USAGE, "threads", "found -1");
    ASSERT_FAILS(be_device_open("cpu", &(be_device_options){.threads = 1000000}, &device, &err),
                 BE_USAGE, "threads", "found 1000000");
    ASSERT_FAILS(be_device_open("cpu", &(be_device_options){.isa = "sse9"}, &device, &err),
                 BE_USAGE, "generic, avx2 or avx512", "\"sse9\"");
    ASSERT_FAILS(be_device_open("cpu", &(be_device_options){.isa = ""}, &device, &err), BE_USAGE,
                 "instruction set", "\"\"");
    ASSERT_FAILS(be_device_open("cpu", &(be_device_options){.library = "mkl"}, &device, &err),
                 BE_USAGE, "native, onednn, cudnn or clblast", "\"mkl\"");
    assert_null(device);
    be_device_close(NULL);
}

static void devices_say_what_they_are(void **state)
{
    (void)state;
    be_device *device = cpu(0);
    assert_string_equal(be_device_id(device), "cpu");
    assert_true(strlen(be_device_name(device)) > 0);
    assert_int_equal(be_device_threads(device), topology_get()->usual_threads);
    be_device_close(device);
    device = cpu(5);
    assert_int_equal(be_device_threads(device), 5);
    be_device_close(device);
}

/* Reading and writing. */

static void sizes_and_values_are_checked(void **state)
{
    (void)state;
    be_error err;
    float room[ROWS * FEATURES + 1];
    network n = network_new(1, &sgd, 0);
    be_device *device = cpu(1);
    be_plan *plan = plan_of(&n, device, &train);
    be_value weight = be_plan_parameter(plan, 0).value;
    ASSERT_FAILS(be_plan_write(plan, n.x, room, sizeof room, &err), BE_USAGE, "\"x\"", "f32 [8, 6]",
                 "expected 192 bytes, found 196");
    ASSERT_FAILS(be_plan_write(plan, n.x, room, 0, &err), BE_USAGE, "found 0");
    ASSERT_FAILS(be_plan_read(plan, weight, room, 4, &err), BE_USAGE, "\"a.weight\"",
                 "expected 120 bytes, found 4");
    ASSERT_FAILS(be_plan_bind(plan, n.x, room, 4, &err), BE_USAGE, "\"x\"", "found 4");
    ASSERT_FAILS(be_plan_write(plan, 999, room, 4, &err), BE_USAGE, "value 999", "not in");
    ASSERT_FAILS(be_plan_read(plan, BE_NONE, room, 4, &err), BE_USAGE, "value -1", "not in");
    for (be_value v = -5; v < 300; v++) /* no tensor has 3 bytes */
        ASSERT_FAILS(be_plan_read(plan, v, room, 3, &err), BE_USAGE, "value");
    ASSERT_FAILS(be_plan_bind(plan, weight, room, A_WEIGHT * 4, &err), BE_USAGE, "\"a.weight\"",
                 "is no input");
    ASSERT_FAILS(be_plan_write(plan, n.logits, room, ROWS * CLASSES * 4, &err), BE_USAGE,
                 "made anew in each step", "parameters and states");
    be_plan_free(plan);
    be_device_close(device);
    be_graph_free(n.graph);
}

static void unwritten_inputs_are_named(void **state)
{
    (void)state;
    be_error err;
    float room[ROWS * FEATURES];
    network n = network_new(1, &sgd, 0);
    be_device *device = cpu(1);
    be_plan *plan = plan_of(&n, device, &train);
    ASSERT_FAILS(be_plan_run(plan, 1, &err), BE_USAGE, "input \"x\" was never written",
                 "before the first step");
    ASSERT_FAILS(be_plan_read(plan, n.x, room, sizeof room, &err), BE_USAGE,
                 "input \"x\" was never written");
    ASSERT_OK(be_plan_write(plan, n.x, n.data, sizeof n.data, &err));
    ASSERT_FAILS(be_plan_run_checked(plan, 1, &err), BE_USAGE,
                 "input \"target\" was never written");
    ASSERT_OK(be_plan_write(plan, n.target, n.classes, sizeof n.classes, &err));
    run(plan, 1);
    ASSERT_OK(be_plan_read(plan, n.x, room, sizeof room, &err));
    assert_memory_equal(room, n.data, sizeof room);
    be_plan_free(plan);
    be_device_close(device);
    be_graph_free(n.graph);
}

static void what_is_written_is_read(void **state)
{
    (void)state;
    be_error err;
    float w[A_WEIGHT], again[A_WEIGHT];
    network n = network_new(1, &adam, 0);
    be_device *device = cpu(1);
    be_plan *plan = plan_of(&n, device, &train);
    for (int i = 0; i < A_WEIGHT; i++) w[i] = (float)i;
    ASSERT_OK(be_plan_write(plan, be_plan_parameter(plan, 0).value, w, sizeof w, &err));
    read_weight(plan, again);
    assert_memory_equal(w, again, sizeof w);
    assert_int_equal(be_plan_slot_count(plan), 2);
    be_parameter slot = be_plan_slot(plan, 1);
    assert_string_equal(slot.name, "adam.v");
    size_t bytes = (size_t)slot.shape.dim[0] * sizeof(float);
    float *v = malloc(bytes), *back = malloc(bytes);
    for (int64_t i = 0; i < slot.shape.dim[0]; i++) v[i] = 0.5f;
    ASSERT_OK(be_plan_write(plan, slot.value, v, bytes, &err));
    ASSERT_OK(be_plan_read(plan, slot.value, back, bytes, &err));
    assert_memory_equal(v, back, bytes);
    free(v);
    free(back);
    be_plan_free(plan);
    be_device_close(device);
    be_graph_free(n.graph);
}

static void bound_inputs_are_read_where_they_lie(void **state)
{
    (void)state;
    be_error err;
    float first, second;
    network n = network_new(1, &sgd, 0);
    be_device *device = cpu(1);
    be_plan *plan = ready_plan(&n, device, &infer);
    run(plan, 1);
    ASSERT_OK(be_plan_losses(plan, 1, &first, NULL, &err));
    float other[ROWS * FEATURES] = {0};
    ASSERT_OK(be_plan_bind(plan, n.x, other, sizeof other, &err));
    memcpy(other, n.data, sizeof other);
    run(plan, 1);
    ASSERT_OK(be_plan_losses(plan, 1, &second, NULL, &err));
    assert_true(first == second);
    memset(other, 0, sizeof other);
    run(plan, 1);
    ASSERT_OK(be_plan_losses(plan, 1, &second, NULL, &err));
    assert_true(first != second);
    write_inputs(&n, plan); /* a copy takes the place of the bound memory */
    run(plan, 1);
    ASSERT_OK(be_plan_losses(plan, 1, &second, NULL, &err));
    assert_true(first == second);
    be_plan_free(plan);
    be_device_close(device);
    be_graph_free(n.graph);
}

static void kept_values_stay_readable(void **state)
{
    (void)state;
    be_error err;
    float before[ROWS * HIDDEN], hidden[ROWS * HIDDEN];
    network n = network_new(1, &sgd, 0);
    be_device *device = cpu(1);
    be_plan *plan = ready_plan(&n, device, &train);
    run(plan, 1);
    for (be_value v = 0; v < 2; v++) /* one is fused away, one shares its memory */
        ASSERT_FAILS(be_plan_read(plan, v ? n.before : n.hidden, before, sizeof before, &err),
                     BE_USAGE, "does not outlive the step", "be_plan_options.keep");
    be_plan_free(plan);
    be_value keep[] = {n.before, n.hidden};
    be_plan_options options = {.mode = BE_TRAIN, .keep = keep, .keep_count = 2};
    plan = ready_plan(&n, device, &options);
    float w[A_WEIGHT];
    read_weight(plan, w);
    run(plan, 1);
    ASSERT_OK(be_plan_read(plan, n.before, before, sizeof before, &err));
    ASSERT_OK(be_plan_read(plan, n.hidden, hidden, sizeof hidden, &err));
    float bias[HIDDEN];
    be_plan_free(plan);
    plan = ready_plan(&n, device, &options);
    ASSERT_OK(be_plan_read(plan, be_plan_parameter(plan, 1).value, bias, sizeof bias, &err));
    for (int r = 0; r < ROWS; r++)
        for (int h = 0; h < HIDDEN; h++) {
            double sum = (double)bias[h];
            for (int f = 0; f < FEATURES; f++)
                sum += (double)w[h * FEATURES + f] * (double)n.data[r * FEATURES + f];
            double found = (double)before[r * HIDDEN + h];
            assert_true(fabs(found - sum) < 1e-6);
            assert_true((double)hidden[r * HIDDEN + h] == (found > 0.0 ? found : 0.0));
        }
    be_plan_free(plan);
    be_device_close(device);
    be_graph_free(n.graph);
}

/* An image kept in a blocked layout comes back plain, whatever the instruction set. */
static void blocked_values_are_read_plain(void **state)
{
    (void)state;
    enum { COUNT = 2 * 5 * 6 * 6 };
    static const char *const isas[] = {"generic", NULL};
    float found[2][COUNT], data[2 * 3 * 8 * 8];
    be_graph *g = be_graph_new(4);
    be_value x = be_input(g, "x", (be_shape){BE_F32, 4, {2, 3, 8, 8}});
    be_value y = be_conv2d(g, x, &(be_conv2d_options){.name = "c", .channels = 5, .kernel = 3});
    be_value z =
        be_conv2d(g, be_relu(g, y), &(be_conv2d_options){.name = "d", .channels = 4, .kernel = 3});
    rng r = {.key = {.seed = 5, .stream = RNG_TEST}};
    for (size_t i = 0; i < sizeof data / sizeof *data; i++) data[i] = rng_next_uniform(&r);
    be_value keep[] = {y, z};
    for (int i = 0; i < 2; i++) {
        be_error err;
        be_device *device = NULL;
        be_plan *plan = NULL;
        ASSERT_OK(be_device_open("cpu", &(be_device_options){.isa = isas[i]}, &device, &err));
        be_plan_options options = {.mode = BE_INFER, .keep = keep, .keep_count = 2};
        ASSERT_OK(be_plan_new(g, device, &options, &plan, &err));
        ASSERT_OK(be_plan_write(plan, x, data, sizeof data, &err));
        run(plan, 1);
        ASSERT_OK(be_plan_read(plan, y, found[i], sizeof found[i], &err));
        be_plan_free(plan);
        be_device_close(device);
    }
    for (int i = 0; i < COUNT; i++)
        assert_true(fabsf(found[0][i] - found[1][i]) < 1e-5f && found[0][i] != 0.0f);
    be_graph_free(g);
}

static void dry_runs_only_describe(void **state)
{
    (void)state;
    be_error err;
    int64_t steps;
    float room[ROWS * FEATURES];
    network n = network_new(1, &adam, 0.5f);
    be_device *device = cpu(1);
    be_plan_options dry = {.mode = BE_TRAIN, .dry_run = 1};
    be_plan *plan = plan_of(&n, device, &dry), *real = plan_of(&n, device, &train);
    ASSERT_FAILS(be_plan_run(plan, 1, &err), BE_USAGE, "dry run", "plan again without dry_run");
    ASSERT_FAILS(be_plan_run_checked(plan, 1, &err), BE_USAGE, "dry run");
    ASSERT_FAILS(be_plan_write(plan, n.x, n.data, sizeof n.data, &err), BE_USAGE, "dry run");
    ASSERT_FAILS(be_plan_read(plan, n.x, room, sizeof room, &err), BE_USAGE, "dry run");
    ASSERT_FAILS(be_plan_bind(plan, n.x, room, sizeof room, &err), BE_USAGE, "dry run");
    ASSERT_FAILS(be_plan_losses(plan, 0, NULL, NULL, &err), BE_USAGE, "dry run");
    ASSERT_FAILS(be_plan_steps(plan, &steps, &err), BE_USAGE, "dry run");
    ASSERT_FAILS(be_plan_set_learning_rate(plan, 1.0f, &err), BE_USAGE, "dry run");
    be_plan_options shared = {.mode = BE_INFER, .share = plan};
    be_plan *sharing = NULL;
    ASSERT_FAILS(be_plan_new(n.graph, device, &shared, &sharing, &err), BE_USAGE, "share",
                 "dry run");
    be_plan_facts a = be_plan_describe(plan), b = be_plan_describe(real);
    assert_int_equal(a.parameters, HIDDEN * FEATURES + HIDDEN + CLASSES * HIDDEN + CLASSES);
    assert_int_equal(a.nodes, b.nodes);
    assert_int_equal(a.launches, b.launches);
    assert_int_equal(a.persistent_bytes, b.persistent_bytes);
    assert_int_equal(a.activation_bytes, b.activation_bytes);
    assert_int_equal(a.scratch_bytes, b.scratch_bytes);
    assert_true(a.activation_bytes <= a.activation_sum_bytes && a.activation_bytes > 0);
    assert_true(a.flops_per_step > 0 && a.bytes_per_step > 0);
    assert_string_equal(a.implementation, b.implementation);
    assert_true(strlen(a.implementation) > 0);
    be_plan_free(real);
    be_plan_free(plan);
    be_device_close(device);
    be_graph_free(n.graph);
}

static void plans_print_their_steps_and_memory(void **state)
{
    (void)state;
    static const char *const pieces[] = {"softmax_cross_entropy",
                                         "dropout",
                                         "adam",
                                         "advance",
                                         "a.weight",
                                         "persistent",
                                         "activation",
                                         "f32 [8, 6]",
                                         "53 parameters",
                                         "launches",
                                         "reorders",
                                         "MiB scratch"};
    char *text = NULL;
    size_t length = 0;
    network n = network_new(1, &adam, 0.5f);
    be_device *device = cpu(1);
    be_plan *plan = plan_of(&n, device, &(be_plan_options){.mode = BE_TRAIN, .dry_run = 1});
    FILE *file = open_memstream(&text, &length);
    be_plan_print(plan, file);
    fclose(file);
    for (size_t i = 0; i < sizeof pieces / sizeof *pieces; i++)
        if (!strstr(text, pieces[i])) fail_msg("no \"%s\" in:\n%s", pieces[i], text);
    free(text);
    be_plan_free(plan);
    be_device_close(device);
    be_graph_free(n.graph);
}

/* Sharing. */

static void shared_parameters_are_the_same_memory(void **state)
{
    (void)state;
    be_error err;
    float w[A_WEIGHT], shared[A_WEIGHT], first[A_WEIGHT];
    network n = network_new(1, &sgd, 0.25f);
    be_device *device = cpu(1);
    be_plan *plan = ready_plan(&n, device, &train);
    be_plan_options options = {.mode = BE_INFER, .share = plan};
    read_weight(plan, first);
    run(plan, 1);
    be_plan *test = ready_plan(&n, device, &options);
    read_weight(test, shared);
    assert_memory_not_equal(first, shared, sizeof first); /* it does not start over */
    run(test, 3);
    read_weight(plan, w);
    assert_memory_equal(w, shared, sizeof w); /* inference changes nothing */
    run(plan, 5);
    read_weight(plan, w);
    read_weight(test, shared);
    assert_memory_equal(w, shared, sizeof w);
    assert_memory_not_equal(w, first, sizeof w);
    int64_t steps;
    ASSERT_OK(be_plan_steps(plan, &steps, &err));
    assert_int_equal(steps, 6); /* each counts its own steps */
    ASSERT_OK(be_plan_steps(test, &steps, &err));
    assert_int_equal(steps, 3);
    assert_int_equal(be_plan_parameter(test, 0).gradient, BE_NONE);
    be_plan_free(test);
    be_plan_free(plan);
    be_device_close(device);
    be_graph_free(n.graph);
}

/* Where a parameter lies follows from which of them decay. */
static void parameters_that_lie_elsewhere_are_not_shared(void **state)
{
    (void)state;
    be_error err;
    network n = network_new(1, &sgd, 0);
    be_device *device = cpu(1);
    be_plan *plan = plan_of(&n, device, &train), *out = NULL;
    be_parameter_no_decay(n.graph, be_plan_parameter(plan, 0).value);
    be_plan_options options = {.mode = BE_INFER, .share = plan};
    ASSERT_FAILS(be_plan_new(n.graph, device, &options, &out, &err), BE_USAGE, "share: parameter",
                 "lies elsewhere in that plan", "be_parameter_no_decay");
    be_plan_free(plan);
    be_device_close(device);
    be_graph_free(n.graph);
}

static void others_parameters_are_not_shared(void **state)
{
    (void)state;
    be_error err;
    network n = network_new(1, &sgd, 0);
    be_device *device = cpu(1), *second = cpu(1);
    be_plan *plan = plan_of(&n, device, &train), *out = NULL;
    be_plan_options options = {.mode = BE_INFER, .share = plan};
    ASSERT_FAILS(be_plan_new(n.graph, second, &options, &out, &err), BE_USAGE, "share",
                 "same network on the same device");
    be_graph *g = be_graph_new(1);
    be_value x = be_input(g, "x", (be_shape){BE_F32, 2, {ROWS, FEATURES}});
    be_linear(g, be_linear(g, x, &(be_linear_options){"a", .features = HIDDEN}),
              &(be_linear_options){"b", .features = CLASSES + 1});
    ASSERT_FAILS(be_plan_new(g, device, &options, &out, &err), BE_USAGE, "share",
                 "other parameters");
    be_graph_free(g);
    g = be_graph_new(1);
    x = be_relu(g, be_input(g, "x", (be_shape){BE_F32, 2, {ROWS, FEATURES}}));
    be_plan *bare = NULL;
    ASSERT_OK(be_plan_new(g, device, &infer, &bare, &err));
    options.share = bare;
    ASSERT_FAILS(be_plan_new(n.graph, device, &options, &out, &err), BE_USAGE, "share",
                 "other parameters");
    ASSERT_OK(be_plan_new(g, device, &options, &out, &err)); /* nothing to share, nothing wrong */
    be_plan_free(out);
    be_plan_free(bare);
    be_graph_free(g);
    be_plan_free(plan);
    be_device_close(second);
    be_device_close(device);
    be_graph_free(n.graph);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(devices_refuse_nonsense),
        cmocka_unit_test(devices_say_what_they_are),
        cmocka_unit_test(sizes_and_values_are_checked),
        cmocka_unit_test(unwritten_inputs_are_named),
        cmocka_unit_test(what_is_written_is_read),
        cmocka_unit_test(bound_inputs_are_read_where_they_lie),
        cmocka_unit_test(kept_values_stay_readable),
        cmocka_unit_test(blocked_values_are_read_plain),
        cmocka_unit_test(dry_runs_only_describe),
        cmocka_unit_test(plans_print_their_steps_and_memory),
        cmocka_unit_test(shared_parameters_are_the_same_memory),
        cmocka_unit_test(parameters_that_lie_elsewhere_are_not_shared),
        cmocka_unit_test(others_parameters_are_not_shared),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
