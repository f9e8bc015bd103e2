/* What the tests of the conductor share: quick options, a contender that is a fake, a measurement
 * of one beside a sound one, and checks of what came out. */
#ifndef TESTS_CONDUCTOR_FIXTURE_H
#define TESTS_CONDUCTOR_FIXTURE_H

#include "support.h"

#include "run/conductor.h"

/* Blocks of 30 ms, six at most, limits of seconds. */
conductor_options quick_options(void);

/* A fake on an accelerator: it sleeps, which no contender on the CPU may do. */
conductor_contender contender(const char *const *argv);

/* Measure one fake with the given options beside a sound one, which must come through. */
#define BESIDE(options, ...) beside((options), (const char *[]){__VA_ARGS__, NULL})
conductor_report *beside(const conductor_options *options, const char *const *faults);

/* The text holds all the pieces. */
#define ASSERT_TEXT(text, ...) assert_text((text), (const char *[]){__VA_ARGS__, NULL})
void assert_text(const char *text, const char *const *pieces);

/* The first contender has failed so, with these pieces in its text; frees the report. */
#define ASSERT_FAILED(report, status, stop, ...) \
    assert_failed((report), (status), (stop), (const char *[]){__VA_ARGS__, NULL})
void assert_failed(conductor_report *report, be_status status, stop_reason stop,
                   const char *const *pieces);

bool warned(const conductor_result *r, const char *piece);

/* The verdict on results a and b. */
void assert_verdict(const conductor_report *report, int a, int b, stats_verdict expected);

/* A folder with what the system tells of its processors, none of them used yet; `stat` is the path
 * of that file. */
char *make_proc(char *stat, size_t room);

#endif
