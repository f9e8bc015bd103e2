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
        double time = value_time(&c->samples[i]);
        double error = fabs(interpolate(c, value_time, c->samples[i].batch, i) / time - 1);
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
    double steps = ceil(question->samples / question->batch);
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

static double cost_of(const advice_estimate *e, advice_goal goal)
{
    if (!e->in_range || !e->fits) return NAN;
    return goal == ADVICE_TIME     ? e->total_s.point
           : goal == ADVICE_ENERGY ? e->energy_j
                                   : e->memory_bytes;
}

/* a / b of two values that were estimated apart: their relative errors add up as independent ones.
 */
static stats_interval ratio_of(const stats_interval *a, const stats_interval *b)
{
    double point = a->point / b->point;
    double down = hypot(1 - a->low / a->point, b->high / b->point - 1);
    double up = hypot(a->high / a->point - 1, 1 - b->low / b->point);
    return (stats_interval){point, point * (down > 1 ? 0 : 1 - down), point * (1 + up)};
}

/* The steps of two candidates at one batch. */
typedef struct step_pair {
    stats_interval ratio;
    stats_verdict verdict;
    bool paired;
} step_pair;

static step_pair compare_steps(const advice_estimate *best, const advice_estimate *second,
                               double batch, const advice_pair *pairs, int pair_count)
{
    double medians = second->step_s.point / best->step_s.point;
    for (int i = 0; i < pair_count; i++) {
        step_pair pair = {pairs[i].ratio, pairs[i].verdict, true};
        if (pairs[i].batch != batch) continue;
        /* Where the medians deny what the blocks say, either may be so. */
        if (pair.verdict == STATS_UNSURE && !isnan(pair.ratio.low)) {
            pair.ratio.low = fmin(pair.ratio.low, medians);
            pair.ratio.high = fmax(pair.ratio.high, medians);
        }
        return pair;
    }
    stats_interval apart = ratio_of(&second->step_s, &best->step_s);
    return (step_pair){apart, stats_verdict_of_other(stats_judge(&apart)), false};
}

/* What a ratio of totals depends on. */
typedef struct totals {
    double steps, ratio, step_s; /* of steps; of the best */
    double start_s[2];           /* of the best, of the second */
} totals;

static double total_ratio(const totals *t)
{
    double steps_s = t->steps * t->step_s;
    return (t->start_s[1] + t->ratio * steps_s) / (t->start_s[0] + steps_s);
}

/* The ratio of the totals by that of the steps: what the two share cancels out.  Each thing that is
 * known to an interval moves it by so much, independently of the others. */
static stats_interval ratio_of_totals(const advice_candidate *both[2], const advice_estimate *best,
                                      double steps, const step_pair *pair)
{
    const stats_interval *in[] = {&pair->ratio, &best->step_s, &both[0]->start_s,
                                  &both[1]->start_s};
    totals at = {steps, in[0]->point, in[1]->point, {in[2]->point, in[3]->point}};
    double point = total_ratio(&at), down = 0, up = 0;
    for (int i = 0; i < 4; i++) {
        totals low = at, high = at;
        double *const places[][2] = {{&low.ratio, &high.ratio},
                                     {&low.step_s, &high.step_s},
                                     {&low.start_s[0], &high.start_s[0]},
                                     {&low.start_s[1], &high.start_s[1]}};
        *places[i][0] = in[i]->low;
        *places[i][1] = in[i]->high;
        double ends[] = {total_ratio(&low) - point, total_ratio(&high) - point};
        bool unknown_end = isnan(ends[0]) || isnan(ends[1]);
        down = unknown_end ? (double)NAN : hypot(down, fmin(fmin(ends[0], ends[1]), 0));
        up = unknown_end ? (double)NAN : hypot(up, fmax(fmax(ends[0], ends[1]), 0));
    }
    return (stats_interval){point, isnan(down) ? down : fmax(point - down, 0), point + up};
}

/* The ratio of what a step takes of energy is as sure as that of its times. */
static stats_interval ratio_of_energy(const advice_estimate *of[2], const step_pair *pair)
{
    double point = of[1]->energy_j / of[0]->energy_j, times = point / pair->ratio.point;
    return (stats_interval){point, times * pair->ratio.low, times * pair->ratio.high};
}

