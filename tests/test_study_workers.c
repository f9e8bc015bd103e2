/* Tests of what several workers make of a training, with planted times in the place of trainings.
 */
#include "support.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/json.h"
#include "report/workers.h"
#include "study/workers.h"

#define BYTES 4e6

/* A step of a part takes so long for each sample of a thread; sums take what they take. */
static struct {
    double sample_s, reduce_s;
    double least_s;  /* of an epoch; NAN: all of it has 11.2 s */
    bool has_reduce; /* the trainings tell what their sums took */
    int trainings, of_peers;
    int64_t steps;
    const char *engines[2]; /* that are asked for */
} machine;

static be_status train(const study_request *request, const study_watch *watch,
                       const workers_job *job, workers_time *out, be_error *err)
{
    (void)request, (void)watch, (void)err;
    double threads = job->threads ? job->threads : job->workers > 1 ? 1 : 2;
    if (job->workers > 2) threads = 2.0 / (double)job->workers;
    double compute_s = machine.sample_s * (double)job->batch / (double)job->workers / threads;
    double reduce_s = job->workers > 1 ? machine.reduce_s : 0;
    bool known = job->workers > 1 && machine.has_reduce;
    machine.trainings++;
    machine.steps = job->steps;
    /* Rounds drift, all trainings of one alike. */
    *out = (workers_time){.step_s = compute_s + reduce_s,
                          .reduce_s = known ? reduce_s : (double)NAN,
                          .bytes = known ? BYTES : (double)NAN};
    return BE_OK;
}

/* PyTorch's step is twice as long, and its sums as long again. */
static be_status train_peer(void *peers, const workers_job *job, workers_time *out, be_error *err)
{
    assert_ptr_equal(peers, &machine);
    assert_string_equal(job->engine, "torch");
    assert_int_equal(job->threads, job->workers > 1 || job->batch < 64 ? 1 : 2);
    assert_true(job->steps > 1);
    TRY(train(NULL, NULL, job, out, err));
    machine.trainings--;
    machine.of_peers++;
    *out = (workers_time){.step_s = 2 * out->step_s,
                          .reduce_s = (double)NAN,
                          .bytes = (double)NAN,
                          .implementation = "PyTorch 9"};
    return BE_OK;
}

static be_status link_of(double bytes, scaling_link *out, be_error *err)
{
    (void)err;
    assert_true(bytes == BYTES);
    *out = (scaling_link){.bytes_per_s = 4e9, .latency_s = 0};
    return BE_OK;
}

static be_status ask(const int64_t *numbers, int count, bool each, json_t **out, be_error *err)
{
    const workload *w = NULL;
    study_watch watch = {0};
    assert_int_equal(workload_find("mlp-mnist", &w, NULL), BE_OK);
    study_request request = {.workloads = {w},
                             .workload_count = 1,
                             .precision = "fp32",
                             .seed = 1,
                             .least_s = machine.least_s,
                             .most_s = 11.2};
    for (int e = 0; e < 2 && machine.engines[e]; e++)
        request.engines.name[request.engines.count++] = machine.engines[e];
    workers_question question = {
        .workers = {count, numbers},
        .each = each,
        .hands = {
            .train = train, .peer = train_peer, .peers = &machine, .link = link_of, .cores = 2}};
    machine.trainings = machine.of_peers = 0;
    return study_workers(&request, &question, &watch, out, err);
}

static double at(const json_t *result, int point, const char *path)
{
    return json_real_at(json_array_get(json_object_get(result, "points"), (size_t)point), path);
}

static void has_words(const json_t *result, const char *words)
{
    be_error err = {0};
    char *text = NULL, *plain = NULL;
    size_t size = 0, used = 0;
    FILE *out = open_memstream(&text, &size);
    ASSERT_OK(workers_write(result, REPORT_TABLE, out, &err));
    fclose(out);
    plain = calloc(size + 1, 1);
    for (size_t i = 0; i < size; i++) { /* lines are wrapped, and indented */
        bool space = text[i] == ' ' || text[i] == '\n';
        if (!space || (used && plain[used - 1] != ' ')) plain[used++] = space ? ' ' : text[i];
    }
    if (!strstr(plain, words)) fail_msg("\"%s\" is not in: %s", words, plain);
    free(plain);
    free(text);
}

