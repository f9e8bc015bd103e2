/* See budget.h. */
#include "measure/budget.h"

#include <math.h>

double budget_left_s(const budget *b, double passed_s)
{
    return b->whole_s > 0 ? fmax(0, b->whole_s - passed_s) : (double)INFINITY;
}

double budget_grant_s(const budget *b, budget_stage stage, int parts, double passed_s)
{
    static const double shares[] = {
#define X(name, share, text) share,
        BUDGET_STAGE_LIST(X)
#undef X
    };
    return budget_left_s(b, passed_s) * shares[stage] / (parts > 1 ? parts : 1);
}
