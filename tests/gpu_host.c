/* A driver that runs kernels on the processor (gpu_host.h). */
#include "gpu_host.h"

#include <dlfcn.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fibers.h"
#include "kernel_cache.h"

#ifdef GPU_HOST_SANITIZE
void __asan_poison_memory_region(void const volatile *, size_t);
void __asan_unpoison_memory_region(void const volatile *, size_t);
#define POISON(at, bytes) __asan_poison_memory_region((at), (bytes))
#define UNPOISON(at, bytes) __asan_unpoison_memory_region((at), (bytes))
#else
#define GPU_HOST_SANITIZE "-g1"
#define POISON(at, bytes) ((void)(at), (void)(bytes))
#define UNPOISON(at, bytes) ((void)(at), (void)(bytes))
#endif

#define BUFFERS_MAX 64
#define FIBER_GROUPS 2 /* of a launch, so that a group does several rounds */

typedef struct host_buffer {
    unsigned char *data;
    size_t bytes;
} host_buffer;

#define CODE_PATH_MAX 512

/* A text that was compiled, and where its code is: in the cache of the tests, else in our folder.
 */
typedef struct host_code {
    char *text;
    struct host_code *next;
    int number;
    bool is_kept;
    char object[CODE_PATH_MAX];
} host_code;

typedef struct host_driver {
    gpu_driver base;
    gpu_host_kind kind;
    gpu_host_order order;
    gpu_host_change *change;
    void *change_context;
    char folder[64];
    host_code *codes;
    host_buffer buffers[BUFFERS_MAX];
} host_driver;

struct gpu_function {
    gpu_module *module;
    void (*call)(void *const *arguments);
    gpu_function *next;
    char name[64];
};

struct gpu_module {
    void *handle;
    int *place; /* dialect_place: the group, their number, the item */
    void (**wait)(int for_warp);
    gpu_function *functions;
};

struct gpu_sequence {
    int count;
    gpu_launch launches[];
};

static const char *code_path(const host_driver *d, int number, const char *ending, char *path)
{
    snprintf(path, CODE_PATH_MAX, "%s/%d.%s", d->folder, number, ending);
    return path;
}

static void host_close(gpu_driver *driver)
{
    host_driver *d = (host_driver *)driver;
    for (host_code *c = d->codes, *next; c; c = next) {
        next = c->next;
        if (!c->is_kept) unlink(c->object);
        free(c->text);
        free(c);
    }
    rmdir(d->folder);
    free(d);
}

static be_status host_alloc(gpu_driver *driver, size_t bytes, const char *what, gpu_buffer *out,
                            be_error *err)
{
    host_driver *d = (host_driver *)driver;
    (void)what;
    (void)err;
    for (int i = 0; i < BUFFERS_MAX; i++) {
        if (d->buffers[i].data) continue;
        /* What lies behind the end is poisoned with the rest. */
        size_t room = (bytes + 64) / 64 * 64;
        unsigned char *data = aligned_alloc(64, room);
        if (!data) abort();
        d->buffers[i] = (host_buffer){data, room};
        *out = (gpu_buffer)data;
        return BE_OK;
    }
    abort();
}

static void host_free(gpu_driver *driver, gpu_buffer buffer)
{
    host_driver *d = (host_driver *)driver;
    for (int i = 0; i < BUFFERS_MAX; i++)
        if ((gpu_buffer)d->buffers[i].data == buffer) d->buffers[i] = (host_buffer){0};
    free((void *)buffer);
}

static be_status host_upload(gpu_driver *driver, gpu_buffer buffer, size_t offset, const void *data,
                             size_t bytes, be_error *err)
{
    (void)driver;
    (void)err;
    memcpy((char *)buffer + offset, data, bytes);
    return BE_OK;
}

static be_status host_download(gpu_driver *driver, gpu_buffer buffer, size_t offset, void *data,
                               size_t bytes, be_error *err)
{
    (void)driver;
    (void)err;
    memcpy(data, (const char *)buffer + offset, bytes);
    return BE_OK;
}

