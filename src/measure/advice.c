/* Interpolation, totals, the choice, and where it flips. */
#include "measure/advice.h"

#include <math.h>
#include <stddef.h>

#define BATCH_STEPS 200 /* of the walk through a range of batches */

static const stats_interval unknown = {NAN, NAN, NAN};

/* ---------------------------------------------------------------- interpolation */

typedef double advice_value(const advice_sample *sample);

static double value_time(const advice_sample *sample)
{
    return sample->step_s.point;
}

static double value_low(const advice_sample *sample)
{
    return sample->step_s.low;
}

static double value_high(const advice_sample *sample)
{
    return sample->step_s.high;
}

static double value_energy(const advice_sample *sample)
{
    return sample->step_j;
}

static double value_memory(const advice_sample *sample)
{
    return sample->memory_bytes;
}

/* Through the samples on both sides of the batch, sample `without` left out (−1: none). */
static double interpolate(const advice_candidate *c, advice_value *value, double batch, int without)
{
    const advice_sample *below = NULL, *above = NULL;
    for (int i = 0; i < c->count; i++) {
        const advice_sample *s = &c->samples[i];
        if (i == without) continue;
        if (s->batch <= batch) below = s;
        if (s->batch >= batch && !above) above = s;
    }
    if (!below || !above) return (double)NAN;
    if (below == above) return value(below);
    double share = log(batch / below->batch) / log(above->batch / below->batch);
    return exp((1 - share) * log(value(below)) + share * log(value(above)));
}

static double held_out_error(const advice_candidate *c)
{
    double worst = (double)NAN;
    for (int i = 1; i + 1 < c->count; i++) {
        double measured = value_time(&c->samples[i]);
        double error = fabs(interpolate(c, value_time, c->samples[i].batch, i) / measured - 1);
        if (!(error <= worst)) worst = error;
    }
    return worst;
}

static stats_interval step_at(const advice_candidate *c, double batch, const advice_estimate *e)
{
    stats_interval s = {interpolate(c, value_time, batch, -1), interpolate(c, value_low, batch, -1),
                        interpolate(c, value_high, batch, -1)};
    if (e->measured) return s;
    s.low *= e->held_out > 1 ? 0 : 1 - e->held_out;
    s.high *= 1 + e->held_out;
    return s;
}

void advice_estimate_of(const advice_candidate *candidate, const advice_question *question,
                        advice_estimate *out)
{
    double steps = ceil(question->pictures / question->batch);
    *out = (advice_estimate){.held_out = held_out_error(candidate)};
    for (int i = 0; i < candidate->count; i++)
        out->measured |= candidate->samples[i].batch == question->batch;
    out->step_s = step_at(candidate, question->batch, out);
    out->in_range = !isnan(out->step_s.point);
    const stats_interval *start = &candidate->start_s, *step = &out->step_s;
    out->total_s =
        (stats_interval){start->point + steps * step->point, start->low + steps * step->low,
                         start->high + steps * step->high};
    out->energy_j = steps * interpolate(candidate, value_energy, question->batch, -1);
    out->memory_bytes = interpolate(candidate, value_memory, question->batch, -1);
    out->fits = !(out->memory_bytes > candidate->memory_limit_bytes);
}

/* ---------------------------------------------------------------- the choice */

static stats_interval cost_of(const advice_estimate *e, advice_goal goal)
{
    if (!e->in_range || !e->fits) return unknown;
    if (goal == ADVICE_TIME) return e->total_s;
    double value = goal == ADVICE_ENERGY ? e->energy_j : e->memory_bytes;
    /* Neither has an interval of its own; energy is known as well as the time it was summed over.
     */
    stats_interval s = {value, value, value};
    if (goal == ADVICE_ENERGY) {
        s.low *= e->step_s.low / e->step_s.point;
        s.high *= e->step_s.high / e->step_s.point;
    }
    return s;
}

