/* Tests of who is measured (src/study/bench_plan.c), on planted answers of engines: nothing is
 * started. */
#include "support.h"

#include <stdio.h>
#include <string.h>

#include "core/json.h"
#include "study/bench_plan.h"
#include "study/yardstick.h"

enum { NATIVE, TORCH, TENSORFLOW };

typedef struct world {
    bench_plan plan;
    study_request request;
    study_watch watch;
    engine_question questions[ENGINE_COUNT];
    char notes[600];
} world;

static void keep_note(void *context, const char *line)
{
    world *w = context;
    strncat(w->notes, line, sizeof w->notes - strlen(w->notes) - 1);
}

static json_t *devices_of(const char *const *ids)
{
    json_t *list = json_array();
    for (; *ids; ids++) json_array_append_new(list, json_pack("{s:s}", "id", *ids));
    return list;
}

static void answer(world *w, int engine, const char *const *ids)
{
    w->questions[engine].hello =
        json_pack("{s:o, s:[]}", "devices", devices_of(ids), "unusable_devices");
}

static void refuse(world *w, int engine, const char *reason)
{
    w->questions[engine].status = BE_UNAVAILABLE;
    snprintf(w->questions[engine].error.text, sizeof w->questions[engine].error.text, "%s", reason);
}

/* Native and PyTorch on the processor and a GPU; TensorFlow is not there.  2 cores of 4 are paid
 * for. */
static void plant(world *w)
{
    *w = (world){.request = {.precision = "fp32", .usual_threads = 2, .all_threads = 4}};
    w->watch = (study_watch){.context = w, .note = keep_note};
    bench_plan_begin(&w->plan, &w->request);
    for (int e = 0; e < ENGINE_COUNT; e++) {
        w->plan.engines[e].name = engine_names[e];
        w->questions[e].engine = &w->plan.engines[e];
    }
    answer(w, NATIVE, (const char *const[]){"cpu", "cuda:0", NULL});
    answer(w, TORCH, (const char *const[]){"cpu", "cuda:0", NULL});
    refuse(w, TENSORFLOW, "engine tensorflow: not installed");
}

/* "native cpu 2, native cuda:0 2" */
static const char *contenders(const world *w)
{
    static char text[600];
    text[0] = 0;
    for (int c = 0; c < w->plan.contender_count; c++) {
        char one[100];
        const bench_contender *b = &w->plan.contenders[c];
        snprintf(one, sizeof one, "%s%s %s %d", c ? ", " : "", b->engine->name, b->device,
                 b->threads);
        strncat(text, one, sizeof text - strlen(text) - 1);
    }
    return text;
}

static be_status take(world *w, be_error *err)
{
    return bench_plan_take(&w->plan, &w->request, &w->watch, w->questions, err);
}

static void without_wishes_all_take_part(void **state)
{
    (void)state;
    be_error err = {0};
    world w;
    plant(&w);
    ASSERT_OK(take(&w, &err));
    assert_string_equal(contenders(&w),
                        "native cpu 2, native cpu 4, native cpu 1, native cuda:0 2, "
                        "torch cpu 2, torch cuda:0 2");
    assert_non_null(strstr(w.notes, "TensorFlow is left out: engine tensorflow: not installed"));
    assert_string_equal(json_text_at(json_array_get(w.plan.missing, 0), "name"), "TensorFlow");
    bench_plan_release(&w.plan);
}

/* Forms are told of where nobody has asked for an engine, and are measured where somebody has. */
static void forms_are_told_of_and_asked_for(void **state)
{
    (void)state;
    be_error err = {0};
    for (int named = 0; named < 2; named++) {
        world w;
        plant(&w);
        json_object_set_new(w.questions[TORCH].hello, "forms",
                            json_pack("{s:{s:[{s:s}]}, s:{s:[]}}", "torch-compile", "devices", "id",
                                      "cpu", "torch-graph", "devices"));
        if (named) w.request.engines = (study_names){1, {"torch"}};
        if (named) w.questions[TENSORFLOW] = (engine_question){0};
        ASSERT_OK(take(&w, &err));
        const char *told = strstr(w.notes, "torch.compile can be measured here too: --engine "
                                           "torch-compile, or all; compiling is part of its first "
                                           "step and can take a minute");
        assert_int_equal(told != NULL, !named);
        assert_null(strstr(w.notes, "torch-graph"));
        bench_plan_release(&w.plan);
    }
    const study_names none = {0}, all = {1, {"all"}}, one = {1, {"torch-compile"}};
    assert_true(study_wants_engine(&none, "torch"));
    assert_false(study_wants_engine(&none, "torch-compile"));
    assert_true(study_wants_engine(&all, "torch-compile"));
    assert_true(study_wants_engine(&one, "torch-compile"));
    assert_false(study_wants_engine(&one, "torch"));
    /* MLX is Apple's: elsewhere nobody wants it who does not name it. */
    const study_names mlx = {1, {"mlx"}};
    assert_true(study_wants_engine(&mlx, "mlx"));
    assert_int_equal(study_wants_engine(&none, "mlx"), engine_is_usual("mlx"));
    assert_int_equal(study_wants_engine(&all, "mlx"), engine_is_usual("mlx"));
    assert_true(engine_is_usual("torch"));
    assert_string_equal(engine_family("torch-graph"), "torch");
    assert_string_equal(engine_form("torch-graph"), "graph");
    assert_null(engine_form("native"));
}

