/* Tests of the threads that OpenMP gives: whatever it is told, results are those of an honest run
 * on as many threads as the device says, or every public call is refused before it computes. */
#include "support.h"

#include <fenv.h>
#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "backend/cpu/cpu.h"
#include "breakeven/breakeven.h"
#include "core/team.h"

enum { BATCH = 32, CHANNELS = 16, SIDE = 10, CLASSES = 10, STEPS = 3, PIXELS = SIDE * SIDE };

static const char *own_path;

/* A network whose products and convolutions are large enough for oneDNN to share them. */
typedef struct trained {
    be_graph *graph;
    be_device *device;
    be_plan *plan;
    float x[BATCH * CHANNELS * PIXELS];
    int32_t target[BATCH];
} trained;

static be_status trained_try(trained *t, const be_device_options *options, be_error *err)
{
    be_graph *g = t->graph = be_graph_new(5);
    be_value x = be_input(g, "x", (be_shape){BE_F32, 4, {BATCH, CHANNELS, SIDE, SIDE}});
    be_value target = be_input(g, "target", (be_shape){BE_I32, 1, {BATCH}});
    be_value y = be_conv2d(
        g, x, &(be_conv2d_options){.name = "a", .channels = 32, .kernel = 3, .padding = 1});
    y = be_linear(g, be_flatten(g, be_relu(g, y)), &(be_linear_options){"b", .features = 96});
    y = be_linear(g, be_relu(g, y), &(be_linear_options){"c", .features = CLASSES});
    be_graph_minimize(g, be_softmax_cross_entropy(g, y, target),
                      &(be_optimizer){.kind = BE_SGD, .learning_rate = 0.05f, .momentum = 0.9});
    for (int i = 0; i < BATCH * CHANNELS * PIXELS; i++) t->x[i] = (float)(i * 37 % 101) / 128.0f;
    for (int i = 0; i < BATCH; i++) t->target[i] = i % CLASSES;
    TRY(be_device_open("cpu", options, &t->device, err));
    TRY(be_plan_new(g, t->device, &(be_plan_options){.mode = BE_TRAIN}, &t->plan, err));
    TRY(be_plan_write(t->plan, x, t->x, sizeof t->x, err));
    return be_plan_write(t->plan, target, t->target, sizeof t->target, err);
}

static trained *trained_new(int threads)
{
    be_error err;
    trained *t = calloc(1, sizeof *t);
    assert_non_null(t);
    ASSERT_OK(trained_try(t, &(be_device_options){.threads = threads, .library = "onednn"}, &err));
    return t;
}

static void trained_free(trained *t)
{
    be_plan_free(t->plan);
    be_device_close(t->device);
    be_graph_free(t->graph);
    free(t);
}

/* All weights by their bits (FNV-1a). */
static uint64_t weights_of(const trained *t)
{
    be_error err;
    uint64_t hash = 0xcbf29ce484222325u;
    for (int p = 0; p < be_plan_parameter_count(t->plan); p++) {
        be_parameter parameter = be_plan_parameter(t->plan, p);
        int64_t count = 1;
        for (int d = 0; d < parameter.shape.rank; d++) count *= parameter.shape.dim[d];
        unsigned char *bytes = malloc((size_t)count * sizeof(float));
        assert_non_null(bytes);
        ASSERT_OK(
            be_plan_read(t->plan, parameter.value, bytes, (size_t)count * sizeof(float), &err));
        for (int64_t i = 0; i < count * (int64_t)sizeof(float); i++)
            hash = (hash ^ bytes[i]) * 0x100000001b3u;
        free(bytes);
    }
    return hash;
}

/* What STEPS steps on that many threads give where nobody disturbs. */
static uint64_t honest(int threads)
{
    static uint64_t known[8];
    be_error err;
    if (threads < 8 && known[threads]) return known[threads];
    trained *t = trained_new(threads);
    ASSERT_OK(be_plan_run(t->plan, STEPS, &err));
    uint64_t weights = weights_of(t);
    trained_free(t);
    return threads < 8 ? (known[threads] = weights) : weights;
}

