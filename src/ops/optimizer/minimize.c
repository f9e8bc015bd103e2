/* From the user's optimizer to the graph's recipe: which op, which attributes, which state. */
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "graph/schedule.h"
#include "ops/op_list.h"
#include "ops/optimizer/clip_gradients.h"
#include "ops/optimizer/optimizer.h"

/* low <= value < high; NaN is refused. */
static be_status check_range(double value, double low, double high, const char *name, be_error *err)
{
    if (value >= low && value < high) return BE_OK;
    if (isinf(high))
        FAIL(err, BE_USAGE, "optimizer: %s: expected a finite number of at least %g, found %g",
             name, low, value);
    FAIL(err, BE_USAGE, "optimizer: %s: expected at least %g and below %g, found %g", name, low,
         high, value);
}

static be_status check_unused(double value, const char *name, const char *optimizer, be_error *err)
{
    if (value == 0.0) return BE_OK;
    FAIL(err, BE_USAGE, "optimizer: %s has no %s: expected 0, found %g", optimizer, name, value);
}

static be_status check_schedule(const be_schedule *s, be_error *err)
{
    if (!schedule_name(s->kind))
        FAIL(err, BE_USAGE, "schedule: expected a kind of be_schedule_kind, found %d",
             (int)s->kind);
    if (s->warmup_steps < 0 || s->warmup_steps > SCHEDULE_STEPS_MAX)
        FAIL(err, BE_USAGE, "schedule: expected 0 to %" PRId64 " steps of warm-up, found %" PRId64,
             SCHEDULE_STEPS_MAX, s->warmup_steps);
    if (s->kind == BE_RATE_CONSTANT) return BE_OK;
    if (s->total_steps <= s->warmup_steps || s->total_steps > SCHEDULE_STEPS_MAX)
        FAIL(err, BE_USAGE,
             "schedule: expected more steps in all than the %" PRId64
             " of the warm-up, and at most %" PRId64 ", found %" PRId64,
             s->warmup_steps, SCHEDULE_STEPS_MAX, s->total_steps);
    if (!(s->final_factor >= 0.0 && s->final_factor <= 1.0))
        FAIL(err, BE_USAGE, "schedule: final factor: expected 0 to 1, found %g", s->final_factor);
    return BE_OK;
}

static be_status check_none(const be_optimizer *o, be_error *err)
{
    const double settings[] = {o->learning_rate, o->momentum, o->weight_decay,     o->beta1,
                               o->beta2,         o->epsilon,  o->max_gradient_norm};
    for (size_t s = 0; s < sizeof settings / sizeof *settings; s++)
        if (settings[s] != 0.0)
            FAIL(err, BE_USAGE,
                 "optimizer: none changes nothing: expected its other settings to be 0, found %g; "
                 "leave them out, or choose an optimizer",
                 settings[s]);
    if (schedule_last_step(&o->schedule) > 0)
        FAIL(err, BE_USAGE,
             "optimizer: none has no learning rate: expected no schedule, found one; leave it out");
    return BE_OK;
}

static be_status check_optimizer(const be_optimizer *o, be_error *err)
{
    static const char *const names[] = {
#define X(name, text) text,
        BE_OPTIMIZER_LIST(X)
#undef X
    };
    int kinds = (int)(sizeof names / sizeof names[0]);
    if ((int)o->kind < 0 || (int)o->kind >= kinds)
        FAIL(err, BE_USAGE, "optimizer: expected a kind of 0 to %d, found %d", kinds - 1,
             (int)o->kind);
    if (o->kind == BE_NO_UPDATE) return check_none(o, err);
    float rate = (float)o->learning_rate; /* as devices keep it: neither 0 nor infinite there */
    if (!(rate > 0.0f) || isinf(rate))
        FAIL(err, BE_USAGE, "optimizer: learning rate: expected a finite number above 0, found %g",
             o->learning_rate);
    TRY(check_range(o->weight_decay, 0.0, (double)INFINITY, "weight decay", err));
    TRY(check_range(o->momentum, 0.0, 1.0, "momentum", err));
    TRY(check_range(o->beta1, 0.0, 1.0, "beta1", err));
    TRY(check_range(o->beta2, 0.0, 1.0, "beta2", err));
    TRY(check_range(o->epsilon, 0.0, (double)INFINITY, "epsilon", err));
    TRY(check_range(o->max_gradient_norm, 0.0, (double)INFINITY, "largest gradient norm", err));
    TRY(check_schedule(&o->schedule, err));
    const char *name = names[o->kind];
    if (o->kind != BE_SGD) return check_unused(o->momentum, "momentum", name, err);
    TRY(check_unused(o->beta1, "beta1", name, err));
    TRY(check_unused(o->beta2, "beta2", name, err));
    return check_unused(o->epsilon, "epsilon", name, err);
}