static be_status host_clear(gpu_driver *driver, gpu_buffer buffer, size_t offset, size_t bytes,
                            be_error *err)
{
    (void)driver;
    (void)err;
    memset((char *)buffer + offset, 0, bytes);
    return BE_OK;
}

/* One parameter of a kernel as an argument of the wrapper's call. */
static void write_argument(FILE *file, const char *start, size_t length, int index)
{
    char text[200], type[40];
    MUST(length < sizeof text);
    memcpy(text, start, length);
    text[length] = 0;
    fprintf(file, ", ");
    if (strncmp(text, "ITEM_ARG", 8) == 0) memset(text, ' ', 8);
    if (sscanf(text, " ARG_IN( %39[^,],", type) == 1)
        fprintf(file, "(const %s *)a[%d]", type, index);
    else if (sscanf(text, " ARG_OUT( %39[^,],", type) == 1)
        fprintf(file, "(%s *)a[%d]", type, index);
    else if (strncmp(text + strspn(text, " \n"), "ARG_INT(", 8) == 0)
        fprintf(file, "*(const int *)a[%d]", index);
    else if (strncmp(text + strspn(text, " \n"), "ARG_FLOAT(", 10) == 0)
        fprintf(file, "*(const float *)a[%d]", index);
    else
        MUST(!"a parameter is ARG_IN, ARG_OUT, ARG_INT or ARG_FLOAT");
}

/* After the kernels: for each KERNEL name(…) a function name_call(void *const *arguments). */
static void write_wrappers(FILE *file, const char *text)
{
    for (const char *at = text; (at = strstr(at, "\nKERNEL ")); at++) {
        const char *name = at + 8, *open = strchr(name, '('), *start = open + 1;
        int depth = 1, index = 0;
        fprintf(file, "void %.*s_call(void *const *a)\n{\n    %.*s(dialect_place",
                (int)(open - name), name, (int)(open - name), name);
        for (const char *p = start; depth > 0; p++) {
            depth += (*p == '(') - (*p == ')');
            if (depth == 0 || (depth == 1 && *p == ',')) {
                write_argument(file, start, (size_t)(p - start), index++);
                start = p + 1;
            }
        }
        fprintf(file, ");\n}\n");
    }
}

/* With the sanitizers compiling takes most of the time, and without optimizing half of that: the
 * kernels that run are few and small. */
#define SERIAL                                                                                 \
    "-std=gnu17", "-w", "-O0", "-g1", "-fPIC", "-shared", "-Wl,-Bsymbolic", GPU_HOST_SANITIZE, \
        "-fno-sanitize-recover=all"
#define FIBERS "-std=gnu17", "-w", "-O1", "-fPIC", "-shared", "-Wl,-Bsymbolic", "-DFIBERS"
#define TEXT_OF(...) TEXT_OF_ALL(__VA_ARGS__)
#define TEXT_OF_ALL(...) #__VA_ARGS__
#define SERIAL_TEXT TEXT_OF(SERIAL)
#define FIBERS_TEXT TEXT_OF(FIBERS)

static be_status run_compiler(const host_driver *d, const char *source, const char *object,
                              be_error *err)
{
    const char *serial[] = {GPU_HOST_CC, SERIAL, "-o", object, source, "-lm", NULL};
    const char *fibers[] = {GPU_HOST_CC, FIBERS, "-o", object, source, "-lm", NULL};
    const char **arguments = d->kind == GPU_HOST_SERIAL ? serial : fibers;
    pid_t child;
    int status = 0;
    /* A fork would copy the page tables of all that the sanitizers reserve. */
    if (posix_spawnp(&child, arguments[0], NULL, NULL, (char *const *)arguments, environ) != 0 ||
        waitpid(child, &status, 0) != child || status != 0)
        FAIL(err, BE_DRIVER, "%s of %s failed (%d); the log is above", GPU_HOST_CC, source, status);
    return BE_OK;
}

