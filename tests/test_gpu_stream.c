/* The streamed mode: the bits of a training whose data set stays on the host are those of one whose
 * set lies on the device, whatever the sizes and however the steps are cut into runs; and every
 * wait that keeps copies and steps apart is needed. */
#include <dlfcn.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/backend.h"
#include "backend/gpu/gpu.h"
#include "core/rng.h"
#include "data/dataset.h"
#include "data/order.h"
#include "fake_cuda/fake_cuda.h"
#include "fake_cuda/fake_folder.h"
#include "support.h"
#include "train/evaluate.h"

#define COUNT 53
#define BATCH 8
#define EPOCH_STEPS (COUNT / BATCH) /* 5 pictures are left over */
#define EPOCHS 3
#define STEPS (EPOCHS * EPOCH_STEPS)
#define MOST_PARAMETERS 200000

static const workload *const model_of = &workload_mlp_mnist;

static uint8_t images[COUNT * 784];
static int32_t labels[COUNT];
static be_dataset set = {.name = "random",
                         .count = COUNT,
                         .channels = 1,
                         .height = 28,
                         .width = 28,
                         .classes = 10,
                         .images = images,
                         .labels = labels,
                         .mean = {0.5f},
                         .std = {0.25f}};

static void (*ignore)(int waits); /* of the fake device; NULL: the device is another */

static void make_data(void)
{
    rng source = {.key = {.seed = 7, .stream = RNG_TEST}};
    for (size_t i = 0; i < sizeof images; i++) images[i] = (uint8_t)rng_next(&source);
    for (int i = 0; i < COUNT; i++) labels[i] = (int32_t)rng_next_below(&source, 10);
    dataset_describe(&set);
}

/* How a training is done. */
typedef enum how { IN_BLOCKS, STEP_BY_STEP, CHECKED, TIMED } how;

typedef struct training {
    how how;
    bool on_host, bind;
    int slot_steps; /* 0: as many as fit */
    int ignored;    /* waits of the fake */
    int turns;      /* of a step, whose batch is cut; 0: one */
} training;

/* All that comes out. */
typedef struct outcome {
    size_t parameter_count;
    float parameters[MOST_PARAMETERS], losses[STEPS];
    int32_t correct[STEPS];
    evaluation evaluation;
} outcome;

static be_status build_model(int turns, workload_model *out, be_error *err)
{
    workload_options options = {
        .seed = 3, .data = &set.table, .batch = turns ? BATCH / turns : BATCH};
    return workload_model_new(model_of, &options, out, err);
}

static workload_model make_model(void)
{
    be_error err = {0};
    workload_model model;
    ASSERT_OK(build_model(0, &model, &err));
    return model;
}

static int64_t fed_bytes(const be_device *device)
{
    return strcmp(be_device_id(device), "cpu") == 0
               ? 0
               : ((const gpu_device *)device)->driver->fed_bytes;
}

static be_status write_data(be_plan *plan, const be_graph *g, bool bind, be_error *err)
{
    be_status (*give)(be_plan *, be_value, const void *, size_t, be_error *) =
        bind ? be_plan_bind : be_plan_write;
    TRY(give(plan, be_value_find(g, "images"), images, sizeof images, err));
    return give(plan, be_value_find(g, "labels"), labels, sizeof labels, err);
}

static be_status run_steps(be_plan *plan, const training *t, int epoch, be_error *err)
{
    be_plan_times times;
    if (t->how == CHECKED) return be_plan_run_checked(plan, EPOCH_STEPS, err);
    if (t->how == TIMED) {
        TRY(be_plan_run(plan, 3, err));
        TRY(be_plan_phases(plan, 5, &times, err));
        return be_plan_run(plan, EPOCH_STEPS - 3, err);
    }
    if (t->how == STEP_BY_STEP) {
        for (int i = 0; i < EPOCH_STEPS; i++) TRY(be_plan_run(plan, 1, err));
        return BE_OK;
    }
    /* Blocks that do not end where slots do. */
    TRY(be_plan_run(plan, 1 + epoch % 3, err));
    return be_plan_run(plan, EPOCH_STEPS - 1 - epoch % 3, err);
}

