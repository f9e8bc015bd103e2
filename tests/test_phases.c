/* Where a step goes, on a clock of this test's own: it moves only when somebody looks at it, or
 * when the device that is faked here works, so that every time is exact.
 *
 * The device is the null device with another sense of time: each kernel takes what the test says,
 * there is a gap between steps, and handing over and waiting cost the host something. */
#include <stdlib.h>
#include <string.h>

#include "backend/gpu/gpu.h"
#include "fake_clock.h"
#include "support.h"
#include "workloads/workload.h"

#define COUNT 64
#define BATCH 8
#define STEPS 40
#define MOST_NODES 64

enum { KERNEL_NS = 1000, GAP_NS = 300, WAIT_NS = 16000 };

static struct {
    fake_clock clock;
    int64_t device_ns; /* until when the device works */
    int64_t hand_ns;   /* of the host, for each step */
    int64_t copy_ns;   /* of the device, for a batch's copy */
    const char *slow;  /* kernels with this in their names take slow_ns */
    int64_t slow_ns;
    int64_t noise_ns; /* each lap takes another part of it longer */
    int laps;
    int64_t alone_ns;               /* what a step that begins alone takes longer */
    int sequences, fail_at;         /* made so far; the one that fails, 0: none */
    const gpu_driver_vtable *inner; /* the null device's */
} world;

struct gpu_function {
    char name[48];
};

static struct gpu_function functions[MOST_NODES];

struct gpu_sequence {
    int count;
    int64_t ns;
};

static be_status fake_function(gpu_driver *driver, gpu_module *module, const char *name,
                               const gpu_function **out, be_error *err)
{
    (void)driver, (void)module, (void)err;
    int i = 0;
    while (i < MOST_NODES && *functions[i].name && strcmp(functions[i].name, name) != 0) i++;
    assert_true(i < MOST_NODES);
    snprintf(functions[i].name, sizeof functions[i].name, "%s", name);
    *out = &functions[i];
    return BE_OK;
}

/* The null device's own would look into its own functions. */
static be_status fake_launch(gpu_driver *driver, const gpu_launch *launch, be_error *err)
{
    (void)launch;
    (void)err;
    driver->launches++;
    return BE_OK;
}

static int64_t kernel_ns(const gpu_launch *launch)
{
    bool slow = world.slow && strstr(launch->function->name, world.slow);
    return slow ? world.slow_ns : KERNEL_NS;
}

static be_status fake_sequence(gpu_driver *driver, const gpu_launch *launches, int count,
                               gpu_sequence **out, be_error *err)
{
    (void)driver;
    *out = NULL;
    if (++world.sequences == world.fail_at)
        FAIL(err, BE_DRIVER, "the sequence failed: try another");
    void *memory = NULL;
    TRY(memory_alloc(&memory, sizeof(gpu_sequence), "a sequence", err));
    *out = memory;
    (*out)->count = count;
    for (int i = 0; i < count; i++)
        (*out)->ns += kernel_ns(&launches[i]) + launches[i].alone * world.alone_ns;
    return BE_OK;
}

static void fake_sequence_free(gpu_driver *driver, gpu_sequence *sequence)
{
    (void)driver;
    memory_free(sequence);
}

static void device_works(int64_t ns)
{
    if (world.device_ns < world.clock.now_ns) world.device_ns = world.clock.now_ns;
    world.device_ns += ns;
}

static be_status fake_replay(gpu_driver *driver, gpu_sequence *s, int64_t times, be_error *err)
{
    (void)err;
    int64_t noise_ns = world.noise_ns * (world.laps++ * 7 % 11) / 11;
    device_works(times * (GAP_NS + s->ns) + noise_ns);
    world.clock.now_ns += times * world.hand_ns;
    driver->launches += times * s->count;
    return BE_OK;
}

static be_status fake_synchronise(gpu_driver *driver, be_error *err)
{
    (void)err;
    driver->waits++;
    if (world.clock.now_ns < world.device_ns) world.clock.now_ns = world.device_ns;
    world.clock.now_ns += WAIT_NS;
    return BE_OK;
}