static void module_free(gpu_driver *driver, gpu_module *module)
{
    (void)driver;
    for (gpu_function *f = module->functions, *next; f; f = next) {
        next = f->next;
        free(f);
    }
    if (module->handle) dlclose(module->handle);
    free(module);
}

/* The object's path is in *code, whether it was compiled before or is now. */
static be_status compile_text(const host_driver *d, host_code *code, be_error *err)
{
    char source[CODE_PATH_MAX], made[CODE_PATH_MAX + 24];
    FILE *file = fopen(code_path(d, code->number, "c", source), "w");
    if (!file) abort();
    fprintf(file, "/* by %s %s: %s */\n", GPU_HOST_CC, GPU_HOST_CC_VERSION,
            d->kind == GPU_HOST_SERIAL ? SERIAL_TEXT : FIBERS_TEXT);
    fputs(code->text, file);
    write_wrappers(file, code->text);
    fclose(file);
    bool is_there = kernel_cache_find(source, "host", code->object, sizeof code->object);
    be_status status = BE_OK;
    code->is_kept = *code->object;
    if (!code->is_kept) {
        status = run_compiler(d, source, code_path(d, code->number, "so", code->object), err);
    } else if (!is_there) {
        snprintf(made, sizeof made, "%s.%ld", code->object, (long)getpid());
        status = run_compiler(d, source, made, err);
        if (status == BE_OK && !kernel_cache_keep(made, code->object)) abort();
    }
    unlink(source);
    return status;
}

/* The code of a text, compiled when it first comes. */
static be_status find_code(host_driver *d, const char *text, const host_code **out, be_error *err)
{
    for (const host_code *c = d->codes; c; c = c->next) {
        *out = c;
        if (strcmp(c->text, text) == 0) return BE_OK;
    }
    host_code *code = calloc(1, sizeof *code);
    if (!code || !(code->text = strdup(text))) abort();
    code->number = d->codes ? d->codes->number + 1 : 0;
    be_status status = compile_text(d, code, err);
    if (status != BE_OK) {
        free(code->text);
        free(code);
        return status;
    }
    code->next = d->codes;
    *out = d->codes = code;
    return BE_OK;
}

/* Loaded anew each time, so that local memory holds nothing of an earlier program. */
static be_status compile_one(host_driver *d, const gpu_text *text, gpu_module **out, be_error *err)
{
    const host_code *code = NULL;
    char *changed = d->change ? d->change(text->name, text->text, d->change_context) : NULL;
    be_status status = find_code(d, changed ? changed : text->text, &code, err);
    free(changed);
    TRY(status);
    gpu_module *module = calloc(1, sizeof *module);
    if (!module) abort();
    module->handle = dlopen(code->object, RTLD_NOW | RTLD_LOCAL);
    if (!module->handle) {
        module_free(&d->base, module);
        FAIL(err, BE_DRIVER, "%s", dlerror());
    }
    module->place = dlsym(module->handle, "dialect_place");
    module->wait = dlsym(module->handle, "dialect_wait");
    *out = module;
    return BE_OK;
}

static be_status host_compile(gpu_driver *driver, const gpu_text *texts, int count,
                              gpu_module **out, be_error *err)
{
    for (int i = 0; i < count; i++) {
        be_status status = compile_one((host_driver *)driver, &texts[i], &out[i], err);
        if (status == BE_OK) continue;
        while (i-- > 0) module_free(driver, out[i]);
        return status;
    }
    return BE_OK;
}

static be_status host_function(gpu_driver *driver, gpu_module *module, const char *name,
                               const gpu_function **out, be_error *err)
{
    char symbol[80];
    (void)driver;
    for (gpu_function *f = module->functions; f; f = f->next)
        if (strcmp(f->name, name) == 0) {
            *out = f;
            return BE_OK;
        }
    gpu_function *f = calloc(1, sizeof *f);
    if (!f) abort();
    snprintf(symbol, sizeof symbol, "%s_call", name);
    snprintf(f->name, sizeof f->name, "%s", name);
    f->module = module;
    *(void **)&f->call = dlsym(module->handle, symbol);
    f->next = module->functions;
    module->functions = f;
    *out = f;
    if (!f->call) FAIL(err, BE_DRIVER, "no kernel %s", name);
    return BE_OK;
}

