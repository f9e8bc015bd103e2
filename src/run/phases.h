/* Where a contender's step goes: its runner is started once more after the measurement and asked
 * for its phases, which costs too much to be part of the timed blocks. */
#ifndef RUN_PHASES_H
#define RUN_PHASES_H

#include "run/conductor.h"

/* Object phase -> seconds a step (null: it cannot be told apart), over at least `least_s` seconds
 * of steps of about step_s. */
BE_CHECKED be_status phases_ask(const conductor_contender *contender, double step_s, double least_s,
                                const volatile sig_atomic_t *interrupted, json_t **out,
                                be_error *err);

#endif