/* As the training loop does: another order in each epoch. */
static be_status run_epochs(be_plan *plan, const workload_model *model, const training *t,
                            be_error *err)
{
    int32_t order[COUNT];
    TRY(write_data(plan, model->graph, t->bind, err));
    for (int e = 0; e < EPOCHS; e++) {
        order_epoch(5, (uint32_t)e, order, COUNT);
        TRY(be_plan_write(plan, model->order, order, sizeof order, err));
        TRY(run_steps(plan, t, e, err));
    }
    return BE_OK;
}

static be_status take_outcome(be_plan *plan, outcome *out, be_error *err)
{
    out->parameter_count = 0;
    TRY(be_plan_losses(plan, STEPS, out->losses, out->correct, err));
    for (int i = 0; i < be_plan_parameter_count(plan); i++) {
        be_parameter p = be_plan_parameter(plan, i);
        size_t count = (size_t)shape_elements(&p.shape);
        assert_true(out->parameter_count + count <= MOST_PARAMETERS);
        TRY(be_plan_read(plan, p.value, out->parameters + out->parameter_count,
                         count * sizeof(float), err));
        out->parameter_count += count;
    }
    return BE_OK;
}

static be_status evaluate(be_device *device, be_plan *share, const training *t, outcome *out,
                          be_error *err)
{
    evaluator e;
    evaluator_options options = {.workload = model_of,
                                 .device = device,
                                 .share = share,
                                 .batch = BATCH,
                                 .data = &set.table,
                                 .data_on_host = t->on_host};
    TRY(evaluator_open(&e, &options, err));
    be_status status = evaluator_run(&e, &out->evaluation, err);
    out->evaluation.seconds = 0;
    evaluator_close(&e);
    return status;
}

static be_status train(be_device *device, const training *t, outcome *out, be_error *err)
{
    be_plan *plan = NULL;
    workload_model model;
    be_plan_options options = {
        .mode = BE_TRAIN, .data_on_host = t->on_host, .accumulate = t->turns};
    TRY(build_model(t->turns, &model, err));
    if (device->vtable == &gpu_vtable) ((gpu_device *)device)->stream_steps = t->slot_steps;
    *out = (outcome){0};
    be_status status = be_plan_new(model.graph, device, &options, &plan, err);
    if (ignore) ignore(t->ignored);
    if (status == BE_OK) status = run_epochs(plan, &model, t, err);
    if (ignore) ignore(0);
    if (status == BE_OK) status = take_outcome(plan, out, err);
    if (status == BE_OK) status = evaluate(device, plan, t, out, err);
    be_plan_free(plan);
    be_graph_free(model.graph);
    return status;
}

static be_device *open_device(const char *id)
{
    be_error err = {0};
    be_device *device = NULL;
    ASSERT_OK(be_device_open(id, NULL, &device, &err));
    return device;
}

static outcome on_device, on_host; /* large */

static void the_same_bits(void **state)
{
    static const int slots[] = {0, 1, 2, 3, 7};
    be_error err = {0};
    be_device *device = open_device(*state);
    int64_t before = fed_bytes(device);
    ASSERT_OK(train(device, &(training){0}, &on_device, &err));
    assert_int_equal(fed_bytes(device), before); /* the whole set was copied */
    for (size_t s = 0; s < sizeof slots / sizeof slots[0]; s++)
        for (how way = IN_BLOCKS; way <= TIMED; way++) {
            training t = {
                .how = way, .on_host = true, .bind = way != CHECKED, .slot_steps = slots[s]};
            if (way != IN_BLOCKS && slots[s] != 2) continue;
            ASSERT_OK(train(device, &t, &on_host, &err));
            if (memcmp(&on_device, &on_host, sizeof on_host) != 0)
                fail_msg("%s, slots of %d steps, way %d: other bits", be_device_id(device),
                         slots[s], (int)way);
        }
    assert_true(on_host.losses[STEPS - 1] < on_host.losses[0]);
    assert_true(fed_bytes(device) > before || strcmp(*state, "cpu") == 0);
    be_device_close(device);
}

