/* Who is measured: the contenders that the options and the machine give. */
#ifndef CLI_BENCH_PLAN_H
#define CLI_BENCH_PLAN_H

#include <jansson.h>

#include "breakeven/plan.h"
#include "cli/options.h"
#include "run/engine.h"

#define BENCH_CONTENDERS_MAX 64

typedef struct bench_contender {
    const engine *engine;
    const char *device; /* in the answer to hello */
    int threads;
} bench_contender;

typedef struct bench_plan {
    engine engines[ENGINE_COUNT];
    json_t *hello[ENGINE_COUNT]; /* NULL: not among the contenders */
    json_t *missing;             /* engines that are not there: a list of {name, reason} */
    bench_contender contenders[BENCH_CONTENDERS_MAX];
    int contender_count;
    const int64_t *batches; /* of the options; count 0: the workload's default */
    int batch_count;
    const char *precision;
    const char *data_on; /* of the options; NULL: device */
    bool infer;
    be_device_options native_options;
} bench_plan;

/* BE_UNAVAILABLE if an engine or device that was asked for by name is not there.  Points into
 * itself and into the options; end with bench_plan_release, whatever the status. */
BE_CHECKED be_status bench_plan_make(bench_plan *plan, const cli_options *options, be_error *err);
/* Where the device is on the bus, as an engine's hello told; NULL where none did. */
const char *bench_plan_bus(const bench_plan *plan, const char *device);
void bench_plan_release(bench_plan *plan);

#endif
