/* Adam (Kingma, Ba: "Adam: A Method for Stochastic Optimization", ICLR 2015) and AdamW (Loshchilov,
 * Hutter: "Decoupled Weight Decay Regularization", ICLR 2019), as torch.optim does them.  With
 * t = clock + 1:
 *
 *   Adam:  g += decay · p             AdamW:  p −= rate · decay · p
 *   m = beta1 · m + (1 − beta1) · g;  v = beta2 · v + (1 − beta2) · g²
 *   p −= rate / (1 − beta1^t) · m / (sqrt(v) / sqrt(1 − beta2^t) + epsilon) */
#include <math.h>

#include "ops/op_list.h"
#include "ops/optimizer/optimizer.h"

static be_status adam_infer(op_infer *call, be_error *err)
{
    return optimizer_infer(call, 2, "adam", err);
}

static be_status adamw_infer(op_infer *call, be_error *err)
{
    return optimizer_infer(call, 2, "adamw", err);
}

static void reference_step(const op_reference *call, bool decoupled)
{
    const adam_attrs *a = call->attrs;
    int64_t count = call->in[0].dim[0];
    double rate = call->x[2][0], t = call->x[3][0] + 1.0;
    double correction1 = 1.0 - pow(a->beta1, t), correction2 = 1.0 - pow(a->beta2, t);
    double factor = call->x[OPTIMIZER_FACTOR] ? call->x[OPTIMIZER_FACTOR][0] : 1.0;
    double *p = call->y[0], *m = call->y[1], *v = call->y[2];
    for (int64_t i = 0; i < count; i++) {
        double g = factor * call->x[1][i], decay = i < a->decayed ? a->weight_decay : 0.0;
        if (decoupled)
            p[i] -= rate * decay * p[i];
        else
            g += decay * p[i];
        m[i] = a->beta1 * m[i] + (1.0 - a->beta1) * g;
        v[i] = a->beta2 * v[i] + (1.0 - a->beta2) * g * g;
        p[i] -= rate / correction1 * m[i] / (sqrt(v[i]) / sqrt(correction2) + a->epsilon);
        if (call->y[OPTIMIZER_NARROW_OUT]) call->y[OPTIMIZER_NARROW_OUT][i] = p[i];
    }
}

static void adam_reference(const op_reference *call)
{
    reference_step(call, false);
}

static void adamw_reference(const op_reference *call)
{
    reference_step(call, true);
}

static op_cost adam_cost(const void *attrs, const be_shape *in, const be_shape *out)
{
    double operations = ((const adam_attrs *)attrs)->weight_decay != 0.0 ? 14.0 : 12.0;
    return (op_cost){.flops = operations * (double)in[0].dim[0], .bytes = optimizer_bytes(in, out)};
}

static const adam_attrs usual = {.beta1 = 0.9, .beta2 = 0.999, .epsilon = 1e-8};

/* The attributes of a decay of the first `count` elements. */
#define DECAY(count, decay)                                                                   \
    {                                                                                         \
        .decayed = count, .beta1 = 0.8, .beta2 = 0.95, .epsilon = 1e-6, .weight_decay = decay \
    }

static const adam_attrs decaying = DECAY(515, 0.01), decay_of_one = DECAY(1, 0.01);
static const adam_attrs some_decay = DECAY(20003, 0.5), none_decays = DECAY(0, 0.5);

#define ADAM_CASE_OF(text, attributes, count, clocks, limit, ...)                              \
    {                                                                                          \
        .name = text, .attrs = &attributes,                                                    \
        .in = {{BE_F32, 1, {count}}, {BE_F32, 1, {count}}, {BE_F32, 1, {1}}, {BE_I32, 1, {1}}, \
               {BE_F32, 1, {count}}, {BE_F32, 1, {count}}, __VA_ARGS__},                       \
        .low = -1, .high = 1, .below = {0, 0, 0, clocks},                                      \
        .positive = 1u << 2 | 1u << 5 | 1u << OPTIMIZER_FACTOR, .tolerance = limit             \
    }
#define ADAM_CASE(text, attributes, count, clocks) \
    ADAM_CASE_OF(text, attributes, count, clocks, 2e-6, OP_ABSENT, OP_ABSENT)
/* One unit of bf16, whose last digit tips with the last of f32. */
#define NARROW_CASE(text, attributes, count) \
    ADAM_CASE_OF(text, attributes, count, 50, 4e-3, {BE_BF16, 1, {count}}, OP_ABSENT)

static const op_case adam_cases[] = {
    ADAM_CASE("first step", usual, 1003, 1),
    ADAM_CASE("later", usual, 40007, 100000),
    ADAM_CASE("decay", decaying, 515, 50),
    ADAM_CASE("one", decay_of_one, 1, 50),
    ADAM_CASE("two groups", some_decay, 40007, 50),
    ADAM_CASE("a decay of nothing", none_decays, 70, 50),
    NARROW_CASE("narrow weights", some_decay, 20009),
    NARROW_CASE("few narrow weights", decaying, 515),
    ADAM_CASE_OF("clipped", some_decay, 40007, 50, 2e-6, OP_ABSENT, {BE_F32, 1, {1}}),
    ADAM_CASE_OF("clipped, narrow weights", some_decay, 20009, 50, 4e-3, {BE_BF16, 1, {20009}},
                 {BE_F32, 1, {1}}),
};

const be_op be_op_adam = {.name = "adam",
                          .attrs_bytes = sizeof(adam_attrs),
                          .inputs = OPTIMIZER_FACTOR + 1,
                          .outputs = OPTIMIZER_NARROW_OUT + 1,
                          .is_outside_gradient = true,
                          .optional = 1u << OPTIMIZER_NARROW | 1u << OPTIMIZER_FACTOR,
                          .updates = {1, 5, 6, OPTIMIZER_NARROW + 1},
                          .infer = adam_infer,
                          .reference = adam_reference,
                          .cost = adam_cost,
                          .cases = adam_cases,
                          .case_count = OP_CASES(adam_cases)};

const be_op be_op_adamw = {.name = "adamw",
                           .attrs_bytes = sizeof(adam_attrs),
                           .inputs = OPTIMIZER_FACTOR + 1,
                           .outputs = OPTIMIZER_NARROW_OUT + 1,
                           .is_outside_gradient = true,
                           .optional = 1u << OPTIMIZER_NARROW | 1u << OPTIMIZER_FACTOR,
                           .updates = {1, 5, 6, OPTIMIZER_NARROW + 1},
                           .infer = adamw_infer,
                           .reference = adamw_reference,
                           .cost = adam_cost,
                           .cases = adam_cases,
                           .case_count = OP_CASES(adam_cases)};
