/* See cuda_timing.h. */
#include "backend/cuda/cuda_timing.h"

#include "core/clock.h"

#define REPEATS 8 /* calls of a graph */
#define RUNS 3    /* of a graph, of which the fastest counts */

/* Once outside of a graph: a library may load its code at its first use. */
static be_status make_graph(const cuda_driver *d, cuda_timing_start start, const void *what,
                            cuda_exec *out, be_error *err)
{
    const cuda_functions *cu = &d->libraries->cu;
    cuda_graph graph = NULL;
    TRY(start(what, 0, err));
    CUDA_TRY(d->libraries, d->facts.id, cu->capture_begin(d->stream, CUDA_CAPTURE_THREAD_LOCAL),
             "record what is timed");
    be_status status = BE_OK;
    for (int i = 0; i < REPEATS && status == BE_OK; i++) status = start(what, i, err);
    cuda_result result = cu->capture_end(d->stream, &graph);
    if (status == BE_OK && result == CUDA_OK) result = cu->graph_instantiate(out, graph, 0);
    if (graph) cu->graph_free(graph);
    TRY(status);
    CUDA_TRY(d->libraries, d->facts.id, result, "make what is timed ready");
    return BE_OK;
}

static be_status run_once(const cuda_driver *d, cuda_exec graph, int64_t *ns, be_error *err)
{
    const cuda_functions *cu = &d->libraries->cu;
    int64_t before_ns = clock_now_ns();
    CUDA_TRY(d->libraries, d->facts.id, cu->exec_launch(graph, d->stream), "start what is timed");
    CUDA_TRY(d->libraries, d->facts.id, cu->stream_wait(d->stream), "wait for what is timed");
    *ns = clock_now_ns() - before_ns;
    return BE_OK;
}

/* The first run warms up and does not count. */
static be_status time_graph(const cuda_driver *d, cuda_exec graph, int64_t *best, be_error *err)
{
    int64_t ns = 0;
    TRY(run_once(d, graph, &ns, err));
    for (int i = 0; i < RUNS; i++) {
        TRY(run_once(d, graph, &ns, err));
        if (ns < *best) *best = ns;
    }
    return BE_OK;
}

int64_t cuda_timing_run(const cuda_driver *driver, cuda_timing_start start, const void *what)
{
    be_error unused;
    cuda_exec graph = NULL;
    int64_t best = CUDA_TIMING_UNUSABLE;
    if (make_graph(driver, start, what, &graph, &unused) != BE_OK) return best;
    be_status status = time_graph(driver, graph, &best, &unused);
    driver->libraries->cu.exec_free(graph);
    return status == BE_OK ? best : CUDA_TIMING_UNUSABLE;
}

int cuda_timing_fastest(const int64_t *ns, int count)
{
    int best = 0;
    for (int i = 1; i < count; i++) {
        double gain = best == 0 ? CUDA_TIMING_GAIN : 1.0;
        if ((double)ns[i] < gain * (double)ns[best]) best = i;
    }
    return ns[0] == CUDA_TIMING_UNUSABLE ? -1 : best;
}
