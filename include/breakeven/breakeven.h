/* breakeven as a library: build a graph, plan it for a device, run it. */
#ifndef BREAKEVEN_BREAKEVEN_H
#define BREAKEVEN_BREAKEVEN_H

#include "breakeven/graph.h"
#include "breakeven/plan.h"
#include "breakeven/status.h"

#endif
