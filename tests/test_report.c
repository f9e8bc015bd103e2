/* Tests of src/report: numbers as text, tables, files, and the page of a measurement. */
#include "core/text.h"
#include "support.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "report/bench.h"
#include "report/sheet.h"

static char text[REPORT_TEXT_BYTES];

static void numbers_have_three_digits_and_a_unit(void **state)
{
    (void)state;
    report_look = (report_style){.utf8 = true};
    const struct {
        double seconds;
        const char *text;
    } times[] = {{0, "0 s"},
                 {1.234e-9, "1.23 ns"},
                 {99.94e-9, "99.9 ns"},
                 {99.96e-9, "100 ns"},
                 {812e-6, "812 µs"},
                 {0.99949e-3, "999 µs"},
                 {0.9996e-3, "1.00 ms"},
                 {3.214e-3, "3.21 ms"},
                 {0.9996, "1.00 s"},
                 {119.9, "120 s"},
                 {123, "2:03 min"},
                 {7199, "119:59 min"},
                 {7200, "2:00 h"},
                 {(double)NAN, "-"},
                 {-1, "-"}};
    for (size_t i = 0; i < sizeof times / sizeof times[0]; i++)
        assert_string_equal(report_seconds(times[i].seconds, text), times[i].text);
    assert_string_equal(report_count(0, text), "0");
    assert_string_equal(report_count(999, text), "999");
    assert_string_equal(report_count(1199882, text), "1,199,882");
    assert_string_equal(report_count((double)NAN, text), "-");
    assert_string_equal(report_number(0.125, text), "0.125");
    assert_string_equal(report_number(999.4, text), "999");
    assert_string_equal(report_number(3204.4, text), "3,204");
    assert_string_equal(report_bytes(1023, text), "1023 B");
    assert_string_equal(report_bytes(1024, text), "1.00 KiB");
    assert_string_equal(report_bytes(57.5 * 1048576, text), "57.5 MiB");
    assert_string_equal(report_flops(0.39e9, text), "0.39 GFLOP");
    assert_string_equal(report_flops(3e6, text), "3.00 MFLOP");
    assert_string_equal(report_flops(2.5e12, text), "2.50 TFLOP");
    assert_string_equal(report_interval(3.214e-3, 3.18e-3, 3.25e-3, text), "3.21 [3.18, 3.25] ms");
    assert_string_equal(report_interval(3.214e-3, (double)NAN, 1, text), "3.21 ms");
    assert_int_equal(text_width("µs ×"), 4);
    report_look.utf8 = false;
    assert_string_equal(report_seconds(812e-6, text), "812 us");
    assert_string_equal(report_times(), "x");
}

static void hardware_names_lose_their_noise(void **state)
{
    (void)state;
    assert_string_equal(report_hardware("Intel(R) Xeon(R) Processor @ 2.70GHz", text),
                        "Intel Xeon @ 2.70GHz");
    assert_string_equal(report_hardware("Apple M1 Max", text), "Apple M1 Max");
}

/* What `write` prints, to be freed. */
static char *printed(void (*write)(FILE *out, const void *context), const void *context)
{
    char *bytes = NULL;
    size_t count = 0;
    FILE *out = open_memstream(&bytes, &count);
    write(out, context);
    fclose(out);
    return bytes;
}

typedef struct sheet_case {
    report_sheet sheet;
    report_format format;
} sheet_case;

static void write_sheet(FILE *out, const void *context)
{
    const sheet_case *c = context;
    be_error err = {0};
    ASSERT_OK(report_write(&c->sheet, c->format, out, &err));
}

static const report_column columns[] = {{"name", "name", UNIT_TEXT, NULL},
                                        {"time.median", "time", UNIT_SECONDS, NULL},
                                        {"count", "count", UNIT_COUNT, NULL},
                                        {"more", NULL, UNIT_TEXT, NULL}};

static void check_sheet(const json_t *records, report_format format, const char *expected)
{
    sheet_case c = {{columns, 4, records, -1}, format};
    char *found = printed(write_sheet, &c);
    assert_string_equal(found, expected);
    free(found);
}

