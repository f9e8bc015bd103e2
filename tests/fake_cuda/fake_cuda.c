/* See fake_cuda.h. */
#include "fake_state.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---------------------------------------------------------------- state */

static struct {
    bool started;
    int devices, version, capability, mode, visible[16];
    size_t memory, used;
    int calls, fail_at, fail_result;
    bool sticky, lost;
    const char *last;
    int live, replays, overlaps, ignored;
} fake = {.last = ""};

typedef struct fake_block {
    struct fake_block *next;
    size_t bytes;
    char data[] __attribute__((aligned(64)));
} fake_block;

static fake_block *blocks;

static int number(const char *name, long long otherwise, long long *out)
{
    const char *text = getenv(name);
    *out = text && *text ? atoll(text) : otherwise;
    return (int)*out;
}

int fake_enter(const char *name)
{
    if (!fake.started) return CUDA_NOT_INITIALIZED;
    if (fake.lost) return fake.fail_result;
    fake.calls++;
    if (!fake.fail_at || fake.calls != fake.fail_at) return CUDA_OK;
    fake.last = name;
    fake.lost = fake.sticky;
    return fake.fail_result;
}

void fake_cuda_fail_at(int n, int result, int sticky)
{
    fake.calls = 0;
    fake.fail_at = n;
    fake.fail_result = result;
    fake.sticky = sticky;
    fake.lost = false;
    fake.last = "";
}

int fake_cuda_calls(void)
{
    return fake.calls;
}

const char *fake_cuda_last(void)
{
    return fake.last;
}

void fake_count(int objects)
{
    fake.live += objects;
}

int fake_cuda_live(void)
{
    return fake.live;
}

int fake_cuda_replays(void)
{
    return fake.replays;
}

int fake_cuda_overlaps(void)
{
    return fake.overlaps;
}

void fake_cuda_ignore(int waits)
{
    fake.ignored = waits;
}

bool fake_ignores(int wait)
{
    return fake.ignored & wait;
}

/* ---------------------------------------------------------------- work that waits */

static cuda_stream streams;
static int streams_made;

static void work_until(cuda_stream stream, long long count);

bool fake_is_done(int number, long long count)
{
    for (cuda_stream s = streams; s; s = s->next)
        if (s->number == number) return s->done >= count;
    return true;
}

/* A stream that is gone has no work left. */
void fake_work_wait(int number, long long count)
{
    for (cuda_stream s = streams; s; s = s->next)
        if (s->number == number) work_until(s, count);
}

static void work_run(cuda_stream stream, work *w)
{
    if (w->kind == WORK_COPY) memcpy(w->to, w->from, w->bytes);
    if (w->kind == WORK_FILL) memset(w->to, w->value, w->bytes);
    if (w->kind == WORK_LAUNCH) fake_run_launch(&w->launch);
    if (w->kind == WORK_WAIT) fake_work_wait(w->stream, w->count);
    if (w->kind == WORK_HOST) w->host.call(w->host.data);
    if (w->kind == WORK_GRAPH) {
        fake.overlaps += fake_run_graph(w->exec);
        fake_graph_ran(stream, w->exec);
        fake.replays++;
    }
}

static void work_until(cuda_stream stream, long long count)
{
    while (stream->first && stream->done < count) {
        work *w = stream->first;
        stream->first = w->next;
        if (!stream->first) stream->end = &stream->first;
        work_run(stream, w);
        free(w);
        stream->done++;
    }
}

/* The work of a stream that someone only asks after. */
static void *run_stream(void *stream)
{
    cuda_stream s = stream;
    work_until(s, s->given);
    atomic_store(&s->ran, true);
    return NULL;
}

static void end_run(cuda_stream s)
{
    if (s->runs) pthread_join(s->runner, NULL);
    s->runs = false;
}

void fake_settle(void)
{
    for (cuda_stream s = streams; s; s = s->next) end_run(s);
}

void fake_finish(void)
{
    fake_settle();
    for (cuda_stream s = streams; s; s = s->next) work_until(s, s->given);
}

void fake_work_add(cuda_stream stream, work w)
{
    work *copy = malloc(sizeof *copy);
    if (!copy) abort();
    *copy = w;
    copy->next = NULL;
    *stream->end = copy;
    stream->end = &copy->next;
    stream->given++;
}

static bool in_memory(cuda_address address, size_t bytes)
{
    for (const fake_block *b = blocks; b; b = b->next) {
        cuda_address begin = (cuda_address)(uintptr_t)b->data;
        if (address >= begin && bytes <= b->bytes && address - begin <= b->bytes - bytes)
            return true;
    }
    return false;
}

