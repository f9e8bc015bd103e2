/* A GPU as one of a group's: meeting the others, means, and waiting for work that needs them.
 *
 * GPUs add up by NCCL; a GPU and the processor of one process by the memory of the host. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "backend/cuda/cuda_driver.h"
#include "backend/cuda/cuda_nccl.h"
#include "core/clock.h"
#include "group/group.h"

#define SPINS 200 /* looks at the stream before the host sleeps … */
#define NAP_NS 20000

/* A mean by the memory of the host: so many bytes of its own there, pinned. */
typedef struct host_mean {
    struct host_mean *next;
    struct cuda_link *link;
    size_t bytes;
    void *memory;
} host_mean;

struct cuda_link {
    const cuda_nccl *nccl; /* NULL: by the memory of the host */
    be_group *group;
    nccl_comm comm; /* NULL: it was given up, or there is none */
    host_mean *means;
    be_error failed; /* of a mean on the host, whose thread can tell nobody; BE_OK: none */
};

static be_status nccl_fail(const cuda_driver *d, nccl_result result, const char *what,
                           be_error *err)
{
    const cuda_nccl *nccl = d->link->nccl;
    const char *more = nccl->call.last_error ? nccl->call.last_error(d->link->comm) : NULL;
    FAIL(err, BE_DRIVER,
         "%s: %s cannot %s: %s (%d)%s%.300s; NCCL_DEBUG=WARN in the environment lets it say more",
         d->facts.id, nccl->title, what, nccl->call.error_string(result), (int)result,
         more && *more ? ": " : "", more ? more : "");
}

/* ---------------------------------------------------------------- meeting */

/* What the ranks tell each other before they meet. */
typedef struct card {
    char id[sizeof((cuda_device_facts *)0)->id], pci[sizeof((cuda_device_facts *)0)->pci];
    int version;
} card;

static be_status compare_cards(const card *all, int size, be_error *err)
{
    for (int r = 1; r < size; r++) {
        if (all[r].version != all[0].version)
            FAIL(err, BE_USAGE,
                 "rank %d has NCCL %d and rank 0 has NCCL %d: expected one version for all ranks; "
                 "give them the same libraries, as by --cuda-lib-dir",
                 r, all[r].version, all[0].version);
        for (int other = 0; other < r; other++)
            if (strcmp(all[r].pci, all[other].pci) == 0)
                FAIL(err, BE_USAGE,
                     "rank %d and rank %d were given the same GPU (%s, PCI %s): expected one for "
                     "each; use --device cuda, or fewer workers than there are GPUs",
                     other, r, all[r].id, all[r].pci);
    }
    return BE_OK;
}

static be_status show_cards(const cuda_driver *d, be_group *group, int version, be_error *err)
{
    card mine = {.version = version}, all[GROUP_MOST];
    snprintf(mine.id, sizeof mine.id, "%s", d->facts.id);
    snprintf(mine.pci, sizeof mine.pci, "%s", d->facts.pci);
    TRY(group_gather(group, &mine, all, sizeof mine, err));
    return compare_cards(all, be_group_size(group), err);
}

/* NCCL waits for all ranks, in a thread of its own so that this one can look after them.  It has a
 * copy of all that it needs, for where the group ends nobody can call it back. */
typedef struct arrival {
    const cuda_nccl *nccl;
    const cuda_functions *cu;
    cuda_context context;
    nccl_id id;
    int rank, size;
    nccl_comm comm;
    nccl_result result;
    atomic_bool done;
} arrival;

static void *arrive(void *argument)
{
    arrival *a = argument;
    a->cu->context_set(a->context);
    a->result = a->nccl->call.join(&a->comm, a->size, a->id, a->rank);
    atomic_store(&a->done, true);
    return NULL;
}

/* Where the group has ended its thread stays where it is, with what it needs: the process ends. */
static be_status wait_for_arrival(cuda_driver *d, arrival *a, be_error *err)
{
    pthread_t thread;
    if (pthread_create(&thread, NULL, arrive, a) != 0) {
        memory_free(a);
        FAIL(err, BE_UNAVAILABLE, "%s: no thread to meet the other ranks in", d->facts.id);
    }
    while (!atomic_load(&a->done)) {
        be_status status = group_check(d->link->group, err);
        if (status != BE_OK) {
            pthread_detach(thread);
            return status;
        }
        clock_sleep_ns(NAP_NS);
    }
    pthread_join(thread, NULL);
    d->link->comm = a->result == NCCL_OK ? a->comm : NULL;
    nccl_result result = a->result;
    memory_free(a);
    return result == NCCL_OK ? BE_OK : nccl_fail(d, result, "meet the other ranks", err);
}

static be_status meet(cuda_driver *d, be_error *err)
{
    struct cuda_link *link = d->link;
    void *memory = NULL;
    nccl_id id = {{0}};
    nccl_result result = NCCL_OK;
    int rank = be_group_rank(link->group), size = be_group_size(link->group);
    TRY(cuda_enter(d, err));
    if (rank == 0) result = link->nccl->call.id_new(&id);
    if (result != NCCL_OK) return nccl_fail(d, result, "start", err);
    TRY(group_copy(link->group, &id, sizeof id, err));
    TRY(memory_alloc(&memory, sizeof(arrival), "the meeting of a group's GPUs", err));
    arrival *a = memory;
    a->nccl = link->nccl;
    a->cu = &d->libraries->cu;
    a->context = d->context;
    a->id = id;
    a->rank = rank;
    a->size = size;
    return wait_for_arrival(d, a, err);
}