/* ------------------------------------------------- inside of a parallel region */

#define REFUSED(call)                                                            \
    ASSERT_FAILS(call, BE_UNAVAILABLE, "expected 2 threads", "inside an OpenMP", \
                 "open the device there with 1 thread")

static void refused_everywhere(trained *t)
{
    be_error err;
    be_device *device = NULL;
    be_plan *plan = NULL;
    be_plan_times times;
    const be_device_options two = {.threads = 2};
    const be_plan_options options = {.mode = BE_TRAIN};
    REFUSED(be_device_open("cpu", &two, &device, &err));
    assert_null(device);
    REFUSED(be_plan_new(t->graph, t->device, &options, &plan, &err));
    assert_null(plan);
    REFUSED(be_plan_run(t->plan, 1, &err));
    REFUSED(be_plan_run_checked(t->plan, 1, &err));
    REFUSED(be_plan_phases(t->plan, 1, &times, &err));
}

static void a_callers_region_is_refused_before_anything_is_computed(void **state)
{
    (void)state;
    be_error err;
    trained *t = trained_new(2);
    uint64_t before = weights_of(t);
#pragma omp parallel num_threads(2)
#pragma omp single
    refused_everywhere(t);
    assert_true(weights_of(t) == before);
    ASSERT_OK(be_plan_run(t->plan, STEPS, &err));
    assert_true(weights_of(t) == honest(2));
    trained_free(t);
}

static void one_thread_is_right_inside_of_a_region(void **state)
{
    (void)state;
    uint64_t expected = honest(1), inside[2] = {0};
    int threads[2] = {0};
#pragma omp parallel num_threads(2)
    {
        be_error err;
        int me = omp_get_thread_num();
        trained *t = trained_new(me ? 1 : 0); /* and by default there is 1 */
        ASSERT_OK(be_plan_run(t->plan, STEPS, &err));
        threads[me] = be_device_threads(t->device);
        inside[me] = weights_of(t);
        trained_free(t);
    }
    for (int i = 0; i < 2; i++) {
        assert_int_equal(threads[i], 1);
        assert_true(inside[i] == expected);
    }
}

/* -------------------------------------------------------- settings of the caller */

static void dynamic_teams_change_nothing(void **state)
{
    (void)state;
    be_error err;
    uint64_t expected = honest(3);
    omp_set_dynamic(1);
    trained *t = trained_new(3);
    ASSERT_OK(be_plan_run(t->plan, STEPS, &err));
    assert_true(weights_of(t) == expected);
    assert_true(omp_get_dynamic()); /* left as it was */
    omp_set_dynamic(0);
    trained_free(t);
}

static void rounding_of_the_caller_changes_nothing(void **state)
{
    (void)state;
    for (int threads = 1; threads <= 2; threads++) {
        be_error err;
        uint64_t expected = honest(threads);
        assert_int_equal(fesetround(FE_UPWARD), 0);
        trained *t = trained_new(threads);
        ASSERT_OK(be_plan_run(t->plan, STEPS, &err));
        assert_int_equal(fegetround(), FE_UPWARD); /* left as it was */
        assert_int_equal(fesetround(FE_TONEAREST), 0);
        assert_true(weights_of(t) == expected);
        trained_free(t);
    }
}

static int given_to(int threads)
{
    int given = 0;
#pragma omp parallel num_threads(threads)
#pragma omp master
    given = omp_get_num_threads();
    return given;
}

