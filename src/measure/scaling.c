/* See scaling.h. */
#include "measure/scaling.h"

#include <math.h>

scaling_reduce scaling_all_reduce(const scaling_link *link, double bytes, double workers)
{
    double ring_s = 2 * (workers - 1) * (link->latency_s + bytes / workers / link->bytes_per_s);
    double tree_s = 2 * ceil(log2(workers)) * (link->latency_s + bytes / link->bytes_per_s);
    return (scaling_reduce){.seconds = fmin(ring_s, tree_s), .by_ring = ring_s <= tree_s};
}

double scaling_share(double workers, double threads, double cores)
{
    return fmax(1, workers * fmin(threads, cores) / cores);
}

stats_interval scaling_speed_up(const stats_interval *whole, const stats_interval *part,
                                double reduce_s)
{
    return (stats_interval){.point = whole->point / (part->point + reduce_s),
                            .low = whole->low / (part->high + reduce_s),
                            .high = whole->high / (part->low + reduce_s)};
}
