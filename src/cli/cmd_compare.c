/* breakeven compare: runs, machines, builds or files of records side by side. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/commands.h"
#include "report/compare.h"
#include "store/choose.h"
#include "study/compare.h"

#define PRICE_MOST 1e6

static int side_named(const compare_request *request, const char *name, size_t length)
{
    for (int s = 0; s < request->side_count; s++) {
        const char *own = request->sides[s].name;
        if (strlen(own) == length && strncmp(own, name, length) == 0) return s;
    }
    return -1;
}

static be_status take_baseline(const cli_options *options, compare_request *out, be_error *err)
{
    const char *name = options->value[OPTION_BASELINE].text;
    if (!name) return BE_OK;
    out->baseline = side_named(out, name, strlen(name));
    if (out->baseline < 0)
        FAIL(err, BE_USAGE, "--baseline: expected one of those that are compared, found \"%s\"",
             name);
    return BE_OK;
}

/* "A=1.20,B=0.08" */
static be_status take_prices(const cli_options *options, compare_request *out, be_error *err)
{
    const char *text = options->value[OPTION_PRICE].text, *at = text;
    while (at && *at) {
        size_t whole = strcspn(at, ",");
        const char *equals = memchr(at, '=', whole);
        char *end = NULL;
        int side = equals ? side_named(out, at, (size_t)(equals - at)) : -1;
        double price = equals ? strtod(equals + 1, &end) : -1;
        if (side < 0 || end != at + whole || end == equals + 1 || !(price >= 0) ||
            price > PRICE_MOST)
            FAIL(
                err, BE_USAGE,
                "--price: expected NAME=EUR_PER_HOUR of one that is compared, as in %s=1.20, found "
                "\"%.*s\"",
                out->sides[0].name, (int)whole, at);
        out->sides[side].price = price;
        at += whole + (at[whole] == ',');
    }
    return BE_OK;
}

/* "slower:5%" */
static be_status take_fail_if(const cli_options *options, double *out, be_error *err)
{
    static const char start[] = "slower:";
    const char *text = options->value[OPTION_FAIL_IF].text;
    char *end = NULL;
    *out = NAN;
    if (!text) return BE_OK;
    bool is_known = strncmp(text, start, sizeof start - 1) == 0;
    double percent = is_known ? strtod(text + sizeof start - 1, &end) : -1;
    if (!is_known || end == text + sizeof start - 1 || strcmp(end, "%") != 0 || !(percent >= 0) ||
        percent > 1e6)
        FAIL(err, BE_USAGE, "--fail-if: expected slower:N%%, as in slower:5%%, found \"%s\"", text);
    *out = percent / 100;
    return BE_OK;
}

typedef struct titles {
    char text[COMPARE_SIDES_MAX][200];
} titles;

static be_status take_request(const cli_options *options, compare_request *out, be_error *err)
{
    const option_value *values = options->value;
    *out = (compare_request){.side_count = options->argument_count,
                             .workload = values[OPTION_WORKLOAD].text,
                             .epochs = values[OPTION_EPOCHS].integer};
    for (int s = 0; s < out->side_count; s++)
        out->sides[s] = (compare_side){.name = options->arguments[s], .price = NAN};
    TRY(take_baseline(options, out, err));
    TRY(take_prices(options, out, err));
    return take_fail_if(options, &out->slower, err);
}

static be_status choose_sides(compare_request *request, titles *names, be_error *err)
{
    store *s = NULL;
    TRY(store_open_to_read(&s, NULL, err));
    be_status status = BE_OK;
    for (int i = 0; status == BE_OK && i < request->side_count; i++) {
        compare_side *side = &request->sides[i];
        side->title = names->text[i];
        side->records = json_array();
        status = choose_records(s, side->name, side->records, names->text[i], err);
    }
    store_close(s);
    return status;
}

be_status cmd_compare(const cli_options *options, be_error *err)
{
    compare_request request;
    titles names = {{{0}}};
    json_t *result = NULL;
    be_error telling = {0};
    TRY(take_request(options, &request, err));
    be_status status = choose_sides(&request, &names, err);
    if (status == BE_OK) status = study_compare(&request, &result, err);
    be_status output =
        result ? compare_write(result, cli_format(options), cli_results, &telling) : BE_OK;
    if (status == BE_OK && output != BE_OK) {
        *err = telling;
        status = output;
    }
    for (int s = 0; s < request.side_count; s++) json_decref(request.sides[s].records);
    json_decref(result);
    return status;
}