/* Two threads take 6.4 ms for a batch of 64; two workers as long, and 1 ms more for their sums. */
static void sums_that_cost_never_pay(void **state)
{
    (void)state;
    be_error err = {0};
    json_t *result = NULL;
    machine.sample_s = 2e-4;
    machine.reduce_s = 1e-3;
    machine.least_s = 0.5;
    machine.has_reduce = true;
    ASSERT_OK(ask((int64_t[]){2, 4}, 2, false, &result, &err));
    assert_int_equal(machine.trainings, 1 + WORKERS_ROUNDS * 5);
    assert_int_equal(machine.steps, 79); /* half a second of 6.4 ms */
    json_decref(result);
    machine.least_s = (double)NAN;
    ASSERT_OK(ask((int64_t[]){2, 4, 8}, 3, false, &result, &err));
    assert_int_equal(machine.steps, 8); /* 11.2 s over 7 · 2 · 4 trainings, a quarter of each */
    json_decref(result);
    machine.least_s = 0.5;
    ASSERT_OK(ask((int64_t[]){2, 4}, 2, false, &result, &err));
    assert_true(fabs(at(result, 0, "step_s.point") - 6.4e-3) < 1e-9);
    assert_true(fabs(at(result, 1, "step_s.point") - 7.4e-3) < 1e-9);
    assert_true(fabs(at(result, 1, "speed_up.point") - 6.4 / 7.4) < 1e-9);
    assert_true(fabs(at(result, 1, "efficiency.point") - 3.2 / 7.4) < 1e-9);
    assert_true(fabs(at(result, 1, "reduce_s") - 1e-3) < 1e-12);
    /* 4 MB in two messages of a half at 4 GB/s, after 32 samples on one thread. */
    assert_true(fabs(at(result, 1, "model_reduce_s") - 1e-3) < 1e-12);
    assert_true(fabs(at(result, 1, "predicted_s") - 7.4e-3) < 1e-9);
    /* Four take turns on two cores; a ring of four sends 6 quarters. */
    assert_true(fabs(at(result, 2, "predicted_s") - (6.4e-3 + 1.5e-3)) < 1e-9);
    has_words(result, "More workers never pay here; at best 2 are 0.865 times as fast as one");
    has_words(result, "Of their step, 14 % is adding up gradients and waiting.");
    json_decref(result);
}

/* Each has the whole batch: twice the work in 12.8 + 1 ms, where one does it in 2 · 6.4. */
static void whole_batches_each(void **state)
{
    (void)state;
    be_error err = {0};
    json_t *result = NULL;
    machine.sample_s = 2e-4;
    machine.reduce_s = 1e-3;
    machine.has_reduce = true;
    ASSERT_OK(ask((int64_t[]){1, 2}, 2, true, &result, &err));
    assert_true(fabs(at(result, 1, "step_s.point") - 13.8e-3) < 1e-9);
    assert_true(fabs(at(result, 1, "speed_up.point") - 12.8 / 13.8) < 1e-9);
    assert_true(fabs(at(result, 1, "efficiency.point") - 6.4 / 13.8) < 1e-9);
    has_words(result, "each worker has a batch of 64.");
    json_decref(result);
}

/* Where nobody sees the sums they are what a step takes beyond its part, and nothing is predicted.
 */
static void devices_that_add_up_by_themselves(void **state)
{
    (void)state;
    be_error err = {0};
    json_t *result = NULL;
    machine.sample_s = 2e-4;
    machine.reduce_s = 5e-4;
    machine.has_reduce = false;
    ASSERT_OK(ask((int64_t[]){2}, 1, false, &result, &err));
    assert_true(fabs(at(result, 1, "reduce_s") - 5e-4) < 1e-9);
    assert_true(isnan(at(result, 1, "predicted_s")));
    has_words(result, "there is no prediction");
    json_decref(result);
}

