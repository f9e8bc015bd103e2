/* The pages of what is kept: the list of runs, one run, runs side by side. */
#include <ctype.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/json.h"
#include "report/compare.h"
#include "report/html.h"
#include "report/page.h"
#include "serve/markup.h"
#include "serve/panel.h"
#include "serve/view.h"
#include "store/choose.h"
#include "study/compare.h"

#define DAY_S 86400

/* ---------------------------------------------------------------- loading */

static be_status take_day(const address *a, const char *name, int64_t *out, be_error *err)
{
    const char *text = address_value(a, name);
    *out = -1;
    if (!*text) return BE_OK;
    if (!store_day(text, out))
        FAIL(err, BE_USAGE, "%s: expected a day as in 2026-11-30, found \"%.40s\"", name, text);
    return BE_OK;
}

static const char *given(const address *a, const char *name)
{
    const char *value = address_value(a, name);
    return *value ? value : NULL;
}

be_status address_filter(const address *a, store_filter *out, be_error *err)
{
    const char *last = address_value(a, "last");
    *out = (store_filter){.workload = given(a, "workload"),
                          .engine = given(a, "engine"),
                          .device = given(a, "device"),
                          .machine = given(a, "machine"),
                          .commit = given(a, "commit"),
                          .limit = *last ? address_number(last) : VIEW_RUNS};
    if (!out->limit) FAIL(err, BE_USAGE, "last: expected a number of runs, found \"%.40s\"", last);
    TRY(take_day(a, "since", &out->since_s, err));
    TRY(take_day(a, "until", &out->until_s, err));
    if (out->until_s >= 0) out->until_s += DAY_S; /* the day itself is among them */
    return BE_OK;
}

static be_status add_line(void *context, const char *line, int64_t run, be_error *err)
{
    json_t *record = NULL;
    json_source source = {"a run", "a record in JSON",
                          "the database was changed by another program"};
    (void)run;
    TRY(json_parse(&record, line, strlen(line), &source, err));
    json_array_append_new(context, record);
    return BE_OK;
}

be_status view_load_runs(const address *a, json_t **runs, int64_t *rest, be_error *err)
{
    store *s = NULL;
    store_filter filter;
    *runs = NULL;
    TRY(address_filter(a, &filter, err));
    TRY(store_open_to_read(&s, NULL, err));
    *runs = json_array();
    be_status status = store_list(s, &filter, *runs, rest, err);
    store_close(s);
    return status;
}

be_status view_load_run(int64_t run, bool *missing, view_data *out, be_error *err)
{
    store *s = NULL;
    store_filter filter = {.run = run, .since_s = -1, .until_s = -1};
    int64_t rest = 0;
    *out = (view_data){.notes = json_array(), .records = json_array()};
    TRY(store_open_to_read(&s, NULL, err));
    json_t *runs = json_array();
    be_status status = store_check_run(s, run, err);
    *missing |= status == BE_USAGE;
    if (status == BE_OK) status = store_list(s, &filter, runs, &rest, err);
    if (status == BE_OK) status = store_read(s, &filter, add_line, out->records, err);
    if (status == BE_OK) status = store_notes(s, run, out->notes, err);
    out->run = json_incref(json_array_get(runs, 0));
    json_decref(runs);
    store_close(s);
    return status;
}

typedef struct sides {
    char name[COMPARE_SIDES_MAX][24], title[COMPARE_SIDES_MAX][200];
} sides;

static be_status choose_sides(compare_request *request, sides *names, be_error *err)
{
    store *s = NULL;
    TRY(store_open_to_read(&s, NULL, err));
    be_status status = BE_OK;
    for (int i = 0; status == BE_OK && i < request->side_count; i++) {
        compare_side *side = &request->sides[i];
        *side = (compare_side){names->name[i], names->title[i], json_array(), NAN};
        status = store_check_run(s, address_number(names->name[i]), err);
        if (status == BE_OK)
            status = choose_records(s, side->name, side->records, names->title[i], err);
    }
    store_close(s);
    return status;
}