static be_status fake_feed_send(gpu_driver *driver, gpu_feed *feed, int slot,
                                const gpu_copy *copies, int count, be_error *err)
{
    device_works(world.copy_ns);
    return world.inner->feed_send(driver, feed, slot, copies, count, err);
}

/* ---------------------------------------------------------------- a plan on it */

typedef struct setting {
    be_device *device;
    workload_model model;
    be_plan *plan;
    uint8_t images[COUNT * 784];
    int32_t labels[COUNT], order[COUNT];
} setting;

static const be_optimizer sgd = {.kind = BE_SGD, .learning_rate = 0.1f, .momentum = 0.9f};

static void open_plan(setting *s, const char *device, bool on_host)
{
    be_error err = {0};
    workload_options options = {
        .seed = 3, .count = COUNT, .order_count = COUNT, .batch = BATCH, .optimizer = &sgd};
    be_plan_options plan = {.mode = BE_TRAIN, .data_on_host = on_host};
    for (size_t i = 0; i < sizeof s->images; i++) s->images[i] = (uint8_t)(i * 37 % 251);
    for (int i = 0; i < COUNT; i++) {
        s->labels[i] = i % 10;
        s->order[i] = i;
    }
    ASSERT_OK(be_device_open(device, &(be_device_options){.threads = 1}, &s->device, &err));
    static gpu_driver_vtable vtable;
    if (strcmp(device, "null:0") == 0) {
        gpu_driver *driver = ((gpu_device *)s->device)->driver;
        world.inner = driver->vtable;
        vtable = *driver->vtable;
        vtable.function = fake_function;
        vtable.launch = fake_launch;
        vtable.sequence = fake_sequence;
        vtable.sequence_free = fake_sequence_free;
        vtable.replay = fake_replay;
        vtable.synchronise = fake_synchronise;
        vtable.feed_send = fake_feed_send;
        driver->vtable = &vtable;
        ((gpu_device *)s->device)->stream_steps = 4;
    }
    ASSERT_OK(workload_model_new(&workload_cnn_fashion, &options, &s->model, &err));
    ASSERT_OK(be_plan_new(s->model.graph, s->device, &plan, &s->plan, &err));
    const be_value *inputs = s->model.inputs; /* images, labels */
    ASSERT_OK(be_plan_bind(s->plan, inputs[0], s->images, sizeof s->images, &err));
    ASSERT_OK(be_plan_bind(s->plan, inputs[1], s->labels, sizeof s->labels, &err));
    ASSERT_OK(be_plan_bind(s->plan, s->model.order, s->order, sizeof s->order, &err));
}

static void close_plan(setting *s)
{
    be_plan_free(s->plan);
    be_graph_free(s->model.graph);
    be_device_close(s->device);
    free(s);
}

static setting *new_setting(const char *device, bool on_host)
{
    setting *s = calloc(1, sizeof *s);
    assert_non_null(s);
    memset(&world, 0, sizeof world);
    open_plan(s, device, on_host);
    return s;
}

static int64_t sum_of(const be_plan_times *t)
{
    int64_t sum = 0;
    for (int p = 0; p < BE_PHASE_COUNT; p++)
        if (t->phase_ns[p] > 0) sum += t->phase_ns[p];
    return sum;
}

/* ---------------------------------------------------------------- the tests */

/* What a wait at the end of a lap costs each step of it. */
static int64_t idle_ns(int64_t repeats)
{
    return STEPS * (GAP_NS + WAIT_NS / repeats);
}

