/* What the two halves of the fake driver share: fake_cuda.c has devices, memory and the work that
 * waits; fake_code.c has modules, kernels and graphs. */
#ifndef TESTS_FAKE_STATE_H
#define TESTS_FAKE_STATE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

#include "backend/cuda/cuda_api.h"
#include "fake_cuda.h"

#define FAKE_NODES 4096
#define FAKE_ARGUMENTS 32
#define FAKE_HOST_DATA 1024

struct cuda_module_ {
    void *library;
    int fd; /* open as long as the library: dlopen knows libraries by their paths */
};

struct cuda_function_ {
    struct cuda_function_ *next;
    void (*call)(void **arguments, int groups);
    bool waits; /* for the kernels in front of it, before it does anything */
    char name[64];
};

typedef struct fake_launch {
    cuda_function function;
    int groups, argument_count;
    unsigned long long values[FAKE_ARGUMENTS];
} fake_launch;

/* Work of a library: a function on the host, with its own copy of what it needs. */
typedef struct fake_host_work {
    void (*call)(const void *data);
    bool is_kernel; /* to a graph: a library's own */
    _Alignas(max_align_t) unsigned char data[FAKE_HOST_DATA];
} fake_host_work;

/* A kernel, work of a library, or a whole graph. */
struct cuda_node_ {
    fake_launch launch;
    fake_host_work host;   /* if it has a call */
    cuda_exec child;       /* if there is one: the node's own */
    bool lacks_attributes; /* a copy of a library's kernel that was not told how it is launched */
    int index, before_count;
    int full_count, port; /* of these, those by full edges, which are the first; of the others */
    int *before;
};

struct cuda_graph_ {
    int count, soon_count; /* nodes; programmatic edges */
    struct cuda_node_ *nodes[FAKE_NODES];
};

struct cuda_exec_ {
    int count;
    struct cuda_node_ *nodes; /* copies */
};

typedef enum work_kind {
    WORK_COPY,
    WORK_FILL,
    WORK_LAUNCH,
    WORK_HOST,
    WORK_GRAPH,
    WORK_WAIT
} work_kind;

typedef struct work {
    struct work *next;
    work_kind kind;
    void *to;
    const void *from;
    size_t bytes;
    int value;
    fake_launch launch;
    fake_host_work host;
    cuda_exec exec;
    int stream; /* whose first `count` pieces of work a WORK_WAIT waits for */
    long long count;
} work;

struct cuda_stream_ {
    struct cuda_stream_ *next;
    int number;   /* from 1 on, never used again */
    bool another; /* made while there was one */
    work *first, **end;
    long long given, done;
    cuda_graph capture; /* what is handed over goes there, one node after the other */
    bool runs;          /* a thread of its own does its work: someone asks whether it is done */
    atomic_bool ran;
    pthread_t runner;
};

/* Does this call fail?  Every function of the driver begins with it. */
int fake_enter(const char *name);

#define ENTER()                                   \
    do {                                          \
        int entered_ = fake_enter(__func__);      \
        if (entered_ != CUDA_OK) return entered_; \
    } while (0)

/* Objects made, or given back. */
void fake_count(int objects);

struct cuda_event_ {
    int stream;         /* 0: it was never recorded */
    long long recorded; /* number of the work of the stream after which it is */
};

/* Is a kind of wait to do nothing? */
bool fake_ignores(int wait);

/* Run the first `count` pieces of work of a stream, or ask whether they ran. */
void fake_work_wait(int stream, long long count);
bool fake_is_done(int stream, long long count);

/* A graph is done, as the next work of its stream. */
void fake_graph_ran(cuda_stream stream, cuda_exec exec);

void fake_work_add(cuda_stream stream, work w);
void fake_finish(void); /* all the work that waits */

cuda_graph fake_graph_new(void);
void fake_graph_free(cuda_graph graph);

/* A node of a graph that waits for the last one. */
cuda_result fake_capture(cuda_graph graph, const work *w);

void fake_run_launch(fake_launch *launch);
/* How many nodes ran before an earlier one. */
int fake_run_graph(cuda_exec exec);

#endif
