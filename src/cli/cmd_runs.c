/* breakeven runs: what was measured and kept. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/commands.h"
#include "cli/runs.h"
#include "core/clock.h"
#include "core/file.h"
#include "core/json.h"
#include "report/runs.h"
#include "store/import.h"

#define LIST_RUNS 50
#define DAY_S 86400

/* ---------------------------------------------------------------- what is asked for */

static be_status take_run(const char *text, int64_t *out, be_error *err)
{
    char *end = NULL;
    errno = 0;
    *out = strtoll(text, &end, 10);
    if (errno || end == text || *end || *out < 1)
        FAIL(err, BE_USAGE,
             "runs: expected the number of a run, found \"%s\"; 'breakeven runs' lists them", text);
    return BE_OK;
}

static be_status take_day(const option_value *value, const char *name, int64_t *out, be_error *err)
{
    *out = -1;
    if (!value->is_given) return BE_OK;
    if (!store_day(value->text, out))
        FAIL(err, BE_USAGE, "--%s: expected a day as in 2026-11-30, found \"%s\"", name,
             value->text);
    return BE_OK;
}

static be_status take_word(const cli_options *options, option_id id, const char **out,
                           be_error *err)
{
    const option_value *value = &options->value[id];
    if (value->count > 1)
        FAIL(err, BE_USAGE, "--%s: runs takes one of them, found %d; name one",
             option_table[id].name, value->count);
    bool any = !value->is_given || strcmp(value->words[0], "all") == 0;
    *out = any ? NULL : value->words[0];
    return BE_OK;
}

be_status runs_filter(const cli_options *options, store_filter *out, be_error *err)
{
    const option_value *values = options->value;
    *out = (store_filter){.workload = values[OPTION_WORKLOAD].text,
                          .machine = values[OPTION_MACHINE].text,
                          .commit = values[OPTION_COMMIT].text};
    TRY(take_word(options, OPTION_ENGINE, &out->engine, err));
    TRY(take_word(options, OPTION_DEVICE, &out->device, err));
    TRY(take_day(&values[OPTION_SINCE], "since", &out->since_s, err));
    TRY(take_day(&values[OPTION_UNTIL], "until", &out->until_s, err));
    if (out->until_s >= 0) out->until_s += DAY_S; /* the day itself is among them */
    return BE_OK;
}

/* ---------------------------------------------------------------- list and show */

static be_status list_runs(const cli_options *options, store *s, be_error *err)
{
    const option_value *last = &options->value[OPTION_LAST];
    store_filter filter;
    int64_t rest = 0;
    TRY(runs_filter(options, &filter, err));
    filter.limit = last->is_given ? last->integer : LIST_RUNS;
    json_t *runs = json_array();
    be_status status = store_list(s, &filter, runs, &rest, err);
    if (status == BE_OK) status = runs_write(runs, rest, cli_format(options), cli_results, err);
    json_decref(runs);
    return status;
}

static be_status add_line(void *context, const char *line, int64_t run, be_error *err)
{
    char name[40];
    json_t *record = NULL;
    snprintf(name, sizeof name, "run %" PRId64, run);
    json_source source = {name, "a record in JSON", "the database was changed by another program"};
    TRY(json_parse(&record, line, strlen(line), &source, err));
    json_array_append_new(context, record);
    return BE_OK;
}

static be_status show_run(const cli_options *options, store *s, be_error *err)
{
    store_filter filter = {.since_s = -1, .until_s = -1};
    int64_t rest = 0;
    if (options->argument_count != 2)
        FAIL(err, BE_USAGE,
             "runs show: expected the number of one run; 'breakeven runs' lists "
             "them");
    TRY(take_run(options->arguments[1], &filter.run, err));
    TRY(store_check_run(s, filter.run, err));
    json_t *runs = json_array(), *records = json_array(), *notes = json_array();
    be_status status = store_list(s, &filter, runs, &rest, err);
    if (status == BE_OK) status = store_read(s, &filter, add_line, records, err);
    if (status == BE_OK) status = store_notes(s, filter.run, notes, err);
    if (status == BE_OK)
        status = runs_write_one(json_array_get(runs, 0), notes, records, cli_format(options),
                                cli_results, err);
    json_decref(runs);
    json_decref(records);
    json_decref(notes);
    return status;
}

/* ---------------------------------------------------------------- export and import */

typedef struct exporting {
    file_writer writer;
    bool to_file;
    int64_t count;
} exporting;

static be_status write_line(void *context, const char *line, int64_t run, be_error *err)
{
    exporting *e = context;
    (void)run;
    e->count++;
    if (!e->to_file) {
        fprintf(cli_results, "%s\n", line); /* main tells if that failed */
        return cli_signal ? BE_INTERRUPTED : BE_OK;
    }
    TRY(file_write(&e->writer, line, strlen(line), err));
    return file_write(&e->writer, "\n", 1, err);
}

static be_status export_lines(const cli_options *options, store *s, exporting *e, be_error *err)
{
    store_filter filter;
    TRY(runs_filter(options, &filter, err));
    if (options->argument_count == 1) return store_read(s, &filter, write_line, e, err);
    for (int a = 1; a < options->argument_count; a++) {
        TRY(take_run(options->arguments[a], &filter.run, err));
        TRY(store_check_run(s, filter.run, err));
        TRY(store_read(s, &filter, write_line, e, err));
    }
    return BE_OK;
}

