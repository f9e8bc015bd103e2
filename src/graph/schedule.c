/* Learning rates by the step.  Worked out here in double, for every step, so that a device only
 * looks its rate up: with no host in the loop, and to the bit the same everywhere. */
#include "graph/schedule.h"

#include <math.h>
#include <stddef.h>
#include <string.h>

static const char *const schedule_names[] = {
#define X(id, text) text,
    BE_SCHEDULE_LIST(X)
#undef X
};
#define SCHEDULE_KINDS ((int)(sizeof schedule_names / sizeof *schedule_names))

const char *schedule_name(be_schedule_kind kind)
{
    return (int)kind >= 0 && (int)kind < SCHEDULE_KINDS ? schedule_names[kind] : NULL;
}

int schedule_find(const char *name)
{
    for (int kind = 0; kind < SCHEDULE_KINDS; kind++)
        if (strcmp(schedule_names[kind], name) == 0) return kind;
    return -1;
}

double be_schedule_factor(const be_schedule *s, int64_t step)
{
    const double pi = 3.14159265358979323846;
    if (step < s->warmup_steps) return (double)(step + 1) / (double)(s->warmup_steps + 1);
    if (s->kind == BE_RATE_CONSTANT) return 1.0;
    if (step >= s->total_steps) return s->final_factor;
    double progress = (double)(step - s->warmup_steps) / (double)(s->total_steps - s->warmup_steps);
    double rest = s->kind == BE_RATE_LINEAR ? 1.0 - progress : 0.5 * (1.0 + cos(pi * progress));
    return s->final_factor + (1.0 - s->final_factor) * rest;
}

int64_t schedule_last_step(const be_schedule *s)
{
    return s->kind == BE_RATE_CONSTANT ? s->warmup_steps : s->total_steps;
}

void schedule_fill(const be_schedule *s, double rate, float *out)
{
    int64_t last = schedule_last_step(s);
    for (int64_t step = 0; step <= last; step++)
        out[step] = (float)(rate * be_schedule_factor(s, step));
}