/* Two turns of half a batch are a step of the whole one, up to the order of its sums; and the same
 * bits each time, wherever the data lie and however the steps are cut into runs. */
static void turns_are_a_step(void **state)
{
    static outcome whole; /* large */
    be_error err = {0};
    be_device *device = open_device(*state);
    ASSERT_OK(train(device, &(training){0}, &whole, &err));
    ASSERT_OK(train(device, &(training){.turns = 2}, &on_device, &err));
    for (int s = 0; s < STEPS; s++) {
        double loss = (double)whole.losses[s];
        if (!(fabs((double)on_device.losses[s] - loss) <= 1e-5 * loss))
            fail_msg("step %d: expected a loss of %g, found %g", s, loss,
                     (double)on_device.losses[s]);
        assert_int_equal(on_device.correct[s], whole.correct[s]);
    }
    for (size_t i = 0; i < whole.parameter_count; i++)
        assert_true(fabs((double)(on_device.parameters[i] - whole.parameters[i])) <= 1e-5);
    for (how way = IN_BLOCKS; way <= TIMED; way++) {
        training t = {.how = way, .on_host = true, .bind = true, .slot_steps = 3, .turns = 2};
        ASSERT_OK(train(device, &t, &on_host, &err));
        if (memcmp(&on_device, &on_host, sizeof on_host) != 0)
            fail_msg("%s, way %d: other bits", be_device_id(device), (int)way);
    }
    be_device_close(device);
}

/* One order and runs beyond its end: the last pictures are left over each time. */
static void an_order_that_goes_round(void **state)
{
    be_error err = {0};
    be_device *device = open_device(*state);
    float losses[2][100];
    int32_t order[COUNT];
    order_epoch(5, 0, order, COUNT);
    for (int host = 0; host < 2; host++) {
        be_plan *plan = NULL;
        workload_model model = make_model();
        be_plan_options options = {.mode = BE_INFER, .data_on_host = host};
        ASSERT_OK(be_plan_new(model.graph, device, &options, &plan, &err));
        ASSERT_OK(write_data(plan, model.graph, true, &err));
        ASSERT_OK(be_plan_bind(plan, model.order, order, sizeof order, &err));
        ASSERT_OK(be_plan_run(plan, 70, &err));
        ASSERT_OK(be_plan_run(plan, 30, &err));
        ASSERT_OK(be_plan_losses(plan, 100, losses[host], NULL, &err));
        /* Back to a step whose batch is gone from the ring. */
        ASSERT_OK(be_plan_set_steps(plan, 3, &err));
        ASSERT_OK(be_plan_run(plan, 2, &err));
        float again[2];
        ASSERT_OK(be_plan_losses(plan, 2, again, NULL, &err));
        assert_memory_equal(again, losses[host] + 3, sizeof again);
        be_plan_free(plan);
        be_graph_free(model.graph);
    }
    assert_memory_equal(losses[0], losses[1], sizeof losses[0]);
    assert_memory_equal(losses[0], losses[0] + EPOCH_STEPS, (100 - EPOCH_STEPS) * sizeof(float));
    assert_memory_not_equal(losses[0], losses[0] + 1, EPOCH_STEPS * sizeof(float));
    be_device_close(device);
}