/* Each op is what its kernels take, no more and no less. */
static void nodes_are_exact(void **state)
{
    (void)state;
    be_error err = {0};
    be_plan_times t;
    setting *s = new_setting("null:0", false);
    ASSERT_OK(be_plan_phases(s->plan, STEPS, &t, &err));
    be_plan_facts facts = be_plan_describe(s->plan);
    int64_t phase_ns[BE_PHASE_COUNT] = {0};
    assert_int_equal(t.op_count, facts.nodes);
    int launches = 0;
    for (int n = 0; n < t.op_count; n++) {
        assert_int_equal(t.ops[n].ns, STEPS * KERNEL_NS * t.ops[n].launches);
        assert_string_equal(t.ops[n].implementation, "native gpu");
        phase_ns[t.ops[n].phase] += t.ops[n].ns;
        launches += t.ops[n].launches;
    }
    assert_int_equal(launches, facts.launches);
    /* 40 steps in laps of 32, which is whole groups. */
    phase_ns[BE_PHASE_IDLE_OTHER] = idle_ns(32);
    for (int p = 0; p < BE_PHASE_COUNT; p++) assert_int_equal(t.phase_ns[p], phase_ns[p]);
    assert_int_equal(sum_of(&t), t.wall_ns);
    assert_int_equal(t.wall_ns, STEPS * KERNEL_NS * launches + idle_ns(32));
    assert_int_equal(t.launches, STEPS * launches);
    assert_int_equal(t.upload_bytes, 0);
    /* The run waits once, and so do the readings of the clock and of two logs. */
    assert_int_equal(t.synchronisations, 4);
    assert_int_equal(t.download_bytes, 4 + 2 * 4 * BE_LOSS_LOG);
    close_plan(s);
}

static const be_op_time *find_op(const be_plan_times *t, const char *op, const char *name)
{
    for (int n = 0; n < t->op_count; n++)
        if (strcmp(t->ops[n].op, op) == 0 && strcmp(t->ops[n].name, name) == 0) return &t->ops[n];
    fail_msg("there is no op %s of \"%s\"", op, name);
    return NULL;
}

/* Which op it is, of which layer, in which phase. */
static void ops_are_named(void **state)
{
    (void)state;
    be_error err = {0};
    be_plan_times t;
    setting *s = new_setting("null:0", false);
    ASSERT_OK(be_plan_phases(s->plan, 1, &t, &err));
    static const struct {
        const char *op, *name;
        be_phase phase;
    } expected[] = {
        {"data_batch", "", BE_PHASE_DATA},
        {"conv2d_pool", "conv2", BE_PHASE_FORWARD},
        {"linear", "fc1", BE_PHASE_FORWARD},
        {"softmax_cross_entropy", "", BE_PHASE_FORWARD},
        {"linear_backward", "fc1", BE_PHASE_BACKWARD},
        {"conv2d_pool_backward", "conv1", BE_PHASE_BACKWARD},
        {"sgd", "", BE_PHASE_OPTIMIZER},
        {"advance", "", BE_PHASE_LOSS_READ},
    };
    double flops = 0, bytes = 0;
    for (size_t i = 0; i < sizeof expected / sizeof expected[0]; i++)
        assert_int_equal(find_op(&t, expected[i].op, expected[i].name)->phase, expected[i].phase);
    for (int n = 0; n < t.op_count; n++) {
        flops += t.ops[n].flops;
        bytes += t.ops[n].bytes;
    }
    be_plan_facts facts = be_plan_describe(s->plan);
    assert_float_equal(flops, facts.flops_per_step, 1);
    assert_float_equal(bytes, facts.bytes_per_step, 1);
    close_plan(s);
}

/* What takes longer shows up where it is, and nowhere else. */
static void slow_kernels_are_found(void **state)
{
    (void)state;
    static const struct {
        const char *kernel;
        be_phase phase;
    } cases[] = {{"data_batch", BE_PHASE_DATA},
                 {"sgd", BE_PHASE_OPTIMIZER},
                 {"advance", BE_PHASE_LOSS_READ}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        be_error err = {0};
        be_plan_times even, t;
        setting *s = new_setting("null:0", false);
        ASSERT_OK(be_plan_phases(s->plan, 16, &even, &err));
        close_plan(s);
        s = calloc(1, sizeof *s);
        assert_non_null(s);
        world.slow = cases[i].kernel;
        world.slow_ns = 5 * KERNEL_NS;
        open_plan(s, "null:0", false);
        ASSERT_OK(be_plan_phases(s->plan, 16, &t, &err));
        for (int p = 0; p < BE_PHASE_COUNT; p++)
            assert_int_equal(t.phase_ns[p] - even.phase_ns[p],
                             p == (int)cases[i].phase ? 16 * 4 * KERNEL_NS : 0);
        close_plan(s);
    }
}

/* A host that hands over more slowly than the device works: how long that one waits is not known.
 */
