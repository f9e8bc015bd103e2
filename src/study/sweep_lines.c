/* The two lines of a pair, start-up + n × step, from what was measured of its sides, and where they
 * cross. */
#include <math.h>
#include <string.h>

#include "report/sheet.h"
#include "study/sweep.h"

/* Mean and standard error; of one value a tenth of it. */
typedef struct mean {
    double sum, squares;
    int count;
} mean;

static void mean_add(mean *m, double value)
{
    m->sum += value;
    m->squares += value * value;
    m->count++;
}

static double mean_of(const mean *m)
{
    return m->sum / m->count;
}

/* 1.3: Student's t for the six runs that there are, over the normal distribution. */
static double mean_error(const mean *m)
{
    double average = mean_of(m);
    double least = SWEEP_FLOOR * fabs(average);
    if (m->count < 2) return 0.1 * fabs(average);
    double variance = fmax(m->squares - m->count * average * average, 0) / (m->count - 1);
    return fmax(1.3 * sqrt(variance / m->count), least);
}

/* Start-up counts to the end of the first step, which is a step of its own. */
static crossing_line line_of(const sweep *s, int side)
{
    mean start = {0}, step = {0};
    size_t i;
    json_t *record;
    json_array_foreach(s->records, i, record)
    {
        const json_t *best = sweep_best(s, record, side);
        double step_s = report_real(best, bench, step_s.median);
        double start_s = report_real(best, bench, start_s) + report_real(best, bench, prepare_s) +
                         report_real(best, bench, first_step_s) - step_s;
        if (strcmp(report_string(record, line, kind), "point") != 0 || !isfinite(start_s)) continue;
        mean_add(&start, start_s);
        mean_add(&step, step_s);
    }
    if (!start.count) return (crossing_line){NAN, NAN, NAN, NAN};
    return (crossing_line){mean_of(&start), mean_error(&start), mean_of(&step), mean_error(&step)};
}

be_status sweep_lines(const sweep *s, const sweep_pair *pair, crossing_line lines[2],
                      crossing_result *out, be_error *err)
{
    crossing_options options = sweep_options(s, pair);
    lines[0] = line_of(s, pair->first);
    lines[1] = line_of(s, pair->second);
    *out = (crossing_result){0};
    if (isnan(lines[0].start) || isnan(lines[1].start)) return BE_OK;
    return crossing_lines(&lines[0], &lines[1], &options, s->m.request->seed, out, err);
}
