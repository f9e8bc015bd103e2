/* A driver without a device, for tests: libcuda.so.1 on the host.
 *
 * Device memory is host memory filled with bytes of 0xFF, so that what was never written is not a
 * number.  The work of a stream is kept back until someone waits for it, a host or another stream,
 * and the nodes of a graph run in the last order that its edges allow, so that a missing wait or
 * edge gives wrong results.  Kernels are
 * compiled by fake_nvrtc.c and run one work item a group.  What the device pretends to be comes
 * from the environment when cuInit is called:
 *
 *   FAKE_CUDA_DEVICES  how many (1)          FAKE_CUDA_INIT    result of cuInit (0)
 *   FAKE_CUDA_VERSION  of the API (13000)    FAKE_CUDA_CC      compute capability × 10 (90)
 *   FAKE_CUDA_MEMORY   bytes (1 GiB)         FAKE_CUDA_MODE    compute mode (0)
 *   FAKE_CUDA_FAIL_AT  the n-th call after cuInit fails with FAKE_CUDA_FAIL_RESULT (719)
 *   FAKE_CUDA_STICKY   and so do all later ones
 *   FAKE_CUDA_EDGES    what is refused: none, programmatic edges; graphs, those that have one;
 *                      kernels, to say how a library launches its own
 *
 * and at each launch, if they are set:
 *
 *   FAKE_CUDA_IDLE     kernels do nothing    FAKE_CUDA_REFUSE  launches fail */
#ifndef TESTS_FAKE_CUDA_H
#define TESTS_FAKE_CUDA_H

/* The n-th call from now fails with `result`, 0: none; `sticky`: and all later ones. */
void fake_cuda_fail_at(int n, int result, int sticky);
int fake_cuda_calls(void);        /* since fake_cuda_fail_at, or the start */
const char *fake_cuda_last(void); /* the function that was made to fail, "" */
int fake_cuda_live(void);         /* objects and memory that were not given back */
int fake_cuda_replays(void);      /* graphs started */
int fake_cuda_overlaps(void);     /* nodes that ran before an earlier one of their graph */

/* Remember the edges of the next graphs that have so many nodes. */
void fake_cuda_watch(int nodes);
/* Those of the last of them: how many; at most `most` in *out.  An edge is three numbers: the index
 * of the first node, of the second, and the port of a programmatic edge (0: a full one). */
int fake_cuda_edges(int *out, int most);

/* The edges of the graph that ran last, which are the time that it took, in ms. */
int fake_cuda_last_edges(void);

/* Waits that from now on do nothing, to see that a test notices; 0: none. */
enum {
    FAKE_WAIT_OF_HOST = 1,   /* for an event */
    FAKE_WAIT_OF_FIRST = 2,  /* the first stream's, for another */
    FAKE_WAIT_OF_OTHERS = 4, /* of the streams made after the first */
};
void fake_cuda_ignore(int waits);
/* From now on the nodes of a graph run in the first order that its edges allow: one of two ranks so
 * finds what the other one's order hides. */
void fake_cuda_order_first(void);
/* Wait for the threads that do the work of streams. */
void fake_settle(void);
/* For the fake libraries: work on the host at its place in the stream, with a copy of the data.
 * While the stream is captured it becomes a node of the graph. */
struct cuda_stream_;
int fake_cuda_host_work(struct cuda_stream_ *stream, void (*call)(const void *data),
                        const void *data, unsigned long bytes);

#define FAKE_CODE_MAGIC "FAKECODE"

/* What fake_nvrtc makes: this, and then `bytes` bytes of a shared library. */
typedef struct fake_code {
    char magic[8];
    unsigned long long bytes;
} fake_code;

#endif