static void every_format_is_written(void **state)
{
    (void)state;
    report_look = (report_style){0};
    json_t *records =
        json_pack("[{s:s, s:{s:f}, s:i, s:s}, {s:s, s:n}]", "name", "a|b", "time", "median", 0.0015,
                  "count", 1234, "more", "x, \"y\"", "name", "cc", "count");
    check_sheet(records, REPORT_TABLE,
                "name     time  count\n"
                "a|b   1.50 ms  1,234\n"
                "cc          -      -\n");
    check_sheet(records, REPORT_MD,
                "| name | time | count |\n|---|---:|---:|\n"
                "| a\\|b | 1.50 ms | 1,234 |\n| cc | - | - |\n");
    check_sheet(records, REPORT_CSV,
                "name,time.median,count,more\n"
                "a|b,0.0015,1234,\"x, \"\"y\"\"\"\ncc,,,\n");
    check_sheet(records, REPORT_JSONL,
                "{\"name\":\"a|b\",\"time\":{\"median\":0.0015},\"count\":1234,"
                "\"more\":\"x, \\\"y\\\"\"}\n{\"name\":\"cc\",\"count\":null}\n");
    json_decref(records);
}

/* A text gives way to a third of itself; where that is not enough the table folds and shows texts
 * whole, but those that are longer than a line. */
static void tables_fold_rather_than_lose_what_they_say(void **state)
{
    (void)state;
    char name[201] = "";
    memset(name, 'n', 200);
    memcpy(name, "µµ", 4);
    json_t *records = json_pack("[{s:s, s:{s:f}}]", "name", name, "time", "median", 1.0);
    sheet_case c = {{columns, 4, records, -1}, REPORT_TABLE};
    static const int widths[] = {60, 80, 160};
    for (int w = 0; w < 3; w++) {
        report_look = (report_style){.utf8 = true, .columns = widths[w]};
        char *found = printed(write_sheet, &c);
        for (char *line = strtok(found, "\n"); line; line = strtok(NULL, "\n"))
            assert_int_equal(text_width(line), widths[w]);
        free(found);
    }
    json_decref(records);
    records = json_pack("[{s:s, s:{s:f}, s:i}]", "name", "A name that tells what it is about",
                        "time", "median", 0.0015, "count", 1234);
    c.sheet.records = records;
    report_look = (report_style){.columns = 40};
    check_sheet(records, REPORT_TABLE,
                "name                          time count\n"
                "A name that tells what it~ 1.50 ms 1,234\n");
    json_decref(records);
    static const report_column many[] = {{"name", "name", UNIT_TEXT, NULL},
                                         {"time.median", "first", UNIT_SECONDS, NULL},
                                         {"time.median", "second", UNIT_SECONDS, NULL},
                                         {"time.median", "third", UNIT_SECONDS, NULL},
                                         {"time.median", "fourth", UNIT_SECONDS, NULL},
                                         {"more", "more", UNIT_TEXT, NULL}};
    records =
        json_pack("[{s:s, s:{s:f}, s:s}, {s:s}]", "name", "pthread-a", "time", "median", 0.0015,
                  "more", "/usr/lib/x86_64-linux-gnu/libblas.so", "name", "pthread-b");
    c.sheet = (report_sheet){many, 6, records, -1};
    char *found = printed(write_sheet, &c);
    assert_string_equal(found, "name        first  second   third\n"
                               "   fourth\n"
                               "  more\n"
                               "pthread-a 1.50 ms 1.50 ms 1.50 ms\n"
                               "  1.50 ms\n"
                               "  /usr/lib/x86_64-linux-gnu/libblas.so\n"
                               "pthread-b       -       -       -\n"
                               "        -\n");
    free(found);
    json_decref(records);
    report_look = (report_style){0};
}

static void a_loss_keeps_to_its_column(void **state)
{
    (void)state;
    const double losses[] = {0, 2.3026, 999.9999, 1000, 1e30, -1e30, 1e300, INFINITY, (double)NAN};
    const char *const texts[] = {"0.0000",    "2.3026",    "999.9999", "1.00e+03", "1.00e+30",
                                 "-1.00e+30", "1.00e+300", "inf",      "nan"};
    for (size_t i = 0; i < sizeof losses / sizeof *losses; i++) {
        assert_string_equal(report_loss(losses[i], text), texts[i]);
        assert_true(strlen(text) <= 9);
    }
}

