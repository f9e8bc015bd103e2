/* A training loop that nobody watches: cnn-fashion on generated pictures.  What `breakeven bench`
 * reports is held against it by bench/overhead.c.
 *
 * Usage: bench_loop THREADS     for each line "STEPS" of its standard input it does that many steps
 * between two readings of the clock, and prints their nanoseconds. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/clock.h"
#include "data/dataset.h"
#include "data/order.h"
#include "workloads/workload.h"

static be_status serve(be_plan *plan, be_error *err)
{
    int64_t steps;
    while (scanf("%" SCNd64, &steps) == 1) {
        int64_t start_ns = clock_now_ns();
        TRY(be_plan_run(plan, steps, err));
        printf("%" PRId64 "\n", clock_now_ns() - start_ns);
        fflush(stdout);
    }
    return BE_OK;
}

static be_status train(be_device *device, const be_dataset *set, be_error *err)
{
    workload_model model = {0};
    be_plan *plan = NULL;
    size_t count = (size_t)set->count;
    int32_t *order = malloc(count * sizeof *order);
    workload_options options = {.seed = 42, .data = &set->table};
    if (!order) FAIL(err, BE_NO_MEMORY, "no memory for the order of the samples");
    order_epoch(42, 0, order, (int32_t)count);
    be_status status = workload_model_new(&workload_cnn_fashion, &options, &model, err);
    if (status == BE_OK)
        status = be_plan_new(model.graph, device, &(be_plan_options){.mode = BE_TRAIN}, &plan, err);
    if (status == BE_OK) status = workload_bind(&model, plan, &set->table, err);
    if (status == BE_OK)
        status = be_plan_bind(plan, model.order, order, count * sizeof *order, err);
    if (status == BE_OK) status = serve(plan, err);
    be_plan_free(plan);
    be_graph_free(model.graph);
    free(order);
    return status;
}

int main(int argc, char **argv)
{
    be_error err = {0};
    be_device *device = NULL;
    be_dataset *set = NULL;
    be_device_options wanted = {.threads = argc > 1 ? atoi(argv[1]) : 1};
    dataset_options data = {.seed = 42, .synthetic = true};
    be_status status = be_device_open("cpu", &wanted, &device, &err);
    if (status == BE_OK) status = dataset_open(DATASET_SHAPES, SPLIT_TRAIN, &data, &set, &err);
    if (status == BE_OK) status = train(device, set, &err);
    if (status != BE_OK) fprintf(stderr, "bench_loop: %s\n", err.text);
    dataset_close(set);
    be_device_close(device);
    return be_status_exit_code(status);
}
