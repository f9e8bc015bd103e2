/* The page of the quick verdict. */
#include "report/quick.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/text.h"
#include "machine/load.h"
#include "report/advice.h"
#include "report/contender.h"
#include "report/explain.h"
#include "report/warnings.h"

#define BAR_BESIDE 58 /* columns beside a bar */
#define BAR_LEAST 4
#define BAR_MOST 60
#define RATIO_MAX 25.0 /* a bar that would be longer is cut */
#define UNSTEADY 0.25  /* spread of the blocks from which a word is due */

static const char *bold(bool on)
{
    return !report_look.color ? "" : on ? "\033[1m" : "\033[0m";
}

/* ---------------------------------------------------------------- head */

static void write_machine(const json_t *record, FILE *out)
{
    char name[REPORT_TEXT_BYTES], memory[REPORT_TEXT_BYTES], count[REPORT_TEXT_BYTES], line[500];
    const json_t *e = report_member(record, bench, environment);
    double cores = report_real(e, environment, cpu.cores);
    report_hardware(report_string(e, environment, cpu.model), name);
    snprintf(line, sizeof line, "breakeven %s on %s, %s core%s, %s; %s",
             report_string(e, environment, build.version), name, report_count(cores, count),
             cores == 1 ? "" : "s", report_bytes(report_real(e, environment, memory_bytes), memory),
             report_string(e, environment, system));
    report_paragraph(out, line, 2);
}

/* The largest error of the gate over all contenders. */
static double largest_parity(const json_t *records)
{
    size_t i;
    json_t *record;
    double worst = (double)NAN;
    json_array_foreach(records, i, record)
    {
        double error = report_real(record, bench, parity.error);
        if (!isnan(error) && !(error <= worst)) worst = error;
    }
    return worst;
}

static void write_question(const quick_page *page, const json_t *record, FILE *out)
{
    char count[REPORT_TEXT_BYTES], flops[REPORT_TEXT_BYTES], units[REPORT_TEXT_BYTES], line[700];
    const char *source = report_string(record, bench, data_source);
    double worst = largest_parity(page->records);
    const char *name = report_string(record, bench, workload);
    snprintf(line, sizeof line, "%s parameters, training, batch %.0f, %s, %s a step",
             report_count(report_real(record, bench, params), count),
             report_real(record, bench, batch), report_string(record, bench, asked.precision),
             report_flops(report_real(record, bench, flops_per_step), flops));
    fprintf(out, "%s%s%s: ", bold(true), name, bold(false));
    report_wrap(out, line, (int)text_width(name) + 2, 2);
    /* Without its folder, which is nobody's business in a chat. */
    text_buffer b = TEXT_BUFFER(line);
    text_add(&b, "%.*s, %s %s; same weights, same batches", (int)strcspn(source, ","), source,
             report_count(report_real(record, bench, data_count), count),
             report_samples(name, units));
    if (!isnan(worst)) text_add(&b, "; parity %.0e", worst);
    report_paragraph(out, line, 2);
}

/* ---------------------------------------------------------------- bars */

static double step_of(const json_t *record)
{
    return report_real(record, bench, step_s.median);
}

static int bar_columns(void)
{
    int columns = report_columns() - BAR_BESIDE;
    return columns < BAR_LEAST ? BAR_LEAST : columns > BAR_MOST ? BAR_MOST : columns;
}

static void write_bar(double step_s, double scale_s, FILE *out)
{
    static const char *const eighths[] = {"", "▏", "▎", "▍", "▌", "▋", "▊", "▉"};
    bool is_cut = step_s > scale_s * 1.0001;
    int columns_limit = bar_columns();
    double columns = is_cut ? columns_limit : columns_limit * step_s / scale_s;
    int whole = (int)columns, eighth = (int)((columns - whole) * 8), width = whole;
    if (report_look.color) fprintf(out, "\033[36m");
    for (int i = 0; i < whole; i++) fputs(report_look.utf8 ? "█" : "#", out);
    if (report_look.utf8 && (eighth || !whole)) {
        fputs(eighths[eighth ? eighth : 1], out);
        width++;
    } else if (!report_look.utf8 && !whole) {
        fputc('|', out);
        width++;
    }
    if (report_look.color) fprintf(out, "\033[0m");
    fputs(is_cut ? (report_look.utf8 ? "»" : ">") : " ", out);
    fprintf(out, "%*s", columns_limit + 1 - width, "");
}

/* Is every other one surely slower than the first? */
static bool is_sure(const json_t *sorted)
{
    for (size_t i = 1; i < json_array_size(sorted); i++)
        if (strcmp(report_string(json_array_get(sorted, i), bench, versus.verdict), "SLOWER") != 0)
            return false;
    return true;
}

static const char *versus_text(const json_t *record, const char *first, char out[REPORT_TEXT_BYTES])
{
    double ratio = report_real(record, bench, versus.ratio);
    const char *verdict = report_string(record, bench, versus.verdict);
    if (first) return strcpy(out, first);
    if (isnan(ratio)) return strcpy(out, "");
    snprintf(out, REPORT_TEXT_BYTES, ratio < 9.995 ? "%.2f%s %s" : "%.0f%s %s", ratio,
             report_times(),
             strcmp(verdict, "SLOWER") == 0 ? "slower"
             : strcmp(verdict, "SAME") == 0 ? "(same)"
                                            : "(unsure)");
    return out;
}