static void no_line_is_wider(const char *page, int columns)
{
    char *copy = strdup(page);
    for (char *line = strtok(copy, "\n"); line; line = strtok(NULL, "\n"))
        if ((int)text_width(line) > columns) fail_msg("over %d columns: %s", columns, line);
    free(copy);
}

static void write_paragraph(FILE *out, const void *context)
{
    report_paragraph(out, context, 2);
}

static void paragraphs_are_wrapped(void **state)
{
    (void)state;
    char line[400] = "";
    for (int i = 0; i < 40; i++) strcat(line, i % 3 ? "word " : "a ");
    char *found = printed(write_paragraph, line);
    int lines = 0;
    for (char *at = strtok(found, "\n"); at; at = strtok(NULL, "\n"), lines++) {
        assert_true(strlen(at) <= 80 && strlen(at) > 0);
        assert_true(lines == 0 ? at[0] == 'a' : strncmp(at, "  ", 2) == 0 && at[2] != ' ');
        assert_true(at[strlen(at) - 1] != ' ');
    }
    assert_int_equal(lines, 2);
    free(found);
}

/* ---------------------------------------------------------------- the page */

/* A record as run/record.h makes it, as far as the page looks at it. */
static json_t *make_record(const char *engine, int threads, double step_s, const char *verdict)
{
    json_t *record = json_pack(
        "{s:s, s:s, s:s, s:i, s:s, s:i, s:{s:s}, s:i, s:f, s:{s:f, s:f, s:f}, s:f, s:f, s:f, s:f,"
        " s:i, s:s, s:i, s:s, s:i, s:i}",
        "engine", engine, "device", "cpu", "workload", "cnn-fashion", "threads", threads, "mode",
        "train", "batch", 100, "asked", "precision", "fp32", "params", 37250, "flops_per_step",
        0.39e9, "step_s", "median", step_s, "low", step_s * 0.99, "high", step_s * 1.01,
        "samples_per_s", 100 / step_s, "first_step_s", 0.01, "start_s", 0.1, "prepare_s", 0.2,
        "peak_rss_bytes", 64 << 20, "data_source", "Fashion-MNIST, /data", "data_count", 60000,
        "implementation", engine, "epochs", 10, "seed", 1);
    json_object_set_new(record, "units_per_s", json_real(100 / step_s));
    json_object_set_new(record, "versus",
                        json_pack("{s:s, s:f, s:f, s:f}", "verdict", verdict, "ratio",
                                  step_s / 0.003, "low", step_s / 0.003 * 0.98, "high",
                                  step_s / 0.003 * 1.02));
    json_object_set_new(record, "environment",
                        json_pack("{s:{s:s, s:i, s:i}, s:i, s:s, s:[s]}", "cpu", "model",
                                  "Intel(R) Xeon(R)", "cores", 2, "threads", 4, "memory_bytes",
                                  1 << 30, "system", "Debian", "warnings", "a debug build"));
    json_object_set_new(record, "phases_s",
                        json_pack("{s:f, s:f}", "forward", step_s * 0.3, "backward", step_s * 0.6));
    return record;
}

static void write_page(FILE *out, const void *context)
{
    be_error err = {0};
    ASSERT_OK(bench_write(context, REPORT_TABLE, out, &err));
}

/* The page in one line, so that the wrapping does not matter. */
static char *page_of(json_t *records)
{
    char *page = printed(write_page, records), *to = page;
    for (const char *from = page; *from; from++) {
        bool blank = *from == '\n' || *from == ' ';
        if (blank && to > page && to[-1] == ' ') continue;
        *to++ = blank ? ' ' : *from;
    }
    *to = 0;
    return page;
}

static void assert_holds(const char *page, const char *piece)
{
    if (!strstr(page, piece)) fail_msg("expected \"%s\" in: %s", piece, page);
}

static void a_head_leaves_out_what_is_not_known(void **state)
{
    (void)state;
    report_look = (report_style){0};
    json_t *records = json_array(), *record = make_record("native", 2, 0.003, "FASTER");
    json_array_append_new(records, record);
    json_object_set_new(record, "params", json_null());
    char *page = page_of(records);
    assert_holds(page, "cnn-fashion: training, batch 100, fp32, 0.39 GFLOP a step");
    free(page);
    json_decref(records);
}

