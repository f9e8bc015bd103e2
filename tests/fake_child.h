/* Runners inside the test: run/child.h answered by a fake that computes nothing, on a clock that
 * moves only when one of them works, when somebody waits, or when an answer is on its way.  A test
 * that is linked with fake_child.c starts no process and takes no time.
 *
 * The wishes are those of tests/fake_runner.py, as far as a machine's time and load matter. */
#ifndef TESTS_FAKE_CHILD_H
#define TESTS_FAKE_CHILD_H

#include <stdint.h>

#include "fake_clock.h"

extern fake_clock fake_child_clock;

/* Called whenever one hangs; NULL: nothing is. */
extern void (*fake_child_hangs)(void);

/* How many run now. */
extern int fake_child_count;

/* Put the clock in its place: the set-up of a group of tests. */
int fake_child_set_up(void **state);

#endif