be_status view_load_comparison(const address *a, view_data *out, be_error *err)
{
    compare_request request = {.slower = NAN};
    sides names;
    *out = (view_data){0};
    for (int i = 0; i < a->count; i++) {
        int64_t run = address_number(a->pairs[i].value);
        if (strcmp(a->pairs[i].name, "run") != 0) continue;
        if (!run || request.side_count == COMPARE_SIDES_MAX)
            FAIL(err, BE_USAGE, "run: expected the numbers of at most %d runs", COMPARE_SIDES_MAX);
        snprintf(names.name[request.side_count++], 24, "%" PRId64, run);
    }
    if (request.side_count < 2)
        FAIL(err, BE_USAGE,
             "expected two runs or more to compare, found %d; mark them in the list "
             "of runs",
             request.side_count);
    be_status status = choose_sides(&request, &names, err);
    if (status == BE_OK) status = study_compare(&request, &out->comparison, err);
    for (int i = 0; i < request.side_count; i++) json_decref(request.sides[i].records);
    return status;
}

void view_release(view_data *data)
{
    json_decref(data->run);
    json_decref(data->notes);
    json_decref(data->records);
    json_decref(data->comparison);
}

/* ---------------------------------------------------------------- the list */

static const char *const searches[] = {"workload", "engine", "device", "machine",
                                       "commit",   "since",  "until"};
#define SEARCHES (sizeof searches / sizeof *searches)

static bool is_search(const char *name)
{
    size_t i = 0;
    while (i < SEARCHES && strcmp(searches[i], name) != 0) i++;
    return i < SEARCHES;
}

static void write_search(const address *a, FILE *out)
{
    fputs("<form method=get action=/runs class=search>", out);
    for (size_t i = 0; i < SEARCHES; i++)
        markup_put(out, "<label>%s<input name=%s type=%s value=\"%s\"></label>", searches[i],
                   searches[i], i < 5 ? "search" : "date", address_value(a, searches[i]));
    fputs("<button>Search</button></form>\n", out);
}

static void write_row(const json_t *run, FILE *out)
{
    const char *time = report_string(run, run, time);
    char when[32];
    int64_t number = (int64_t)report_real(run, run, run);
    snprintf(when, sizeof when, "%.10s %.5s", time, strlen(time) > 16 ? time + 11 : "");
    markup_put(out,
               "<tr><td><input type=checkbox name=run value=%l aria-label=\"compare run %l\">"
               "<td class=n><a href=/runs/%l>%l</a><td>%s<td>%s<td>%s<td>%s<td>%s<td>%s"
               "<td class=n>%l<td>%s\n",
               number, number, number, number, when, report_string(run, run, command),
               report_string(run, run, workloads), report_string(run, run, engines),
               report_string(run, run, devices), report_string(run, run, machine),
               (int64_t)report_real(run, run, records), report_string(run, run, note));
}

/* "&NAME=VALUE" of an address. */
static void put_pair(const char *name, const char *value, FILE *out)
{
    markup_put(out, "&amp;%s=", name);
    for (; *value; value++)
        if (isalnum((unsigned char)*value) || strchr("-._~", *value))
            fputc(*value, out);
        else
            fprintf(out, "%%%02X", (unsigned char)*value);
}

static void write_list(const address *a, const json_t *runs, int64_t rest, FILE *out)
{
    size_t i;
    json_t *run;
    if (!json_array_size(runs)) {
        fputs(store_can_keep(NULL) == BE_OK
                  ? "<p>No run is kept that is asked for; Try, Break-even and Explain keep theirs, "
                    "and so do the commands.</p>\n"
                  : "<p>No run is kept that is asked for.</p>\n",
              out);
        return;
    }
    fputs("<form method=get action=/compare><div class=scroll tabindex=0 role=group "
          "aria-label=runs><table><thead><tr><th><th class=n>run<th>began (UTC)<th>command"
          "<th>workloads<th>engines<th>devices<th>machine<th class=n>records<th>note<tbody>\n",
          out);
    json_array_foreach(runs, i, run) write_row(run, out);
    fputs("</table></div><p class=actions><button>Compare the marked</button> <button "
          "formaction=/report>Report of the marked</button></p></form>\n",
          out);
    if (!rest) return;
    markup_put(out, "<p>%l older: <a href=\"/runs?last=%l", rest,
               rest + (int64_t)json_array_size(runs));
    for (int p = 0; p < a->count; p++)
        if (is_search(a->pairs[p].name) && *a->pairs[p].value)
            put_pair(a->pairs[p].name, a->pairs[p].value, out);
    fputs("\">list them too</a></p>\n", out);
}