/* "±3 %": half of the median's interval. */
static const char *sure_text(const json_t *record, char out[REPORT_TEXT_BYTES])
{
    double half =
        (report_real(record, bench, step_s.high) - report_real(record, bench, step_s.low)) / 2;
    if (isnan(half)) return strcpy(out, "");
    snprintf(out, REPORT_TEXT_BYTES, "%s%.*f %%", report_look.utf8 ? "±" : "+-",
             half < 0.00995 * step_of(record) ? 1 : 0, 100 * half / step_of(record));
    return out;
}

static void write_row(const json_t *record, double scale_s, const char *first, FILE *out)
{
    char who[REPORT_TEXT_BYTES], step[REPORT_TEXT_BYTES], sure[REPORT_TEXT_BYTES];
    char versus[REPORT_TEXT_BYTES];
    contender_who(record, who);
    report_seconds(step_of(record), step);
    sure_text(record, sure);
    fprintf(out, "%s%-23.40s%s %*s%s %s%*s ", first ? bold(true) : "", who,
            first ? bold(false) : "", 8 - (int)text_width(step), "", step, sure,
            6 - (int)text_width(sure), "");
    write_bar(step_of(record), scale_s, out);
    fprintf(out, "%s\n", versus_text(record, first, versus));
}

/* The records by their time per sample, the failed ones left out. */
static json_t *in_order(const json_t *records)
{
    size_t i;
    json_t *record, *sorted = json_array();
    json_array_foreach(records, i, record)
    {
        size_t at = 0;
        if (isnan(report_real(record, bench, samples_per_s))) continue;
        while (at < json_array_size(sorted) &&
               report_real(json_array_get(sorted, at), bench, samples_per_s) >=
                   report_real(record, bench, samples_per_s))
            at++;
        json_array_insert(sorted, at, record);
    }
    return sorted;
}

static void write_rows(const json_t *sorted, FILE *out)
{
    size_t i;
    json_t *record;
    char text[REPORT_TEXT_BYTES];
    double longest = step_of(json_array_get(sorted, json_array_size(sorted) - 1));
    double scale_s = fmin(longest, RATIO_MAX * step_of(json_array_get(sorted, 0)));
    const char *first = is_sure(sorted) ? "fastest" : "least time";
    fprintf(out, "\n");
    json_array_foreach(sorted, i, record) write_row(record, scale_s, i == 0 ? first : NULL, out);
    if (longest > scale_s) fprintf(out, "bars beyond %s are cut\n", report_seconds(scale_s, text));
    fprintf(out, "\n");
}

/* ---------------------------------------------------------------- words */

static const char *failure_of(const json_t *record)
{
    return report_string(record, bench, error);
}

static void write_missing(const quick_page *page, FILE *out)
{
    size_t i;
    json_t *record;
    char line[900];
    json_array_foreach(page->missing, i, record)
    {
        snprintf(line, sizeof line, "not measured: %s: %s", report_string(record, missing, name),
                 report_string(record, missing, reason));
        report_paragraph(out, line, 2);
    }
    warnings_write_texts(page->records, failure_of, " has no speed: ", out);
}

static void write_doubt(const json_t *sorted, FILE *out)
{
    size_t i;
    json_t *record;
    double worst = 0, load = report_real(json_array_get(sorted, 0), bench, other_load);
    char line[400];
    json_array_foreach(sorted, i, record) worst =
        fmax(worst, report_real(record, bench, step_s.spread));
    if (!(worst > UNSTEADY)) return;
    text_buffer b = TEXT_BUFFER(line);
    text_add(&b, "unsteady: blocks spread by up to %.0f %% of their median", 100 * worst);
    if (load > LOAD_BUSY)
        text_add(&b, ", and other programs took %.0f %% of the processors", 100 * load);
    text_add(&b, "; on a quiet machine this page is surer.");
    report_paragraph(out, line, 2);
}

static void write_next(const json_t *record, FILE *out)
{
    const char *w = report_string(record, bench, workload);
    const struct {
        const char *command, *options, *what;
    } next[] = {{"explain", "", "where the time goes"},
                {"sweep", " --over batch=1..4096", "where it flips"},
                {"advise", " --batch 256 --epochs 3", "which one to take"}};
    fprintf(out, "\nnext:\n");
    for (size_t i = 0; i < sizeof next / sizeof *next; i++) {
        char line[200];
        snprintf(line, sizeof line, "breakeven %s %s%s", next[i].command, w, next[i].options);
        if (report_columns() < 74)
            fprintf(out, "  %s\n      %s\n", line, next[i].what);
        else
            fprintf(out, "  %-51s %s\n", line, next[i].what);
    }
}

void quick_write(const quick_page *page, FILE *out)
{
    const json_t *head = json_array_get(page->records, 0);
    if (!head) return;
    json_t *sorted = in_order(page->records);
    write_machine(head, out);
    write_question(page, head, out);
    if (json_array_size(sorted)) write_rows(sorted, out);
    write_missing(page, out);
    if (json_array_size(sorted)) {
        explain_words(page->records, out);
        if (page->advice) advice_write_sentences(page->advice, out);
        warnings_write(sorted, WARNING_RUNNER, true, out);
        write_doubt(sorted, out);
        write_next(head, out);
    }
    json_decref(sorted);
}
