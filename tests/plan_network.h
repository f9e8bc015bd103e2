/* The network that the tests of plans use, and the short ways to plan and run it. */
#ifndef TESTS_PLAN_NETWORK_H
#define TESTS_PLAN_NETWORK_H

#include "support.h"

#include "breakeven/breakeven.h"

enum { ROWS = 8, FEATURES = 6, HIDDEN = 5, CLASSES = 3 };

/* x -> linear a -> ReLU -> (dropout) -> linear b -> loss, and data for it. */
typedef struct network {
    be_graph *graph; /* the test frees it */
    be_value x, target, before, hidden, logits, loss;
    float data[ROWS * FEATURES];
    int32_t classes[ROWS];
} network;

extern const be_optimizer sgd, adam;
extern const be_plan_options train, infer;

network network_new(uint64_t seed, const be_optimizer *optimizer, float dropout);

be_device *cpu(int threads);
be_plan *plan_of(const network *n, be_device *device, const be_plan_options *options);
void write_inputs(const network *n, be_plan *plan);

/* A plan with its inputs written. */
be_plan *ready_plan(const network *n, be_device *device, const be_plan_options *options);

void run(be_plan *plan, int64_t steps);

/* The first parameter, "a.weight". */
#define A_WEIGHT (HIDDEN * FEATURES)
void read_weight(be_plan *plan, float out[A_WEIGHT]);

#endif
