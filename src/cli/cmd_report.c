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
    if (!output->is_given)
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
    store_filter newest = {
        .since_s = -1, .until_s = -1, .limit = last->is_given ? last->integer : 1};
    store *s = NULL;
    if (last->is_given && options->argument_count)
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
    if (status == BE_OK) status = study_compare_runs(runs, &comparison, err);
    report_page page = {runs, comparison};
    if (status == BE_OK) status = write_file(&page, write, output->text, err);
    if (status == BE_OK)
        cli_note(options, "%s: %zu run%s", cli_output_name(output), json_array_size(runs),
                 json_array_size(runs) == 1 ? "" : "s");
    json_decref(comparison);
    json_decref(runs);
    return status;
}
