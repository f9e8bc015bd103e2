/* Tests of src/report/html.c and of the drawings that it shows: nothing that goes in as a text
 * comes out as markup, every element ends, and both sizes of a drawing say the same. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "report/html.h"
#include "report/svg.h"
#include "support.h"

#define EVIL "<img src=x onerror=\"alert(1)\">&'\x01\xff"

static char *text;
static size_t bytes;

static FILE *begin(void)
{
    FILE *out = open_memstream(&text, &bytes);
    assert_non_null(out);
    return out;
}

/* What was written, to be freed. */
static char *end(FILE *out)
{
    assert_int_equal(fclose(out), 0);
    return text;
}

static int count_of(const char *all, const char *piece)
{
    int count = 0;
    while ((all = strstr(all, piece)) != NULL) {
        count++;
        all += strlen(piece);
    }
    return count;
}

static void texts_come_out_as_texts(void **state)
{
    (void)state;
    FILE *out = begin();
    html_text(out, EVIL);
    char *found = end(out);
    assert_string_equal(
        found, "&lt;img src=x onerror=&quot;alert(1)&quot;&gt;&amp;'\xef\xbf\xbd\xef\xbf\xbd");
    free(found);
    out = begin();
    html_element(out, "p", "dim", "%s: ü", "a<b");
    found = end(out);
    assert_string_equal(found, "<p class=\"dim\">a&lt;b: ü</p>\n");
    free(found);
}

static void a_table_escapes_every_cell(void **state)
{
    (void)state;
    static const report_column columns[] = {{"name", EVIL, UNIT_TEXT, NULL},
                                            {"hidden", NULL, UNIT_TEXT, NULL},
                                            {"count", "n", UNIT_COUNT, NULL}};
    json_t *records = json_pack("[{s:s, s:i}, {s:s, s:i}]", "name", "<b>a</b>", "count", 1200,
                                "name", "c", "count", 3);
    report_sheet sheet = {columns, 3, records, 1};
    FILE *out = begin();
    report_write_html(&sheet, "a <caption>", out);
    char *found = end(out);
    assert_null(strstr(found, "<b>"));
    assert_null(strstr(found, "<img"));
    assert_non_null(strstr(found, "<caption>a &lt;caption&gt;</caption>"));
    assert_non_null(strstr(found, "<td>&lt;b&gt;a&lt;/b&gt;<td class=n>1,200"));
    assert_non_null(strstr(found, "<tr class=best><td>c<td class=n>3"));
    assert_int_equal(count_of(found, "<tr"), 3);
    free(found);
    json_decref(records);
}

static void sentences_are_paragraphs(void **state)
{
    (void)state;
    report_style before = report_look;
    FILE *out = begin();
    report_style kept = html_begin_look();
    report_paragraph(out, "native <1> wins by 2", 2);
    html_end_look(kept);
    char *found = end(out);
    assert_string_equal(found, "<p>native &lt;1&gt; wins by 2</p>\n");
    assert_memory_equal(&before, &report_look, sizeof before);
    free(found);
}

/* ---------------------------------------------------------------- plots */

static const plot_point losses[] = {{1, 2.5, NAN, NAN},
                                    {2, NAN, NAN, NAN},
                                    {3, 1.5, NAN, NAN},
                                    {4, 0, NAN, NAN},
                                    {5, 0.5, 0.4, 0.6}};
static const plot_series lines[] = {{EVIL, losses, 5}};

static plot plot_of(plot_scale scale)
{
    return (plot){.title = "loss <by> step",
                  .x_title = "steps",
                  .y_title = "loss",
                  .x_scale = PLOT_LINEAR,
                  .y_scale = scale,
                  .series = lines,
                  .series_count = 1,
                  .x_text = report_count,
                  .y_text = report_number};
}

static void a_plot_is_drawn_in_both_sizes_and_told(void **state)
{
    (void)state;
    plot p = plot_of(PLOT_LINEAR);
    FILE *out = begin();
    html_plot(&p, true, out);
    char *found = end(out);
    assert_int_equal(count_of(found, "<svg "), 2);
    assert_int_equal(count_of(found, "</svg>"), 2);
    assert_int_equal(count_of(found, "<title>loss &lt;by&gt; step</title>"), 2);
    assert_int_equal(count_of(found, ": 2.5 at 1, 0.5 at 5."), 2);
    assert_int_equal(count_of(found, "<circle class=\"f0\""), 2 * (4 + 1)); /* and the legend's */
    assert_int_equal(count_of(found, "<tr>"), 1 + 5);
    assert_null(strstr(found, "<img"));
    assert_null(strstr(found, "nan"));
    free(found);
}