/* Without a loss no step is counted: each has the batch of the clock, whatever it is set to. */
static void a_clock_that_stands_still(void **state)
{
    enum { VALUES = BATCH * 784 };
    static float x[2][3][VALUES];
    be_error err = {0};
    be_device *device = open_device(*state);
    int32_t order[COUNT];
    be_plan_times times;
    order_epoch(5, 0, order, COUNT);
    for (int host = 0; host < 2; host++) {
        be_graph *g = be_graph_new(1);
        be_plan *plan = NULL;
        be_batch batch = be_data_batch(g, &(be_batch_options){.count = COUNT,
                                                              .order_count = COUNT,
                                                              .batch = BATCH,
                                                              .channels = 1,
                                                              .height = 28,
                                                              .width = 28,
                                                              .mean = {0.5f},
                                                              .std = {0.25f}});
        be_value kept = be_relu(g, batch.x);
        be_plan_options options = {
            .mode = BE_INFER, .keep = &kept, .keep_count = 1, .data_on_host = host};
        ASSERT_OK(be_plan_new(g, device, &options, &plan, &err));
        ASSERT_OK(write_data(plan, g, true, &err));
        ASSERT_OK(be_plan_bind(plan, batch.order, order, sizeof order, &err));
        ASSERT_OK(be_plan_run(plan, 40, &err));
        ASSERT_OK(be_plan_read(plan, kept, x[host][0], sizeof x[0][0], &err));
        ASSERT_OK(be_plan_set_steps(plan, 4, &err));
        ASSERT_OK(be_plan_run(plan, 40, &err));
        ASSERT_OK(be_plan_read(plan, kept, x[host][1], sizeof x[0][0], &err));
        ASSERT_OK(be_plan_phases(plan, 40, &times, &err));
        ASSERT_OK(be_plan_read(plan, kept, x[host][2], sizeof x[0][0], &err));
        be_plan_free(plan);
        be_graph_free(g);
    }
    assert_memory_equal(x[0], x[1], sizeof x[0]);
    assert_memory_equal(x[0][1], x[0][2], sizeof x[0][0]);
    assert_memory_not_equal(x[0][0], x[0][1], sizeof x[0][0]);
    be_device_close(device);
}

/* ---------------------------------------------------------------- what each step costs */

static void bytes_are_counted(void **state)
{
    be_error err = {0};
    be_plan *plan = NULL;
    be_device *device = open_device("null");
    workload_model model = make_model();
    be_plan_options options = {.mode = BE_TRAIN, .data_on_host = 1};
    int32_t order[COUNT] = {0}, found[COUNT];
    (void)state;
    ((gpu_device *)device)->stream_steps = 4;
    ASSERT_OK(be_plan_new(model.graph, device, &options, &plan, &err));
    ASSERT_FAILS(be_plan_run(plan, 1, &err), BE_USAGE, "\"order\" was never written");
    ASSERT_OK(write_data(plan, model.graph, false, &err));
    ASSERT_OK(be_plan_write(plan, model.order, order, sizeof order, &err));
    assert_int_equal(fed_bytes(device), 0);
    /* Slot 0 is filled, and each next one when a run comes to it. */
    int64_t slot = (int64_t)4 * BATCH * (784 + 4);
    ASSERT_OK(be_plan_run(plan, 3, &err));
    assert_int_equal(fed_bytes(device), slot);
    ASSERT_OK(be_plan_run(plan, 3, &err));
    assert_int_equal(fed_bytes(device), 2 * slot);
    ASSERT_OK(be_plan_run(plan, 4, &err));
    assert_int_equal(fed_bytes(device), 3 * slot);
    /* From the middle of a slot the rest of it alone. */
    ASSERT_OK(be_plan_set_steps(plan, 13, &err));
    ASSERT_OK(be_plan_run(plan, 1, &err));
    assert_int_equal(fed_bytes(device), 3 * slot + slot / 4 * 3);
    /* The inputs can be read. */
    order[1] = 7;
    ASSERT_OK(be_plan_write(plan, model.order, order, sizeof order, &err));
    ASSERT_OK(be_plan_read(plan, model.order, found, sizeof found, &err));
    assert_memory_equal(order, found, sizeof order);
    be_plan_free(plan);
    be_graph_free(model.graph);
    be_device_close(device);
}

/* A dry run plans the same. */
static void dry_runs(void **state)
{
    be_error err = {0};
    be_device *device = open_device("null");
    workload_model model = make_model();
    int launches[2];
    (void)state;
    for (int dry = 0; dry < 2; dry++) {
        be_plan *plan = NULL;
        be_plan_options options = {.mode = BE_TRAIN, .data_on_host = 1, .dry_run = dry};
        ASSERT_OK(be_plan_new(model.graph, device, &options, &plan, &err));
        launches[dry] = be_plan_describe(plan).launches;
        be_plan_free(plan);
    }
    assert_int_equal(launches[0], launches[1]);
    be_graph_free(model.graph);
    be_device_close(device);
}

/* ---------------------------------------------------------------- refusals */