static be_status check_loss(const be_graph *g, be_value loss, be_error *err)
{
    char text[64];
    be_shape shape = be_value_shape(g, loss), like = shape_make(BE_F32, 1, 1, 0, 0, 0);
    if (!shape_equal(&shape, &like))
        FAIL(err, BE_USAGE, "be_graph_minimize: expected a loss f32 [1], found %s (value %d)",
             shape_text(&shape, text), (int)loss);
    if (g->recipe.optimizer || g->recipe.no_update)
        FAIL(err, BE_USAGE,
             "be_graph_minimize: this graph has an optimizer already (%s); call it once",
             g->recipe.no_update ? "none" : g->recipe.optimizer->name);
    return BE_OK;
}

/* Keep a copy of the attributes in the graph. */
static be_status set_attrs(be_graph *g, const void *attrs, size_t bytes, be_error *err)
{
    void *copy = NULL;
    TRY(arena_alloc(g->memory, &copy, bytes, err));
    memcpy(copy, attrs, bytes);
    g->recipe.optimizer_attrs = copy;
    return BE_OK;
}

/* What stands in front of the optimizer. */
static be_status set_front(be_graph *g, const be_optimizer *o, be_error *err)
{
    void *attrs = NULL;
    g->recipe.rates = o->schedule;
    g->recipe.schedule = schedule_last_step(&o->schedule) > 0 ? &be_op_schedule : NULL;
    if (o->max_gradient_norm == 0.0) return BE_OK;
    TRY(arena_alloc(g->memory, &attrs, sizeof(clip_attrs), err));
    *(clip_attrs *)attrs = (clip_attrs){.limit = o->max_gradient_norm};
    g->recipe.clip_attrs = attrs;
    g->recipe.clip = &be_op_clip_gradients;
    g->recipe.clip_input = OPTIMIZER_FACTOR;
    return BE_OK;
}

_Static_assert(offsetof(sgd_attrs, decayed) == 0 && offsetof(adam_attrs, decayed) == 0,
               "set_decayed and optimizer_infer do not ask which optimizer it is");

static void set_decayed(void *attrs, int64_t elements)
{
    *(int64_t *)attrs = elements;
}

static be_status set_recipe(be_graph *g, const be_optimizer *o, be_error *err)
{
    graph_recipe *recipe = &g->recipe;
    recipe->accumulate = &be_op_add;
    recipe->copy = &be_op_view;
    recipe->all_reduce = &be_op_all_reduce;
    recipe->take_turn = &be_op_take_turn;
    recipe->no_update = o->kind == BE_NO_UPDATE;
    if (recipe->no_update) return BE_OK;
    if (o->kind == BE_SGD) {
        sgd_attrs attrs = {.momentum = o->momentum, .weight_decay = o->weight_decay};
        TRY(set_attrs(g, &attrs, sizeof attrs, err));
        recipe->optimizer = &be_op_sgd;
        recipe->slots = o->momentum != 0.0;
        recipe->slot_name[0] = "momentum";
    } else {
        adam_attrs attrs = {.beta1 = o->beta1 != 0.0 ? o->beta1 : 0.9,
                            .beta2 = o->beta2 != 0.0 ? o->beta2 : 0.999,
                            .epsilon = o->epsilon != 0.0 ? o->epsilon : 1e-8,
                            .weight_decay = o->weight_decay};
        TRY(set_attrs(g, &attrs, sizeof attrs, err));
        recipe->optimizer = o->kind == BE_ADAM ? &be_op_adam : &be_op_adamw;
        recipe->slots = 2;
        recipe->slot_name[0] = "adam.m";
        recipe->slot_name[1] = "adam.v";
    }
    recipe->learning_rate = o->learning_rate;
    recipe->set_decayed = set_decayed;
    recipe->narrow_input = OPTIMIZER_NARROW;
    return set_front(g, o, err);
}