be_status view_runs(const view *p, FILE *out, be_error *err)
{
    int64_t rest = 0;
    json_t *runs = NULL;
    be_status status = view_load_runs(p->address, &runs, &rest, err);
    if (status == BE_OK) {
        view_begin(p, "Runs", out);
        be_error reason;
        if (store_can_keep(&reason) != BE_OK) html_element(out, "p", "", "%s", reason.text);
        write_search(p->address, out);
        write_list(p->address, runs, rest, out);
        view_end(out);
    }
    json_decref(runs);
    return status;
}

/* ---------------------------------------------------------------- one run, several runs */

static void write_run(const view_data *d, int64_t run, FILE *out)
{
    size_t i;
    json_t *note;
    markup_put(out,
               "<dl><dt>command<dd>%s<dt>began<dd>%s<dt>machine<dd>%s<dt>build<dd>%s</dl>\n<p><a "
               "href=\"/report?run=%l\">report</a>, <a href=/api/runs/%l/records>records as JSON "
               "lines</a></p>\n",
               report_string(d->run, run, command), report_string(d->run, run, time),
               report_string(d->run, run, machine), report_string(d->run, run, commit), run, run);
    json_array_foreach(d->notes, i, note)
        markup_put(out, "<p class=note>%s: %s</p>\n", report_string(note, note, time),
                   report_string(note, note, text));
    markup_put(out,
               "<form id=note data-run=%l class=search><label>note<input name=text required "
               "maxlength=1000></label><button>Add</button><span role=status></span></form>\n",
               run);
    panel_records(d->records, out);
}

be_status view_run(const view *p, int64_t run, FILE *out, be_error *err)
{
    view_data data;
    char title[40];
    be_status status = view_load_run(run, p->missing, &data, err);
    if (status == BE_OK) {
        snprintf(title, sizeof title, "Run %" PRId64, run);
        view_begin(p, title, out);
        write_run(&data, run, out);
        view_end(out);
    }
    view_release(&data);
    return status;
}

be_status view_compare(const view *p, FILE *out, be_error *err)
{
    view_data data;
    be_status status = view_load_comparison(p->address, &data, err);
    if (status == BE_OK) {
        view_begin(p, "Runs side by side", out);
        report_style before = html_begin_look();
        status = compare_write(data.comparison, REPORT_TABLE, out, err);
        html_end_look(before);
        view_end(out);
    }
    view_release(&data);
    return status;
}

/* ---------------------------------------------------------------- a report */

be_status view_report(const view *p, FILE *out, be_error *err)
{
    store *s = NULL;
    json_t *comparison = NULL, *runs = json_array();
    be_status status = store_open_to_read(&s, NULL, err);
    for (int i = 0; status == BE_OK && i < p->address->count; i++) {
        store_filter one = {
            .run = address_number(p->address->pairs[i].value), .since_s = -1, .until_s = -1};
        if (strcmp(p->address->pairs[i].name, "run") != 0) continue;
        status = store_check_run(s, one.run ? one.run : -1, err);
        if (status == BE_OK) status = choose_collect(s, &one, runs, err);
    }
    store_close(s);
    if (status == BE_OK && !json_array_size(runs))
        status = status_fail(err, __FILE__, __LINE__, BE_USAGE,
                             "expected runs to report, found none; mark some in the list of runs");
    if (status == BE_OK) status = study_compare_runs(runs, &comparison, err);
    report_page page = {runs, comparison};
    if (status == BE_OK) status = page_write_html(&page, out, err);
    json_decref(comparison);
    json_decref(runs);
    return status;
}