static void named_devices_and_threads_are_taken(void **state)
{
    (void)state;
    be_error err = {0};
    world w;
    plant(&w);
    w.request.devices = (study_names){1, {"cpu"}};
    w.request.threads = (study_numbers){2, (int64_t[]){1, 3}};
    ASSERT_OK(take(&w, &err));
    assert_string_equal(contenders(&w), "native cpu 1, native cpu 3, torch cpu 1, torch cpu 3");
    bench_plan_release(&w.plan);
}

/* Each contender in each of several precisions. */
static void precisions_are_contenders_of_their_own(void **state)
{
    (void)state;
    be_error err = {0};
    world w;
    plant(&w);
    w.request.devices = (study_names){1, {"cuda:0"}};
    w.request.precisions = (study_names){2, {"fp32", "bf16"}};
    ASSERT_OK(take(&w, &err));
    assert_string_equal(contenders(&w), "native cuda:0 2, native cuda:0 2, torch cuda:0 2, "
                                        "torch cuda:0 2");
    for (int c = 0; c < w.plan.contender_count; c++)
        assert_string_equal(w.plan.contenders[c].precision, c % 2 ? "bf16" : "fp32");
    bench_plan_release(&w.plan);
}

/* The same hardware by another way takes part only where all are asked for. */
static void a_second_way_is_taken_by_all_alone(void **state)
{
    (void)state;
    be_error err = {0};
    for (int all = 0; all < 2; all++) {
        world w;
        plant(&w);
        json_t *devices = json_object_get(w.questions[NATIVE].hello, "devices");
        json_array_append_new(devices, json_pack("{s:s, s:s, s:s}", "id", "opencl:0",
                                                 "duplicate_of", "cuda:0", "bus", "0000:01"));
        w.request.threads = (study_numbers){1, (int64_t[]){2}};
        if (all) w.request.devices = (study_names){1, {"all"}};
        ASSERT_OK(take(&w, &err));
        assert_int_equal(strstr(contenders(&w), "opencl:0") != NULL, all);
        assert_string_equal(bench_plan_bus(&w.plan, "opencl:0"), "0000:01");
        assert_null(bench_plan_bus(&w.plan, "cpu"));
        bench_plan_release(&w.plan);
    }
}

static void what_is_asked_for_and_missing_is_refused(void **state)
{
    (void)state;
    be_error err = {0};
    world w;
    plant(&w);
    w.request.engines = (study_names){1, {"tensorflow"}};
    ASSERT_FAILS(take(&w, &err), BE_UNAVAILABLE, "engine tensorflow: not installed");
    bench_plan_release(&w.plan);
    plant(&w);
    w.request.devices = (study_names){1, {"cuda:7"}};
    json_array_append_new(json_object_get(w.questions[TORCH].hello, "unusable_devices"),
                          json_pack("{s:s, s:s}", "id", "cuda", "reason", "no driver"));
    ASSERT_FAILS(take(&w, &err), BE_UNAVAILABLE, "device cuda:7: no engine has it here",
                 "(torch: no driver)", "breakeven devices");
    bench_plan_release(&w.plan);
    plant(&w);
    const workload own = {.name = "mine.py", .file = "mine.py"};
    json_decref(w.questions[NATIVE].hello);
    w.questions[NATIVE] = w.questions[TENSORFLOW] = (engine_question){0};
    w.request.workloads[0] = &own;
    w.request.workload_count = 1;
    w.request.devices = (study_names){1, {"opencl:0"}};
    json_object_set_new(w.questions[TORCH].hello, "version", json_string("2.15"));
    ASSERT_FAILS(take(&w, &err), BE_UNAVAILABLE,
                 "device opencl:0: no engine that can train mine.py has it (torch 2.15: cpu "
                 "cuda:0)",
                 "what each one has");
    bench_plan_release(&w.plan);
    plant(&w);
    w.request.devices = (study_names){1, {"cuda:0"}};
    w.request.threads = (study_numbers){1, (int64_t[]){2}};
    ASSERT_FAILS(take(&w, &err), BE_USAGE, "--threads: expected the CPU among the devices");
    bench_plan_release(&w.plan);
    plant(&w);
    w.request.devices = (study_names){1, {"cuda:0"}};
    w.request.isa = "avx2";
    ASSERT_FAILS(take(&w, &err), BE_USAGE, "--isa: expected the native engine on the CPU");
    bench_plan_release(&w.plan);
    plant(&w);
    w.request.library = "clblast";
    ASSERT_FAILS(take(&w, &err), BE_UNAVAILABLE, "library clblast: none of the devices has it");
    bench_plan_release(&w.plan);
}

/* An engine that is there and can use no device is left out with the reason; the native one is not.
 */
