/* The CUDA driver behind gpu_driver.h: context, memory, copies, launches. */
#include "backend/cuda/cuda_driver.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/gpu/gpu.h"

#define GIB (1024.0 * 1024.0 * 1024.0)

/* ---------------------------------------------------------------- memory */

static be_status driver_alloc(gpu_driver *driver, size_t bytes, const char *what, gpu_buffer *out,
                              be_error *err)
{
    const cuda_driver *d = (const cuda_driver *)driver;
    const cuda_functions *cu = &d->libraries->cu;
    cuda_address address = 0;
    size_t free_bytes = 0, all_bytes = 0;
    *out = 0;
    TRY(cuda_enter(d, err));
    cuda_result result = cu->memory_alloc(&address, bytes ? bytes : 1);
    if (result == CUDA_OUT_OF_MEMORY && cu->memory_info(&free_bytes, &all_bytes) == CUDA_OK)
        FAIL(err, BE_NO_MEMORY,
             "%s: expected %.3g GiB on %s, found %.3g GiB free of %.3g GiB; use a smaller batch, "
             "or end what else uses this GPU",
             what, (double)bytes / GIB, d->facts.id, (double)free_bytes / GIB,
             (double)all_bytes / GIB);
    CUDA_TRY(d->libraries, d->facts.id, result, "allocate memory");
    *out = (gpu_buffer)address;
    return BE_OK;
}

static void driver_free(gpu_driver *driver, gpu_buffer buffer)
{
    const cuda_driver *d = (const cuda_driver *)driver;
    if (!buffer) return;
    d->libraries->cu.context_set(d->context);
    d->libraries->cu.memory_free(buffer);
}

static size_t driver_memory_free(gpu_driver *driver)
{
    const cuda_driver *d = (const cuda_driver *)driver;
    size_t free_bytes = 0, all_bytes = 0;
    if (d->libraries->cu.context_set(d->context) != CUDA_OK) return 0;
    return d->libraries->cu.memory_info(&free_bytes, &all_bytes) == CUDA_OK ? free_bytes : 0;
}

/* ---------------------------------------------------------------- copies */

/* Wait until the device has taken what lies in the next stage. */
static be_status stage_claim(cuda_driver *d, int *stage, be_error *err)
{
    *stage = d->stage;
    if (d->pending[*stage] && d->link) TRY(cuda_wait(d, "wait for a copy", err));
    if (d->pending[*stage])
        CUDA_TRY(d->libraries, d->facts.id, d->libraries->cu.event_wait(d->staged[*stage]),
                 "wait for a copy");
    d->pending[*stage] = false;
    d->stage = (d->stage + 1) % CUDA_STAGES;
    return BE_OK;
}

static be_status driver_upload(gpu_driver *driver, gpu_buffer buffer, size_t offset,
                               const void *data, size_t bytes, be_error *err)
{
    cuda_driver *d = (cuda_driver *)driver;
    const cuda_functions *cu = &d->libraries->cu;
    TRY(cuda_enter(d, err));
    for (size_t done = 0; done < bytes;) {
        size_t part = bytes - done < CUDA_STAGE_BYTES ? bytes - done : CUDA_STAGE_BYTES;
        int stage = 0;
        TRY(stage_claim(d, &stage, err));
        memcpy(d->stages[stage], (const char *)data + done, part);
        CUDA_TRY(d->libraries, d->facts.id,
                 cu->upload(buffer + offset + done, d->stages[stage], part, d->stream),
                 "copy to the device");
        CUDA_TRY(d->libraries, d->facts.id, cu->event_record(d->staged[stage], d->stream),
                 "mark a copy");
        d->pending[stage] = true;
        done += part;
    }
    return BE_OK;
}

static be_status driver_download(gpu_driver *driver, gpu_buffer buffer, size_t offset, void *data,
                                 size_t bytes, be_error *err)
{
    cuda_driver *d = (cuda_driver *)driver;
    const cuda_functions *cu = &d->libraries->cu;
    TRY(cuda_enter(d, err));
    for (size_t done = 0; done < bytes;) {
        size_t part = bytes - done < CUDA_STAGE_BYTES ? bytes - done : CUDA_STAGE_BYTES;
        int stage = 0;
        TRY(stage_claim(d, &stage, err));
        CUDA_TRY(d->libraries, d->facts.id,
                 cu->download(d->stages[stage], buffer + offset + done, part, d->stream),
                 "copy from the device");
        TRY(cuda_wait(d, "wait for a copy", err));
        driver->waits++;
        memcpy((char *)data + done, d->stages[stage], part);
        done += part;
    }
    driver->read_bytes += (int64_t)bytes;
    return BE_OK;
}