static void slow_hosts(void **state)
{
    (void)state;
    be_error err = {0};
    be_plan_times t;
    setting *s = new_setting("null:0", false);
    world.hand_ns = 1000;
    ASSERT_OK(be_plan_phases(s->plan, STEPS, &t, &err));
    assert_int_equal(t.phase_ns[BE_PHASE_IDLE_HOST], 0);
    world.hand_ns = 100000;
    ASSERT_OK(be_plan_phases(s->plan, STEPS, &t, &err));
    assert_int_equal(t.phase_ns[BE_PHASE_IDLE_HOST], -1);
    assert_int_equal(sum_of(&t), t.wall_ns);
    close_plan(s);
}

/* Copies that nothing hides are what a run takes more than its kernels. */
static void copies_are_found(void **state)
{
    (void)state;
    be_error err = {0};
    be_plan_times t;
    setting *s = new_setting("null:0", true);
    world.copy_ns = 400000;
    ASSERT_OK(be_plan_phases(s->plan, STEPS, &t, &err));
    assert_int_equal(t.phase_ns[BE_PHASE_IDLE_HOST], -1);
    assert_int_equal(sum_of(&t), t.wall_ns);
    assert_int_equal(t.phase_ns[BE_PHASE_DATA], STEPS * KERNEL_NS);
    /* The null device counts no steps, so each run begins anew and fills ahead as much as it needs:
     * two slots at the first time. */
    assert_true(t.upload_bytes > 0 && t.upload_bytes % (BATCH * (784 + 4)) == 0);
    int64_t copies_ns = t.upload_bytes / (4 * BATCH * (784 + 4)) * world.copy_ns;
    assert_in_range(t.phase_ns[BE_PHASE_UPLOAD], copies_ns / 2, copies_ns * 2);
    close_plan(s);
}

/* Where a step begins beside the end of the one before, its first ops are shorter by that. */
static void begins_are_hidden(void **state)
{
    (void)state;
    be_error err = {0};
    be_plan_times t;
    setting *s = new_setting("null:0", false);
    world.alone_ns = 600;
    ASSERT_OK(be_plan_phases(s->plan, STEPS, &t, &err));
    assert_int_equal(t.ops[0].ns + t.phase_ns[BE_PHASE_IDLE_OTHER],
                     STEPS * KERNEL_NS + idle_ns(32));
    for (int n = 1; n < t.op_count; n++)
        assert_int_equal(t.ops[n].ns, STEPS * KERNEL_NS * t.ops[n].launches);
    assert_int_equal(sum_of(&t), t.wall_ns);
    close_plan(s);
}

/* Noise makes no time negative, and takes nothing from the whole. */
static void noise_keeps_the_sum(void **state)
{
    (void)state;
    be_error err = {0};
    be_plan_times t;
    setting *s = new_setting("null:0", false);
    world.noise_ns = 400000;
    ASSERT_OK(be_plan_phases(s->plan, STEPS, &t, &err));
    for (int n = 0; n < t.op_count; n++) assert_true(t.ops[n].ns >= 0);
    assert_true(t.phase_ns[BE_PHASE_IDLE_OTHER] >= 0);
    assert_int_equal(sum_of(&t), t.wall_ns);
    close_plan(s);
}

static void failures_leave_nothing(void **state)
{
    (void)state;
    be_error err = {0};
    be_plan_times t;
    setting *s = new_setting("null:0", false);
    world.sequences = 0;
    world.fail_at = 9;
    ASSERT_FAILS(be_plan_phases(s->plan, 2, &t, &err), BE_DRIVER, "the sequence failed");
    ASSERT_FAILS(be_plan_phases(s->plan, 0, &t, &err), BE_USAGE, "1 or more steps, found 0");
    for (size_t n = 1;; n++) {
        memory_fail_at(n);
        be_status status = be_plan_phases(s->plan, 2, &t, &err);
        memory_fail_at(0);
        if (status == BE_OK) break;
        assert_int_equal(status, BE_NO_MEMORY);
        assert_true(n < 100);
    }
    close_plan(s);
}

