/* --events: what happens while a command works, for programs that follow it: an object in JSON a
 * line on standard output, at once.  docs/api.md says what each has.
 *
 * All do nothing without the option. */
#ifndef CLI_EVENTS_H
#define CLI_EVENTS_H

#include "cli/cli.h"
#include "train/loop.h"

bool events_wanted(const cli_options *options);

/* {"event": "progress" or "note", "text": …} */
void events_text(const cli_options *options, const char *event, const char *text);

/* {"event": …, "value": …}: a record, a sweep so far, the result */
void events_write(const cli_options *options, const char *event, const json_t *value);

/* {"event": "step", …}: where a training is; `unit` is what its rate counts. */
void events_step(const cli_options *options, const train_progress *p, const char *unit);

#endif