/* a / b of two costs that were estimated apart: their relative errors add up as independent ones.
 */
static stats_interval ratio_of(const stats_interval *a, const stats_interval *b)
{
    double point = a->point / b->point;
    double down = hypot(1 - a->low / a->point, b->high / b->point - 1);
    double up = hypot(a->high / a->point - 1, 1 - b->low / b->point);
    return (stats_interval){point, point * (down > 1 ? 0 : 1 - down), point * (1 + up)};
}

/* start + pictures × time of a picture is equal for both. */
static double flip_of_length(const advice_candidate *a, const advice_candidate *b,
                             const advice_estimate *of_a, const advice_estimate *of_b, double batch)
{
    double more_start = b->start_s.point - a->start_s.point;
    double less_step = of_a->step_s.point - of_b->step_s.point;
    double steps = more_start / less_step;
    return steps > 1 ? steps * batch : (double)NAN;
}

static double difference_at(const advice_candidate *a, const advice_candidate *b,
                            const advice_question *question, double batch)
{
    advice_question there = *question;
    advice_estimate of_a, of_b;
    there.batch = batch;
    advice_estimate_of(a, &there, &of_a);
    advice_estimate_of(b, &there, &of_b);
    stats_interval first = cost_of(&of_a, question->goal), second = cost_of(&of_b, question->goal);
    return log(first.point / second.point);
}

static void find_flips(const advice_candidate *a, const advice_candidate *b,
                       const advice_question *question, advice_choice *out)
{
    double low = fmax(a->samples[0].batch, b->samples[0].batch);
    double high = fmin(a->samples[a->count - 1].batch, b->samples[b->count - 1].batch);
    out->batch_low = out->batch_high = (double)NAN;
    if (!(low < high)) return;
    out->batch_low = low;
    out->batch_high = high;
    double before = difference_at(a, b, question, low), at = low;
    for (int i = 1; i <= BATCH_STEPS; i++) {
        double batch = low * pow(high / low, (double)i / BATCH_STEPS);
        if (i == BATCH_STEPS) batch = high;
        double now = difference_at(a, b, question, batch);
        if (before * now < 0 && out->flip_count < ADVICE_FLIPS_MAX)
            out->flip_batches[out->flip_count++] =
                at * pow(batch / at, fabs(before) / (fabs(before) + fabs(now)));
        before = now;
        at = batch;
    }
}

/* The candidate of the least cost, but for one. */
static int least(const advice_estimate *estimates, int count, advice_goal goal, int without)
{
    int found = -1;
    for (int i = 0; i < count; i++) {
        double cost = cost_of(&estimates[i], goal).point;
        if (i == without || isnan(cost)) continue;
        if (found < 0 || cost < cost_of(&estimates[found], goal).point) found = i;
    }
    return found;
}

void advice_choose(const advice_candidate *candidates, const advice_estimate *estimates, int count,
                   const advice_question *question, advice_choice *out)
{
    advice_goal goal = question->goal;
    *out = (advice_choice){.second = -1,
                           .ratio = unknown,
                           .flip_pictures = (double)NAN,
                           .batch_low = (double)NAN,
                           .batch_high = (double)NAN};
    int best = out->best = least(estimates, count, goal, -1);
    if (best < 0) return;
    int second = out->second = least(estimates, count, goal, best);
    if (second < 0) return;
    stats_interval mine = cost_of(&estimates[best], goal);
    stats_interval theirs = cost_of(&estimates[second], goal);
    stats_interval inverse = ratio_of(&mine, &theirs);
    out->ratio = ratio_of(&theirs, &mine);
    out->verdict = stats_judge(&inverse);
    if (goal == ADVICE_TIME)
        out->flip_pictures = flip_of_length(&candidates[best], &candidates[second],
                                            &estimates[best], &estimates[second], question->batch);
    find_flips(&candidates[best], &candidates[second], question, out);
}