static void refused_graphs(void **state)
{
    be_error err = {0};
    be_plan *plan = NULL;
    be_device *device = open_device("null");
    be_plan_options options = {.mode = BE_INFER, .data_on_host = 1};
    be_batch_options batch = {.count = 4,
                              .order_count = 4,
                              .batch = 4,
                              .channels = 1,
                              .height = 2,
                              .width = 2,
                              .mean = {0.5f},
                              .std = {0.25f}};
    (void)state;
    be_graph *g = be_graph_new(1);
    be_relu(g, be_input(g, "x", shape_make(BE_F32, 1, 4, 0, 0, 0)));
    ASSERT_FAILS(be_plan_new(g, device, &options, &plan, &err), BE_USAGE,
                 "one order by which the graph gathers its batches, found 0");
    be_graph_free(g);
    /* The labels of the whole set as the target of a batch. */
    g = be_graph_new(1);
    be_batch made = be_data_batch(g, &batch);
    be_softmax_cross_entropy(
        g, be_linear(g, be_flatten(g, made.x), &(be_linear_options){"fc", .features = 10}),
        made.labels);
    ASSERT_FAILS(be_plan_new(g, device, &options, &plan, &err), BE_USAGE,
                 "inputs that be_gather alone uses, found 1 other uses");
    be_graph_free(g);
    be_device_close(device);
}

static void refused_orders(void **state)
{
    be_error err = {0};
    be_plan *plan = NULL;
    be_device *device = open_device("null");
    workload_model model = make_model();
    be_plan_options options = {.mode = BE_TRAIN, .data_on_host = 1};
    int32_t order[COUNT] = {0};
    (void)state;
    ASSERT_OK(be_plan_new(model.graph, device, &options, &plan, &err));
    for (int bad = 0; bad < 2; bad++) {
        order[17] = bad ? COUNT : -1;
        ASSERT_FAILS(be_plan_write(plan, model.order, order, sizeof order, &err), BE_BAD_DATA,
                     "an order of samples from 0 to 52, found ", "at element 17");
        ASSERT_FAILS(be_plan_bind(plan, model.order, order, sizeof order, &err), BE_BAD_DATA,
                     "at element 17");
    }
    ASSERT_OK(write_data(plan, model.graph, true, &err));
    ASSERT_FAILS(be_plan_run(plan, 1, &err), BE_USAGE, "\"order\" was never written");
    be_plan_free(plan);
    be_graph_free(model.graph);
    be_device_close(device);
}

/* ---------------------------------------------------------------- faults */

/* The null device counts no steps, so there are no losses to look at. */
static be_status attempt_null(void *context, be_error *err)
{
    be_device *device = NULL;
    be_plan *plan = NULL;
    training t = {0};
    be_plan_options options = {.mode = BE_TRAIN, .data_on_host = 1};
    TRY(be_device_open("null", NULL, &device, err));
    be_status status =
        be_plan_new(((const workload_model *)context)->graph, device, &options, &plan, err);
    if (status == BE_OK) status = run_epochs(plan, context, &t, err);
    be_plan_free(plan);
    be_device_close(device);
    return status;
}

static void allocations_fail(void **state)
{
    workload_model model = make_model();
    (void)state;
    assert_true(support_fail_each_allocation(attempt_null, &model, 2000) > 20);
    be_graph_free(model.graph);
}

#ifdef __linux__
static struct {
    void *driver;
    void (*fail_at)(int, int, int);
    int (*calls)(void), (*live)(void);
    const char *(*last)(void);
} fake;

static int use_fake(void **state)
{
    char path[4096];
    (void)state;
    const char *fakes = getenv("BREAKEVEN_FAKE_CUDA");
    assert_non_null(fakes);
    setenv("BREAKEVEN_CUDA_LIB_DIR", fakes, 1);
    unsetenv("CUDA_VISIBLE_DEVICES");
    fake.driver = dlopen(support_path(path, sizeof path, fakes, "libcuda.so.1"), RTLD_NOW);
    assert_non_null(fake.driver);
    *(void **)&ignore = dlsym(fake.driver, "fake_cuda_ignore");
    *(void **)&fake.fail_at = dlsym(fake.driver, "fake_cuda_fail_at");
    *(void **)&fake.calls = dlsym(fake.driver, "fake_cuda_calls");
    *(void **)&fake.live = dlsym(fake.driver, "fake_cuda_live");
    *(void **)&fake.last = dlsym(fake.driver, "fake_cuda_last");
    return 0;
}

