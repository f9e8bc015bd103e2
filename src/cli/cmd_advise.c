/* breakeven advise: measure what the question needs, or take what was measured, then choose. */
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "cli/advise.h"
#include "cli/cli.h"
#include "cli/commands.h"
#include "cli/measurement.h"
#include "core/file.h"
#include "core/memory.h"
#include "report/advice.h"
#include "run/candidates.h"

#define MAX_TIME_S 3.0    /* of each contender at the batch that was asked for */
#define AROUND_TIME_S 1.0 /* of the best two at the batches around it */
#define RECORDS_MAX_BYTES ((size_t)1 << 28)
#define AROUND_FACTOR 4 /* how far those are away */

typedef struct advise_command {
    const cli_options *cli;
    const workload *workload;
    int64_t batch;
    double pictures, epochs; /* epochs: NAN where steps were asked for */
    advice_question question;
    json_t *records;
    candidates candidates;
    advice_choice choice;
} advise_command;

/* ---------------------------------------------------------------- the question */

static advice_goal goal_of(const cli_options *cli)
{
    static const char *const names[] = {
#define X(id, text) text,
        ADVICE_GOAL_LIST(X)
#undef X
    };
    const char *wanted = cli->value[OPTION_GOAL].text;
    for (int i = 0; wanted && i < (int)(sizeof names / sizeof names[0]); i++)
        if (strcmp(names[i], wanted) == 0) return (advice_goal)i;
    return ADVICE_TIME;
}

static be_status read_options(advise_command *c, be_error *err)
{
    const option_value *values = c->cli->value;
    c->workload = cli_workload(c->cli, 0);
    if (values[OPTION_EPOCHS].given && values[OPTION_STEPS].given)
        FAIL(err, BE_USAGE, "--epochs and --steps both say how long to train; give one of them");
    return option_single(c->cli, OPTION_BATCH, c->workload->batch, &c->batch, err);
}

/* `count`: pictures of an epoch. */
static void ask(advise_command *c, double count)
{
    const option_value *values = c->cli->value;
    bool steps = values[OPTION_STEPS].given;
    c->epochs = steps                         ? (double)NAN
                : values[OPTION_EPOCHS].given ? (double)values[OPTION_EPOCHS].integer
                                              : (double)c->workload->epochs;
    /* An epoch leaves out what fills no batch. */
    double whole = (double)c->batch * floor(count / (double)c->batch);
    c->pictures =
        steps ? (double)values[OPTION_STEPS].integer * (double)c->batch : c->epochs * whole;
    c->question = (advice_question){goal_of(c->cli), (double)c->batch, c->pictures};
}

/* ---------------------------------------------------------------- evidence */

static void choose(advise_command *c)
{
    json_t *like = json_pack("{s:s, s:s, s:s, s:s}", "workload", c->workload->name, "mode", "train",
                             "precision", "fp32", "data_on",
                             c->cli->value[OPTION_DATA_ON].text ? c->cli->value[OPTION_DATA_ON].text
                                                                : "device");
    candidates_collect(&c->candidates, c->records, like);
    json_decref(like);
    candidates_estimate(&c->candidates, &c->question);
    candidates_choose(&c->candidates, &c->question, &c->choice);
}

/* The contender that made the records of a candidate. */
static int contender_of(const measurement *m, const candidate *of)
{
    for (int i = 0; i < m->plan.contender_count; i++) {
        const bench_contender *who = &m->plan.contenders[i];
        if (strcmp(who->engine->name, report_string(of->record, "engine")) == 0 &&
            strcmp(who->device, report_string(of->record, "device")) == 0 &&
            who->threads == (int)report_real(of->record, "asked.threads"))
            return i;
    }
    return -1;
}

/* The best two a factor below and above the batch: whether they change places near it. */
static be_status measure_around(advise_command *c, measurement *m, be_error *err)
{
    int both[2] = {contender_of(m, &c->candidates.list[c->choice.best]),
                   contender_of(m, &c->candidates.list[c->choice.second])};
    int64_t low = c->batch / AROUND_FACTOR, high = c->batch * AROUND_FACTOR;
    int64_t batches[2] = {low < 1 ? 1 : low, high > m->set->count ? m->set->count : high};
    if (both[0] < 0 || both[1] < 0) return BE_OK;
    if (m->conducting.stop.max_time_s > AROUND_TIME_S)
        m->conducting.stop.max_time_s = AROUND_TIME_S;
    if (m->conducting.stop.min_time_s > AROUND_TIME_S)
        m->conducting.stop.min_time_s = AROUND_TIME_S;
    for (int i = 0; i < 2; i++) {
        measurement_point point = {.batch = batches[i], .contenders = both, .count = 2};
        if (batches[i] != c->batch) TRY(measurement_run(m, &point, c->records, err));
    }
    return BE_OK;
}

