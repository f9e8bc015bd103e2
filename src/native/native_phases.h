/* The times of a plan as the native runner's answer to `phases`. */
#ifndef NATIVE_NATIVE_PHASES_H
#define NATIVE_NATIVE_PHASES_H

#include <jansson.h>

#include "breakeven/plan.h"

/* Adds the members of docs/runner-protocol.md to `answer`. */
void native_phases_answer(const be_plan_times *times, const char *device, json_t *answer);

#endif
