/* Readings, slow blocks, burst and sustained. */
#include "measure/heat.h"

#include <math.h>

#include "core/memory.h"
#include "measure/stats.h"

#define HEAT_BURST_BLOCKS 3 /* the first blocks, or the first tenth of them if that is more */

void heat_begin(heat *h)
{
    *h = (heat){.best_s = INFINITY};
}

void heat_free(heat *h)
{
    memory_free_array(h->readings_s);
    heat_begin(h);
}

be_status heat_add(heat *h, double reading_s, be_error *err)
{
    void *list = h->readings_s;
    MUST(reading_s > 0);
    TRY(memory_grow(&list, &h->capacity, h->count + 1, sizeof *h->readings_s, err));
    h->readings_s = list;
    h->readings_s[h->count++] = reading_s;
    h->best_s = fmin(h->best_s, reading_s);
    return BE_OK;
}

bool heat_is_slow(const heat *h, double reading_s)
{
    return reading_s > HEAT_SLOW * h->best_s;
}

bool heat_count_block(heat *h, double before_s, double after_s)
{
    double slower_s = fmax(before_s, after_s);
    if (!heat_is_slow(h, slower_s)) return false;
    h->slow_blocks++;
    h->slow_sum_s += slower_s;
    return true;
}

double heat_patience_s(const heat *h, double each_s, double total_s)
{
    return fmax(0, fmin(each_s, total_s - h->waited_s));
}

be_status heat_summarize(const heat *h, const double *steps_s, int32_t count, heat_summary *out,
                         be_error *err)
{
    *out = (heat_summary){NAN, NAN, NAN, NAN, NAN, NAN};
    if (h->count == 0 || count < 1) return BE_OK;
    int32_t burst = count / 10 > HEAT_BURST_BLOCKS ? count / 10 : HEAT_BURST_BLOCKS;
    int32_t last = (count + 2) / 3;
    if (burst > count) burst = count;
    out->best_s = out->worst_s = h->best_s;
    for (size_t i = 0; i < h->count; i++) out->worst_s = fmax(out->worst_s, h->readings_s[i]);
    if (h->slow_blocks > 0) out->slow_speed = h->best_s / (h->slow_sum_s / h->slow_blocks);
    TRY(stats_median(h->readings_s, (int32_t)h->count, &out->median_s, err));
    TRY(stats_median(steps_s, burst, &out->burst_step_s, err));
    return stats_median(steps_s + count - last, last, &out->sustained_step_s, err);
}
