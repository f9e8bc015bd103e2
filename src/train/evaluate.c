/* Evaluation in blocks of steps. */
#include "train/evaluate.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/clock.h"
#include "core/memory.h"
#include "group/group.h"

#define PIECE_NS INT64_C(50000000) /* then a sign of life, and a look for signals */

static be_status order_new(evaluator *e, be_error *err)
{
    void *memory = NULL;
    TRY(memory_alloc(&memory, (size_t)e->entries * sizeof(int32_t), "the order of an evaluation",
                     err));
    e->order = memory;
    int64_t last = e->entries - e->batch; /* the first entry of the last batch */
    for (int64_t i = 0; i < e->entries; i++)
        e->order[i] =
            (int32_t)(e->first +
                      (e->entries > e->count && i >= last ? i - e->entries + e->count : i));
    return BE_OK;
}

static be_status evaluator_prepare(evaluator *e, const evaluator_options *options, be_error *err)
{
    data_table form = workload_form(options->workload, e->count);
    bool compared = workload_targets(&form) == 0;
    if (compared && e->batch > e->count) e->batch = (int)e->count;
    int64_t steps = (e->count + e->batch - 1) / e->batch;
    e->entries = compared ? steps * e->batch : e->count;
    workload_options model = {
        .batch = e->batch, .data = options->data, .order_count = e->entries, .clip = true};
    TRY(order_new(e, err));
    TRY(workload_model_new(options->workload, &model, &e->model, err));
    be_plan_options plan = {.mode = BE_INFER,
                            .precision = options->precision,
                            .keep = &e->model.outputs.back,
                            .keep_count = e->model.outputs.is_mutual,
                            .share = options->share,
                            .data_on_host = options->data_on_host};
    TRY(be_plan_new(e->model.graph, options->device, &plan, &e->plan, err));
    TRY(workload_bind(&e->model, e->plan, options->data, err));
    return be_plan_bind(e->plan, e->model.order, e->order, (size_t)e->entries * sizeof *e->order,
                        err);
}

be_status evaluator_open(evaluator *e, const evaluator_options *options, be_error *err)
{
    *e = (evaluator){.first = options->first,
                     .group = options->group,
                     .interrupted = options->interrupted,
                     .count = options->count ? options->count : options->data->count,
                     .batch = options->batch};
    be_status status = evaluator_prepare(e, options, err);
    if (status != BE_OK) evaluator_close(e);
    return status;
}

void evaluator_close(evaluator *e)
{
    be_plan_free(e->plan);
    be_graph_free(e->model.graph);
    memory_free(e->order);
    *e = (evaluator){0};
}

double evaluation_accuracy(const evaluation *e)
{
    double forth = (double)e->correct / (double)e->answers;
    return e->back < 0 ? forth : 0.5 * (forth + (double)e->back / (double)e->answers);
}

be_status evaluation_add_back(be_plan *plan, const workload_outputs *outputs, int64_t *sum,
                              be_error *err)
{
    int32_t back = 0;
    if (!outputs->is_mutual) return BE_OK;
    TRY(be_plan_read(plan, outputs->back, &back, sizeof back, err));
    *sum += back;
    return BE_OK;
}

static be_status check_signal(const evaluator *e, int64_t step, int64_t steps, be_error *err)
{
    if (!e->interrupted || !*e->interrupted || step == steps) return BE_OK;
    FAIL(err, BE_INTERRUPTED,
         "stopped by a signal in an evaluation, %" PRId64 " of %" PRId64 " batches done", step,
         steps);
}

be_status evaluator_run(evaluator *e, evaluation *out, be_error *err)
{
    int64_t steps = (e->entries + e->batch - 1) / e->batch, start_ns = clock_now_ns();
    bool mutual = e->model.outputs.is_mutual; /* only the last step's count back is there */
    int64_t limit = mutual ? 1 : BE_LOSS_LOG, piece = e->group || e->interrupted ? 1 : limit;
    float losses[BE_LOSS_LOG];
    int32_t correct[BE_LOSS_LOG];
    double sum = 0;
    *out = (evaluation){.count = e->count, .back = mutual ? 0 : -1};
    TRY(be_plan_set_steps(e->plan, 0, err));
    for (int64_t step = 0; step < steps;) {
        int64_t block = steps - step < piece ? steps - step : piece, begin_ns = clock_now_ns();
        TRY(be_plan_run(e->plan, block, err));
        TRY(be_plan_losses(e->plan, block, losses, correct, err));
        TRY(evaluation_add_back(e->plan, &e->model.outputs, &out->back, err));
        group_beat(e->group);
        if (clock_now_ns() - begin_ns < PIECE_NS) piece = 2 * piece < limit ? 2 * piece : limit;
        for (int64_t i = 0; i < block; i++, step++) {
            int64_t rest = e->entries - step * e->batch;
            sum += (double)losses[i] * (double)(rest < e->batch ? rest : e->batch);
            out->correct += correct[i];
        }
        TRY(check_signal(e, step, steps, err));
    }
    int64_t targets = workload_targets(&e->model.form);
    snprintf(out->counted, sizeof out->counted, "%s", be_plan_describe(e->plan).counted);
    out->answers = e->entries * (targets ? targets : 1);
    out->loss = sum / (double)e->entries;
    out->seconds = (double)(clock_now_ns() - start_ns) * 1e-9;
    return BE_OK;
}
