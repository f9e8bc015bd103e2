/* See cuda_lanes.h. */
#include "backend/cuda/cuda_lanes.h"

#include <stdbool.h>

#include "core/memory.h"

typedef struct lane_node {
    int64_t ready; /* when the last of those ends that are before it */
    int64_t to_end;
    int waits_for; /* how many of these have no place yet */
    bool is_placed;
} lane_node;

typedef struct lane {
    int64_t free; /* when its last node ends */
    int last;
} lane;

static bool is_behind(const cuda_lanes_job *job, int k, int j)
{
    return job->behind[(size_t)k * (size_t)job->nodes + (size_t)j] != 0;
}

static void start(const cuda_lanes_job *job, lane_node *nodes, lane *lanes)
{
    for (int j = job->nodes - 1; j >= 0; j--) {
        nodes[j] = (lane_node){.to_end = job->cost[j]};
        for (int k = j + 1; k < job->nodes; k++)
            if (is_behind(job, k, j) && nodes[k].to_end + job->cost[j] > nodes[j].to_end)
                nodes[j].to_end = nodes[k].to_end + job->cost[j];
        for (int i = 0; i < j; i++) nodes[j].waits_for += is_behind(job, j, i);
    }
    for (int l = 0; l < job->lanes; l++) lanes[l] = (lane){.last = -1};
}

static int64_t begin_of(const lane_node *node, const lane *l)
{
    return node->ready > l->free ? node->ready : l->free;
}

/* The lane where it begins earliest; of several the one whose last node it waits for anyway, so
 * that it gets no wait more, and then the one that is idle for the shortest time. */
static int best_lane(const cuda_lanes_job *job, const lane_node *nodes, const lane *lanes, int k)
{
    int best = 0;
    for (int l = 1; l < job->lanes; l++) {
        int64_t here = begin_of(&nodes[k], &lanes[l]), there = begin_of(&nodes[k], &lanes[best]);
        bool is_mine = lanes[l].last >= 0 && is_behind(job, k, lanes[l].last);
        bool was_mine = lanes[best].last >= 0 && is_behind(job, k, lanes[best].last);
        if (here != there         ? here < there
            : is_mine != was_mine ? is_mine
                                  : lanes[l].free > lanes[best].free)
            best = l;
    }
    return best;
}

static void place(const cuda_lanes_job *job, lane_node *nodes, lane *l, int k)
{
    int64_t end = begin_of(&nodes[k], l) + job->cost[k];
    nodes[k].is_placed = true;
    for (int n = k + 1; n < job->nodes; n++) {
        if (!is_behind(job, n, k)) continue;
        nodes[n].waits_for--;
        if (end > nodes[n].ready) nodes[n].ready = end;
    }
    *l = (lane){end, k};
}

static void plan(const cuda_lanes_job *job, lane_node *nodes, lane *lanes, int *order, int *before)
{
    for (int done = 0; done < job->nodes; done++) {
        int next = -1, where = 0;
        int64_t begin = 0;
        for (int k = 0; k < job->nodes; k++) {
            if (nodes[k].is_placed || nodes[k].waits_for) continue;
            int l = best_lane(job, nodes, lanes, k);
            int64_t mine = begin_of(&nodes[k], &lanes[l]);
            if (next >= 0 && (mine != begin ? mine > begin : nodes[k].to_end <= nodes[next].to_end))
                continue;
            next = k;
            where = l;
            begin = mine;
        }
        order[done] = next;
        before[next] = lanes[where].last;
        place(job, nodes, &lanes[where], next);
    }
}

be_status cuda_lanes_plan(const cuda_lanes_job *job, int *order, int *before, be_error *err)
{
    void *nodes = NULL, *lanes = NULL;
    MUST(job->lanes > 0);
    be_status status =
        memory_alloc(&nodes, (size_t)job->nodes * sizeof(lane_node), "lanes of launches", err);
    if (status == BE_OK)
        status = memory_alloc(&lanes, (size_t)job->lanes * sizeof(lane), "lanes of launches", err);
    if (status == BE_OK) {
        start(job, nodes, lanes);
        plan(job, nodes, lanes, order, before);
    }
    memory_free(nodes);
    memory_free(lanes);
    return status;
}