static be_status measure(advise_command *c, measurement *m, be_error *err)
{
    measurement_point point = {.batch = c->batch};
    TRY(measurement_open(m, c->cli, err));
    if (!c->cli->value[OPTION_MAX_TIME].given) m->conducting.stop.max_time_s = MAX_TIME_S;
    TRY(measurement_begin(m, c->workload, err));
    ask(c, (double)m->set->count);
    TRY(measurement_run(m, &point, c->records, err));
    choose(c);
    if (c->choice.second < 0) return BE_OK;
    TRY(measure_around(c, m, err));
    choose(c);
    return BE_OK;
}

/* One line of the file, or the whole of it where it is a list. */
static be_status add_records(advise_command *c, const char *text, size_t length, int line,
                             be_error *err)
{
    json_error_t error;
    const char *path = c->cli->value[OPTION_FROM].text;
    json_t *found = json_loadb(text, length, 0, &error);
    if (!found)
        FAIL(err, BE_BAD_DATA,
             "%s, line %d: expected a record in JSON ('breakeven bench … --format jsonl'), found "
             "\"%.40s\"; write the file again",
             path, line, text);
    /* A point of a sweep has the records of its contenders. */
    json_t *point = json_object_get(found, "contenders");
    if (json_is_array(found))
        json_array_extend(c->records, found);
    else if (json_is_array(point))
        json_array_extend(c->records, point);
    else
        json_array_append(c->records, found);
    json_decref(found);
    return BE_OK;
}

/* Records that bench or sweep wrote: one a line, or a list of them. */
static be_status read_records(advise_command *c, const char *path, be_error *err)
{
    void *memory = NULL;
    size_t length = 0;
    be_status status = BE_OK;
    TRY(file_read(&memory, &length, path, RECORDS_MAX_BYTES, err));
    char *text = memory;
    if (*text == '[') {
        status = add_records(c, text, length, 1, err);
    } else {
        int line = 1;
        for (char *at = text, *end; status == BE_OK && *at; at = end + (*end == '\n'), line++) {
            end = at + strcspn(at, "\n");
            char after = *end;
            *end = 0;
            if (end > at) status = add_records(c, at, (size_t)(end - at), line, err);
            *end = after;
        }
    }
    memory_free(text);
    return status;
}

static be_status take_records(advise_command *c, const char *path, be_error *err)
{
    json_t *record;
    size_t i;
    TRY(read_records(c, path, err));
    json_array_foreach(c->records, i, record)
    {
        if (isnan(report_real(record, "data_count")) ||
            strcmp(report_string(record, "workload"), c->workload->name) != 0)
            continue;
        ask(c, report_real(record, "data_count"));
        choose(c);
        return BE_OK;
    }
    FAIL(err, BE_USAGE,
         "%s: expected records of %s, found none; measure it first: 'breakeven bench %s --batch "
         "8..4096*4 --format jsonl'",
         path, c->workload->name, c->workload->name);
}

/* ---------------------------------------------------------------- the answer */

static json_t *interval_json(const stats_interval *s)
{
    return json_pack("{s:o, s:o, s:o}", "point", report_json_real(s->point), "low",
                     report_json_real(s->low), "high", report_json_real(s->high));
}

static json_t *candidate_json(const advise_command *c, int i)
{
    const candidate *of = &c->candidates.list[i];
    const advice_estimate *e = &of->estimate;
    json_t *object = json_pack(
        "{s:O?, s:O?, s:O?, s:O?, s:o, s:o, s:o, s:o, s:o, s:b, s:b, s:b, s:o}", "engine",
        json_object_get(of->record, "engine"), "device", json_object_get(of->record, "device"),
        "device_name", json_object_get(of->record, "device_name"), "threads",
        json_object_get(of->record, "threads"), "step_s", interval_json(&e->step_s), "start_s",
        interval_json(&of->advice.start_s), "total_s", interval_json(&e->total_s), "energy_j",
        report_json_real(e->energy_j), "memory_bytes", report_json_real(e->memory_bytes),
        "measured", e->measured, "in_range", e->in_range, "fits", e->fits, "held_out",
        report_json_real(e->held_out));
    json_object_set_new(object, "standing",
                        i == c->choice.best     ? json_string("best")
                        : i == c->choice.second ? json_string("runner-up")
                                                : json_null());
    return object;
}

