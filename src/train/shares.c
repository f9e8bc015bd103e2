/* See shares.h. */
#include "train/shares.h"

#include <math.h>
#include <string.h>

shares shares_begin(int64_t batch)
{
    shares s = {.parts = {batch / 2, batch - batch / 2}, .best_s = (double)INFINITY};
    memcpy(s.best, s.parts, sizeof s.best);
    return s;
}

/* As many samples a second as with these parts; each has what fits. */
static void by_rate(const shares *s, const double *seconds, int64_t next[SHARES_RANKS])
{
    int64_t batch = s->parts[0] + s->parts[1];
    double first = (double)s->parts[0] / fmax(seconds[0], 1e-9);
    double second = (double)s->parts[1] / fmax(seconds[1], 1e-9);
    next[0] = llround((double)batch * first / (first + second));
    if (next[0] < 1) next[0] = 1;
    if (next[0] > batch - 1) next[0] = batch - 1;
    next[1] = batch - next[0];
}

bool shares_next(shares *s, const double seconds[SHARES_RANKS])
{
    int64_t next[SHARES_RANKS];
    double slowest_s = fmax(seconds[0], seconds[1]);
    if (s->stays) return false;
    if (slowest_s < s->best_s) {
        s->best_s = slowest_s;
        memcpy(s->best, s->parts, sizeof s->best);
    }
    by_rate(s, seconds, next);
    s->stays = ++s->rounds == SHARES_ROUNDS || next[0] == s->parts[0];
    if (s->stays) memcpy(next, s->best, sizeof next);
    bool others = next[0] != s->parts[0];
    memcpy(s->parts, next, sizeof next);
    return others;
}