/* The line is broken where a loss is not finite; 0 has no place on a logarithmic axis. */
static void gaps_stay_gaps(void **state)
{
    (void)state;
    plot p = plot_of(PLOT_LINEAR);
    FILE *out = begin();
    plot_write_inline(&p, 400, out);
    char *found = end(out);
    const char *line = strstr(found, "class=\"line s0\" d=\"");
    assert_non_null(line);
    char path[400];
    snprintf(path, sizeof path, "%.*s", (int)strcspn(line + 19, "\""), line + 19);
    assert_int_equal(count_of(path, "M"), 2);
    assert_int_equal(count_of(path, "L"), 2);
    free(found);
    p.y_scale = PLOT_LOG;
    out = begin();
    plot_write_inline(&p, 400, out);
    found = end(out);
    assert_int_equal(count_of(found, "<circle class=\"f0\""), 3 + 1);
    free(found);
}

static void linear_ticks_are_round(void **state)
{
    (void)state;
    double ticks[PLOT_TICKS_MAX];
    plot_span span = {.low = 0.3, .high = 2.6, .linear = true};
    assert_int_equal(plot_ticks(span, 6, ticks), 5);
    for (int t = 0; t < 5; t++) assert_true(fabs(ticks[t] - 0.5 * (t + 1)) < 1e-12);
    span = (plot_span){.low = -1, .high = 1, .linear = true};
    assert_int_equal(plot_ticks(span, 5, ticks), 5);
    assert_true(ticks[2] == 0);
    span = (plot_span){.low = 1000, .high = 1000.001, .linear = true};
    assert_true(plot_ticks(span, 6, ticks) >= 2);
    assert_true(plot_place(span, 1000.0005) > 0.49 && plot_place(span, 1000.0005) < 0.51);
}

static void nothing_to_draw_is_no_figure(void **state)
{
    (void)state;
    plot_series one = {"a", losses, 1};
    plot p = plot_of(PLOT_LINEAR);
    bar flat = {.name = "a", .total = NAN};
    bars b = {.title = "b", .bars = &flat, .count = 1, .part_count = 1, .text = report_seconds};
    p.series = &one;
    FILE *out = begin();
    html_plot(&p, true, out);
    html_bars(&b, true, out);
    char *found = end(out);
    assert_string_equal(found, "");
    free(found);
}

static void bars_are_in_proportion(void **state)
{
    (void)state;
    static const char *const names[] = {"forward", "backward", "idle"};
    const bar list[] = {
        {.name = EVIL, .total = 1e-3, .low = NAN, .high = NAN, .parts = {0.5e-3, 0.5e-3}},
        {.name = "b", .total = 4e-3, .low = 3e-3, .high = 4e-3, .parts = {1e-3, 3e-3}}};
    bars b = {.title = "steps",
              .bars = list,
              .count = 2,
              .parts = names,
              .letters = "FB.",
              .part_count = 3,
              .text = report_seconds};
    FILE *out = begin();
    html_bars(&b, true, out);
    char *found = end(out);
    assert_null(strstr(found, "<img"));
    assert_int_equal(count_of(found, "<svg "), 2);
    assert_int_equal(count_of(found, ">idle"), 0); /* nobody has it */
    assert_int_equal(count_of(found, "class=\"whisker\""), 2);
    double wide[4];
    const char *at = found;
    for (int i = 0; i < 4; i++) {
        at = strstr(at, "<rect class=\"f");
        assert_non_null(at);
        at = strstr(at, "width=\"");
        wide[i] = strtod(at + 7, NULL);
    }
    assert_true(fabs(wide[0] - wide[1]) < 0.11);
    assert_true(fabs(wide[3] - 3 * wide[2]) < 0.31);
    assert_true(fabs(wide[2] + wide[3] - 4 * (wide[0] + wide[1])) < 0.81);
    free(found);
}

/* No script, nothing of the network, and rules for dark ground and for paper. */
static void a_page_is_complete_in_itself(void **state)
{
    (void)state;
    FILE *out = begin();
    html_page_begin(out, EVIL);
    html_page_end(out);
    char *found = end(out);
    assert_null(strstr(found, "<script"));
    assert_null(strstr(found, "http://"));
    assert_null(strstr(found, "https://"));
    assert_null(strstr(found, "<img"));
    assert_non_null(strstr(found, "default-src 'none'"));
    assert_non_null(strstr(found, "prefers-color-scheme:dark"));
    assert_non_null(strstr(found, "@media print"));
    assert_int_equal(count_of(found, "{"), count_of(found, "}"));
    free(found);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(texts_come_out_as_texts),
        cmocka_unit_test(a_table_escapes_every_cell),
        cmocka_unit_test(sentences_are_paragraphs),
        cmocka_unit_test(a_plot_is_drawn_in_both_sizes_and_told),
        cmocka_unit_test(gaps_stay_gaps),
        cmocka_unit_test(linear_ticks_are_round),
        cmocka_unit_test(nothing_to_draw_is_no_figure),
        cmocka_unit_test(bars_are_in_proportion),
        cmocka_unit_test(a_page_is_complete_in_itself),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
