/* The rules of optimizers as PyTorch's documentation has them, in double. */
#ifndef TESTS_OPTIMIZER_RULE_H
#define TESTS_OPTIMIZER_RULE_H

#include <math.h>

#include "breakeven/graph.h"

typedef struct optimizer_rule {
    be_optimizer options;
    double beta1, beta2, epsilon; /* of Adam and AdamW, as they must come out */
    const char *slots[2];         /* names of the states; NULL: none */
} optimizer_rule;

/* Step `step`, from 1 on, of one parameter with the gradient g. */
static inline void optimizer_rule_apply(const optimizer_rule *r, int step, double g, double *p,
                                        double *first, double *second)
{
    double rate = r->options.learning_rate, decay = r->options.weight_decay;
    if (r->options.kind != BE_ADAMW && decay != 0.0) g = g + decay * *p;
    if (r->options.kind == BE_SGD) {
        double direction = g;
        if (r->options.momentum != 0.0)
            direction = *first = step == 1 ? g : r->options.momentum * *first + g;
        *p = *p - rate * direction;
        return;
    }
    if (r->options.kind == BE_ADAMW) *p = *p - rate * decay * *p;
    *first = r->beta1 * *first + (1.0 - r->beta1) * g;
    *second = r->beta2 * *second + (1.0 - r->beta2) * g * g;
    double first_hat = *first / (1.0 - pow(r->beta1, step));
    double second_hat = *second / (1.0 - pow(r->beta2, step));
    *p = *p - rate * first_hat / (sqrt(second_hat) + r->epsilon);
}

#endif
