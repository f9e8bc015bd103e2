/* Stochastic gradient descent with momentum and weight decay, as torch.optim.SGD does it (without
 * dampening or Nesterov): d = g + decay · p;  buffer = momentum · buffer + d;  p −= rate · buffer.
 * Without momentum there is no buffer and p −= rate · d.  The decay is 0 from element `decayed` on,
 * here as in adam.c: the block begins with the parameters that decay, so that one number tells both
 * groups apart and the block stays one. */
#include <inttypes.h>

#include "ops/op_list.h"
#include "ops/optimizer/optimizer.h"

be_status optimizer_infer(op_infer *call, int slots, const char *name, be_error *err)
{
    const be_shape *block = &call->in[0];
    be_shape rate = shape_make(BE_F32, 1, 1, 0, 0, 0), clock = shape_make(BE_I32, 1, 1, 0, 0, 0);
    TRY(op_expect(block, BE_F32, 1, name, err));
    TRY(op_expect_same(&call->in[1], block, name, err));
    TRY(op_expect_same(&call->in[2], &rate, name, err));
    TRY(op_expect_same(&call->in[3], &clock, name, err));
    if (call->in[OPTIMIZER_FACTOR].rank >= 0)
        TRY(op_expect_same(&call->in[OPTIMIZER_FACTOR], &rate, name, err));
    int64_t decayed = *(const int64_t *)call->attrs;
    if (decayed < 0 || decayed > block->dim[0])
        FAIL(err, BE_USAGE,
             "%s: expected a decay of 0 to %" PRId64 " elements of the parameters, found %" PRId64,
             name, block->dim[0], decayed);
    be_shape narrow = *block;
    narrow.dtype = BE_BF16;
    for (int o = 1; o <= OPTIMIZER_NARROW_OUT; o++) call->out[o].rank = -1;
    if (call->in[OPTIMIZER_NARROW].rank >= 0) {
        TRY(op_expect_same(&call->in[OPTIMIZER_NARROW], &narrow, name, err));
        call->out[OPTIMIZER_NARROW_OUT] = narrow;
    }
    call->out[0] = *block;
    for (int s = 0; s < slots; s++) {
        TRY(op_expect_same(&call->in[4 + s], block, name, err));
        call->out[1 + s] = *block;
    }
    return BE_OK;
}

double optimizer_bytes(const be_shape *in, const be_shape *out)
{
    bool is_narrow = in[OPTIMIZER_NARROW].rank >= 0;
    return op_bytes(in, out) - (is_narrow ? 2.0 * (double)in[0].dim[0] : 0.0);
}

static be_status sgd_infer(op_infer *call, be_error *err)
{
    const sgd_attrs *attrs = call->attrs;
    bool slot = call->in[4].rank >= 0;
    if (call->in[5].rank >= 0) FAIL(err, BE_USAGE, "sgd: expected one slot at most, found two");
    if (slot != (attrs->momentum != 0.0))
        FAIL(err, BE_USAGE, "sgd: expected %s, found %s",
             slot ? "a momentum above 0" : "no momentum without its buffer",
             slot ? "0 with a buffer for it" : "one");
    return optimizer_infer(call, slot, "sgd", err);
}

static void sgd_reference(const op_reference *call)
{
    const sgd_attrs *attrs = call->attrs;
    int64_t count = call->in[0].dim[0];
    double rate = call->x[2][0], *p = call->y[0], *buffer = call->y[1];
    double factor = call->x[OPTIMIZER_FACTOR] ? call->x[OPTIMIZER_FACTOR][0] : 1.0;
    for (int64_t i = 0; i < count; i++) {
        double decay = i < attrs->decayed ? attrs->weight_decay : 0.0;
        double d = factor * call->x[1][i] + decay * p[i];
        if (buffer) d = buffer[i] = attrs->momentum * buffer[i] + d;
        p[i] -= rate * d;
        if (call->y[OPTIMIZER_NARROW_OUT]) call->y[OPTIMIZER_NARROW_OUT][i] = p[i];
    }
}

static op_cost sgd_cost(const void *attrs, const be_shape *in, const be_shape *out)
{
    double operations = ((const sgd_attrs *)attrs)->weight_decay != 0.0 ? 4.0 : 2.0;
    if (out[1].rank >= 0) operations += 2.0;
    return (op_cost){.flops = operations * (double)in[0].dim[0], .bytes = optimizer_bytes(in, out)};
}

