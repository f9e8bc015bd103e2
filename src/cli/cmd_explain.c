/* breakeven explain: where one step goes on each device, what the hardware allows, and why one
 * wins. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/commands.h"
#include "cli/explain.h"
#include "core/file.h"
#include "report/explain.h"

#define MEASURE_MAX_S 1.0
#define MEASURE_MIN_S 0.3
#define PHASES_S 0.3
#define WARM_UP_S 0.15
#define BLOCK_S 0.05 /* so that the least number of blocks is done in half a second */

static bool has_speed(const json_t *record)
{
    return !isnan(report_real(record, "samples_per_s"));
}

/* Without --threads each engine's better number of threads on the CPU speaks for it. */
static bool is_outdone(const cli_options *options, const json_t *records, size_t i)
{
    const json_t *record = json_array_get(records, i);
    if (options->value[OPTION_THREADS].given) return false;
    for (size_t k = 0; k < json_array_size(records); k++) {
        const json_t *other = json_array_get(records, k);
        if (strcmp(report_string(other, "engine"), report_string(record, "engine")) == 0 &&
            strcmp(report_string(other, "device"), report_string(record, "device")) == 0 &&
            report_real(other, "samples_per_s") > report_real(record, "samples_per_s"))
            return true;
    }
    return false;
}

/* `answers` gets the runners' answers to `phases`. */
static be_status explain(measurement *m, const cli_options *options, json_t *answers,
                         json_t *records, be_error *err)
{
    int64_t batch = 0;
    conductor_contender contenders[BENCH_CONTENDERS_MAX];
    const workload *w = cli_workload(options, 0);
    TRY(option_single(options, OPTION_BATCH, w->batch, &batch, err));
    TRY(measurement_open(m, options, err));
    if (!options->value[OPTION_MAX_TIME].given) m->conducting.stop.max_time_s = MEASURE_MAX_S;
    if (!options->value[OPTION_TIME].given) m->conducting.stop.min_time_s = MEASURE_MIN_S;
    measurement_point point = {.batch = batch};
    TRY(measurement_begin(m, w, err));
    m->conducting.answers = answers;
    m->conducting.phases_s = fmin(PHASES_S, m->conducting.stop.max_time_s);
    m->conducting.warm_up_s = WARM_UP_S;
    m->conducting.block_s = BLOCK_S;
    TRY(measurement_run(m, &point, records, err));
    m->conducting.answers = NULL;
    m->conducting.phases_s = 0; /* of what is tried later nothing is taken apart */
    measurement_contenders(m, &point, contenders);
    for (size_t i = 0; i < json_array_size(records); i++) {
        json_t *record = json_array_get(records, i);
        if (has_speed(record) && !is_outdone(options, records, i))
            TRY(explain_take_apart(
                &(explain_question){m, &contenders[i], json_array_get(answers, i)}, record, err));
    }
    return explain_cause(m, batch, records, err);
}

/* A file that cannot be written is found before anything is measured. */
static be_status begin_trace(const cli_options *options, file_writer *w, be_error *err)
{
    const option_value *path = &options->value[OPTION_TRACE];
    return path->given ? file_write_begin(w, path->text, err) : BE_OK;
}

static be_status end_trace(file_writer *w, const json_t *records, be_error *err)
{
    char *text = explain_trace(records);
    if (!text) {
        file_write_abort(w);
        FAIL(err, BE_NO_MEMORY, "no memory left for the trace; free some");
    }
    be_status status = file_write(w, text, strlen(text), err);
    free(text);
    if (status == BE_OK) return file_write_commit(w, err);
    file_write_abort(w);
    return status;
}

be_status cmd_explain(const cli_options *options, be_error *err)
{
    static measurement m; /* large: it holds the engines' paths */
    file_writer trace = {.fd = -1};
    json_t *records = json_array(), *answers = json_array();
    be_status status = begin_trace(options, &trace, err);
    if (status == BE_OK) {
        be_error later = {0};
        status = explain(&m, options, answers, records, err);
        cli_progress_end();
        be_status written = BE_OK;
        if (options->value[OPTION_TRACE].given) written = end_trace(&trace, records, &later);
        if (written == BE_OK && json_array_size(records))
            written = explain_write(records, cli_format(options), stdout, &later);
        if (status == BE_OK && written != BE_OK) *err = later;
        if (status == BE_OK) status = written;
        if (status == BE_OK) status = measurement_check(records, err);
        measurement_close(&m);
    }
    json_decref(answers);
    json_decref(records);
    return status;
}
