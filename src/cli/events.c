/* See events.h. */
#include "cli/events.h"

#include "core/json.h"

bool events_wanted(const cli_options *options)
{
    return options->value[OPTION_EVENTS].is_given;
}

/* Takes the event.  Without memory for it the reader has to do without: what is measured goes on.
 */
static void print_event(json_t *event)
{
    if (event && json_dumpf(event, cli_results, JSON_COMPACT) == 0) fputc('\n', cli_results);
    fflush(cli_results); /* main tells if that failed */
    json_decref(event);
}

void events_text(const cli_options *options, const char *event, const char *text)
{
    if (!events_wanted(options)) return;
    print_event(json_pack("{s:s, s:o}", "event", event, "text", json_of_text(text)));
}

void events_write(const cli_options *options, const char *event, const json_t *value)
{
    if (!events_wanted(options)) return;
    print_event(json_pack("{s:s, s:O}", "event", event, "value", value));
}

void events_step(const cli_options *options, const train_progress *p, const char *unit)
{
    if (!events_wanted(options)) return;
    print_event(json_pack("{s:s, s:I, s:I, s:I, s:I, s:o, s:o, s:o, s:s, s:o}", "event", "step",
                          "epoch", (json_int_t)p->epoch, "epochs", (json_int_t)p->epochs, "step",
                          (json_int_t)p->step, "steps", (json_int_t)p->steps, "loss",
                          json_of_real(p->loss), "accuracy", json_of_real(p->accuracy),
                          "units_per_s", json_of_real(p->units_per_s), "unit", unit, "left_s",
                          json_of_real(p->left_s)));
}