static json_t *candidates_json(const advise_command *c)
{
    json_t *list = json_array();
    if (c->choice.best >= 0) json_array_append_new(list, candidate_json(c, c->choice.best));
    if (c->choice.second >= 0) json_array_append_new(list, candidate_json(c, c->choice.second));
    for (int i = 0; i < c->candidates.count; i++)
        if (i != c->choice.best && i != c->choice.second)
            json_array_append_new(list, candidate_json(c, i));
    return list;
}

/* Failed, and measured at no other batch either. */
static bool is_out(const advise_command *c, const json_t *record)
{
    for (int i = 0; i < c->candidates.count; i++)
        if (candidates_same_place(c->candidates.list[i].record, record)) return false;
    return *report_string(record, "error");
}

static json_t *failed_json(const advise_command *c)
{
    json_t *list = json_array(), *record;
    size_t i;
    json_array_foreach(c->records, i, record) if (is_out(c, record)) json_array_append_new(
        list,
        json_pack("{s:O?, s:O?, s:O?, s:O?, s:O?}", "engine", json_object_get(record, "engine"),
                  "device", json_object_get(record, "device"), "threads",
                  json_object_get(record, "threads"), "batch", json_object_get(record, "batch"),
                  "error", json_object_get(record, "error")));
    return list;
}

static json_t *flip_json(const advice_choice *choice)
{
    json_t *batches = json_array();
    for (int i = 0; i < choice->flip_count; i++)
        json_array_append_new(batches, report_json_real(choice->flip_batches[i]));
    return json_pack("{s:o, s:o, s:o, s:o}", "pictures", report_json_real(choice->flip_pictures),
                     "batches", batches, "batch_low", report_json_real(choice->batch_low),
                     "batch_high", report_json_real(choice->batch_high));
}

static json_t *advice_json(const advise_command *c)
{
    static const char *const goals[] = {
#define X(id, text) text,
        ADVICE_GOAL_LIST(X)
#undef X
    };
    const char *from = c->cli->value[OPTION_FROM].text;
    return json_pack("{s:i, s:s, s:s, s:s, s:I, s:o, s:o, s:o, s:o, s:o, s:o, s:s, s:o, s:o}",
                     "schema", 1, "kind", "advice", "workload", c->workload->name, "goal",
                     goals[c->question.goal], "batch", (json_int_t)c->batch, "epochs",
                     report_json_real(c->epochs), "steps",
                     report_json_real(ceil(c->pictures / (double)c->batch)), "pictures",
                     report_json_real(c->pictures), "from", from ? json_string(from) : json_null(),
                     "candidates", candidates_json(c), "failed", failed_json(c), "verdict",
                     stats_verdict_name(c->choice.verdict), "ratio",
                     interval_json(&c->choice.ratio), "flip", flip_json(&c->choice));
}

/* Nothing can be said of the batch: why, as an error. */
static be_status check_answer(const advise_command *c, be_error *err)
{
    if (c->choice.best >= 0) return BE_OK;
    if (!c->cli->value[OPTION_FROM].given) TRY(measurement_check(c->records, err));
    if (c->question.goal == ADVICE_ENERGY)
        FAIL(err, BE_UNAVAILABLE,
             "goal energy: no device here has a sensor that tells its energy ('breakeven devices "
             "--measure' lists the sensors); choose by --goal time");
    FAIL(err, BE_USAGE,
         "batch %" PRId64 ": expected one between the batches that were measured, found none that "
         "reach it; measure there: leave --from out",
         c->batch);
}

static be_status advise(advise_command *c, measurement *m, be_error *err)
{
    TRY(read_options(c, err));
    const char *from = c->cli->value[OPTION_FROM].text;
    be_status status = from ? take_records(c, from, err) : measure(c, m, err);
    cli_progress_end();
    TRY(status);
    TRY(check_answer(c, err));
    json_t *answer = advice_json(c);
    status = advice_write(answer, cli_format(c->cli), stdout, err);
    json_decref(answer);
    return status;
}

json_t *advise_from(const cli_options *options, const workload *w, int64_t batch,
                    const json_t *records)
{
    static advise_command c; /* large */
    c = (advise_command){
        .cli = options, .workload = w, .batch = batch, .records = (json_t *)records};
    ask(&c, report_real(json_array_get(records, 0), "data_count"));
    choose(&c);
    return c.choice.best >= 0 ? advice_json(&c) : NULL;
}

be_status cmd_advise(const cli_options *options, be_error *err)
{
    static advise_command c; /* both are large */
    static measurement m;
    c = (advise_command){.cli = options, .records = json_array()};
    be_status status = advise(&c, &m, err);
    if (m.cli) measurement_close(&m);
    json_decref(c.records);
    return status;
}