/* What is logged of a step: this loss, and the right answers of the op that makes it, unless
 * be_graph_count named others. */
static void set_loss(be_graph *g, be_value loss)
{
    graph_recipe *recipe = &g->recipe;
    int producer = g->values[loss].producer;
    const graph_node *node = producer < 0 ? NULL : &g->nodes[producer];
    recipe->loss = loss;
    recipe->advance = &be_op_advance;
    graph_clock(g);
    if (recipe->is_counted || !node) return;
    const struct {
        const be_op *op;
        const char *counted;
    } losses[] = {{&be_op_softmax_cross_entropy, "accuracy"},
                  {&be_op_symmetric_cross_entropy, "retrieval at 1"}};
    for (int k = 0; k < 2; k++) {
        if (node->op != losses[k].op) continue;
        recipe->correct = node->out[1];
        recipe->counted = losses[k].counted;
    }
}

static be_status minimize(be_graph *g, be_value loss, const be_optimizer *o, be_error *err)
{
    TRY(check_loss(g, loss, err));
    TRY(check_optimizer(o, err));
    set_loss(g, loss);
    return set_recipe(g, o, err);
}

void be_graph_minimize(be_graph *g, be_value loss, const be_optimizer *optimizer)
{
    be_error err;
    if (!g || g->error.status != BE_OK) return;
    if (minimize(g, loss, optimizer, &err) != BE_OK) graph_blame(g, &err);
}

static be_status seed(be_graph *g, be_value y, be_value dy, be_error *err)
{
    char text[64], other[64];
    be_shape shape = be_value_shape(g, dy), like = be_value_shape(g, y);
    if (shape.dtype != BE_F32 || like.rank < 0 || !shape_equal(&shape, &like))
        FAIL(err, BE_USAGE,
             "be_graph_seed: expected a gradient f32 of the shape of y, %s, found %s",
             shape_text(&like, text), shape_text(&shape, other));
    g->recipe.seeded = y;
    g->recipe.seed = dy;
    return BE_OK;
}

void be_graph_seed(be_graph *g, be_value y, be_value dy)
{
    be_error err;
    if (!g || g->error.status != BE_OK) return;
    if (seed(g, y, dy, &err) != BE_OK) graph_blame(g, &err);
}

static be_status count(be_graph *g, be_value right, const char *what, be_error *err)
{
    char text[64];
    be_shape shape = be_value_shape(g, right), like = shape_make(BE_I32, 1, 1, 0, 0, 0);
    if (!shape_equal(&shape, &like))
        FAIL(err, BE_USAGE, "be_graph_count: expected a count i32 [1], found %s (value %d)",
             shape_text(&shape, text), (int)right);
    if (!what || !*what)
        FAIL(err, BE_USAGE,
             "be_graph_count: expected what is counted, for people (\"accuracy\"), found no name");
    g->recipe.correct = right;
    g->recipe.is_counted = true;
    return arena_printf(g->memory, &g->recipe.counted, err, "%s", what);
}

void be_graph_count(be_graph *g, be_value right, const char *what)
{
    be_error err;
    if (!g || g->error.status != BE_OK) return;
    if (count(g, right, what, &err) != BE_OK) graph_blame(g, &err);
}
