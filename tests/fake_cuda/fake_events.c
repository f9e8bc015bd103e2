/* The fake driver's events, and its time.  See fake_cuda.h. */
#include <stdlib.h>

#include "fake_state.h"

#define GRAPHS 4096 /* whose time is remembered */

/* A graph that ran: which, of which stream, and as its how manyth work. */
static struct {
    int stream, edges;
    long long index;
} ran[GRAPHS];
static int ran_count;

void fake_graph_ran(cuda_stream stream, cuda_exec exec)
{
    int i = ran_count++ % GRAPHS;
    ran[i].stream = stream->number;
    ran[i].index = stream->done + 1;
    ran[i].edges = 0;
    for (int n = 0; n < exec->count; n++) ran[i].edges += exec->nodes[n].before_count;
}

int fake_cuda_last_edges(void)
{
    return ran_count ? ran[(ran_count - 1) % GRAPHS].edges : 0;
}

cuda_result cuEventCreate(cuda_event *event, unsigned flags)
{
    ENTER();
    (void)flags;
    *event = calloc(1, sizeof **event);
    fake_count(1);
    return CUDA_OK;
}

cuda_result cuEventDestroy_v2(cuda_event event)
{
    free(event);
    fake_count(-1);
    ENTER();
    return CUDA_OK;
}

cuda_result cuEventRecord(cuda_event event, cuda_stream stream)
{
    ENTER();
    event->stream = stream->number;
    event->recorded = stream->given;
    return CUDA_OK;
}

cuda_result cuEventSynchronize(cuda_event event)
{
    ENTER();
    if (!fake_ignores(FAKE_WAIT_OF_HOST)) fake_work_wait(event->stream, event->recorded);
    return CUDA_OK;
}

/* An edge takes a millisecond, and nothing else takes time. */
cuda_result cuEventElapsedTime(float *ms, cuda_event begin, cuda_event end)
{
    ENTER();
    if (!begin->stream || begin->stream != end->stream) return CUDA_INVALID_VALUE;
    if (!fake_is_done(end->stream, end->recorded)) return CUDA_NOT_READY;
    *ms = 0;
    for (int i = 0; i < GRAPHS && i < ran_count; i++)
        if (ran[i].stream == begin->stream && ran[i].index > begin->recorded &&
            ran[i].index <= end->recorded)
            *ms += (float)ran[i].edges;
    return CUDA_OK;
}
