/* breakeven sweep: where one contender overtakes another along an axis. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/bench_workers.h"
#include "cli/cli.h"
#include "cli/commands.h"
#include "cli/events.h"
#include "cli/request.h"
#include "core/file.h"
#include "report/sweep.h"
#include "study/study.h"

/* What cannot stand beside --over and --resume. */
static be_status check_options(const option_value *values, const axis *axis, be_error *err)
{
    const option_id swept[] = {OPTION_BATCH,
#define X(id, ...) OPTION_##id,
                               WORKLOAD_VARIANT_LIST(X)
#undef X
    };
    for (size_t o = 0; o < sizeof swept / sizeof *swept; o++)
        if (values[swept[o]].is_given && strcmp(axis->name, option_table[swept[o]].name) == 0)
            FAIL(err, BE_USAGE, "--%s: the sweep goes over the %s; leave --%s out", axis->name,
                 axis->name, axis->name);
    bool if_any = values[OPTION_RESUME_IF_ANY].is_given;
    if (values[OPTION_RESUME].is_given && if_any)
        FAIL(err, BE_USAGE,
             "--resume and --resume-if-any both say where to go on; give one of them");
    if ((values[OPTION_RESUME].is_given || if_any) && values[OPTION_OUTPUT].is_given)
        FAIL(err, BE_USAGE,
             "--output: a resumed sweep goes on in its own file; leave --output out");
    /* A file that cannot be written is found before anything is measured. */
    if (values[OPTION_SVG].is_given) TRY(file_check_output(values[OPTION_SVG].text, err));
    return BE_OK;
}

static be_status read_axis(const cli_options *options, const workload *w, study_axis *out,
                           be_error *err)
{
    const option_value *values = options->value, *file = &values[OPTION_OUTPUT];
    *out = (study_axis){.begin = STUDY_FILE_NEW};
    if (!values[OPTION_OVER].is_given)
        FAIL(err, BE_USAGE, "sweep needs --over AXIS=FROM..TO, as in --over batch=8..4096");
    TRY(request_range(values[OPTION_OVER].text, w, &out->range, err));
    TRY(check_options(values, out->range.axis, err));
    if (values[OPTION_RESUME].is_given) {
        out->begin = STUDY_FILE_RESUME;
        file = &values[OPTION_RESUME];
    }
    if (values[OPTION_RESUME_IF_ANY].is_given) {
        out->begin = STUDY_FILE_RESUME_IF_ANY;
        file = &values[OPTION_RESUME_IF_ANY];
    }
    out->path = file->text;
    out->shown = file->text ? cli_output_name(file) : NULL;
    return BE_OK;
}

static be_status write_svg(const cli_options *options, const json_t *result, be_error *err)
{
    const char *path = options->value[OPTION_SVG].text;
    char *bytes = NULL;
    size_t count = 0;
    if (!path) return BE_OK;
    FILE *out = open_memstream(&bytes, &count);
    if (!out) FAIL(err, BE_NO_MEMORY, "no memory for the plot");
    sweep_write_svg(result, out);
    bool whole = fclose(out) == 0;
    be_status status = whole ? file_write_whole(path, bytes, count, err) : BE_NO_MEMORY;
    free(bytes);
    if (!whole) FAIL(err, BE_NO_MEMORY, "no memory for the plot");
    return status;
}

/* However it ended, if there is any result. */
static be_status tell(const cli_options *options, const study_swept *swept, be_error *err)
{
    if (!swept->result) return BE_OK;
    if (events_wanted(options))
        events_write(options, "result", swept->result);
    else
        TRY(sweep_write(swept->result, cli_format(options), cli_results, err));
    return write_svg(options, swept->result, err);
}

be_status cmd_sweep(const cli_options *options, be_error *err)
{
    study_axis axis;
    study_request request;
    study_swept swept;
    request_listener listener = {options, NULL, request_keeper(options)};
    study_watch watch = request_watch(&listener);
    be_error telling = {0};
    if (bench_workers_asked(options)) return bench_workers(options, err);
    if (options->value[OPTION_EACH].is_given)
        FAIL(err, BE_USAGE, "--each: it is of workers; add --over workers=FROM..TO");
    TRY(request_make_single(options, &request, err));
    TRY(read_axis(options, request.workloads[0], &axis, err));
    be_status status = study_sweep(&request, &axis, &watch, &swept, err);
    if (swept.result) request_keep(&listener, swept.result, NULL);
    request_keep_end(&listener);
    cli_progress_end();
    be_status output = tell(options, &swept, &telling);
    if (status == BE_INTERRUPTED && swept.file[0])
        cli_note(options, "%s has what was measured; --resume=%s goes on from there", swept.file,
                 swept.file);
    if (status == BE_OK && output != BE_OK) {
        *err = telling;
        status = output;
    }
    json_decref(swept.result);
    return status;
}