/* ---------------------------------------------------------------- devices */

static void look_at_visible(void)
{
    const char *visible = getenv("CUDA_VISIBLE_DEVICES");
    int count = 0;
    for (int i = 0; i < 16; i++) fake.visible[i] = i;
    for (; visible && count < 16; visible++) {
        char *end = NULL;
        long device = strtol(visible, &end, 10);
        if (end == visible || device < 0 || device >= fake.devices) break;
        fake.visible[count++] = (int)device;
        visible = end;
        if (*visible != ',') break;
    }
    if (getenv("CUDA_VISIBLE_DEVICES")) fake.devices = count;
}

cuda_result cuInit(unsigned flags)
{
    long long value = 0;
    if (flags) return CUDA_INVALID_VALUE;
    if (number("FAKE_CUDA_INIT", 0, &value)) return (cuda_result)value;
    fake.devices = number("FAKE_CUDA_DEVICES", 1, &value);
    fake.version = number("FAKE_CUDA_VERSION", 13000, &value);
    fake.capability = number("FAKE_CUDA_CC", 90, &value);
    fake.mode = number("FAKE_CUDA_MODE", 0, &value);
    number("FAKE_CUDA_MEMORY", 1 << 30, &value);
    fake.memory = (size_t)value;
    fake.fail_at = number("FAKE_CUDA_FAIL_AT", 0, &value);
    fake.fail_result = number("FAKE_CUDA_FAIL_RESULT", CUDA_LAUNCH_FAILED, &value);
    fake.sticky = number("FAKE_CUDA_STICKY", 0, &value);
    look_at_visible();
    fake.started = true;
    return fake.devices > 0 ? CUDA_OK : CUDA_NO_DEVICE;
}

cuda_result cuDriverGetVersion(int *version)
{
    long long value = 0;
    *version = number("FAKE_CUDA_VERSION", 13000, &value);
    return CUDA_OK;
}

cuda_result cuGetErrorName(cuda_result result, const char **name)
{
    *name = result == CUDA_OUT_OF_MEMORY        ? "CUDA_ERROR_OUT_OF_MEMORY"
            : result == CUDA_LAUNCH_FAILED      ? "CUDA_ERROR_LAUNCH_FAILED"
            : result == CUDA_ILLEGAL_ADDRESS    ? "CUDA_ERROR_ILLEGAL_ADDRESS"
            : result == CUDA_NOT_FOUND          ? "CUDA_ERROR_NOT_FOUND"
            : result == CUDA_NOT_SUPPORTED      ? "CUDA_ERROR_NOT_SUPPORTED"
            : result == CUDA_INVALID_VALUE      ? "CUDA_ERROR_INVALID_VALUE"
            : result == CUDA_INVALID_IMAGE      ? "CUDA_ERROR_INVALID_IMAGE"
            : result == CUDA_STUB_LIBRARY       ? "CUDA_ERROR_STUB_LIBRARY"
            : result == CUDA_DEVICE_UNAVAILABLE ? "CUDA_ERROR_DEVICE_UNAVAILABLE"
                                                : "CUDA_ERROR_UNKNOWN";
    return CUDA_OK;
}

cuda_result cuGetErrorString(cuda_result result, const char **text)
{
    *text = result == CUDA_OUT_OF_MEMORY ? "out of memory" : "a fault of the fake";
    return CUDA_OK;
}

cuda_result cuDeviceGetCount(int *count)
{
    ENTER();
    *count = fake.devices;
    return CUDA_OK;
}

cuda_result cuDeviceGet(cuda_device_index *device, int index)
{
    ENTER();
    if (index < 0 || index >= fake.devices) return CUDA_INVALID_DEVICE;
    *device = fake.visible[index];
    return CUDA_OK;
}

cuda_result cuDeviceGetName(char *name, int room, cuda_device_index device)
{
    ENTER();
    snprintf(name, (size_t)room, "Fake GPU %d", device);
    return CUDA_OK;
}

cuda_result cuDeviceGetPCIBusId(char *text, int room, cuda_device_index device)
{
    ENTER();
    snprintf(text, (size_t)room, "0000:%02x:00.0", device + 6);
    return CUDA_OK;
}

cuda_result cuDeviceTotalMem_v2(size_t *bytes, cuda_device_index device)
{
    ENTER();
    (void)device;
    *bytes = fake.memory;
    return CUDA_OK;
}

