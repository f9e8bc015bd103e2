/* Tests of the page of the quick verdict: what it says, and that it keeps to 80 columns. */
#include <stdlib.h>
#include <string.h>

#include "core/text.h"
#include "report/quick.h"
#include "support.h"

static json_t *make_record(const char *engine, int threads, double step_s, const char *verdict)
{
    json_t *record = json_pack(
        "{s:s, s:s, s:s, s:i, s:i, s:i, s:f, s:f, s:s, s:i, s:{s:f, s:f, s:f, s:f}, s:{s:s}}",
        "workload", "cnn-fashion", "engine", engine, "device", "cpu", "threads", threads, "batch",
        100, "params", 37250, "flops_per_step", 3.9e8, "samples_per_s", 100 / step_s, "data_source",
        "Fashion-MNIST, /srv/sets", "data_count", 60000, "step_s", "median", step_s, "low",
        0.97 * step_s, "high", 1.03 * step_s, "spread", 0.05, "asked", "precision", "fp32");
    json_object_set_new(record, "versus",
                        json_pack("{s:f, s:s}", "ratio", step_s / 2e-3, "verdict", verdict));
    json_object_set_new(record, "parity", json_pack("{s:f}", "error", 4e-7 * threads));
    json_object_set_new(record, "environment",
                        json_pack("{s:s, s:i, s:{s:s, s:i}, s:{s:s}}", "system", "Debian 12",
                                  "memory_bytes", 1 << 30, "cpu", "model", "AMD EPYC", "cores", 2,
                                  "build", "version", "0.1.0"));
    return record;
}

static char *page_of(const quick_page *page)
{
    char *text = NULL;
    size_t bytes = 0;
    FILE *out = open_memstream(&text, &bytes);
    quick_write(page, out);
    fclose(out);
    return text;
}

static void assert_holds(const char *page, const char *piece)
{
    if (!strstr(page, piece)) fail_msg("expected '%s' in:\n%s", piece, page);
}

/* Characters, not bytes. */
static void assert_width(const char *page)
{
    for (const char *line = page; *line;) {
        size_t length = strcspn(line, "\n");
        char copy[400];
        assert_true(length < sizeof copy);
        memcpy(copy, line, length);
        copy[length] = 0;
        if ((int)text_width(copy) > report_columns()) fail_msg("too wide: %s", copy);
        line += length + (line[length] == '\n');
    }
}

static void the_page_says_who_wins(void **state)
{
    (void)state;
    json_t *records = json_array();
    json_array_append_new(records, make_record("torch", 2, 9e-3, "SLOWER"));
    json_array_append_new(records, make_record("native", 2, 2e-3, "FASTER"));
    json_array_append_new(records, make_record("native", 1, 2.02e-3, "SAME"));
    json_t *missing = json_pack("[{s:s, s:s}]", "name", "NVIDIA GPU", "reason",
                                "libcuda.so.1 not found; install the NVIDIA driver");
    quick_page page = {.records = records, .missing = missing};
    static const int widths[] = {60, 80, 160};
    for (int w = 0; w < 3; w++) {
        report_look.columns = widths[w];
        char *text = page_of(&page);
        assert_width(text);
        free(text);
    }
    report_look.columns = 0;
    for (int utf8 = 0; utf8 < 2; utf8++) {
        report_look.utf8 = utf8;
        char *text = page_of(&page);
        assert_width(text);
        assert_holds(text, "breakeven 0.1.0 on AMD EPYC, 2 cores, 1.00 GiB; Debian 12");
        assert_holds(text, "cnn-fashion: 37,250 parameters, training, batch 100, fp32");
        assert_holds(text, "Fashion-MNIST, 60,000 pictures");
        assert_holds(text, "parity 8e-07");
        assert_null(strstr(text, "/srv/sets"));
        assert_holds(text, utf8 ? "4.50× slower" : "4.50x slower");
        assert_holds(text, utf8 ? "1.01× (same)" : "1.01x (same)");
        assert_holds(text, utf8 ? "██████████████████████ " : "###################### ");
        assert_holds(text, "not measured: NVIDIA GPU: libcuda.so.1 not found");
        assert_holds(text, "breakeven sweep cnn-fashion --over batch=");
        assert_null(strstr(text, "unsteady"));
        /* Nobody is the fastest beside one that is as fast. */
        assert_holds(text, " least time\n");
        /* The fastest first. */
        assert_true(strstr(text, "native on 2 threads") < strstr(text, "native on 1 thread "));
        assert_true(strstr(text, "native on 1 thread ") < strstr(text, "PyTorch on 2 threads"));
        free(text);
    }
    report_look.utf8 = false;
    json_decref(records);
    json_decref(missing);
}

/* A bar that would be 400 times as long as the shortest is cut, and says so. */
static void long_bars_are_cut(void **state)
{
    (void)state;
    json_t *records = json_array();
    json_array_append_new(records, make_record("native", 2, 2e-3, "FASTER"));
    json_array_append_new(records, make_record("torch", 2, 0.8, "SLOWER"));
    char *text = page_of(&(quick_page){.records = records});
    assert_width(text);
    assert_holds(text, "######################>");
    assert_holds(text, "bars beyond 50.0 ms are cut");
    assert_holds(text, "400x slower");
    assert_holds(text, " fastest\n");
    assert_null(strstr(text, "least time"));
    free(text);
    /* What the system does not tell is no number. */
    json_t *environment = json_object_get(json_array_get(records, 0), "environment");
    json_object_del(json_object_get(environment, "cpu"), "cores");
    text = page_of(&(quick_page){.records = records});
    assert_holds(text, " on AMD EPYC, - cores, 1.00 GiB");
    assert_null(strstr(text, "nan"));
    free(text);
    json_decref(records);
}

static void doubt_and_failures_are_said(void **state)
{
    (void)state;
    json_t *records = json_array(), *noisy = make_record("native", 2, 2e-3, "UNSURE");
    json_t *failed = make_record("torch", 2, 1, "UNSURE");
    json_object_set_new(json_object_get(noisy, "step_s"), "spread", json_real(0.4));
    json_object_set_new(noisy, "other_load", json_real(0.3));
    json_object_set_new(failed, "samples_per_s", json_null());
    json_object_set_new(failed, "error", json_string("its runner died"));
    json_array_append_new(records, failed);
    quick_page page = {.records = records};
    char *text = page_of(&page);
    assert_holds(text, "PyTorch on 2 threads has no speed: its runner died");
    assert_null(strstr(text, "next:"));
    free(text);
    json_array_append_new(records, noisy);
    text = page_of(&page);
    assert_width(text);
    assert_holds(text, "unsteady: blocks spread by up to 40 % of their median, and other programs");
    assert_holds(text, "next:");
    free(text);
    json_decref(records);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_page_says_who_wins),
        cmocka_unit_test(long_bars_are_cut),
        cmocka_unit_test(doubt_and_failures_are_said),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
