/* See anatomy.h. */
#include "run/anatomy.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "core/file.h"
#include "core/json.h"
#include "core/memory.h"
#include "run/machine.h"
#include "run/runner.h"

#define LIMIT_S 120.0
#define FILE_MOST_BYTES ((size_t)4 << 20)

/* ---------------------------------------------------------------- ops and points */

static void op_of_json(const json_t *json, predict_op *out)
{
    const struct {
        const char *name;
        double *value;
    } numbers[] = {{"out", &out->out},           {"in", &out->in},       {"kernel", &out->kernel},
                   {"pixels", &out->pixels},     {"batch", &out->batch}, {"passes", &out->passes},
                   {"elements", &out->elements}, {"flops", &out->flops}, {"bytes", &out->bytes},
                   {"seconds", &out->seconds}};
    *out = (predict_op){.launches = (int)json_integer_value(json_object_get(json, "launches"))};
    const char *op = json_string_value(json_object_get(json, "op"));
    const char *implementation = json_string_value(json_object_get(json, "implementation"));
    snprintf(out->op, sizeof out->op, "%s", op ? op : "");
    snprintf(out->implementation, sizeof out->implementation, "%s",
             implementation ? implementation : "");
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        *numbers[i].value = json_number_value(json_object_get(json, numbers[i].name));
}

static be_status take_list(const json_t *list, predict_op **out, int *count, be_error *err)
{
    void *memory = NULL;
    size_t i, many = json_array_size(list);
    json_t *item;
    if (many > PREDICT_POINTS_MAX) many = PREDICT_POINTS_MAX;
    TRY(memory_alloc(&memory, (many + 1) * sizeof(predict_op), "ops of a step", err));
    *out = memory;
    *count = (int)many;
    json_array_foreach(list, i, item) if (i < many) op_of_json(item, &(*out)[i]);
    return BE_OK;
}

/* ---------------------------------------------------------------- the file */

/* The points, to be released; NULL where there are none that are good, and taken in as long. */
static json_t *load_points(const char *path, double calibrate_s)
{
    static const json_source source = {"kept points", "JSON", "they are measured again"};
    json_t *file = NULL;
    if (!path || !*path || !file_exists(path) ||
        json_load(&file, path, FILE_MOST_BYTES, &source, NULL) != BE_OK)
        return NULL;
    int64_t age_s = clock_unix_s() - json_integer_value(json_object_get(file, "unix_s"));
    json_t *points = json_object_get(file, "points");
    bool good = json_integer_value(json_object_get(file, "schema")) == ANATOMY_SCHEMA &&
                age_s >= 0 && age_s < MACHINE_EXPIRY_S && json_array_size(points) > 0 &&
                json_number_value(json_object_get(file, "seconds")) >= calibrate_s;
    points = good ? json_incref(points) : NULL;
    json_decref(file);
    return points;
}

/* That they cannot be kept costs a second the next time, no more. */
static void keep_points(const char *path, double calibrate_s, json_t *points)
{
    if (!path || !*path || !json_array_size(points)) return;
    json_t *file = json_pack("{s:i, s:I, s:f, s:O}", "schema", ANATOMY_SCHEMA, "unix_s",
                             (json_int_t)clock_unix_s(), "seconds", calibrate_s, "points", points);
    char *text = NULL;
    if (json_print(&text, file, JSON_COMPACT, "the points", NULL) == BE_OK)
        (void)!file_write_whole(path, text, strlen(text), NULL);
    json_decref(file);
    free(text);
}

/* ---------------------------------------------------------------- asking */

/* The conductor has checked it; the same parser takes it apart. */
static be_status read_phases(const json_t *json, protocol_answer *out, be_error *err)
{
    protocol_call call = {.request = PROTOCOL_PHASES,
                          .steps = json_integer_value(json_object_get(json, "steps"))};
    char *line = NULL;
    if (!json_is_object(json))
        FAIL(err, BE_UNAVAILABLE, "its runner does not tell where a step goes");
    TRY(json_print(&line, json, JSON_COMPACT, "the phases of a step", err));
    be_status status = protocol_parse(&call, line, strlen(line), out, err);
    free(line);
    return status;
}

/* What is left of a limit that began at this reading of the clock. */
static double left_s(const anatomy_options *options, int64_t began_ns)
{
    if (!(options->limit_s > 0)) return LIMIT_S;
    double passed_s = (double)(clock_now_ns() - began_ns) * 1e-9;
    return fmin(LIMIT_S, fmax(0, options->limit_s - passed_s));
}

static be_status ask_sizes(runner *r, const anatomy_options *options, double limit_s, anatomy *out,
                           be_error *err)
{
    json_t *points = load_points(options->kept, options->calibrate_s);
    protocol_call call = {.request = PROTOCOL_CALIBRATE,
                          .seconds = points ? 0 : options->calibrate_s};
    protocol_answer answer = {0};
    be_status status = runner_call(r, &call, limit_s, &answer, NULL, err);
    if (status == BE_OK && !points) keep_points(options->kept, options->calibrate_s, answer.points);
    if (status == BE_OK && json_array_size(answer.ops) == json_array_size(out->answer.ops))
        status = take_list(answer.ops, &out->ops, &out->op_count, err);
    if (status == BE_OK)
        status = take_list(points ? points : answer.points, &out->points, &out->point_count, err);
    json_decref(points);
    protocol_answer_clear(&answer);
    return status;
}

/* A runner is started for what depends on the plan, the ops' sizes, even if points are kept. */
static be_status calibrate(const conductor_contender *contender, const anatomy_options *options,
                           anatomy *out, be_error *err)
{
    runner r;
    int64_t began_ns = clock_now_ns();
    runner_options start = {.name = contender->engine,
                            .argv = contender->argv,
                            .env = contender->env,
                            .device = contender->job.device,
                            .start_limit_s = left_s(options, began_ns),
                            .interrupted = options->interrupted};
    TRY(runner_start(&r, &start, err));
    be_status status = runner_prepare(&r, &contender->job, left_s(options, began_ns), err);
    if (status == BE_OK) status = ask_sizes(&r, options, left_s(options, began_ns), out, err);
    runner_clear(&r);
    return status;
}

be_status anatomy_take(const conductor_contender *contender, const anatomy_options *options,
                       anatomy *out, be_error *err)
{
    *out = (anatomy){0};
    TRY(read_phases(options->phases, &out->answer, err));
    be_status status = options->calibrate ? calibrate(contender, options, out, err) : BE_OK;
    if (status != BE_OK) anatomy_clear(out);
    return status;
}

void anatomy_clear(anatomy *a)
{
    protocol_answer_clear(&a->answer);
    memory_free(a->ops);
    memory_free(a->points);
    *a = (anatomy){0};
}