static be_status fiber_group(const host_driver *d, const gpu_launch *launch, void *const *arguments,
                             be_error *err)
{
    const gpu_function *f = launch->function;
    const fiber_order orders[] = {[GPU_HOST_FORWARD] = FIBERS_FORWARD,
                                  [GPU_HOST_REVERSE] = FIBERS_REVERSE,
                                  [GPU_HOST_SHUFFLED] = FIBERS_SHUFFLED};
    const char *wrong =
        fibers_run(launch->group, orders[d->order], &f->module->place[2], f->call, arguments);
    if (wrong) FAIL(err, BE_FAILED, "kernel %s: %s", f->name, wrong);
    return BE_OK;
}

static void poison_rest(host_driver *d, const gpu_launch *launch)
{
    for (int i = 0; i < BUFFERS_MAX; i++)
        if (d->buffers[i].data) POISON(d->buffers[i].data, d->buffers[i].bytes);
    for (int i = 0; i < launch->argument_count; i++) {
        const gpu_span *span = &launch->arguments[i].span;
        if (launch->arguments[i].kind == GPU_ARGUMENT_SPAN && span->buffer)
            UNPOISON((char *)span->buffer + span->offset, span->bytes);
    }
}

static be_status host_launch(gpu_driver *driver, const gpu_launch *launch, be_error *err)
{
    host_driver *d = (host_driver *)driver;
    void *arguments[GPU_MAX_ARGUMENTS];
    be_status status = BE_OK;
    int groups = launch->groups;
    if (d->kind == GPU_HOST_FIBERS && groups > FIBER_GROUPS) groups = FIBER_GROUPS;
    for (int i = 0; i < launch->argument_count; i++) {
        const gpu_argument *a = &launch->arguments[i];
        arguments[i] = a->kind == GPU_ARGUMENT_I32   ? (void *)&a->i32
                       : a->kind == GPU_ARGUMENT_F32 ? (void *)&a->f32
                       : a->span.buffer ? (void *)((char *)a->span.buffer + a->span.offset)
                                        : NULL;
    }
    const gpu_module *module = launch->function->module;
    module->place[1] = groups;
    if (d->kind == GPU_HOST_FIBERS) *module->wait = fiber_wait;
    if (d->kind == GPU_HOST_SERIAL) poison_rest(d, launch);
    for (int g = 0; status == BE_OK && g < groups; g++) {
        module->place[0] = g;
        if (d->kind == GPU_HOST_FIBERS)
            status = fiber_group(d, launch, arguments, err);
        else
            launch->function->call(arguments);
    }
    for (int i = 0; i < BUFFERS_MAX; i++)
        if (d->buffers[i].data) UNPOISON(d->buffers[i].data, d->buffers[i].bytes);
    d->base.launches++;
    return status;
}

static be_status host_sequence(gpu_driver *driver, const gpu_launch *launches, int count,
                               gpu_sequence **out, be_error *err)
{
    size_t bytes = (size_t)count * sizeof(gpu_launch);
    (void)driver;
    (void)err;
    *out = malloc(sizeof(gpu_sequence) + bytes);
    if (!*out) abort();
    (*out)->count = count;
    memcpy((*out)->launches, launches, bytes);
    return BE_OK;
}

static be_status host_replay(gpu_driver *driver, gpu_sequence *sequence, int64_t times,
                             be_error *err)
{
    for (int64_t t = 0; t < times; t++)
        for (int i = 0; i < sequence->count; i++)
            TRY(host_launch(driver, &sequence->launches[i], err));
    return BE_OK;
}

static void host_sequence_free(gpu_driver *driver, gpu_sequence *sequence)
{
    (void)driver;
    free(sequence);
}

/* One block of memory a slot. */
struct gpu_feed {
    void *slots[GPU_FEED_SLOTS];
};

