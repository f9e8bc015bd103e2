/* See mean.h. */
#include "group/mean.h"

#define BLOCK 1024 /* what is added up at a time: it stays in the first cache */

void mean_set_weights(const be_group *group, mean_segment *s)
{
    bool is_cut = group_is_cut(group);
    s->size = be_group_size(group);
    s->factor = is_cut ? 1.0f : 1.0f / (float)s->size;
    for (int r = 0; r < s->size; r++) s->weight[r] = is_cut ? (float)group_weight(group, r) : 1.0f;
}

static void add_block(const mean_segment *s, int64_t at, int64_t count)
{
    const float *first = s->all[0] + at, *second = s->all[1] + at;
    float *x = s->x + at, *result = s->result + at, sum[BLOCK];
    float w0 = s->weight[0], w1 = s->weight[1], factor = s->factor;
    for (int64_t i = 0; i < count; i++) sum[i] = w0 * first[i] + w1 * second[i];
    for (int r = 2; r < s->size; r++)
        for (int64_t i = 0; i < count; i++) sum[i] += s->weight[r] * s->all[r][at + i];
    for (int64_t i = 0; i < count; i++) x[i] = result[i] = sum[i] * factor;
}

void mean_add_up(const mean_segment *s, int64_t at, int64_t end)
{
    for (; at < end; at += BLOCK) add_block(s, at, end - at < BLOCK ? end - at : BLOCK);
}
