/* breakeven report: runs as one document. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/commands.h"
#include "core/file.h"
#include "report/page.h"
#include "store/choose.h"
#include "study/compare.h"

typedef be_status write_page(const report_page *page, FILE *out, be_error *err);

/* By the suffix of the file. */
static be_status find_form(const cli_options *options, write_page **out, be_error *err)
{
    static const struct {
        const char *suffix;
        write_page *write;
    } forms[] = {{".html", page_write_html}, {".md", page_write_md}, {".csv", page_write_csv}};
    const option_value *output = &options->value[OPTION_OUTPUT];
    if (!output->given)
        FAIL(err, BE_USAGE, "report: expected the file to write, as in -o report.html");
    const char *slash = strrchr(output->text, '/'), *name = slash ? slash + 1 : output->text;
    const char *suffix = strrchr(name, '.');
    for (size_t f = 0; suffix && f < sizeof forms / sizeof *forms; f++)
        if (strcmp(suffix, forms[f].suffix) == 0) {
            *out = forms[f].write;
            return BE_OK;
        }
    FAIL(err, BE_USAGE, "--output: expected a file that ends in .html, .md or .csv, found \"%s\"",
         output->text);
}

static be_status collect(const cli_options *options, json_t *runs, be_error *err)
{
    const option_value *last = &options->value[OPTION_LAST];
    store_filter newest = {.since_s = -1, .until_s = -1, .most = last->given ? last->integer : 1};
    store *s = NULL;
    if (last->given && options->argument_count)
        FAIL(err, BE_USAGE, "--last: it takes the newest runs; leave it out, or the names of runs");
    TRY(store_open_to_read(&s, NULL, err));
    be_status status = options->argument_count ? BE_OK : choose_collect(s, &newest, runs, err);
    for (int a = 0; status == BE_OK && a < options->argument_count; a++)
        status = choose_runs(s, options->arguments[a], runs, err);
    store_close(s);
    TRY(status);
    if (!json_array_size(runs))
        FAIL(err, BE_USAGE,
             "report: no run is kept; bench, sweep, explain, advise and train keep theirs");
    return BE_OK;
}

/* ---------------------------------------------------------------- side by side */

/* The records of a run as choose_records gives them. */
static json_t *chosen_of(const json_t *run)
{
    json_t *chosen = json_array(), *record;
    const json_t *number = json_object_get(json_object_get(run, "run"), "run");
    size_t i;
    json_array_foreach(json_object_get(run, "records"), i, record)
        json_array_append_new(chosen, json_pack("{s:O, s:O}", "run", number, "record", record));
    return chosen;
}

static bool has_speed(const json_t *run)
{
    size_t i;
    json_t *record;
    json_array_foreach(report_member(run, collected, records), i,
                       record) if (report_real(record, bench, samples_per_s) > 0 &&
                                   strcmp(report_string(record, bench, kind), "bench") ==
                                       0) return true;
    return false;
}

/* The runs with a speed, the first ones where there are too many; *out is NULL where there are not
 * two of them, or they have no work in common. */
static be_status compare_runs(const json_t *runs, json_t **out, be_error *err)
{
    compare_request request = {.slower = (double)NAN};
    char titles[COMPARE_SIDES_MAX][200];
    be_status status = BE_OK;
    size_t r;
    json_t *run;
    *out = NULL;
    json_array_foreach(runs, r, run)
    {
        int s = request.side_count;
        if (!has_speed(run) || s == COMPARE_SIDES_MAX) continue;
        snprintf(titles[s], sizeof titles[s], "run %.0f, %.150s",
                 report_real(run, collected, run.run), report_string(run, collected, run.machine));
        request.sides[s] = (compare_side){titles[s], titles[s], chosen_of(run), (double)NAN};
        request.side_count++;
    }
    if (request.side_count > 1) status = study_compare(&request, out, err);
    for (int s = 0; s < request.side_count; s++) json_decref(request.sides[s].records);
    if (status == BE_USAGE) { /* not alike: the document stands without it */
        json_decref(*out);
        *out = NULL;
        return BE_OK;
    }
    return status;
}

/* ---------------------------------------------------------------- the command */

static be_status write_file(const report_page *page, write_page *write, const char *path,
                            be_error *err)
{
    char *bytes = NULL;
    size_t count = 0;
    FILE *out = open_memstream(&bytes, &count);
    if (!out) FAIL(err, BE_NO_MEMORY, "no memory left for the report; free some");
    be_status status = write(page, out, err);
    bool whole = fclose(out) == 0;
    if (status == BE_OK && whole) status = file_write_whole(path, bytes, count, err);
    free(bytes);
    if (status == BE_OK && !whole)
        FAIL(err, BE_NO_MEMORY, "no memory left for the report; free some");
    return status;
}

be_status cmd_report(const cli_options *options, be_error *err)
{
    const option_value *output = &options->value[OPTION_OUTPUT];
    write_page *write = NULL;
    json_t *runs = json_array(), *comparison = NULL;
    be_status status = find_form(options, &write, err);
    if (status == BE_OK) status = file_check_output(output->text, err);
    if (status == BE_OK) status = collect(options, runs, err);
    if (status == BE_OK) status = compare_runs(runs, &comparison, err);
    report_page page = {runs, comparison};
    if (status == BE_OK) status = write_file(&page, write, output->text, err);
    if (status == BE_OK)
        cli_note(options, "%s: %zu run%s", cli_output_name(output), json_array_size(runs),
                 json_array_size(runs) == 1 ? "" : "s");
    json_decref(comparison);
    json_decref(runs);
    return status;
}