be_status cuda_join(gpu_driver *driver, be_group *group, const char **implementation, be_error *err)
{
    cuda_driver *d = (cuda_driver *)driver;
    const cuda_nccl *nccl = NULL;
    void *memory = NULL;
    if (group_is_apart(group))
        FAIL(err, BE_USAGE, "%s: expected the ranks of a group with GPUs on one machine",
             d->facts.id);
    if (!d->link) {
        be_status status = cuda_nccl_get(d->libraries, &nccl, err);
        if (status != BE_OK)
            status_prefix(err, "%s: several workers need NCCL, by which GPUs add up gradients",
                          d->facts.id);
        TRY(status);
        TRY(show_cards(d, group, nccl->version, err));
        TRY(memory_alloc(&memory, sizeof *d->link, "the link of a group's GPU", err));
        d->link = memory;
        *d->link = (struct cuda_link){.nccl = nccl, .group = group};
        TRY(meet(d, err));
    }
    MUST(d->link->group == group);
    *implementation = d->link->nccl->title;
    return BE_OK;
}

/* No mean may begin any more where the memory is given back. */
static void free_means(cuda_driver *d)
{
    host_mean *next = NULL;
    if (d->link->means) d->libraries->cu.stream_wait(d->stream);
    for (host_mean *m = d->link->means; m; m = next) {
        next = m->next;
        if (m->memory) d->libraries->cu.host_free(m->memory);
        memory_free(m);
    }
}

/* The plan of a training is made anew where its part changes: what was there for the one before
 * serves the next as well. */
be_status cuda_join_host(gpu_driver *driver, be_group *group, size_t bytes, be_error *err)
{
    cuda_driver *d = (cuda_driver *)driver;
    void *memory = NULL;
    TRY(cuda_enter(d, err));
    if (!d->link) {
        TRY(memory_alloc(&memory, sizeof *d->link, "the link of a group's GPU", err));
        d->link = memory;
        *d->link = (struct cuda_link){.group = group};
    }
    MUST(d->link->group == group && !d->link->nccl);
    for (const host_mean *m = d->link->means; m; m = m->next)
        if (m->bytes == bytes) return BE_OK;
    TRY(memory_alloc(&memory, sizeof(host_mean), "a mean on the host", err));
    host_mean *mean = memory;
    *mean = (host_mean){.next = d->link->means, .link = d->link, .bytes = bytes};
    d->link->means = mean;
    CUDA_TRY(d->libraries, d->facts.id, d->libraries->cu.host_alloc(&mean->memory, bytes, 0),
             "get pinned memory of the host");
    return BE_OK;
}

void cuda_leave(cuda_driver *d)
{
    struct cuda_link *link = d->link;
    if (link) free_means(d);
    if (link && link->comm && group_has_ended(link->group))
        link->nccl->call.abort(link->comm);
    else if (link && link->comm)
        link->nccl->call.leave(link->comm);
    memory_free(link);
    d->link = NULL;
}

/* ---------------------------------------------------------------- working */

/* On a thread of CUDA's, between two copies.  After a failure the rest of the step is of no use,
 * and who waits for it is told. */
static void run_mean(void *argument)
{
    host_mean *m = argument;
    struct cuda_link *link = m->link;
    if (link->failed.status != BE_OK) return;
    link->failed.status =
        group_mean(link->group, m->memory, (int64_t)(m->bytes / sizeof(float)), &link->failed);
}

static be_status mean_on_host(cuda_driver *d, gpu_span span, be_error *err)
{
    const cuda_functions *cu = &d->libraries->cu;
    host_mean *m = d->link->means;
    while (m && m->bytes != span.bytes) m = m->next;
    MUST(m);
    CUDA_TRY(d->libraries, d->facts.id,
             cu->download(m->memory, cuda_span_address(span), m->bytes, d->stream),
             "copy gradients to the host");
    CUDA_TRY(d->libraries, d->facts.id, cu->host_call(d->stream, run_mean, m),
             "add up gradients on the host");
    CUDA_TRY(d->libraries, d->facts.id,
             cu->upload(cuda_span_address(span), m->memory, m->bytes, d->stream),
             "copy gradients from the host");
    return BE_OK;
}

be_status cuda_mean(gpu_driver *driver, gpu_span span, be_error *err)
{
    cuda_driver *d = (cuda_driver *)driver;
    if (!d->link->nccl) return mean_on_host(d, span, err);
    void *place = (void *)(uintptr_t)cuda_span_address(span);
    nccl_result result =
        d->link->nccl->call.all_reduce(place, place, span.bytes / sizeof(float), NCCL_FLOAT32,
                                       NCCL_AVERAGE, d->link->comm, d->stream);
    return result == NCCL_OK ? BE_OK : nccl_fail(d, result, "add up gradients", err);
}

/* The group has ended, and its sums never will. */
static be_status give_up(cuda_driver *d, be_status status)
{
    d->link->nccl->call.abort(d->link->comm);
    d->link->comm = NULL;
    return status;
}

/* Work that needs a rank that has ended would never be done. */
static be_status wait_with_others(cuda_driver *d, be_error *err)
{
    cuda_result result;
    for (int turn = 0; (result = d->libraries->cu.stream_query(d->stream)) == CUDA_NOT_READY;
         turn++) {
        be_status status = group_check(d->link->group, err);
        if (status != BE_OK) return give_up(d, status);
        if (turn >= SPINS) clock_sleep_ns(NAP_NS);
    }
    CUDA_TRY(d->libraries, d->facts.id, result, "finish the work it was given");
    return BE_OK;
}

be_status cuda_wait(cuda_driver *d, const char *what, be_error *err)
{
    if (d->link && d->link->comm) return wait_with_others(d, err);
    CUDA_TRY(d->libraries, d->facts.id, d->libraries->cu.stream_wait(d->stream), what);
    if (!d->link || d->link->failed.status == BE_OK) return BE_OK;
    if (err) *err = d->link->failed;
    return d->link->failed.status;
}
