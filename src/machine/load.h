/* What else the machine does while something is measured.
 *
 * Reads the system's own counters; owns nothing, changes nothing, prints nothing. */
#ifndef MACHINE_LOAD_H
#define MACHINE_LOAD_H

#include <stdint.h>

#define LOAD_BUSY 0.05 /* share of the processors for other programs from which results suffer */

typedef struct load_sample {
    int64_t time_ns;  /* clock_now_ns */
    int64_t busy_ns;  /* processor time of all programs since start-up; -1 if unknown */
    int64_t steal_ns; /* time that a virtual machine's host gave to others; -1 if unknown */
    int processors;   /* online */
} load_sample;

/* `root` is put before the path of /proc, for tests; NULL for the real one. */
load_sample load_take(const char *root);

/* Shares of all processors between two samples, own_ns being the time that the measured programs
 * and this one used themselves; NAN where the system does not tell. */
double load_other_share(const load_sample *from, const load_sample *to, int64_t own_ns);
double load_steal_share(const load_sample *from, const load_sample *to);
/* Both together, without what the system does not tell. */
double load_taken_share(const load_sample *from, const load_sample *to, int64_t own_ns);

/* Processor time of this process so far. */
int64_t load_own_cpu_ns(void);

/* The load averages over 1, 5 and 15 minutes; NAN if unknown. */
void load_averages(double out[3]);

#endif
