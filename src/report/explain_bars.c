/* A step's phases as bars. */
#include <math.h>
#include <stdio.h>

#include "report/contender.h"
#include "report/explain.h"
#include "report/explain_sides.h"
#include "report/html.h"

/* In the order of explain_phase_names. */
static const char *const titles[EXPLAIN_PHASES] = {"data",           "upload",    "forward",
                                                   "backward",       "optimizer", "loss read",
                                                   "waits for host", "other idle"};

static void add_bar(explain_drawn *d, const json_t *record)
{
    bar *one = &d->list[d->bars.count];
    *one = (bar){.name = contender_who(record, d->names[d->bars.count]),
                 .total = report_real(record, explained, explain.phases_sum_s),
                 .low = NAN,
                 .high = NAN};
    for (int p = 0; p < EXPLAIN_PHASES; p++) {
        char path[64];
        snprintf(path, sizeof path, "explain.phases_s.%s", explain_phase_names[p]);
        double seconds = json_real_at(record, path);
        one->parts[p] = seconds > 0 ? seconds : 0;
    }
    d->bars.count++;
}

void explain_draw(const json_t *records, explain_drawn *out)
{
    size_t i;
    json_t *record;
    *out = (explain_drawn){.bars = {.title = "where a step's time goes",
                                    .bars = out->list,
                                    .parts = titles,
                                    .letters = "duFBOl.-",
                                    .part_count = EXPLAIN_PHASES,
                                    .text = report_seconds}};
    json_array_foreach(records, i,
                       record) if (explain_has(record) && out->bars.count < EXPLAIN_BARS_MAX)
        add_bar(out, record);
}

void explain_bars(const json_t *records, FILE *out)
{
    explain_drawn drawing;
    explain_draw(records, &drawing);
    if (report_look.html)
        html_bars(&drawing.bars, false, out);
    else
        bars_print(&drawing.bars, out);
}
