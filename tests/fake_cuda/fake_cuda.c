/* See fake_cuda.h. */
#include "fake_cuda.h"

#include <dlfcn.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "backend/cuda/cuda_api.h"

#define FAKE_NODES 4096
#define FAKE_ARGUMENTS 32

/* ---------------------------------------------------------------- state */

static struct {
    bool started;
    int devices, version, capability, mode, visible[16];
    size_t memory, used;
    int calls, fail_at, fail_result;
    bool sticky, lost;
    const char *last;
    int live, replays, overlaps;
} fake = {.last = ""};

typedef struct fake_block {
    struct fake_block *next;
    size_t bytes;
    char data[] __attribute__((aligned(64)));
} fake_block;

static fake_block *blocks;

struct cuda_module_ {
    void *library;
    int fd; /* open as long as the library: dlopen knows libraries by their paths */
};

struct cuda_function_ {
    struct cuda_function_ *next;
    void (*call)(void **arguments, int groups);
    char name[64];
};

static struct cuda_function_ *functions;

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

struct cuda_event_ {
    long long recorded; /* number of the work after which it is */
};

struct cuda_stream_ {
    int unused;
};

static int number(const char *name, long long otherwise, long long *out)
{
    const char *text = getenv(name);
    *out = text && *text ? atoll(text) : otherwise;
    return (int)*out;
}

/* Does this call fail?  Every function of the driver begins with it. */
static int enter(const char *name)
{
    if (!fake.started) return CUDA_NOT_INITIALIZED;
    if (fake.lost) return fake.fail_result;
    fake.calls++;
    if (!fake.fail_at || fake.calls != fake.fail_at) return CUDA_OK;
    fake.last = name;
    fake.lost = fake.sticky;
    return fake.fail_result;
}

#define ENTER()                                   \
    do {                                          \
        int entered_ = enter(__func__);           \
        if (entered_ != CUDA_OK) return entered_; \
    } while (0)

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

/* ---------------------------------------------------------------- work that waits */

typedef enum work_kind { WORK_COPY, WORK_FILL, WORK_LAUNCH, WORK_GRAPH } work_kind;

typedef struct work {
    struct work *next;
    work_kind kind;
    void *to;
    const void *from;
    size_t bytes;
    int value;
    fake_launch launch;
    cuda_exec exec;
} work;

static work *work_first, **work_end = &work_first;
static long long work_given, work_done;

static void run_launch(fake_launch *launch)
{
    void *pointers[FAKE_ARGUMENTS];
    for (int i = 0; i < FAKE_ARGUMENTS; i++) pointers[i] = &launch->values[i];
    launch->function->call(pointers, launch->groups);
}

/* Again and again the last node that is ready. */
static void run_graph(cuda_exec exec)
{
    bool *done = calloc((size_t)exec->count + 1, 1);
    for (int left = exec->count; left > 0; left--) {
        int next = -1, earliest = -1;
        for (int n = exec->count - 1; n >= 0; n--) {
            if (done[n]) continue;
            earliest = n;
            bool ready = next < 0;
            for (int b = 0; ready && b < exec->nodes[n].before_count; b++)
                ready = done[exec->nodes[n].before[b]];
            if (ready) next = n;
        }
        if (next < 0) abort();
        fake.overlaps += next != earliest;
        run_launch(&exec->nodes[next].launch);
        done[next] = true;
    }
    free(done);
    fake.replays++;
}

static void work_run(work *w)
{
    if (w->kind == WORK_COPY) memcpy(w->to, w->from, w->bytes);
    if (w->kind == WORK_FILL) memset(w->to, w->value, w->bytes);
    if (w->kind == WORK_LAUNCH) run_launch(&w->launch);
    if (w->kind == WORK_GRAPH) run_graph(w->exec);
}

static void work_until(long long count)
{
    while (work_first && work_done < count) {
        work *w = work_first;
        work_first = w->next;
        if (!work_first) work_end = &work_first;
        work_run(w);
        free(w);
        work_done++;
    }
}

static void work_add(work w)
{
    work *copy = malloc(sizeof *copy);
    if (!copy) abort();
    *copy = w;
    copy->next = NULL;
    *work_end = copy;
    work_end = &copy->next;
    work_given++;
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
    *stream = calloc(1, sizeof **stream);
    fake.live++;
    return CUDA_OK;
}

