/* NCCL without devices, for tests: ranks are processes of one machine that share a file of
 * /dev/shm, whose name is the unique id.  Sums are in the order of the ranks, in single precision.
 *
 * What the real one would hang or compute wrongly on ends the process: ranks that add up blocks of
 * different lengths, as when their graphs run in another order.  The odd ranks run their graphs in
 * another order than the even ones.
 *
 *   FAKE_NCCL_VERSION  the version's number (22805)
 *   FAKE_NCCL_FAIL     joining fails with this result
 *   FAKE_NCCL_DIES     this rank ends while they meet */
#include <fcntl.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "backend/cuda/nccl_api.h"
#include "fake_library.h"

#define RANKS 8
#define CHUNK 8192 /* floats of one round */
#define UNUSUAL 5  /* ncclInvalidUsage */

typedef struct meeting {
    atomic_int joined, left;
    struct {
        _Atomic uint64_t rounds;
        uint64_t counts[2];
        float slots[2][CHUNK];
    } ranks[RANKS];
} meeting;

struct nccl_comm_ {
    meeting *shared;
    int rank, size;
    uint64_t rounds;
    atomic_bool aborted;
    char name[NCCL_ID_BYTES];
};

typedef struct sum {
    nccl_comm comm;
    float *x;
    size_t count;
} sum;

static void nap(void)
{
    nanosleep(&(struct timespec){.tv_nsec = 20000}, NULL);
}

static void settle(void)
{
    void (*wait)(void) = NULL;
    *(void **)&wait = driver_symbol("fake_settle");
    if (wait) wait();
}

int ncclGetVersion(int *version)
{
    *version = (int)setting_of("FAKE_NCCL_VERSION", 22805);
    return NCCL_OK;
}

const char *ncclGetErrorString(int result)
{
    return result == UNUSUAL ? "invalid usage" : "a fault of the fake";
}

const char *ncclGetLastError(nccl_comm comm)
{
    (void)comm;
    return "";
}

int ncclGetUniqueId(nccl_id *id)
{
    static int made;
    memset(id, 0, sizeof *id);
    snprintf(id->bytes, sizeof id->bytes, "/breakeven-fake-nccl-%ld-%d", (long)getpid(), made++);
    return NCCL_OK;
}

static meeting *open_meeting(const char *name)
{
    int fd = shm_open(name, O_CREAT | O_RDWR, 0600);
    if (fd < 0 || ftruncate(fd, sizeof(meeting)) != 0) return NULL;
    void *shared = mmap(NULL, sizeof(meeting), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    return shared == MAP_FAILED ? NULL : shared;
}

int ncclCommInitRank(nccl_comm *out, int size, nccl_id id, int rank)
{
    long fails = setting_of("FAKE_NCCL_FAIL", 0);
    void (*order)(void) = NULL;
    if (fails) return (int)fails;
    if (setting_of("FAKE_NCCL_DIES", -1) == rank) _exit(9);
    if (size > RANKS || rank < 0 || rank >= size) return UNUSUAL;
    nccl_comm comm = calloc(1, sizeof *comm);
    if (!comm) return UNUSUAL;
    *comm = (struct nccl_comm_){.shared = open_meeting(id.bytes), .rank = rank, .size = size};
    memcpy(comm->name, id.bytes, sizeof comm->name);
    if (!comm->shared) abort();
    atomic_fetch_add(&comm->shared->joined, 1);
    while (atomic_load(&comm->shared->joined) < size) nap();
    shm_unlink(comm->name); /* all have it open */
    *(void **)&order = driver_symbol("fake_cuda_order_first");
    if (order && rank % 2) order();
    count_objects(1);
    *out = comm;
    return NCCL_OK;
}

static void close_comm(nccl_comm comm)
{
    munmap(comm->shared, sizeof(meeting));
    free(comm);
    count_objects(-1);
}

int ncclCommDestroy(nccl_comm comm)
{
    settle();
    close_comm(comm);
    return NCCL_OK;
}

int ncclCommAbort(nccl_comm comm)
{
    atomic_store(&comm->aborted, true);
    settle();
    close_comm(comm);
    return NCCL_OK;
}

/* One round: this rank's part down, and all parts added up; false where it was aborted. */
static bool add_chunk(nccl_comm comm, float *x, size_t count)
{
    meeting *m = comm->shared;
    int set = (int)(comm->rounds % 2);
    memcpy(m->ranks[comm->rank].slots[set], x, count * sizeof *x);
    m->ranks[comm->rank].counts[set] = count;
    comm->rounds++;
    atomic_store(&m->ranks[comm->rank].rounds, comm->rounds);
    for (int r = 0; r < comm->size; r++) {
        while (atomic_load(&m->ranks[r].rounds) < comm->rounds) {
            if (atomic_load(&comm->aborted)) return false;
            nap();
        }
        if (m->ranks[r].counts[set] != count) {
            fprintf(stderr, "fake NCCL: rank %d adds up %zu numbers and rank %d %zu\n", comm->rank,
                    count, r, (size_t)m->ranks[r].counts[set]);
            abort();
        }
    }
    for (size_t i = 0; i < count; i++) {
        x[i] = m->ranks[0].slots[set][i];
        for (int r = 1; r < comm->size; r++) x[i] += m->ranks[r].slots[set][i];
        x[i] *= 1.0f / (float)comm->size;
    }
    return true;
}

static void run_sum(const void *data)
{
    const sum *s = data;
    for (size_t at = 0; at < s->count; at += CHUNK)
        if (!add_chunk(s->comm, s->x + at, s->count - at < CHUNK ? s->count - at : CHUNK)) return;
}

int ncclAllReduce(const void *from, void *to, size_t count, int type, int operation, nccl_comm comm,
                  cuda_stream stream)
{
    sum s = {comm, to, count};
    if (from != to || type != NCCL_FLOAT32 || operation != NCCL_AVERAGE) return UNUSUAL;
    return give_work(stream, run_sum, &s, sizeof s) == CUDA_OK ? NCCL_OK : UNUSUAL;
}
