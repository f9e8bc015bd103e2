/* What the two halves of the fake driver share: fake_cuda.c has devices, memory and the work that
 * waits; fake_code.c has modules, kernels and graphs. */
#ifndef TESTS_FAKE_STATE_H
#define TESTS_FAKE_STATE_H

#include <stdbool.h>

#include "backend/cuda/cuda_api.h"
#include "fake_cuda.h"

#define FAKE_NODES 4096
#define FAKE_ARGUMENTS 32

struct cuda_module_ {
    void *library;
    int fd; /* open as long as the library: dlopen knows libraries by their paths */
};

struct cuda_function_ {
    struct cuda_function_ *next;
    void (*call)(void **arguments, int groups);
    char name[64];
};

typedef struct fake_launch {
    cuda_function function;
    int groups, argument_count;
    unsigned long long values[FAKE_ARGUMENTS];
} fake_launch;

struct cuda_node_ {
    fake_launch launch;
    int index, before_count;
    int *before;
};

struct cuda_graph_ {
    int count;
    struct cuda_node_ *nodes[FAKE_NODES];
};

struct cuda_exec_ {
    int count;
    struct cuda_node_ *nodes; /* copies */
};

typedef enum work_kind { WORK_COPY, WORK_FILL, WORK_LAUNCH, WORK_GRAPH, WORK_WAIT } work_kind;

typedef struct work {
    struct work *next;
    work_kind kind;
    void *to;
    const void *from;
    size_t bytes;
    int value;
    fake_launch launch;
    cuda_exec exec;
    int stream; /* whose first `count` pieces of work a WORK_WAIT waits for */
    long long count;
} work;

/* Does this call fail?  Every function of the driver begins with it. */
int fake_enter(const char *name);

#define ENTER()                                   \
    do {                                          \
        int entered_ = fake_enter(__func__);      \
        if (entered_ != CUDA_OK) return entered_; \
    } while (0)

/* Objects made, or given back. */
void fake_count(int objects);

void fake_work_add(cuda_stream stream, work w);
void fake_finish(void); /* all the work that waits */

void fake_run_launch(fake_launch *launch);
/* How many nodes ran before an earlier one. */
int fake_run_graph(cuda_exec exec);

#endif
