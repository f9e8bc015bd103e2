/* The time that a page may take, dealt out to its stages.
 *
 * Numbers alone: who asks says how much has passed.  Each stage is granted a share of what is left,
 * never more: whatever the stages before it took, and however many take part, all of them together
 * end in time if each keeps to its grant. */
#ifndef MEASURE_BUDGET_H
#define MEASURE_BUDGET_H

/* The share of what is left when the stage begins. */
#define BUDGET_STAGE_LIST(X)                                                   \
    X(LIMITS, 0.25, "what devices can do at most")                             \
    X(OPEN, 0.60, "runners are started, prepared and held to the reference")   \
    X(ROUNDS, 0.40, "blocks")                                                  \
    X(PROVE, 0.40, "phases of a step, and the proof of where it was computed") \
    X(APART, 0.60, "steps are taken apart")

typedef enum budget_stage {
#define X(name, share, text) BUDGET_##name,
    BUDGET_STAGE_LIST(X)
#undef X
        BUDGET_STAGE_COUNT
} budget_stage;

typedef struct budget {
    double whole_s; /* 0: there is no end */
} budget;

/* What is left after so long: at least 0, INFINITY where there is no end. */
double budget_left_s(const budget *b, double passed_s);

/* For one of that many parts of a stage that are still to come. */
double budget_grant_s(const budget *b, budget_stage stage, int parts, double passed_s);

#endif