static be_status driver_clear(gpu_driver *driver, gpu_buffer buffer, size_t offset, size_t bytes,
                              be_error *err)
{
    const cuda_driver *d = (const cuda_driver *)driver;
    TRY(cuda_enter(d, err));
    if (bytes > 0)
        CUDA_TRY(d->libraries, d->facts.id,
                 d->libraries->cu.fill(buffer + offset, 0, bytes, d->stream), "clear memory");
    return BE_OK;
}

/* ---------------------------------------------------------------- launches */

static be_status driver_launch(gpu_driver *driver, const gpu_launch *launch, be_error *err)
{
    const cuda_driver *d = (const cuda_driver *)driver;
    cuda_arguments arguments;
    char what[160];
    TRY(cuda_enter(d, err));
    if (launch->task) {
        TRY(launch->task->start(launch->task, driver, err));
        driver->launches++;
        return BE_OK;
    }
    cuda_arguments_fill(&arguments, launch);
    snprintf(what, sizeof what, "start kernel %s (%d groups of %d)", launch->function->name,
             launch->groups, launch->group);
    CUDA_TRY(d->libraries, d->facts.id,
             d->libraries->cu.launch(launch->function->handle, (unsigned)launch->groups, 1, 1,
                                     (unsigned)launch->group, 1, 1, 0, d->stream,
                                     arguments.pointers, NULL),
             what);
    driver->launches++;
    return BE_OK;
}

static be_status driver_synchronise(gpu_driver *driver, be_error *err)
{
    cuda_driver *d = (cuda_driver *)driver;
    TRY(cuda_enter(d, err));
    driver->waits++;
    return cuda_wait(d, "finish the work it was given", err);
}

/* ---------------------------------------------------------------- opening and closing */

static void forget_math(cuda_driver *d)
{
    if (d->cudnn) d->math->dnn.destroy(d->cudnn);
    if (d->cublaslt) d->math->lt.destroy(d->cublaslt);
    d->cudnn = NULL;
    d->cublaslt = NULL;
    d->math = NULL;
}

/* What gives back looks at no result: a lost device answers every call with the error that was
 * told already. */
static void driver_close(gpu_driver *driver)
{
    cuda_driver *d = (cuda_driver *)driver;
    const cuda_functions *cu = &d->libraries->cu;
    if (d->context) {
        cu->context_set(d->context);
        cuda_leave(d);
        if (d->stream) cu->stream_wait(d->stream);
        for (int i = 0; i < CUDA_STAGES; i++) {
            if (d->staged[i]) cu->event_free(d->staged[i]);
            if (d->stages[i]) cu->host_free(d->stages[i]);
        }
        forget_math(d);
        if (d->stream) cu->stream_free(d->stream);
        cu->context_set(NULL);
        cu->context_release(d->facts.device);
    }
    memory_free(d);
}

static const gpu_driver_vtable cuda_driver_vtable = {
    .close = driver_close,
    .alloc = driver_alloc,
    .free = driver_free,
    .memory_free = driver_memory_free,
    .upload = driver_upload,
    .download = driver_download,
    .clear = driver_clear,
    .compile = cuda_compile,
    .module_free = cuda_module_release,
    .function = cuda_module_find,
    .launch = driver_launch,
    .sequence = cuda_sequence_new,
    .step = cuda_sequence_step,
    .replay = cuda_sequence_replay,
    .order = cuda_sequence_order,
    .sequence_free = cuda_sequence_release,
    .feed_new = cuda_feed_new,
    .feed_free = cuda_feed_end,
    .feed_claim = cuda_feed_claim,
    .feed_send = cuda_feed_send,
    .feed_release = cuda_feed_release,
    .transfer = cuda_transfer,
    .synchronise = driver_synchronise,
    .join = cuda_join,
    .join_host = cuda_join_host,
    .mean = cuda_mean,
};

static void describe(cuda_driver *d)
{
    gpu_facts *facts = &d->base.facts;
    *facts = (gpu_facts){.units = d->facts.multiprocessors,
                         .group_max = d->facts.group_max,
                         .tensor_cores = d->facts.major >= CUDA_NARROW_MAJOR,
                         .local_bytes = d->facts.shared_bytes,
                         .overlaps = true,
                         .memory_bytes = d->facts.memory_bytes,
                         .buffer_max_bytes = d->facts.memory_bytes,
                         .cache_bytes = d->facts.l2_bytes};
    snprintf(facts->name, sizeof facts->name, "%s", d->facts.name);
    snprintf(facts->software, sizeof facts->software, "CUDA %d.%d, sm_%d%d, NVRTC %s",
             d->libraries->driver_version / 1000, d->libraries->driver_version % 1000 / 10,
             d->facts.major, d->facts.minor, d->libraries->nvrtc.version);
    if (d->facts.major < CUDA_NARROW_MAJOR)
        snprintf(facts->too_old, sizeof facts->too_old,
                 "compute capability %d.0 or later, not %d.%d,", CUDA_NARROW_MAJOR, d->facts.major,
                 d->facts.minor);
}