static be_status export_runs(const cli_options *options, store *s, be_error *err)
{
    const option_value *output = &options->value[OPTION_OUTPUT];
    exporting e = {.to_file = output->is_given};
    if (e.to_file) TRY(file_write_begin(&e.writer, output->text, err));
    be_status status = export_lines(options, s, &e, err);
    if (e.to_file && status == BE_OK) status = file_write_commit(&e.writer, err);
    if (e.to_file && status != BE_OK) file_write_abort(&e.writer);
    if (status == BE_OK && e.to_file)
        cli_note(options, "%s: %" PRId64 " record%s", cli_output_name(output), e.count,
                 e.count == 1 ? "" : "s");
    return status;
}

static be_status import_files(const cli_options *options, store *s, be_error *err)
{
    if (options->argument_count < 2)
        FAIL(err, BE_USAGE, "runs import: expected a file of records, or - for standard input");
    for (int a = 1; a < options->argument_count; a++) {
        import_count count;
        const char *path = options->arguments[a];
        TRY(import_file(s, path, &count, err));
        fprintf(cli_results,
                "%s: %" PRId64 " record%s in %" PRId64 " run%s, %" PRId64 " there already\n",
                strcmp(path, "-") ? path : "standard input", count.added,
                count.added == 1 ? "" : "s", count.runs, count.runs == 1 ? "" : "s", count.known);
    }
    return BE_OK;
}

/* ---------------------------------------------------------------- notes and removal */

static be_status note_run(const cli_options *options, store *s, be_error *err)
{
    int64_t run = 0;
    if (options->argument_count != 3)
        FAIL(err, BE_USAGE, "runs note: expected the number of a run and a text in quotes");
    TRY(take_run(options->arguments[1], &run, err));
    return store_add_note(s, run, options->arguments[2], clock_unix_s(), err);
}

static be_status remove_runs(const cli_options *options, store *s, be_error *err)
{
    if (options->argument_count < 2)
        FAIL(err, BE_USAGE,
             "runs remove: expected the numbers of runs; 'breakeven runs' lists "
             "them");
    TRY(store_begin(s, err));
    be_status status = BE_OK;
    for (int a = 1; status == BE_OK && a < options->argument_count; a++) {
        int64_t run = 0;
        status = take_run(options->arguments[a], &run, err);
        if (status == BE_OK) status = store_remove_run(s, run, err);
    }
    return store_end(s, status, err);
}

/* ---------------------------------------------------------------- the command */

typedef struct action {
    const char *name;
    be_status (*run)(const cli_options *options, store *s, be_error *err);
    bool writes, filters, lists; /* takes --workload and its kin; takes --last and --format */
} action;

static const action actions[] = {
    {"list", list_runs, false, true, true},      {"show", show_run, false, false, true},
    {"note", note_run, true, false, false},      {"remove", remove_runs, true, false, false},
    {"export", export_runs, false, true, false}, {"import", import_files, true, false, false},
};

/* An option that the action does not heed is refused. */
static be_status check_action(const cli_options *options, const action *a, be_error *err)
{
    static const option_id filters[] = {OPTION_WORKLOAD, OPTION_ENGINE, OPTION_DEVICE,
                                        OPTION_MACHINE,  OPTION_COMMIT, OPTION_SINCE,
                                        OPTION_UNTIL};
    const option_id rest[] = {OPTION_LAST, OPTION_FORMAT, OPTION_OUTPUT};
    const bool heeded[] = {a->run == list_runs, a->lists, a->run == export_runs};
    for (size_t i = 0; i < sizeof filters / sizeof *filters; i++)
        if (!a->filters && options->value[filters[i]].is_given)
            FAIL(err, BE_USAGE, "--%s: runs %s does not choose by it; leave it out",
                 option_table[filters[i]].name, a->name);
    for (size_t i = 0; i < sizeof rest / sizeof *rest; i++)
        if (!heeded[i] && options->value[rest[i]].is_given)
            FAIL(err, BE_USAGE, "--%s: it has no effect on runs %s; leave it out",
                 option_table[rest[i]].name, a->name);
    if (a->run == list_runs && options->argument_count > 1)
        FAIL(err, BE_USAGE,
             "runs list: expected no more words, found \"%s\"; 'runs show %s' shows "
             "a run",
             options->arguments[1], options->arguments[1]);
    return BE_OK;
}

be_status cmd_runs(const cli_options *options, be_error *err)
{
    const char *name = options->argument_count ? options->arguments[0] : "list";
    const action *act = NULL;
    char near[64];
    store *s = NULL;
    for (size_t i = 0; i < sizeof actions / sizeof *actions; i++)
        if (strcmp(actions[i].name, name) == 0) act = &actions[i];
    option_nearest(name, "list show note remove export import", near);
    if (!act)
        FAIL(err, BE_USAGE,
             "runs: expected list, show, note, remove, export or import, found \"%s\"%s%s%s", name,
             near[0] ? "; did you mean " : "", near, near[0] ? "?" : "");
    TRY(check_action(options, act, err));
    TRY(act->writes ? store_open(&s, NULL, err) : store_open_to_read(&s, NULL, err));
    be_status status = act->run(options, s, err);
    store_close(s);
    return status;
}
