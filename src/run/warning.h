/* The kinds of warnings on a measurement, what matters most first. */
#ifndef RUN_WARNING_H
#define RUN_WARNING_H

/* id, word in records ("warned"), what it says of all contenders that have it, with the largest of
 * their shares in percent; empty: what it says of the first one. */
#define WARNING_LIST(X)                                                                           \
    X(UNCHECKED, "unchecked", "what is computed was not compared with the reference")             \
    X(NOTHING, "computes nothing", "nothing is computed, so the times are no speed")              \
    X(BUILD, "slow build", "")                                                                    \
    X(THREADS, "other threads", "")                                                               \
    X(UNPROVEN, "unproven", "no word from the runner of where it worked")                         \
    X(BESIDE, "busy processor", "the processor was kept busy beside the device")                  \
    X(RISING, "rising loss", "the loss rose, in too few steps to tell whether it falls again")    \
    X(RUNNER, "runner", "")                                                                       \
    X(LOAD, "other programs", "other programs used %.0f %% of the processors; stop them")         \
    X(STEAL, "other machines", "other virtual machines took %.0f %% of the processors")           \
    X(SPREAD, "spread", "blocks spread by up to %.0f %% of their median; stop other programs")    \
    X(HEAT, "slowed down", "slowed by up to %.0f %%, by heat or by other programs")               \
    X(UNTOLD, "doubling untold", "too noisy to tell whether twice the steps take twice the time") \
    X(LATE, "claims untold", "answers came too late to tell whether all of the work is timed")    \
    X(DOUBLING, "doubling", "twice the steps took far more than twice the time")                  \
    X(IDLE, "idle threads", "busy while others ran; OMP_WAIT_POLICY=passive may stop that")

typedef enum warning_kind {
#define X(id, word, text) WARNING_##id,
    WARNING_LIST(X)
#undef X
        WARNING_KINDS
} warning_kind;

/* "spread". */
const char *warning_word(warning_kind kind);

#endif