static void read_all(be_plan *plan, float *out, size_t room)
{
    be_error err = {0};
    int parameters = be_plan_parameter_count(plan), slots = be_plan_slot_count(plan);
    for (int i = 0; i < parameters + slots; i++) {
        be_parameter p =
            i < parameters ? be_plan_parameter(plan, i) : be_plan_slot(plan, i - parameters);
        size_t bytes = sizeof(float);
        for (int d = 0; d < p.shape.rank; d++) bytes *= (size_t)p.shape.dim[d];
        assert_true(bytes <= room);
        ASSERT_OK(be_plan_read(plan, p.value, out, bytes, &err));
        out += bytes / sizeof(float);
        room -= bytes;
    }
}

/* A clock that ticks at each look gives every op a tick, and the end of the loop one. */
static void a_processor_is_timed_in_its_loop(void **state)
{
    (void)state;
    be_error err = {0};
    be_plan_times t;
    setting *s = new_setting("cpu", false);
    world.clock.tick_ns = 10;
    ASSERT_OK(be_plan_phases(s->plan, 3, &t, &err));
    for (int n = 0; n < t.op_count; n++) {
        assert_int_equal(t.ops[n].ns, 3 * 10);
        assert_int_equal(t.ops[n].launches, 1);
    }
    /* The reading of the losses is timed by itself. */
    assert_int_equal(t.phase_ns[BE_PHASE_LOSS_READ], find_op(&t, "advance", "")->ns + 10);
    assert_int_equal(t.phase_ns[BE_PHASE_IDLE_OTHER], 10);
    assert_int_equal(sum_of(&t), t.wall_ns);
    assert_int_equal(t.launches, 3 * t.op_count);
    assert_int_equal(t.synchronisations + t.upload_bytes + t.download_bytes, 0);
    close_plan(s);
}

static void trainings_are_not_changed(void **state)
{
    enum { ROOM = 1 << 20 };
    (void)state;
    be_error err = {0};
    be_plan_times t;
    float *values[2], losses[2][6];
    int64_t steps = 0;
    for (int timed = 0; timed < 2; timed++) {
        setting *s = new_setting("cpu", false);
        values[timed] = calloc(ROOM, 1);
        assert_non_null(values[timed]);
        ASSERT_OK(be_plan_run(s->plan, 3, &err));
        if (timed) ASSERT_OK(be_plan_phases(s->plan, 5, &t, &err));
        ASSERT_OK(be_plan_steps(s->plan, &steps, &err));
        assert_int_equal(steps, 3);
        ASSERT_OK(be_plan_run(s->plan, 3, &err));
        ASSERT_OK(be_plan_losses(s->plan, 6, losses[timed], NULL, &err));
        read_all(s->plan, values[timed], ROOM);
        close_plan(s);
    }
    assert_memory_equal(losses[0], losses[1], sizeof losses[0]);
    assert_memory_equal(values[0], values[1], ROOM);
    free(values[0]);
    free(values[1]);
}

static void references_wait(void **state)
{
    (void)state;
    be_error err = {0};
    int64_t wall_ns = 0;
    setting *s = new_setting("null:0", false);
    gpu_driver *driver = ((gpu_device *)s->device)->driver;
    int64_t launches = driver->launches;
    for (int i = 0; i < 2; i++) {
        ASSERT_OK(s->device->vtable->reference(s->device, &wall_ns, &err));
        assert_int_equal(wall_ns, WAIT_NS);
        assert_int_equal(driver->launches - launches, 2 + i); /* the first time warms up */
    }
    close_plan(s);
    s = new_setting("cpu", false);
    world.clock.tick_ns = 10;
    ASSERT_OK(s->device->vtable->reference(s->device, &wall_ns, &err));
    assert_int_equal(wall_ns, 10);
    close_plan(s);
}

int main(void)
{
    fake_clock_use(&world.clock);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nodes_are_exact),
        cmocka_unit_test(ops_are_named),
        cmocka_unit_test(slow_kernels_are_found),
        cmocka_unit_test(slow_hosts),
        cmocka_unit_test(copies_are_found),
        cmocka_unit_test(begins_are_hidden),
        cmocka_unit_test(noise_keeps_the_sum),
        cmocka_unit_test(failures_leave_nothing),
        cmocka_unit_test(a_processor_is_timed_in_its_loop),
        cmocka_unit_test(trainings_are_not_changed),
        cmocka_unit_test(references_wait),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
