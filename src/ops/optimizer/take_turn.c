/* The end of a turn of a step that sees its batch in several parts, one after another.
 *
 * gradients f32 [P], sums f32 [P], clock i32 [1] (turns done), mean loss f32 [1], all correct i32
 * [1], loss f32 [1], correct i32 [1] -> the first five, updated in place.  The gradients of all
 * turns but the last are added up in `sums`; after the last one `gradients` has the mean, which is
 * the gradient of the mean loss of the whole batch, as all parts are equal.  Likewise the mean
 * loss; right answers are added up.  Turn 0 of a step looks at nothing that was there before. */
#include "ops/optimizer/take_turn.h"

#include "ops/op_list.h"

static be_status take_turn_infer(op_infer *call, be_error *err)
{
    static const struct {
        be_dtype dtype;
        const char *name;
    } words[] = {[TURN_CLOCK] = {BE_I32, "take_turn: clock"},
                 [TURN_MEAN_LOSS] = {BE_F32, "take_turn: mean loss"},
                 [TURN_ALL_CORRECT] = {BE_I32, "take_turn: all correct"},
                 [TURN_LOSS] = {BE_F32, "take_turn: loss"},
                 [TURN_CORRECT] = {BE_I32, "take_turn: correct"}};
    int turns = ((const take_turn_attrs *)call->attrs)->turns;
    if (turns < 1) FAIL(err, BE_USAGE, "take_turn: expected 1 or more turns, found %d", turns);
    TRY(op_expect(&call->in[TURN_GRADIENTS], BE_F32, 1, "take_turn: gradients", err));
    TRY(op_expect_same(&call->in[TURN_SUMS], &call->in[TURN_GRADIENTS], "take_turn: sums", err));
    for (int i = TURN_CLOCK; i < TURN_INPUTS; i++) {
        be_shape one = shape_make(words[i].dtype, 1, 1, 0, 0, 0);
        TRY(op_expect_same(&call->in[i], &one, words[i].name, err));
    }
    for (int o = TURN_GRADIENTS; o <= TURN_ALL_CORRECT; o++) call->out[o] = call->in[o];
    return BE_OK;
}

static void take_turn_reference(const op_reference *call)
{
    int64_t turns = ((const take_turn_attrs *)call->attrs)->turns;
    int64_t turn = (int64_t)call->y[TURN_CLOCK][0] % turns, count = call->in[TURN_GRADIENTS].dim[0];
    bool is_first = turn == 0, is_last = turn == turns - 1;
    double *g = call->y[TURN_GRADIENTS], *sums = call->y[TURN_SUMS];
    double *loss = call->y[TURN_MEAN_LOSS], *correct = call->y[TURN_ALL_CORRECT];
    for (int64_t i = 0; i < count; i++) {
        double sum = (is_first ? 0.0 : sums[i]) + g[i];
        if (is_last)
            g[i] = sum / (double)turns;
        else
            sums[i] = sum;
    }
    *loss = (is_first ? 0.0 : *loss) + call->x[TURN_LOSS][0];
    if (is_last) *loss /= (double)turns;
    *correct = (is_first ? 0.0 : *correct) + call->x[TURN_CORRECT][0];
    call->y[TURN_CLOCK][0] += 1.0;
}

static op_cost take_turn_cost(const void *attrs, const be_shape *in, const be_shape *out)
{
    (void)attrs;
    (void)out;
    double count = (double)in[TURN_GRADIENTS].dim[0];
    return (op_cost){.flops = count, .bytes = 12.0 * count}; /* two read, one written */
}

static const take_turn_attrs one = {.turns = 1}, three = {.turns = 3}, seven = {.turns = 7};

#define TURN_CASE(text, attributes, count, clocks)                                             \
    {                                                                                          \
        .name = text, .attrs = &attributes,                                                    \
        .in = {{BE_F32, 1, {count}}, {BE_F32, 1, {count}}, {BE_I32, 1, {1}}, {BE_F32, 1, {1}}, \
               {BE_I32, 1, {1}},     {BE_F32, 1, {1}},     {BE_I32, 1, {1}}},                  \
        .low = -1, .high = 1, .below = {0, 0, clocks, 0, 100, 0, 100}, .tolerance = 1e-6       \
    }

static const op_case take_turn_cases[] = {
    TURN_CASE("first of three", three, 1003, 1),
    TURN_CASE("first and last", one, 37, 1000),
    TURN_CASE("any of three", three, 517, 100000),
    TURN_CASE("any of seven, several threads", seven, 130003, 100000),
};

const be_op be_op_take_turn = {.name = "take_turn",
                               .attrs_bytes = sizeof(take_turn_attrs),
                               .inputs = TURN_INPUTS,
                               .outputs = TURN_ALL_CORRECT + 1,
                               .is_outside_gradient = true,
                               .updates = {1, 2, 3, 4, 5},
                               .infer = take_turn_infer,
                               .reference = take_turn_reference,
                               .cost = take_turn_cost,
                               .cases = take_turn_cases,
                               .case_count = OP_CASES(take_turn_cases)};
