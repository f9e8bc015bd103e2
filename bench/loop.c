/* A training loop that nobody watches: cnn-fashion on generated pictures, timed with one pair of
 * clock readings a block.  What `breakeven bench` reports is held against it by bench/overhead.py.
 *
 * Usage: bench_loop [THREADS [SECONDS]]     prints one line: the median seconds of a step */
#include <stdio.h>
#include <stdlib.h>

#include "core/clock.h"
#include "data/dataset.h"
#include "data/order.h"
#include "measure/stats.h"
#include "workloads/workload.h"

#define BLOCK_S 0.1
#define WARM_UP_S 0.5
#define BLOCKS_MAX 10000

static double run_s(be_plan *plan, int64_t steps, be_status *status, be_error *err)
{
    int64_t start_ns = clock_now_ns();
    if (*status == BE_OK) *status = be_plan_run(plan, steps, err);
    return (double)(clock_now_ns() - start_ns) * 1e-9;
}

static be_status time_steps(be_plan *plan, double seconds, be_error *err)
{
    static double blocks_s[BLOCKS_MAX];
    be_status status = BE_OK;
    double warm_s = 0, sum_s = 0, median_s = 0;
    int64_t steps = 1;
    int32_t count = 0;
    while (warm_s < WARM_UP_S && status == BE_OK) {
        double block_s = run_s(plan, steps, &status, err);
        warm_s += block_s;
        steps = 1 + (int64_t)(BLOCK_S / (block_s / (double)steps));
    }
    for (; count < BLOCKS_MAX && sum_s < seconds && status == BE_OK; count++) {
        double block_s = run_s(plan, steps, &status, err);
        blocks_s[count] = block_s / (double)steps;
        sum_s += block_s;
    }
    if (status != BE_OK) return status;
    TRY(stats_median(blocks_s, count, &median_s, err));
    printf("%.9f\n", median_s);
    return BE_OK;
}

static be_status train(be_device *device, const be_dataset *set, double seconds, be_error *err)
{
    workload_model model = {0};
    be_plan *plan = NULL;
    size_t count = (size_t)set->count;
    int32_t *order = malloc(count * sizeof *order);
    workload_options options = {
        .seed = 42, .count = set->count, .mean = {set->mean[0]}, .std = {set->std[0]}};
    if (!order) FAIL(err, BE_NO_MEMORY, "no memory for the order of the pictures");
    order_epoch(42, 0, order, (int32_t)count);
    be_status status = workload_model_new(&workload_cnn_fashion, &options, &model, err);
    if (status == BE_OK)
        status = be_plan_new(model.graph, device, &(be_plan_options){.mode = BE_TRAIN}, &plan, err);
    if (status == BE_OK)
        status = be_plan_bind(plan, model.batch.images, set->images,
                              count * (size_t)dataset_image_bytes(set), err);
    if (status == BE_OK)
        status = be_plan_bind(plan, model.batch.labels, set->labels, count * sizeof(int32_t), err);
    if (status == BE_OK)
        status = be_plan_bind(plan, model.batch.order, order, count * sizeof *order, err);
    if (status == BE_OK) status = time_steps(plan, seconds, err);
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
    if (status == BE_OK) status = train(device, set, argc > 2 ? atof(argv[2]) : 5, &err);
    if (status != BE_OK) fprintf(stderr, "bench_loop: %s\n", err.text);
    dataset_close(set);
    be_device_close(device);
    return be_status_exit_code(status);
}
