/* See page.h. */
#include "report/page.h"

#include <string.h>

#include "core/text.h"
#include "report/compare.h"
#include "report/download.h"
#include "report/html.h"
#include "report/method.h"
#include "report/runs.h"
#include "report/verdict.h"

/* ---------------------------------------------------------------- parts of both */

/* "Run 3: bench" */
static void name_run(const json_t *run, char *out, size_t room)
{
    char command[REPORT_TEXT_BYTES];
    snprintf(out, room, "Run %.0f: %s", report_real(run, run, run),
             runs_command_text(run, command));
}

/* "mlp-mnist on AMD EPYC, 2 threads, 23.5 GiB, build 1a2b3c4, 2026-11-30 15:04 UTC" */
static void place_run(const json_t *run, char *out, size_t room)
{
    const char *machine = report_string(run, run, machine),
               *commit = report_string(run, run, commit);
    char time[REPORT_TEXT_BYTES];
    text_buffer b = text_begin(out, room);
    text_add(&b, "%s", report_string(run, run, workloads));
    if (*machine) text_add(&b, "%s%s", b.used ? " on " : "", machine);
    if (*commit) text_add(&b, "%sbuild %s", b.used ? ", " : "", commit);
    if (strcmp(runs_time_text(run, time), "-") != 0)
        text_add(&b, "%s%s UTC", b.used ? ", " : "", time);
}

static void write_notes(const json_t *notes, FILE *out)
{
    char line[60], time[REPORT_TEXT_BYTES];
    size_t i;
    json_t *note;
    json_array_foreach(notes, i, note)
    {
        snprintf(line, sizeof line, "Note of %.20s:", runs_time_text(note, time));
        report_paragraph(out, line, 2);
        report_paragraph(out, report_string(note, note, text), 2);
    }
}

static const json_t *first_run(const report_page *page)
{
    return report_member(json_array_get(page->runs, 0), collected, run);
}

/* ---------------------------------------------------------------- HTML */

static be_status write_run(const json_t *each, FILE *out, be_error *err)
{
    const json_t *run = report_member(each, collected, run);
    const json_t *records = report_member(each, collected, records);
    char name[REPORT_TEXT_BYTES], place[600];
    name_run(run, name, sizeof name);
    place_run(run, place, sizeof place);
    fprintf(out, "<section id=\"run-%.0f\">", report_real(run, run, run));
    html_element(out, "h2", "", "%s", name);
    html_element(out, "p", "dim", "%s", place);
    write_notes(report_member(each, collected, notes), out);
    TRY(runs_write_records(records, REPORT_TABLE, out, err));
    method_write(records, out);
    fprintf(out, "</section>\n");
    return BE_OK;
}

static void write_verdicts(const report_page *page, FILE *out)
{
    size_t i, count = json_array_size(page->runs);
    json_t *each;
    fprintf(out, "<section class=verdict>\n");
    json_array_foreach(page->runs, i, each)
    {
        const json_t *run = report_member(each, collected, run);
        char name[REPORT_TEXT_BYTES];
        name_run(run, name, sizeof name);
        if (count > 1) {
            fprintf(out, "<h3><a href=\"#run-%.0f\">", report_real(run, run, run));
            html_text(out, name);
            fprintf(out, "</a></h3>\n");
        }
        verdict_write(report_member(each, collected, records), out);
    }
    fprintf(out, "</section>\n");
}

static be_status write_comparison(const report_page *page, FILE *out, be_error *err)
{
    if (!page->comparison) return BE_OK;
    fprintf(out, "<section>");
    html_element(out, "h2", "", "Side by side");
    TRY(compare_write(page->comparison, REPORT_TABLE, out, err));
    fprintf(out, "</section>\n");
    return BE_OK;
}

static be_status write_body(const report_page *page, FILE *out, be_error *err)
{
    size_t i, count = json_array_size(page->runs);
    json_t *each;
    char place[600];
    place_run(first_run(page), place, sizeof place);
    html_page_begin(out, "breakeven report");
    html_element(out, "h1", "", "breakeven report");
    if (count == 1)
        html_element(out, "p", "dim", "%s", place);
    else
        html_element(out, "p", "dim", "%zu runs", count);
    write_verdicts(page, out);
    TRY(write_comparison(page, out, err));
    json_array_foreach(page->runs, i, each) TRY(write_run(each, out, err));
    html_element(out, "h2", "", "The records");
    TRY(download_write(page->runs, out, err));
    html_page_end(out);
    return BE_OK;
}

be_status page_write_html(const report_page *page, FILE *out, be_error *err)
{
    report_style before = html_begin_look();
    be_status status = write_body(page, out, err);
    html_end_look(before);
    return status;
}

be_status page_write_run(const json_t *run, FILE *out, be_error *err)
{
    report_style before = html_begin_look();
    fprintf(out, "<div class=verdict>\n");
    verdict_write(report_member(run, collected, records), out);
    fprintf(out, "</div>\n");
    be_status status = write_run(run, out, err);
    html_end_look(before);
    return status;
}

/* ---------------------------------------------------------------- Markdown */

static void write_md_head(const char *marks, const char *text, FILE *out)
{
    fprintf(out, "%s ", marks);
    report_markdown(out, text);
    fprintf(out, "\n\n");
}

static be_status write_md_run(const json_t *each, FILE *out, be_error *err)
{
    const json_t *run = report_member(each, collected, run);
    const json_t *records = report_member(each, collected, records);
    char name[REPORT_TEXT_BYTES], place[600];
    name_run(run, name, sizeof name);
    place_run(run, place, sizeof place);
    fprintf(out, "\n");
    write_md_head("##", name, out);
    report_paragraph(out, place, 0);
    write_notes(report_member(each, collected, notes), out);
    TRY(runs_write_records(records, REPORT_MD, out, err));
    method_write(records, out);
    return BE_OK;
}

static be_status write_md(const report_page *page, FILE *out, be_error *err)
{
    size_t i, count = json_array_size(page->runs);
    json_t *each;
    write_md_head("#", "breakeven report", out);
    json_array_foreach(page->runs, i, each)
    {
        char name[REPORT_TEXT_BYTES];
        name_run(report_member(each, collected, run), name, sizeof name);
        if (count > 1) report_paragraph(out, name, 0);
        verdict_write(report_member(each, collected, records), out);
    }
    if (page->comparison) {
        write_md_head("##", "Side by side", out);
        TRY(compare_write(page->comparison, REPORT_MD, out, err));
    }
    json_array_foreach(page->runs, i, each) TRY(write_md_run(each, out, err));
    return BE_OK;
}

be_status page_write_md(const report_page *page, FILE *out, be_error *err)
{
    report_style before = report_look;
    report_look = (report_style){.utf8 = true, .markdown = true, .columns = REPORT_COLUMNS_READ};
    be_status status = write_md(page, out, err);
    report_look = before;
    return status;
}