cuda_result cuDeviceGetAttribute(int *value, cuda_attribute attribute, cuda_device_index device)
{
    ENTER();
    (void)device;
    switch (attribute) {
    case CUDA_ATTRIBUTE_THREADS_PER_BLOCK:
        *value = 1024;
        return CUDA_OK;
    case CUDA_ATTRIBUTE_SHARED_PER_BLOCK:
        *value = 49152;
        return CUDA_OK;
    case CUDA_ATTRIBUTE_MULTIPROCESSORS:
        *value = 4;
        return CUDA_OK;
    case CUDA_ATTRIBUTE_COMPUTE_MODE:
        *value = fake.mode;
        return CUDA_OK;
    case CUDA_ATTRIBUTE_CLOCK_KHZ:
        *value = 1000000;
        return CUDA_OK;
    case CUDA_ATTRIBUTE_L2_BYTES:
        *value = 1 << 20;
        return CUDA_OK;
    case CUDA_ATTRIBUTE_MAJOR:
        *value = fake.capability / 10;
        return CUDA_OK;
    case CUDA_ATTRIBUTE_MINOR:
        *value = fake.capability % 10;
        return CUDA_OK;
    default:
        return CUDA_INVALID_VALUE;
    }
}

/* ---------------------------------------------------------------- contexts, streams, events */

static int fake_context;

cuda_result cuDevicePrimaryCtxRetain(cuda_context *context, cuda_device_index device)
{
    ENTER();
    (void)device;
    *context = (cuda_context)&fake_context;
    fake.live++;
    return CUDA_OK;
}

/* What is given back is given back, also where the call is made to fail. */
cuda_result cuDevicePrimaryCtxRelease_v2(cuda_device_index device)
{
    (void)device;
    fake.live--;
    ENTER();
    return CUDA_OK;
}

cuda_result cuCtxSetCurrent(cuda_context context)
{
    ENTER();
    (void)context;
    return CUDA_OK;
}

cuda_result cuStreamCreate(cuda_stream *stream, unsigned flags)
{
    ENTER();
    (void)flags;
    cuda_stream made = calloc(1, sizeof *made);
    if (!made) return CUDA_OUT_OF_MEMORY;
    *made = (struct cuda_stream_){
        .next = streams, .number = ++streams_made, .another = streams != NULL, .end = &made->first};
    *stream = streams = made;
    fake.live++;
    return CUDA_OK;
}

cuda_result cuStreamDestroy_v2(cuda_stream stream)
{
    cuda_stream *at = &streams;
    fake_finish();
    while (*at != stream) at = &(*at)->next;
    *at = stream->next;
    free(stream);
    fake.live--;
    ENTER();
    return CUDA_OK;
}

cuda_result cuStreamSynchronize(cuda_stream stream)
{
    ENTER();
    work_until(stream, stream->given);
    return CUDA_OK;
}

cuda_result cuStreamQuery(cuda_stream stream)
{
    ENTER();
    if (stream->runs && !atomic_load(&stream->ran)) return CUDA_NOT_READY;
    end_run(stream);
    if (!stream->first) return CUDA_OK;
    atomic_store(&stream->ran, false);
    stream->runs = pthread_create(&stream->runner, NULL, run_stream, stream) == 0;
    return stream->runs ? CUDA_NOT_READY : CUDA_OUT_OF_MEMORY;
}

cuda_result cuStreamWaitEvent(cuda_stream stream, cuda_event event, unsigned flags)
{
    ENTER();
    if (flags) return CUDA_INVALID_VALUE;
    if (fake.ignored & (stream->another ? FAKE_WAIT_OF_OTHERS : FAKE_WAIT_OF_FIRST)) return CUDA_OK;
    fake_work_add(stream,
                  (work){.kind = WORK_WAIT, .stream = event->stream, .count = event->recorded});
    return CUDA_OK;
}

cuda_result cuStreamBeginCapture_v2(cuda_stream stream, cuda_capture_mode mode)
{
    ENTER();
    if (stream->capture || mode != CUDA_CAPTURE_THREAD_LOCAL) return CUDA_INVALID_VALUE;
    stream->capture = fake_graph_new();
    return CUDA_OK;
}

/* The stream is no longer captured whatever comes of it. */
cuda_result cuStreamEndCapture(cuda_stream stream, cuda_graph *graph)
{
    cuda_graph captured = stream->capture;
    int result = fake_enter(__func__);
    stream->capture = NULL;
    if (result != CUDA_OK && captured) fake_graph_free(captured);
    if (result != CUDA_OK) return result;
    *graph = captured;
    return captured ? CUDA_OK : CUDA_INVALID_VALUE;
}