static void a_team_has_its_threads_and_no_more_settings_than_before(void **state)
{
    (void)state;
    be_error err;
    team t;
    assert_true(team_most() >= 2);
    assert_int_equal(team_possible(1), 1);
    assert_int_equal(team_possible(3), 3);
    for (int threads = 1; threads <= 5; threads++) {
        ASSERT_OK(team_begin(&t, threads, &err));
        assert_int_equal(given_to(threads), threads);
        team_end(&t);
    }
#pragma omp parallel num_threads(2)
#pragma omp single
    {
        assert_int_equal(team_most(), 1);
        assert_int_equal(team_possible(4), 1);
    }
    int levels = omp_get_max_active_levels();
    omp_set_max_active_levels(0);
    assert_int_equal(team_most(), 1);
    ASSERT_FAILS(team_begin(&t, 2, &err), BE_UNAVAILABLE, "OMP_MAX_ACTIVE_LEVELS is 0");
    omp_set_max_active_levels(levels);
}

/* ------------------------------------------------------------- other processes */

/* Each way of a child: what it prints is compared by who started it. */
static int child_trains(void)
{
    trained *t = trained_new(0);
    be_error err;
    ASSERT_OK(be_plan_run(t->plan, STEPS, &err));
    printf("%d %016llx\n", be_device_threads(t->device), (unsigned long long)weights_of(t));
    trained_free(t);
    return 0;
}

static int child_asks_for(int threads)
{
    be_error err = {0};
    be_device *device = NULL;
    be_status status =
        be_device_open("cpu", &(be_device_options){.threads = threads}, &device, &err);
    printf("%d %s\n", (int)status, err.text);
    be_device_close(device);
    return 0;
}

/* Work is cut for two where one comes: what the check of an opened device must see. */
static int child_checks(void)
{
    be_error err = {0};
    be_device *device = NULL;
    ASSERT_OK(be_device_open("cpu", NULL, &device, &err));
    device->threads = 2;
    be_status status = cpu_check((const cpu_device *)device, &err);
    printf("%d %s\n", (int)status, err.text);
    be_device_close(device);
    return 0;
}

/* A user of its own who may have this one process only, as where a pids limit is met. */
static int child_without_threads(void)
{
    const struct rlimit one = {1, 1};
    if (setrlimit(RLIMIT_NPROC, &one) != 0 || (getuid() == 0 && setuid(61234) != 0)) {
        printf("cannot be limited\n");
        return 0;
    }
    int code = child_asks_for(8);
    fflush(stdout);
    _exit(code); /* a leak checker wants a thread of its own at the end, which it cannot have */
}

static int child_main(const char *way)
{
    if (strcmp(way, "train") == 0) return child_trains();
    if (strcmp(way, "two") == 0) return child_asks_for(2);
    if (strcmp(way, "check") == 0) return child_checks();
    return child_without_threads();
}

/* Run this program again, with a variable ("NAME=VALUE") set: what it prints. */
static void again(const char *variable, const char *way, char *out, size_t room)
{
    char command[1200];
    snprintf(command, sizeof command, "%s '%s' child %s", variable, own_path, way);
    FILE *pipe = popen(command, "r");
    assert_non_null(pipe);
    out[fread(out, 1, room - 1, pipe)] = 0;
    assert_int_equal(pclose(pipe), 0);
}