static void a_slow_rate_is_no_zero(void **state)
{
    (void)state;
    report_look = (report_style){0};
    json_t *records = json_array();
    json_array_append_new(records, make_record("torch", 1, 38.8, "FASTER"));
    char *page = page_of(records);
    assert_holds(page, "PyTorch cpu 1 38.8 +-0.4 s 2.58 ");
    free(page);
    json_decref(records);
}

static void the_page_tells_the_verdict(void **state)
{
    (void)state;
    report_look = (report_style){0};
    json_t *records = json_array();
    json_array_append_new(records, make_record("torch", 2, 0.021, "SLOWER"));
    json_array_append_new(records, make_record("native", 2, 0.003, "FASTER"));
    json_array_append_new(records, make_record("native", 1, 0.0045, "SLOWER"));
    char *page = page_of(records);
    const char *pieces[] = {
        "machine: Intel Xeon, 2 cores, 4 threads, 1.00 GiB; Debian",
        "data: Fashion-MNIST, /data, 60,000 pictures",
        "cnn-fashion: 37,250 parameters, training, batch 100, fp32, 0.39 GFLOP a step",
        "native cpu 2 3.00 +-0.03 ms 33,333 10.0 ms 64.0 MiB best native cpu 1 4.50 +-0.04 ms",
        "1.50x SLOWER PyTorch cpu 2 21.0 +-0.2 ms 4,762 10.0 ms 64.0 MiB 7.00x SLOWER",
        "warning: a debug build",
        "native on 2 threads does 130 GFLOP/s, native on 1 thread does 86.7 GFLOP/s",
        "PyTorch on 2 threads is 18.0 ms a step slower, most of it in the backward phase: 12.6 ms "
        "against 1.80 ms.",
        "2 threads are 1.5 times as fast as 1.", /* as the table says */
        "From start to the first step done: native on 2 threads 310 ms",
        "advice: train cnn-fashion with native on 2 threads: its 10 epochs take 18.0 s, with "
        "PyTorch on 2 threads 2:06 min (FASTER by 7.00 [6.86, 7.14])",
        "No GPU was measured",
    };
    for (size_t i = 0; i < sizeof pieces / sizeof pieces[0]; i++) assert_holds(page, pieces[i]);
    assert_null(strstr(page, "data on the host"));
    free(page);
    for (size_t i = 0; i < 3; i++)
        json_object_set_new(json_array_get(records, i), "data_on", json_string("host"));
    page = page_of(records);
    assert_holds(page, "batch 100, fp32, 0.39 GFLOP a step, data on the host");
    free(page);
    for (size_t i = 0; i < 2; i++)
        json_object_set_new(json_array_get(records, i), "phases_s",
                            json_pack("{s:f, s:n}", "idle_host", i ? 0.0 : 0.016, "upload"));
    page = page_of(records);
    assert_holds(page, "18.0 ms a step slower, most of it because its device waits for the host: "
                       "16.0 ms against 0");
    free(page);
    json_decref(records);
}

static void the_page_does_not_overstate(void **state)
{
    (void)state;
    json_t *records = json_array();
    json_array_append_new(records, make_record("native", 2, 0.003, "UNSURE"));
    json_array_append_new(records, make_record("native", 1, 0.00305, "SAME"));
    json_array_append_new(records, make_record("torch", 2, 0.0031, "UNSURE"));
    char *page = page_of(records);
    assert_holds(page, "64.0 MiB SAME PyTorch");
    assert_holds(page, "1.03x UNSURE");
    assert_holds(page, "1 and 2 threads are equally fast");
    assert_holds(page, "(UNSURE: measure longer with --max-time)");
    assert_null(strstr(page, "slower, most of it")); /* a reason for what is not sure */
    assert_null(strstr(page, "FASTER"));
    free(page);
    json_decref(records);
}