static void an_engine_without_a_device_is_left_out(void **state)
{
    (void)state;
    be_error err = {0};
    world w;
    plant(&w);
    json_t *hello = w.questions[TORCH].hello;
    json_array_clear(json_object_get(hello, "devices"));
    json_array_append_new(json_object_get(hello, "unusable_devices"),
                          json_pack("{s:s, s:s}", "id", "cpu", "reason", "it computes wrongly"));
    ASSERT_OK(take(&w, &err));
    assert_null(strstr(contenders(&w), "torch"));
    assert_non_null(strstr(w.notes, "PyTorch is left out: engine torch: it computes wrongly"));
    bench_plan_release(&w.plan);
}

static void more_than_there_is_room_for_is_refused(void **state)
{
    (void)state;
    be_error err = {0};
    world w;
    int64_t threads[BENCH_CONTENDERS_MAX];
    plant(&w);
    for (int t = 0; t < BENCH_CONTENDERS_MAX; t++) threads[t] = t + 1;
    w.request.threads = (study_numbers){BENCH_CONTENDERS_MAX, threads};
    ASSERT_FAILS(take(&w, &err), BE_USAGE, "at most 64 combinations", "name fewer");
    bench_plan_release(&w.plan);
}

#define MLP                                                                  \
    "[{\"name\":\"fc1.weight\",\"shape\":[128,784]},{\"name\":\"fc1.bias\"," \
    "\"shape\":[128]},{\"name\":\"fc2.weight\",\"shape\":[64,128]},"         \
    "{\"name\":\"fc2.bias\",\"shape\":[64]},{\"name\":\"fc3.weight\","       \
    "\"shape\":[10,64]},{\"name\":\"%s\",\"shape\":[10]}]"
#define CIFAR                                                                    \
    "[{\"name\":\"conv1.weight\",\"shape\":[6,3,5,5]},{\"name\":\"conv1.bias\"," \
    "\"shape\":[6]},{\"name\":\"conv2.weight\",\"shape\":[16,6,5,5]},"           \
    "{\"name\":\"conv2.bias\",\"shape\":[16]},{\"name\":\"fc1.weight\","         \
    "\"shape\":[120,400]},{\"name\":\"fc1.bias\",\"shape\":[120]},"              \
    "{\"name\":\"fc2.weight\",\"shape\":[84,120]},{\"name\":\"fc2.bias\","       \
    "\"shape\":[84]},{\"name\":\"fc3.weight\",\"shape\":[10,84]},"               \
    "{\"name\":\"fc3.bias\",\"shape\":[10]}]"

/* "mlp-mnist", "cnn-cifar 33": the workload that the native engine would train beside a model of
 * these weights and this input, "" for none. */
static const char *yard(const char *weights, const char *name, const char *input, char out[80])
{
    char text[700];
    workload room;
    const workload *w;
    be_error err = {0};
    snprintf(text, sizeof text, weights, name);
    json_t *listed = json_loads(text, 0, NULL), *shape = json_loads(input, 0, NULL);
    assert_true(listed && shape);
    ASSERT_OK(yardstick_find(listed, shape, &room, &w, &err));
    snprintf(out, 80, "%s", w ? w->name : "");
    if (w && w->variant.size) snprintf(out, 80, "%s %d", w->name, w->variant.size);
    json_decref(listed);
    json_decref(shape);
    return out;
}

/* By names and shapes, all of them, and by as many numbers as it reads. */
static void a_model_of_the_ladder_has_a_yardstick(void **state)
{
    (void)state;
    char out[80];
    be_error err = {0};
    workload room;
    const workload *w;
    assert_string_equal(yard(MLP, "fc3.bias", "[8,1,28,28]", out), "mlp-mnist");
    assert_string_equal(yard(MLP, "fc3.bias", "[8,784]", out), "mlp-mnist");
    assert_string_equal(yard(MLP, "fc4.bias", "[8,784]", out), "");
    assert_string_equal(yard(MLP, "fc3.bias", "[8,785]", out), "");
    assert_string_equal(yard(MLP, "fc3.bias", "[]", out), "");
    /* What 33 pixels leave for the first linear layer is what 32 leave. */
    assert_string_equal(yard(CIFAR, "", "[2,3,32,32]", out), "cnn-cifar");
    assert_string_equal(yard(CIFAR, "", "[2,3,33,33]", out), "cnn-cifar 33");
    assert_string_equal(yard(CIFAR, "", "[2,3,40,40]", out), "");
    assert_string_equal(yard(CIFAR, "", "[2,3,32,33]", out), "");
    ASSERT_OK(yardstick_find(NULL, NULL, &room, &w, &err));
    assert_null(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_wishes_all_take_part),
        cmocka_unit_test(forms_are_told_of_and_asked_for),
        cmocka_unit_test(named_devices_and_threads_are_taken),
        cmocka_unit_test(precisions_are_contenders_of_their_own),
        cmocka_unit_test(a_second_way_is_taken_by_all_alone),
        cmocka_unit_test(what_is_asked_for_and_missing_is_refused),
        cmocka_unit_test(an_engine_without_a_device_is_left_out),
        cmocka_unit_test(more_than_there_is_room_for_is_refused),
        cmocka_unit_test(a_model_of_the_ladder_has_a_yardstick),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
