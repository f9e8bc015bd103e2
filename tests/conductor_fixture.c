/* Fakes as contenders, and what is checked of them. */
#include "conductor_fixture.h"

#include <math.h>
#include <string.h>

#include "core/file.h"
#include "fake.h"

conductor_options quick_options(void)
{
    conductor_options o = conductor_options_default();
    o.stop.min_samples = 4;
    o.stop.max_samples = 6;
    o.stop.min_time_s = 0;
    o.stop.max_time_s = 2;
    o.block_s = 0.03;
    o.warm_up_s = 0.02;
    o.start_limit_s = 20;
    o.first_limit_s = 10;
    o.run_limit_s = 1;
    o.sensors_root = "/nowhere";
    return o;
}

conductor_contender contender(const char *const *argv)
{
    return (conductor_contender){
        .engine = "fake",
        .argv = argv,
        .job = {.workload = "cnn-fashion",
                .device = "cuda:0",
                .precision = "fp32",
                .mode = "train",
                .threads = 1,
                .batch = 100,
                .seed = 7,
                .optimizer = {.name = "adam", .lr = 1e-3}},
    };
}

conductor_report *beside(const conductor_options *options, const char *const *faults)
{
    be_error err = {0};
    fake sound, other;
    conductor_contender both[] = {contender(fake_fill(&other, faults)),
                                  contender(FAKE(&sound, "--step", "0.002"))};
    conductor_report *report = NULL;
    ASSERT_OK(conductor_run(both, 2, options, &report, &err));
    if (report->results[1].status != BE_OK) fail_msg("%s", report->results[1].error.text);
    assert_in_range(report->results[1].count, 4, 6);
    assert_int_equal(report->fastest, 1);
    return report;
}

void assert_text(const char *text, const char *const *pieces)
{
    for (; *pieces; pieces++)
        if (!text || !strstr(text, *pieces))
            fail_msg("expected '%s' in: %s", *pieces, text ? text : "(nothing)");
}

void assert_failed(conductor_report *report, be_status status, stop_reason stop,
                   const char *const *pieces)
{
    const conductor_result *r = &report->results[0];
    if (r->status != status)
        fail_msg("expected %d, found %d: %s", status, r->status, r->error.text);
    assert_int_equal(r->stop, stop);
    assert_true(isnan(r->samples_per_s) || r->count > 0);
    assert_text(r->error.text, pieces);
    conductor_report_free(report);
}

bool warned(const conductor_result *r, const char *piece)
{
    for (size_t i = 0; i < r->warning_count; i++)
        if (strstr(r->warnings[i].text, piece)) return true;
    return false;
}

void assert_verdict(const conductor_report *report, int a, int b, stats_verdict expected)
{
    be_error err = {0};
    stats_interval ratio;
    stats_verdict verdict;
    ASSERT_OK(conductor_compare(report, a, b, &ratio, &verdict, &err));
    if (verdict != expected)
        fail_msg("expected %s, found %s: %.4f [%.4f, %.4f]", stats_verdict_name(expected),
                 stats_verdict_name(verdict), ratio.point, ratio.low, ratio.high);
}

char *make_proc(char *stat, size_t room)
{
    be_error err = {0};
    char proc[400], *root = support_make_folder();
    support_path(proc, sizeof proc, root, "proc");
    ASSERT_OK(file_make_folders(proc, &err));
    support_path(stat, room, proc, "stat");
    support_write_file(stat, "cpu 0 0 0 0 0 0 0 0\n", 20);
    return root;
}