static void failed_contenders_have_their_reason(void **state)
{
    (void)state;
    json_t *records = json_array(), *failed = make_record("torch", 2, 0.02, "UNSURE");
    json_object_set_new(failed, "step_s", json_pack("{s:n}", "median"));
    json_object_set_new(failed, "units_per_s", json_null());
    json_object_set_new(failed, "samples_per_s", json_null());
    json_object_set_new(failed, "error", json_string("its runner died"));
    json_array_append_new(records, failed);
    char *page = page_of(records);
    assert_holds(page, "PyTorch cpu 2 failed - 10.0 ms");
    assert_holds(page, "PyTorch on 2 threads failed: its runner died");
    assert_null(strstr(page, "advice"));
    free(page);
    json_array_append_new(records, make_record("native", 2, 0.003, "UNSURE"));
    page = page_of(records);
    assert_holds(page, "64.0 MiB best PyTorch cpu 2 failed");
    assert_holds(page, "advice: train cnn-fashion with native on 2 threads: its 10 epochs take "
                       "18.0 s.");
    free(page);
    for (size_t i = 0; i < 2; i++)
        json_object_set_new(json_array_get(records, i), "epochs", json_integer(1));
    page = page_of(records);
    assert_holds(page, ": its 1 epoch takes 1.80 s.");
    free(page);
    json_decref(records);
}

/* ---------------------------------------------------------------- warnings */

/* What a busy machine gives: several kinds for each contender. */
static json_t *make_noisy(const char *engine, int threads, double step_s)
{
    static const char *const kinds[] = {"idle threads", "spread",      "other programs",
                                        "unchecked",    "slowed down", "doubling"};
    json_t *record = make_record(engine, threads, step_s, "SLOWER");
    json_t *warned = json_array(), *texts = json_array();
    for (int k = 0; k < 6; k++) {
        json_array_append_new(warned, json_pack("{s:s, s:f}", "kind", kinds[k], "value",
                                                0.1 * threads + 100 * step_s));
        json_array_append_new(
            texts, json_sprintf("its %s is %d of a long paragraph of its own", kinds[k], threads));
    }
    json_object_set_new(record, "warned", warned);
    json_object_set_new(record, "warnings", texts);
    return record;
}

static int lines_with(const char *page, const char *piece)
{
    int count = 0;
    for (const char *at = page; (at = strstr(at, piece)); at++) count++;
    return count;
}

static void warnings_do_not_drown_the_answer(void **state)
{
    (void)state;
    report_look = (report_style){0};
    json_t *records = json_array();
    json_array_append_new(records, make_noisy("native", 2, 0.003));
    json_array_append_new(records, make_noisy("native", 1, 0.0045));
    json_array_append_new(records, make_noisy("torch", 2, 0.006));
    json_array_append_new(records, make_record("torch", 1, 0.007, "SLOWER"));
    char *page = page_of(records);
    assert_int_equal(lines_with(page, "warning: "), 4);
    const char *pieces[] = {
        "warning: native on 2 threads, native on 1 thread, PyTorch on 2 threads: what is computed "
        "was not compared with the reference warning: a debug build warning:",
        "native on 1 thread, PyTorch on 2 threads: other programs used 80 % of the processors",
        "blocks spread by up to 80 % of their median; stop other programs (3 more: --format jsonl)",
    };
    for (size_t i = 0; i < sizeof pieces / sizeof pieces[0]; i++) assert_holds(page, pieces[i]);
    assert_null(strstr(page, "paragraph of its own"));
    free(page);
    json_array_remove(records, 3);
    page = page_of(records);
    assert_holds(page, "warning: what is computed was not compared with the reference");
    free(page);
    for (int threads = 3; threads < 9; threads++)
        json_array_append_new(records, make_noisy("torch", threads, 0.01));
    json_array_append_new(records, make_record("torch", 1, 0.02, "SLOWER"));
    page = page_of(records);
    assert_holds(page, "warning: native on 2 threads, native on 1 thread and 7 more: what");
    free(page);
    json_decref(records);
}

/* No line is too long for a narrow terminal; a wide one has room for what 80 columns have not, and
 * sentences stay short enough to read. */