cuda_result cuStreamDestroy_v2(cuda_stream stream)
{
    work_until(work_given);
    free(stream);
    fake.live--;
    ENTER();
    return CUDA_OK;
}

cuda_result cuStreamSynchronize(cuda_stream stream)
{
    ENTER();
    (void)stream;
    work_until(work_given);
    return CUDA_OK;
}

cuda_result cuEventCreate(cuda_event *event, unsigned flags)
{
    ENTER();
    (void)flags;
    *event = calloc(1, sizeof **event);
    fake.live++;
    return CUDA_OK;
}

cuda_result cuEventDestroy_v2(cuda_event event)
{
    free(event);
    fake.live--;
    ENTER();
    return CUDA_OK;
}

cuda_result cuEventRecord(cuda_event event, cuda_stream stream)
{
    ENTER();
    (void)stream;
    event->recorded = work_given;
    return CUDA_OK;
}

cuda_result cuEventSynchronize(cuda_event event)
{
    ENTER();
    work_until(event->recorded);
    return CUDA_OK;
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
    work_until(work_given);
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
    work_until(work_given);
    free(block);
    fake.live--;
    ENTER();
    return CUDA_OK;
}

cuda_result cuMemcpyHtoDAsync_v2(cuda_address to, const void *from, size_t bytes,
                                 cuda_stream stream)
{
    ENTER();
    (void)stream;
    if (!in_memory(to, bytes)) return CUDA_INVALID_VALUE;
    work_add((work){.kind = WORK_COPY, .to = (void *)(uintptr_t)to, .from = from, .bytes = bytes});
    return CUDA_OK;
}

cuda_result cuMemcpyDtoHAsync_v2(void *to, cuda_address from, size_t bytes, cuda_stream stream)
{
    ENTER();
    (void)stream;
    if (!in_memory(from, bytes)) return CUDA_INVALID_VALUE;
    work_add(
        (work){.kind = WORK_COPY, .to = to, .from = (const void *)(uintptr_t)from, .bytes = bytes});
    return CUDA_OK;
}

cuda_result cuMemsetD8Async(cuda_address to, unsigned char value, size_t bytes, cuda_stream stream)
{
    ENTER();
    (void)stream;
    if (!in_memory(to, bytes)) return CUDA_INVALID_VALUE;
    work_add(
        (work){.kind = WORK_FILL, .to = (void *)(uintptr_t)to, .value = value, .bytes = bytes});
    return CUDA_OK;
}

/* ---------------------------------------------------------------- code */

cuda_result cuModuleLoadData(cuda_module *module, const void *image)
{
    ENTER();
    fake_code head;
    char path[64];
    memcpy(&head, image, sizeof head);
    if (memcmp(head.magic, FAKE_CODE_MAGIC, sizeof head.magic) != 0) return CUDA_INVALID_IMAGE;
    int fd = memfd_create("fake-code", MFD_CLOEXEC);
    if (fd < 0) return CUDA_OUT_OF_MEMORY;
    bool written = write(fd, (const char *)image + sizeof head, head.bytes) == (ssize_t)head.bytes;
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    void *library = written ? dlopen(path, RTLD_NOW | RTLD_LOCAL) : NULL;
    if (!library) {
        close(fd);
        return CUDA_INVALID_IMAGE;
    }
    *module = malloc(sizeof **module);
    **module = (struct cuda_module_){library, fd};
    fake.live++;
    return CUDA_OK;
}

cuda_result cuModuleUnload(cuda_module module)
{
    work_until(work_given);
    dlclose(module->library);
    close(module->fd);
    free(module);
    fake.live--;
    ENTER();
    return CUDA_OK;
}

cuda_result cuModuleGetFunction(cuda_function *function, cuda_module module, const char *name)
{
    ENTER();
    char symbol[128];
    snprintf(symbol, sizeof symbol, "fake_call_%s", name);
    void *call = dlsym(module->library, symbol);
    if (!call) return CUDA_NOT_FOUND;
    struct cuda_function_ *made = calloc(1, sizeof *made);
    *(void **)&made->call = call;
    snprintf(made->name, sizeof made->name, "%s", name);
    made->next = functions;
    functions = made;
    *function = made;
    return CUDA_OK;
}

/* Functions live as long as the process; LeakSanitizer shall see that they are held. */
__attribute__((destructor)) static void free_functions(void)
{
    while (functions) {
        struct cuda_function_ *next = functions->next;
        free(functions);
        functions = next;
    }
}