static void host_feed_free(gpu_driver *driver, gpu_feed *feed)
{
    (void)driver;
    for (int i = 0; i < GPU_FEED_SLOTS; i++) free(feed->slots[i]);
    free(feed);
}

static be_status host_feed_new(gpu_driver *driver, size_t bytes, int slots, gpu_feed **out,
                               be_error *err)
{
    (void)driver;
    (void)err;
    *out = calloc(1, sizeof **out);
    if (!*out) abort();
    for (int i = 0; i < slots; i++) (*out)->slots[i] = calloc(1, bytes);
    return BE_OK;
}

static be_status host_transfer(gpu_driver *driver, gpu_span device, void *host, bool to_host,
                               be_error *err)
{
    (void)driver;
    (void)err;
    char *memory = (char *)device.buffer + device.offset;
    memcpy(to_host ? host : memory, to_host ? memory : host, device.bytes);
    return BE_OK;
}

static be_status host_feed_claim(gpu_driver *driver, gpu_feed *feed, int slot, void **memory,
                                 be_error *err)
{
    (void)driver;
    (void)err;
    *memory = feed->slots[slot];
    return BE_OK;
}

static be_status host_feed_send(gpu_driver *driver, gpu_feed *feed, int slot,
                                const gpu_copy *copies, int count, be_error *err)
{
    for (int i = 0; i < count; i++)
        TRY(host_upload(driver, copies[i].to, copies[i].to_offset,
                        (char *)feed->slots[slot] + copies[i].from_offset, copies[i].bytes, err));
    return BE_OK;
}

static be_status host_synchronise(gpu_driver *driver, be_error *err)
{
    (void)driver;
    (void)err;
    return BE_OK;
}

static const gpu_driver_vtable host_vtable = {.close = host_close,
                                              .alloc = host_alloc,
                                              .free = host_free,
                                              .upload = host_upload,
                                              .download = host_download,
                                              .clear = host_clear,
                                              .compile = host_compile,
                                              .module_free = module_free,
                                              .function = host_function,
                                              .launch = host_launch,
                                              .sequence = host_sequence,
                                              .replay = host_replay,
                                              .sequence_free = host_sequence_free,
                                              .feed_new = host_feed_new,
                                              .feed_free = host_feed_free,
                                              .feed_claim = host_feed_claim,
                                              .feed_send = host_feed_send,
                                              .transfer = host_transfer,
                                              .synchronise = host_synchronise};

static host_driver *driver_of(be_device *device)
{
    return (host_driver *)((gpu_device *)device)->driver;
}

void gpu_host_set_order(be_device *device, gpu_host_order order)
{
    driver_of(device)->order = order;
}

void gpu_host_set_change(be_device *device, gpu_host_change *change, void *context)
{
    driver_of(device)->change = change;
    driver_of(device)->change_context = context;
}

be_status gpu_host_open(gpu_host_kind kind, be_device **out, be_error *err)
{
    host_driver *d = calloc(1, sizeof *d);
    if (!d) abort();
    /* The sizes of a large GPU, so that the tests see the tiles that it gets. */
    d->base = (gpu_driver){.vtable = &host_vtable,
                           .dialect = gpu_source_dialect_host.text,
                           .facts = {.name = "the processor, by host C",
                                     .software = "host C",
                                     .units = 132,
                                     .group_max = 1024,
                                     .local_bytes = 49152,
                                     .memory_bytes = (size_t)1 << 32,
                                     .buffer_max_bytes = (size_t)1 << 32}};
    d->base.facts.tensor_cores = kind == GPU_HOST_FIBERS;
    d->kind = kind;
    const char *base = getenv("TMPDIR");
    snprintf(d->folder, sizeof d->folder, "%s/breakeven-gpu-XXXXXX", base ? base : "/tmp");
    if (!mkdtemp(d->folder)) {
        free(d);
        FAIL(err, BE_IO, "no folder for compiled kernels under %s", base ? base : "/tmp");
    }
    return gpu_device_new(&d->base, "host:0", out, err);
}