static int give_host_work(cuda_stream stream, const fake_host_work *host, const void *data,
                          size_t bytes)
{
    work w = {.kind = WORK_HOST, .host = *host};
    if (bytes > sizeof w.host.data) return CUDA_INVALID_VALUE;
    memcpy(w.host.data, data, bytes);
    if (stream->capture) return fake_capture(stream->capture, &w);
    fake_work_add(stream, w);
    return CUDA_OK;
}

int fake_cuda_host_work(cuda_stream stream, void (*call)(const void *), const void *data,
                        size_t bytes)
{
    ENTER();
    return give_host_work(stream, &(fake_host_work){.call = call, .is_kernel = true}, data, bytes);
}

typedef struct host_function {
    cuda_host_call call;
    void *context;
} host_function;

static void run_host_function(const void *data)
{
    const host_function *f = data;
    f->call(f->context);
}

cuda_result cuLaunchHostFunc(cuda_stream stream, cuda_host_call call, void *context)
{
    ENTER();
    host_function f = {call, context};
    return give_host_work(stream, &(fake_host_work){.call = run_host_function}, &f, sizeof f);
}

/* ---------------------------------------------------------------- memory */

cuda_result cuMemGetInfo_v2(size_t *free_bytes, size_t *all_bytes)
{
    ENTER();
    *free_bytes = fake.memory - fake.used;
    *all_bytes = fake.memory;
    return CUDA_OK;
}

cuda_result cuMemAlloc_v2(cuda_address *address, size_t bytes)
{
    ENTER();
    if (!bytes) return CUDA_INVALID_VALUE;
    if (bytes > fake.memory - fake.used) return CUDA_OUT_OF_MEMORY;
    fake_block *block = aligned_alloc(64, (sizeof(fake_block) + bytes + 127) / 64 * 64);
    if (!block) return CUDA_OUT_OF_MEMORY;
    block->bytes = bytes;
    block->next = blocks;
    blocks = block;
    memset(block->data, 0xff, bytes);
    fake.used += bytes;
    fake.live++;
    *address = (cuda_address)(uintptr_t)block->data;
    return CUDA_OK;
}

cuda_result cuMemFree_v2(cuda_address address)
{
    fake_block **at = &blocks;
    fake_finish();
    while (*at && (cuda_address)(uintptr_t)(*at)->data != address) at = &(*at)->next;
    if (!*at) return CUDA_INVALID_VALUE;
    fake_block *block = *at;
    *at = block->next;
    fake.used -= block->bytes;
    fake.live--;
    free(block);
    ENTER();
    return CUDA_OK;
}

cuda_result cuMemHostAlloc(void **block, size_t bytes, unsigned flags)
{
    ENTER();
    (void)flags;
    *block = malloc(bytes);
    fake.live++;
    return CUDA_OK;
}

cuda_result cuMemFreeHost(void *block)
{
    fake_finish();
    free(block);
    fake.live--;
    ENTER();
    return CUDA_OK;
}

typedef struct copied {
    void *to;
    const void *from;
    size_t bytes;
} copied;

static void run_copy(const void *data)
{
    const copied *c = data;
    memcpy(c->to, c->from, c->bytes);
}

static cuda_result give_copy(cuda_stream stream, const copied *c)
{
    work w = {.kind = WORK_COPY, .to = c->to, .from = c->from, .bytes = c->bytes};
    if (!stream->capture) {
        fake_work_add(stream, w);
        return CUDA_OK;
    }
    w = (work){.kind = WORK_HOST, .host = {.call = run_copy}};
    memcpy(w.host.data, c, sizeof *c);
    return fake_capture(stream->capture, &w);
}

cuda_result cuMemcpyHtoDAsync_v2(cuda_address to, const void *from, size_t bytes,
                                 cuda_stream stream)
{
    ENTER();
    if (!in_memory(to, bytes)) return CUDA_INVALID_VALUE;
    return give_copy(stream, &(copied){(void *)(uintptr_t)to, from, bytes});
}

cuda_result cuMemcpyDtoHAsync_v2(void *to, cuda_address from, size_t bytes, cuda_stream stream)
{
    ENTER();
    if (!in_memory(from, bytes)) return CUDA_INVALID_VALUE;
    return give_copy(stream, &(copied){to, (const void *)(uintptr_t)from, bytes});
}

cuda_result cuMemsetD8Async(cuda_address to, unsigned char value, size_t bytes, cuda_stream stream)
{
    ENTER();
    if (!in_memory(to, bytes)) return CUDA_INVALID_VALUE;
    fake_work_add(
        stream,
        (work){.kind = WORK_FILL, .to = (void *)(uintptr_t)to, .value = value, .bytes = bytes});
    return CUDA_OK;
}
