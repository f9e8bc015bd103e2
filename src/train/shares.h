/* How a batch is cut for devices of different speeds: so that all of them end their parts at once.
 *
 * Found by trying: each round has the time that every device took for its part, without the waiting
 * for the others, and says what it is to have next.  Pure functions of numbers. */
#ifndef TRAIN_SHARES_H
#define TRAIN_SHARES_H

#include <stdbool.h>
#include <stdint.h>

#define SHARES_RANKS 2
#define SHARES_ROUNDS 6 /* the most that are tried */

typedef struct shares {
    int64_t parts[SHARES_RANKS]; /* samples of a batch; at least one each */
    /* The best ones so far, by the time of the slowest. */
    int64_t best[SHARES_RANKS];
    double best_s;
    int rounds; /* done */
    bool stays; /* they are found */
} shares;

/* Halves, of a batch of SHARES_RANKS or more. */
shares shares_begin(int64_t batch);

/* With its part each took so long.  Changes `parts` to those of the next round; true where they are
 * others than before. */
bool shares_next(shares *s, const double seconds[SHARES_RANKS]);

#endif