static int leave_fake(void **state)
{
    (void)state;
    int live = fake.live();
    ignore = NULL;
    dlclose(fake.driver);
    assert_int_equal(live, 0);
    return 0;
}

/* Without any one of the three waits the bits are others: the fake does things as late as it may.
 */
static void every_wait_is_needed(void **state)
{
    static const int waits[] = {FAKE_WAIT_OF_HOST, FAKE_WAIT_OF_FIRST, FAKE_WAIT_OF_OTHERS};
    be_error err = {0};
    be_device *device = open_device("cuda:0");
    training t = {.on_host = true, .bind = true, .slot_steps = 1};
    (void)state;
    ASSERT_OK(train(device, &t, &on_device, &err));
    for (size_t i = 0; i < sizeof waits / sizeof waits[0]; i++) {
        t.ignored = waits[i];
        ASSERT_OK(train(device, &t, &on_host, &err));
        if (memcmp(&on_device, &on_host, sizeof on_host) == 0)
            fail_msg("without the waits %d the bits are the same", waits[i]);
    }
    be_device_close(device);
}

static be_status attempt(void *context, be_error *err)
{
    be_device *device = NULL;
    training t = {.on_host = true, .slot_steps = 2};
    TRY(be_device_open(context, NULL, &device, err));
    be_status status = train(device, &t, &on_host, err);
    be_device_close(device);
    return status;
}

/* Calls of the driver fail, one in each training. */
static void calls_fail(void **state)
{
    be_error err = {0};
    (void)state;
    ASSERT_OK(attempt("cuda:0", &err)); /* the kernels are in the cache */
    fake.fail_at(0, 0, 0);
    ASSERT_OK(attempt("cuda:0", &err));
    int total = fake.calls(), told = 0;
    for (int n = total / 2; n <= total; n += 7) {
        fake.fail_at(n, 719, 0);
        be_status status = attempt("cuda:0", &err);
        told += status == BE_DRIVER && strstr(err.text, "cuda:0: cannot ");
        if (status != BE_OK && status != BE_DRIVER) fail_msg("call %d: %s", n, err.text);
        if (fake.live() != 0) fail_msg("call %d, %s: something is left", n, fake.last());
    }
    fake.fail_at(0, 0, 0);
    assert_true(told > total / 4 / 7);
}
#endif

int main(void)
{
#define ON(test, id)                            \
    {                                           \
#test " on " id, test, NULL, NULL, (id) \
    }
    const struct CMUnitTest tests[] = {
        ON(the_same_bits, "cpu"),
        ON(the_same_bits, "opencl:0"),
        ON(turns_are_a_step, "cpu"),
        ON(turns_are_a_step, "opencl:0"),
        ON(an_order_that_goes_round, "cpu"),
        ON(an_order_that_goes_round, "opencl:0"),
        ON(a_clock_that_stands_still, "opencl:0"),
        cmocka_unit_test(bytes_are_counted),
        cmocka_unit_test(dry_runs),
        cmocka_unit_test(refused_graphs),
        cmocka_unit_test(refused_orders),
        cmocka_unit_test(allocations_fail),
    };
    make_data();
    int failed = cmocka_run_group_tests_name("stream", tests, NULL, NULL);
#ifdef __linux__
    const struct CMUnitTest fakes[] = {
        ON(the_same_bits, "cuda:0"),
        ON(turns_are_a_step, "cuda:0"),
        ON(an_order_that_goes_round, "cuda:0"),
        ON(a_clock_that_stands_still, "cuda:0"),
        cmocka_unit_test(every_wait_is_needed),
        cmocka_unit_test(calls_fail),
    };
    failed += cmocka_run_group_tests_name("stream on the fake device", fakes, use_fake, leave_fake);
#endif
    return failed;
}