static const sgd_attrs momentum_and_decay = {
    .decayed = 1003, .momentum = 0.9, .weight_decay = 5e-4};
static const sgd_attrs decay_of_one = {.decayed = 1, .momentum = 0.9, .weight_decay = 5e-4};
static const sgd_attrs some_decay = {.decayed = 60001, .momentum = 0.9, .weight_decay = 0.5};
static const sgd_attrs none_decays = {.momentum = 0.9, .weight_decay = 0.5};
static const sgd_attrs momentum_alone = {.momentum = 0.9};
static const sgd_attrs decay_alone = {.decayed = 515, .weight_decay = 0.01};
static const sgd_attrs first_decays = {.decayed = 1, .weight_decay = 0.5};
static const sgd_attrs nothing_more = {.momentum = 0.0};

/* One unit of bf16, whose last digit tips with the last of f32. */
#define NARROW_TOLERANCE 4e-3

/* The last arguments are the shapes of the momentum's buffer, of the narrow block and of the
 * factor. */
#define SGD_CASE_OF(text, attributes, count, limit, buffer, ...)         \
    {                                                                    \
        .name = text, .attrs = &attributes, .in = {{BE_F32, 1, {count}}, \
                                                   {BE_F32, 1, {count}}, \
                                                   {BE_F32, 1, {1}},     \
                                                   {BE_I32, 1, {1}},     \
                                                   buffer,               \
                                                   OP_ABSENT,            \
                                                   __VA_ARGS__},         \
        .low = -1, .high = 1, .below = {0, 0, 0, 50},                    \
        .positive = 1u << 2 | 1u << OPTIMIZER_FACTOR, .tolerance = limit \
    }
#define BLOCK(type, count) \
    {                      \
        type, 1,           \
        {                  \
            count          \
        }                  \
    }
#define MOMENTUM_CASE(text, attributes, count) \
    SGD_CASE_OF(text, attributes, count, 1e-6, BLOCK(BE_F32, count), OP_ABSENT, OP_ABSENT)
#define PLAIN_CASE(text, attributes, count) \
    SGD_CASE_OF(text, attributes, count, 1e-6, OP_ABSENT, OP_ABSENT, OP_ABSENT)

static const op_case sgd_cases[] = {
    MOMENTUM_CASE("momentum and decay", momentum_and_decay, 1003),
    MOMENTUM_CASE("momentum", momentum_alone, 70001),
    PLAIN_CASE("decay", decay_alone, 515),
    PLAIN_CASE("plain", nothing_more, 40007),
    MOMENTUM_CASE("one", decay_of_one, 1),
    MOMENTUM_CASE("two groups", some_decay, 130003),
    MOMENTUM_CASE("a decay of nothing", none_decays, 70),
    PLAIN_CASE("two groups, plain", first_decays, 70001),
    SGD_CASE_OF("narrow weights", momentum_and_decay, 1003, NARROW_TOLERANCE, BLOCK(BE_F32, 1003),
                BLOCK(BE_BF16, 1003), OP_ABSENT),
    SGD_CASE_OF("plain, narrow weights", first_decays, 7001, NARROW_TOLERANCE, OP_ABSENT,
                BLOCK(BE_BF16, 7001), OP_ABSENT),
    SGD_CASE_OF("clipped", some_decay, 70001, 1e-6, BLOCK(BE_F32, 70001), OP_ABSENT,
                BLOCK(BE_F32, 1)),
    SGD_CASE_OF("plain, clipped, narrow weights", decay_alone, 7001, NARROW_TOLERANCE, OP_ABSENT,
                BLOCK(BE_BF16, 7001), BLOCK(BE_F32, 1)),
};

const be_op be_op_sgd = {.name = "sgd",
                         .attrs_bytes = sizeof(sgd_attrs),
                         .inputs = OPTIMIZER_FACTOR + 1,
                         .outputs = OPTIMIZER_NARROW_OUT + 1,
                         .is_outside_gradient = true,
                         .optional =
                             1u << 4 | 1u << 5 | 1u << OPTIMIZER_NARROW | 1u << OPTIMIZER_FACTOR,
                         .updates = {1, 5, 0, OPTIMIZER_NARROW + 1},
                         .infer = sgd_infer,
                         .reference = sgd_reference,
                         .cost = sgd_cost,
                         .cases = sgd_cases,
                         .case_count = OP_CASES(sgd_cases)};