static void openmps_variables_change_nothing(void **state)
{
    (void)state;
    static const struct {
        const char *variable;
        int threads; /* 0: whatever the default is */
    } cases[] = {
        {"OMP_THREAD_LIMIT=1", 1},      {"OMP_MAX_ACTIVE_LEVELS=0", 1},
        {"OMP_DYNAMIC=true", 0},        {"OMP_NESTED=true", 0},
        {"OMP_MAX_ACTIVE_LEVELS=3", 0}, {"OMP_SCHEDULE=dynamic,1", 0},
        {"DNNL_MAX_CPU_ISA=SSE41", 0},  {"OMP_PROC_BIND=true OMP_PLACES='{0}'", 0},
        {"OMP_WAIT_POLICY=passive", 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[200];
        int threads = 0;
        unsigned long long weights = 0;
        again(cases[i].variable, "train", text, sizeof text);
        assert_int_equal(sscanf(text, "%d %llx", &threads, &weights), 2);
        if (cases[i].threads) assert_int_equal(threads, cases[i].threads);
        if (strncmp(cases[i].variable, "DNNL", 4) == 0) continue; /* other kernels, other bits */
        if (weights != honest(threads)) fail_msg("%s: %s", cases[i].variable, text);
    }
}

static void what_is_asked_for_and_cannot_be_is_refused(void **state)
{
    (void)state;
    char text[700];
    again("OMP_THREAD_LIMIT=1", "two", text, sizeof text);
    assert_non_null(strstr(text, "expected 2 threads, but OpenMP's limit is 1 (OMP_THREAD_LIMIT)"));
    assert_non_null(strstr(text, "ask for 1 thread"));
    again("OMP_MAX_ACTIVE_LEVELS=0", "two", text, sizeof text);
    assert_non_null(strstr(text, "OMP_MAX_ACTIVE_LEVELS is 0"));
}

static void a_check_sees_that_fewer_threads_came(void **state)
{
    (void)state;
    char text[700];
    again("OMP_THREAD_LIMIT=1", "check", text, sizeof text);
    assert_non_null(strstr(text, "a product of oneDNN on 2 threads gives"));
    assert_non_null(strstr(text, "use --library native"));
}

static void a_library_that_computes_with_less_precision_is_not_let(void **state)
{
    (void)state;
    static char text[20000];
    again("DNNL_DEFAULT_FPMATH_MODE=ANY ONEDNN_DEFAULT_FPMATH_MODE=ANY DNNL_VERBOSE=1", "two", text,
          sizeof text);
    if (!strstr(text, "backward_weights")) skip(); /* this oneDNN was built without its tracing */
    assert_null(strstr(text, "fpmath_mode:any"));
    assert_null(strstr(text, "fpmath:any"));
}

static void threads_that_the_system_refuses_are_met_when_a_device_is_opened(void **state)
{
    (void)state;
    char text[700];
    again("OMP_NUM_THREADS=8", "limited", text, sizeof text);
    if (strncmp(text, "cannot be limited", 17) == 0) skip();
    assert_non_null(strstr(text, "expected 8 threads, but the system gives 1 ("));
    assert_non_null(strstr(text, "ask for 1 thread, or raise the limit: ulimit -u"));
}

static void a_forked_process_is_refused(void **state)
{
    (void)state;
    be_error err;
    trained *t = trained_new(2);
    ASSERT_OK(be_plan_run(t->plan, 1, &err));
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        err = (be_error){0};
        be_status status = be_plan_run(t->plan, 1, &err);
        bool told = strstr(err.text, "forked") && strstr(err.text, "ask for 1 thread");
        _exit(status == BE_UNAVAILABLE && told ? 0 : 1);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    trained_free(t);
}

int main(int argc, char **argv)
{
    own_path = argv[0];
    if (argc == 3 && strcmp(argv[1], "child") == 0) return child_main(argv[2]);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_team_has_its_threads_and_no_more_settings_than_before),
        cmocka_unit_test(a_callers_region_is_refused_before_anything_is_computed),
        cmocka_unit_test(one_thread_is_right_inside_of_a_region),
        cmocka_unit_test(dynamic_teams_change_nothing),
        cmocka_unit_test(rounding_of_the_caller_changes_nothing),
        cmocka_unit_test(openmps_variables_change_nothing),
        cmocka_unit_test(what_is_asked_for_and_cannot_be_is_refused),
        cmocka_unit_test(a_check_sees_that_fewer_threads_came),
        cmocka_unit_test(a_library_that_computes_with_less_precision_is_not_let),
        cmocka_unit_test(threads_that_the_system_refuses_are_met_when_a_device_is_opened),
        cmocka_unit_test(a_forked_process_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