/* Programmatic edges want a driver that knows them, and kernels that can wait. */
static be_status choose_edges(cuda_driver *d, be_error *err)
{
    const char *asked = getenv("BREAKEVEN_CUDA_EDGES");
    if (asked && strcmp(asked, "full") != 0)
        FAIL(err, BE_USAGE,
             "BREAKEVEN_CUDA_EDGES: expected \"full\", found \"%s\"; unset it for edges by which "
             "kernels begin early",
             asked);
    d->has_soon = true;
    if (asked)
        cuda_full_edges(d, "BREAKEVEN_CUDA_EDGES");
    else if (d->target.arch < CUDA_WAITING_ARCH)
        cuda_full_edges(d, "kernels for before sm_90");
    else if (d->libraries->driver_version < CUDA_EDGES_DRIVER || !d->libraries->cu.graph_edges ||
             !d->libraries->cu.edges_get)
        cuda_full_edges(d, "a driver before CUDA 12.3");
    return BE_OK;
}

static be_status driver_start(cuda_driver *d, int index, be_error *err)
{
    const cuda_libraries *l = d->libraries;
    TRY(cuda_device_read(l, index, &d->facts, err));
    TRY(cuda_target_choose(l, &d->facts, &d->target, err));
    describe(d);
    TRY(choose_edges(d, err));
    CUDA_TRY(l, d->facts.id, l->cu.context_retain(&d->context, d->facts.device),
             "make a context on it");
    TRY(cuda_enter(d, err));
    CUDA_TRY(l, d->facts.id, l->cu.stream_new(&d->stream, CUDA_STREAM_NON_BLOCKING),
             "make a stream");
    for (int i = 0; i < CUDA_STAGES; i++) {
        CUDA_TRY(l, d->facts.id, l->cu.host_alloc(&d->stages[i], CUDA_STAGE_BYTES, 0),
                 "get pinned memory of the host");
        CUDA_TRY(l, d->facts.id, l->cu.event_new(&d->staged[i], CUDA_EVENT_NO_TIMING),
                 "make an event");
    }
    return BE_OK;
}

static be_status start_math(cuda_driver *d, be_error *err)
{
    const cuda_math *math = d->math;
    char detail[256] = "";
    TRY(cuda_enter(d, err));
    cublaslt_status lt = math->lt.create(&d->cublaslt);
    if (lt != LT_CUBLAS_STATUS_SUCCESS)
        FAIL(err, BE_UNAVAILABLE,
             "%s: %s (%.200s) does not start: %s (%d); check that it fits the "
             "driver",
             d->facts.id, math->cublaslt_title, math->cublaslt.path, math->lt.error_string(lt),
             (int)lt);
    cudnn_status dnn = math->dnn.create(&d->cudnn);
    if (dnn == DNN_STATUS_SUCCESS) dnn = math->dnn.set_stream(d->cudnn, d->stream);
    if (dnn == DNN_STATUS_SUCCESS) return BE_OK;
    math->dnn.last_error(detail, sizeof detail);
    FAIL(err, BE_UNAVAILABLE,
         "%s: %s (%.200s) does not start: %s (%d) %.200s; check that it fits "
         "the driver",
         d->facts.id, math->cudnn_title, math->cudnn.path, math->dnn.error_string(dnn), (int)dnn,
         detail);
}

be_status cuda_driver_use_math(gpu_driver *driver, const cuda_math *math, be_error *err)
{
    cuda_driver *d = (cuda_driver *)driver;
    d->math = math;
    be_status status = start_math(d, err);
    if (status != BE_OK) forget_math(d);
    return status;
}

be_status cuda_math_ready(gpu_device *device, be_error *err)
{
    cuda_driver *d = (cuda_driver *)device->driver;
    const cuda_math *math = NULL;
    if (d->math) return BE_OK;
    TRY(cuda_math_get(d->libraries, &math, err));
    return cuda_driver_use_math(&d->base, math, err);
}

be_status cuda_driver_open(const cuda_libraries *libraries, int index, gpu_driver **out,
                           be_error *err)
{
    void *memory = NULL;
    *out = NULL;
    TRY(memory_alloc(&memory, sizeof(cuda_driver), "a CUDA driver", err));
    cuda_driver *d = memory;
    d->base = (gpu_driver){.vtable = &cuda_driver_vtable, .dialect = gpu_source_dialect_cuda.text};
    d->libraries = libraries;
    be_status status = driver_start(d, index, err);
    if (status == BE_OK)
        *out = &d->base;
    else
        driver_close(&d->base);
    return status;
}