/* The values of the arguments are taken at once, as the driver does.  Their sizes are known to the
 * code of the kernel: it is asked with a number of groups below 0. */
static int take_launch(fake_launch *out, cuda_function function, unsigned groups, unsigned items,
                       void **arguments)
{
    if (!function || groups < 1 || items < 1 || items > 1024) return CUDA_INVALID_VALUE;
    *out = (fake_launch){.function = function, .groups = (int)groups};
    unsigned char sizes[FAKE_ARGUMENTS] = {0};
    void *ask[2] = {NULL, sizes};
    function->call(ask, -1);
    for (int i = 0; i < FAKE_ARGUMENTS && sizes[i]; i++)
        memcpy(&out->values[i], arguments[i], sizes[i]);
    return CUDA_OK;
}

cuda_result cuLaunchKernel(cuda_function function, unsigned gx, unsigned gy, unsigned gz,
                           unsigned bx, unsigned by, unsigned bz, unsigned shared,
                           cuda_stream stream, void **arguments, void **extra)
{
    ENTER();
    (void)stream, (void)shared;
    work w = {.kind = WORK_LAUNCH};
    if (gy != 1 || gz != 1 || by != 1 || bz != 1 || extra) return CUDA_INVALID_VALUE;
    int result = take_launch(&w.launch, function, gx, bx, arguments);
    if (result == CUDA_OK) work_add(w);
    return result;
}

/* ---------------------------------------------------------------- graphs */

cuda_result cuGraphCreate(cuda_graph *graph, unsigned flags)
{
    ENTER();
    (void)flags;
    *graph = calloc(1, sizeof **graph);
    fake.live++;
    return CUDA_OK;
}

cuda_result cuGraphAddKernelNode_v2(cuda_node *node, cuda_graph graph, const cuda_node *before,
                                    size_t count, const cuda_kernel_node *parameters)
{
    ENTER();
    if (graph->count == FAKE_NODES) return CUDA_OUT_OF_MEMORY;
    cuda_node made = calloc(1, sizeof *made);
    int result = take_launch(&made->launch, parameters->function, parameters->grid[0],
                             parameters->block[0], parameters->parameters);
    if (result != CUDA_OK) {
        free(made);
        return result;
    }
    made->index = graph->count;
    made->before_count = (int)count;
    made->before = calloc(count + 1, sizeof(int));
    for (size_t i = 0; i < count; i++) made->before[i] = before[i]->index;
    graph->nodes[graph->count++] = made;
    *node = made;
    return CUDA_OK;
}

cuda_result cuGraphDestroy(cuda_graph graph)
{
    for (int i = 0; i < graph->count; i++) {
        free(graph->nodes[i]->before);
        free(graph->nodes[i]);
    }
    free(graph);
    fake.live--;
    ENTER();
    return CUDA_OK;
}

cuda_result cuGraphInstantiateWithFlags(cuda_exec *exec, cuda_graph graph, unsigned long long flags)
{
    ENTER();
    (void)flags;
    *exec = calloc(1, sizeof **exec);
    (*exec)->count = graph->count;
    (*exec)->nodes = calloc((size_t)graph->count + 1, sizeof(struct cuda_node_));
    for (int i = 0; i < graph->count; i++) {
        struct cuda_node_ *copy = &(*exec)->nodes[i];
        size_t bytes = (size_t)(graph->nodes[i]->before_count + 1) * sizeof(int);
        *copy = *graph->nodes[i];
        copy->before = malloc(bytes);
        memcpy(copy->before, graph->nodes[i]->before, bytes);
    }
    fake.live++;
    return CUDA_OK;
}

cuda_result cuGraphExecDestroy(cuda_exec exec)
{
    work_until(work_given);
    for (int i = 0; i < exec->count; i++) free(exec->nodes[i].before);
    free(exec->nodes);
    free(exec);
    fake.live--;
    ENTER();
    return CUDA_OK;
}

cuda_result cuGraphUpload(cuda_exec exec, cuda_stream stream)
{
    ENTER();
    (void)exec, (void)stream;
    return CUDA_OK;
}

cuda_result cuGraphLaunch(cuda_exec exec, cuda_stream stream)
{
    ENTER();
    (void)stream;
    work_add((work){.kind = WORK_GRAPH, .exec = exec});
    return CUDA_OK;
}
