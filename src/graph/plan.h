/* The inside of a plan, for the files that implement it; and its weights drawn anew. */
#ifndef GRAPH_PLAN_H
#define GRAPH_PLAN_H

#include "graph/device.h"

struct be_plan {
    be_device *device;
    be_graph *graph; /* lowered */
    memory_map map;
    program *program;
    be_plan_facts facts;
    be_parameter *parameters, *buffers;
    int parameter_count, buffer_count;
    be_op_time *op_times; /* of the last be_plan_phases; NULL before */
    bool train, dry_run;
};

/* Weights and buffers as be_plan_new drew them. */
BE_CHECKED be_status plan_draw(be_plan *plan, be_error *err);

#endif