static stats_interval ratio_of_costs(const advice_candidate *both[2], const advice_estimate *of[2],
                                     const advice_question *question, const step_pair *pair)
{
    if (question->goal == ADVICE_ENERGY) return ratio_of_energy(of, pair);
    double memory = of[1]->memory_bytes / of[0]->memory_bytes;
    if (question->goal == ADVICE_MEMORY) return (stats_interval){memory, memory, memory};
    return ratio_of_totals(both, of[0], ceil(question->samples / question->batch), pair);
}

/* Of the best against the second. */
static stats_verdict judge_best(const stats_interval *ratio)
{
    return stats_verdict_of_other(stats_judge(ratio));
}

/* start + samples × time of a sample is equal for both. */
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
    return log(cost_of(&of_a, question->goal) / cost_of(&of_b, question->goal));
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

/* Whether what find_flips says holds at the batches that were measured of both. */
static bool judge_flips(const advice_candidate *both[2], const advice_question *question,
                        const advice_pair *pairs, int pair_count, int flip_count)
{
    int batches = 0, judged[STATS_SAME + 1] = {0};
    for (int i = 0; i < both[0]->count; i++) {
        advice_question there = *question;
        advice_estimate ends[2];
        const advice_estimate *of[] = {&ends[0], &ends[1]};
        there.batch = both[0]->samples[i].batch;
        for (int k = 0; k < 2; k++) advice_estimate_of(both[k], &there, &ends[k]);
        if (!ends[0].measured || !ends[1].measured) continue;
        step_pair pair = compare_steps(of[0], of[1], there.batch, pairs, pair_count);
        stats_interval ratio = ratio_of_costs(both, of, &there, &pair);
        judged[judge_best(&ratio)]++;
        batches++;
    }
    if (flip_count) return judged[STATS_FASTER] && judged[STATS_SLOWER];
    return batches && judged[STATS_FASTER] == batches;
}

/* The candidate of the least cost, but for one. */
static int least(const advice_estimate *estimates, int count, advice_goal goal, int without)
{
    int place = -1;
    for (int i = 0; i < count; i++) {
        double cost = cost_of(&estimates[i], goal);
        if (i == without || isnan(cost)) continue;
        if (place < 0 || cost < cost_of(&estimates[place], goal)) place = i;
    }
    return place;
}

void advice_choose(const advice_estimate *estimates, int count, advice_goal goal,
                   advice_choice *out)
{
    *out = (advice_choice){.second = -1,
                           .step_ratio = unknown,
                           .ratio = unknown,
                           .flip_samples = (double)NAN,
                           .batch_low = (double)NAN,
                           .batch_high = (double)NAN};
    out->best = least(estimates, count, goal, -1);
    if (out->best >= 0) out->second = least(estimates, count, goal, out->best);
}

static bool starts_sooner(const stats_interval *a, const stats_interval *b)
{
    return a->high <= b->low;
}

void advice_judge(const advice_candidate *both[2], const advice_estimate *of[2],
                  const advice_question *question, const advice_pair *pairs, int pair_count,
                  advice_choice *out)
{
    const stats_interval *starts[] = {&both[0]->start_s, &both[1]->start_s};
    step_pair pair = compare_steps(of[0], of[1], question->batch, pairs, pair_count);
    out->step_ratio = pair.ratio;
    out->step_verdict = pair.verdict;
    out->paired = pair.paired;
    out->ratio = ratio_of_costs(both, of, question, &pair);
    out->verdict = judge_best(&out->ratio);
    out->start_is_sure = starts_sooner(starts[0], starts[1]) || starts_sooner(starts[1], starts[0]);
    if (question->goal == ADVICE_TIME)
        out->flip_samples = flip_of_length(both[0], both[1], of[0], of[1], question->batch);
    find_flips(both[0], both[1], question, out);
    out->flips_are_sure = judge_flips(both, question, pairs, pair_count, out->flip_count);
}