static void pages_are_as_wide_as_the_terminal(void **state)
{
    (void)state;
    static const int widths[] = {60, 80, 160};
    char path[300] = "/data/";
    memset(path + 6, 'p', 290);
    json_t *records = json_array();
    json_array_append_new(records, make_noisy("native", 2, 0.003));
    json_array_append_new(records, make_noisy("native", 1, 0.0045));
    json_array_append_new(records, make_record("torch", 2, 0.006, "SLOWER"));
    for (int w = 0; w < 3; w++) {
        report_look = (report_style){.utf8 = w % 2, .columns = widths[w]};
        char *page = printed(write_page, records);
        no_line_is_wider(page, widths[w] > 100 ? 100 : widths[w]);
        assert_holds(page, "SLOWER");
        free(page);
        page = printed(write_paragraph, path);
        assert_int_equal(strlen(page), strlen(path) + 1);
        free(page);
    }
    report_look = (report_style){.columns = 1};
    assert_int_equal(report_columns(), 40);
    report_look = (report_style){.columns = 1000};
    assert_int_equal(report_columns(), 160);
    report_look = (report_style){0};
    assert_int_equal(report_columns(), 80);
    json_decref(records);
}

static void one_reason_of_several_is_told_once(void **state)
{
    (void)state;
    json_t *records = json_array();
    for (int threads = 1; threads < 4; threads++) {
        json_t *failed = make_record("torch", threads, 0.02, "UNSURE");
        json_object_set_new(failed, "step_s", json_pack("{s:n}", "median"));
        json_object_set_new(failed, "units_per_s", json_null());
        json_object_set_new(failed, "samples_per_s", json_null());
        json_object_set_new(failed, "status", json_string("FAILED"));
        json_object_set_new(failed, "error", json_string(threads < 3 ? "no numpy" : "no room"));
        json_array_append_new(records, failed);
    }
    char *page = page_of(records);
    assert_holds(page, "PyTorch on 1 thread, PyTorch on 2 threads failed: no numpy");
    assert_holds(page, "PyTorch on 3 threads failed: no room");
    assert_int_equal(lines_with(page, "failed: "), 2);
    free(page);
    json_decref(records);
}

/* Its bytes are told, and no arithmetic, of which there is next to none. */
static void a_copy_is_told_by_its_bytes(void **state)
{
    (void)state;
    report_look = (report_style){0};
    json_t *records = json_array(), *record = make_record("native", 2, 0.001, "best");
    json_object_set_new(record, "workload", json_string("op:copy"));
    json_object_set_new(record, "flops_per_step", json_real(2.0));
    json_object_set_new(record, "flops_per_s", json_real(2e3));
    json_object_set_new(record, "bytes_per_step", json_real(16 << 20));
    json_array_append_new(records, record);
    char *page = page_of(records);
    assert_holds(page, "fp32, 16.0 MiB a step");
    assert_holds(page, "1.00 +-0.01 ms - 16.8 ");
    assert_holds(page, "why: of the 16.0 MiB that a step reads and writes, native on 2 threads "
                       "moves 16.8 GB/s.");
    free(page);
    json_decref(records);
}

/* A rate is told in what the workload's samples are. */
static void rates_have_their_unit(void **state)
{
    (void)state;
    assert_string_equal(report_units("mlp-mnist", text), "pictures");
    assert_string_equal(report_units("of another program", text), "samples");
    assert_string_equal(report_units("", text), "samples");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rates_have_their_unit),
        cmocka_unit_test(a_copy_is_told_by_its_bytes),
        cmocka_unit_test(numbers_have_three_digits_and_a_unit),
        cmocka_unit_test(hardware_names_lose_their_noise),
        cmocka_unit_test(every_format_is_written),
        cmocka_unit_test(tables_fold_rather_than_lose_what_they_say),
        cmocka_unit_test(paragraphs_are_wrapped),
        cmocka_unit_test(the_page_tells_the_verdict),
        cmocka_unit_test(a_slow_rate_is_no_zero),
        cmocka_unit_test(a_head_leaves_out_what_is_not_known),
        cmocka_unit_test(the_page_does_not_overstate),
        cmocka_unit_test(failed_contenders_have_their_reason),
        cmocka_unit_test(a_loss_keeps_to_its_column),
        cmocka_unit_test(pages_are_as_wide_as_the_terminal),
        cmocka_unit_test(warnings_do_not_drown_the_answer),
        cmocka_unit_test(one_reason_of_several_is_told_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