/* In the same rounds, beside the native engine, which need not be named. */
static void an_engine_beside_the_native_one(void **state)
{
    (void)state;
    be_error err = {0};
    json_t *result = NULL;
    machine.sample_s = 2e-4;
    machine.reduce_s = 1e-3;
    machine.least_s = 0.5;
    machine.has_reduce = true;
    machine.engines[0] = "torch";
    ASSERT_OK(ask((int64_t[]){2}, 1, false, &result, &err));
    assert_int_equal(machine.trainings, 1 + WORKERS_ROUNDS * 3);
    assert_int_equal(machine.of_peers, WORKERS_ROUNDS * 3);
    assert_true(fabs(at(result, 1, "speed_up.point") - 6.4 / 7.4) < 1e-9);
    json_t *peer = json_array_get(json_object_get(result, "peers"), 0);
    assert_string_equal(json_string_value(json_object_get(peer, "implementation")), "PyTorch 9");
    /* Two threads take 12.8 ms; a worker with half of the batch too, and two of them 2 ms more. */
    assert_true(fabs(at(peer, 0, "step_s.point") - 12.8e-3) < 1e-9);
    assert_true(fabs(at(peer, 1, "step_s.point") - 14.8e-3) < 1e-9);
    assert_true(fabs(at(peer, 1, "speed_up.point") - 12.8 / 14.8) < 1e-9);
    assert_true(fabs(at(peer, 1, "reduce_s") - 2e-3) < 1e-9);
    assert_true(fabs(at(peer, 1, "predicted_s") - 13.8e-3) < 1e-9); /* over the native link */
    assert_true(fabs(at(peer, 1, "versus_native.point") - 2) < 1e-9);
    has_words(result, "torch 1 64 12.8 ms");
    has_words(result, "torch 2 32 14.8 ms");
    has_words(result, "torch (PyTorch 9): with 1 a step takes 2 times as long as the native "
                      "engine's with as many workers (2 to 2), with 2 a step takes 2 times");
    json_decref(result);
    machine.engines[1] = "tensorflow";
    ASSERT_FAILS(ask((int64_t[]){2}, 1, false, &result, &err), BE_USAGE,
                 "several workers are measured of torch, torch-compile and torch-channels-last, "
                 "found tensorflow");
    assert_int_equal(machine.trainings + machine.of_peers, 0);
    machine.engines[0] = machine.engines[1] = NULL;
}

/* Without a cost two workers of a thread are two threads: nothing is sure. */
static void what_is_as_fast_does_not_pay(void **state)
{
    (void)state;
    be_error err = {0};
    json_t *result = NULL;
    machine.sample_s = 2e-4;
    machine.reduce_s = 0;
    machine.has_reduce = true;
    ASSERT_OK(ask((int64_t[]){2}, 1, false, &result, &err));
    has_words(result, "More workers do not surely pay with any of these numbers here");
    json_decref(result);
}

static void numbers_that_do_not_fit(void **state)
{
    (void)state;
    be_error err = {0};
    json_t *result = NULL;
    ASSERT_FAILS(ask((int64_t[]){3}, 1, false, &result, &err), BE_USAGE,
                 "expected a batch that 3 workers can cut into equal parts, found 64");
    ASSERT_FAILS(ask((int64_t[]){1}, 1, false, &result, &err), BE_USAGE,
                 "--workers: expected a number above 1");
    assert_null(result);
    assert_int_equal(machine.trainings, 0);
}

/* Two threads of one process are what two workers' memory is. */
static void the_link_is_measured(void **state)
{
    (void)state;
    be_error err = {0};
    scaling_link link = {0};
    ASSERT_OK(workers_link(1e6, &link, &err));
    assert_true(link.bytes_per_s > 1e5 && link.latency_s > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sums_that_cost_never_pay),
        cmocka_unit_test(whole_batches_each),
        cmocka_unit_test(devices_that_add_up_by_themselves),
        cmocka_unit_test(an_engine_beside_the_native_one),
        cmocka_unit_test(what_is_as_fast_does_not_pay),
        cmocka_unit_test(numbers_that_do_not_fit),
        cmocka_unit_test(the_link_is_measured),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
