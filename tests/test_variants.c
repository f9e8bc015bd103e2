/* Workloads at other sizes: what may be varied, what is refused, and what the gate computes. */
#include "support.h"

#include "workloads/workload.h"

static void variants_are_told(void **state)
{
    (void)state;
    char text[WORKLOAD_TEXT];
    workload_variant v = {.layers = 2, .heads = 4, .seq = 8};
    assert_string_equal(
        workload_variant_text(&workload_encoder, &v, " with ", " and ", text),
        " with a depth of 2 layers, attention of 4 heads and sequences of 8 tokens");
    v = (workload_variant){.seq = 8};
    assert_string_equal(workload_variant_text(&workload_encoder, &v, " with ", " and ", text),
                        " with sequences of 8 tokens");
    v.seq = 0;
    assert_string_equal(workload_variant_text(&workload_encoder, &v, " with ", " and ", text), "");
}

static void variants_are_wider_or_larger(void **state)
{
    (void)state;
    be_error err;
    const workload *found = NULL;
    workload room;
    ASSERT_OK(workload_vary(&workload_mlp_mnist, &(workload_variant){0}, &room, &found, &err));
    assert_ptr_equal(found, &workload_mlp_mnist);
    ASSERT_OK(
        workload_vary(&workload_mlp_mnist, &(workload_variant){.width = 2}, &room, &found, &err));
    assert_int_equal(found->parameters, 785 * 256 + 257 * 128 + 129 * 10);
    ASSERT_OK(
        workload_vary(&workload_mlp_mnist, &(workload_variant){.size = 10}, &room, &found, &err));
    assert_int_equal(found->parameters, 101 * 128 + 129 * 64 + 65 * 10);
    be_shape sample = workload_form(found, 1).field[0].form.sample;
    assert_true(sample.dim[1] == 10 && sample.dim[2] == 10);
    /* The pool at the end makes the weights independent of the size. */
    ASSERT_OK(workload_vary(&workload_cnn5_fashion, &(workload_variant){.size = 56}, &room, &found,
                            &err));
    assert_int_equal(found->parameters, 482666);
    ASSERT_FAILS(
        workload_vary(&workload_cnn_fashion, &(workload_variant){.size = 6}, &room, &found, &err),
        BE_USAGE, "cnn-fashion with pictures of 6 pixels");
    ASSERT_FAILS(
        workload_vary(&workload_cnn_fashion, &(workload_variant){.width = 65}, &room, &found, &err),
        BE_USAGE, "1 to 64 times its own, found 65");
    ASSERT_FAILS(workload_vary(&workload_cnn_fashion, &(workload_variant){.size = 1025}, &room,
                               &found, &err),
                 BE_USAGE, "1 to 1024 pixels, found 1025");
    ASSERT_FAILS(workload_vary(&workload_cnn_fashion, &(workload_variant){.width = 2, .size = 3},
                               &room, &found, &err),
                 BE_USAGE,
                 "cnn-fashion with a width of 2 times its own and pictures of 3 pixels: ");
    struct workload without = workload_mlp_mnist;
    without.own.size = 0;
    ASSERT_FAILS(workload_vary(&without, &(workload_variant){.size = 10}, &room, &found, &err),
                 BE_USAGE, "mlp-mnist has no size that could be varied; it has width");
}

/* Every workload exists at the size of its gate, and a gate is at most as large as asked for. */
static void gates_are_small(void **state)
{
    (void)state;
    for (int i = 0; i < WORKLOAD_COUNT; i++) {
        be_error err;
        bool reduced = true;
        struct workload room, small;
        const workload *w = workload_table[i], *found, *gated;
        workload_variant own = workload_gate_variant(w, &reduced);
        assert_true(w->gate.batch > 0 && w->gate.steps >= 3);
        ASSERT_OK(workload_vary(w, &own, &small, &gated, &err));
        assert_true(gated->parameters <= w->parameters);
        if (w->own.layers) continue; /* its gate is smaller than the network itself */
        workload_variant larger = {.width = 3, .size = w->gate.most.size + 136};
        ASSERT_OK(workload_vary(w, &larger, &room, &found, &err));
        workload_variant variant = workload_gate_variant(found, &reduced);
        assert_true(reduced && variant.size == w->gate.most.size);
        assert_true(variant.width == (w->gate.most.width < 3 ? w->gate.most.width : 3));
        ASSERT_OK(workload_vary(w, &variant, &small, &gated, &err));
        assert_true(gated->parameters <= found->parameters);
    }
}

static float bias_start(const workload *w)
{
    be_error err;
    workload_model model;
    be_plan *plan = NULL;
    be_device *device = NULL;
    float bias[64];
    ASSERT_OK(workload_model_new(w, &(workload_options){.batch = 2, .count = 2}, &model, &err));
    ASSERT_OK(be_device_open("cpu", &(be_device_options){.threads = 1}, &device, &err));
    ASSERT_OK(be_plan_new(model.graph, device, &(be_plan_options){.mode = BE_TRAIN}, &plan, &err));
    ASSERT_OK(be_plan_read(plan, be_value_find(model.graph, "bn1.bias"), bias, sizeof bias, &err));
    assert_true(bias[0] == -bias[1] && bias[62] == bias[0] && bias[63] == bias[1]);
    be_plan_free(plan);
    be_device_close(device);
    be_graph_free(model.graph);
    return bias[0];
}

/* The gate's start is the gate's alone. */
static void a_gate_parts_what_relu_is_given(void **state)
{
    (void)state;
    workload room;
    const workload *gated = workload_at_gate(&workload_resnet18_cifar, &room);
    assert_ptr_equal(gated, &room);
    assert_true(bias_start(gated) == 2.5f && bias_start(&workload_resnet18_cifar) == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(variants_are_told),
        cmocka_unit_test(variants_are_wider_or_larger),
        cmocka_unit_test(gates_are_small),
        cmocka_unit_test(a_gate_parts_what_relu_is_given),
    };
    return cmocka_run_group_tests_name("variants", tests, NULL, NULL);
}
