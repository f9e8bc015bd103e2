/* OpenCL as a driver of the shared GPU runtime: one context, one queue in order.
 *
 * A pointer parameter of a kernel is a buffer and an offset in bytes (docs/kernel-dialect.md).  A
 * sequence keeps a kernel object for each launch, with its arguments set once, and the tasks. */
#include <stdio.h>
#include <string.h>

#include "backend/opencl/opencl_driver.h"

#define FINISH_EVERY 64 /* replays between two waits, so that the queue stays short */

#define TUNE_SECONDS 20.0

struct gpu_function {
    cl_kernel kernel;
    cl_program program;
    gpu_function *next; /* of the module */
    char name[64];
};

struct gpu_module {
    cl_program program;
    gpu_function *functions;
};

typedef struct recorded {
    cl_kernel kernel; /* or a task */
    const gpu_task *task;
    size_t items, group;
} recorded;

struct gpu_sequence {
    int count;
    recorded launches[];
};

static void driver_close(gpu_driver *driver)
{
    opencl_driver *d = (opencl_driver *)driver;
    if (d->queue) {
        d->cl->clFinish(d->queue);
        d->cl->clReleaseCommandQueue(d->queue);
    }
    if (d->context) d->cl->clReleaseContext(d->context);
    memory_free(d->means);
    memory_free(d);
}

static be_status driver_alloc(gpu_driver *driver, size_t bytes, const char *what, gpu_buffer *out,
                              be_error *err)
{
    opencl_driver *d = (opencl_driver *)driver;
    cl_int status;
    unsigned char first = 0;
    *out = 0;
    if (bytes > d->base.facts.buffer_max_bytes)
        FAIL(err, BE_NO_MEMORY,
             "OpenCL: %s: %s need %.1f MiB, and a buffer of this device has at most %.1f MiB; use "
             "a smaller batch",
             d->base.facts.name, what, (double)bytes / 1048576.0,
             (double)d->base.facts.buffer_max_bytes / 1048576.0);
    if (bytes == 0) bytes = 1;
    cl_memory memory =
        d->cl->clCreateBuffer(d->context, CL_MEMORY_READ_WRITE, bytes, NULL, &status);
    /* Some drivers take the memory only when it is used first: use it here. */
    if (status == CL_OK) {
        status =
            d->cl->clEnqueueWriteBuffer(d->queue, memory, 1, bytes - 1, 1, &first, 0, NULL, NULL);
        if (status != CL_OK) d->cl->clReleaseMemObject(memory);
    }
    if (status != CL_OK) {
        be_status mine = opencl_fail(d, err, "making a buffer", status);
        status_prefix(err, "%s, %.1f MiB", what, (double)bytes / 1048576.0);
        return mine;
    }
    d->held_bytes += bytes;
    *out = (gpu_buffer)memory;
    return BE_OK;
}

static void driver_free(gpu_driver *driver, gpu_buffer buffer)
{
    opencl_driver *d = (opencl_driver *)driver;
    size_t bytes = 0;
    d->cl->clGetMemObjectInfo((cl_memory)buffer, CL_BUFFER_BYTES, sizeof bytes, &bytes, NULL);
    d->held_bytes -= bytes < d->held_bytes ? bytes : d->held_bytes;
    d->cl->clReleaseMemObject((cl_memory)buffer);
}

/* OpenCL cannot say what others hold. */
static size_t driver_memory_free(gpu_driver *driver)
{
    const opencl_driver *d = (const opencl_driver *)driver;
    size_t all = driver->facts.memory_bytes;
    return d->held_bytes < all ? all - d->held_bytes : 1;
}

static be_status driver_upload(gpu_driver *driver, gpu_buffer buffer, size_t offset,
                               const void *data, size_t bytes, be_error *err)
{
    opencl_driver *d = (opencl_driver *)driver;
    if (bytes == 0) return BE_OK;
    CL_TRY(d, "writing a buffer",
           d->cl->clEnqueueWriteBuffer(d->queue, (cl_memory)buffer, 1, offset, bytes, data, 0, NULL,
                                       NULL));
    return BE_OK;
}

static be_status driver_download(gpu_driver *driver, gpu_buffer buffer, size_t offset, void *data,
                                 size_t bytes, be_error *err)
{
    opencl_driver *d = (opencl_driver *)driver;
    if (bytes == 0) return BE_OK;
    CL_TRY(d, "reading a buffer",
           d->cl->clEnqueueReadBuffer(d->queue, (cl_memory)buffer, 1, offset, bytes, data, 0, NULL,
                                      NULL));
    driver->read_bytes += (int64_t)bytes;
    driver->waits++;
    return BE_OK;
}

static be_status driver_clear(gpu_driver *driver, gpu_buffer buffer, size_t offset, size_t bytes,
                              be_error *err)
{
    opencl_driver *d = (opencl_driver *)driver;
    unsigned char zero = 0;
    if (bytes == 0) return BE_OK;
    CL_TRY(d, "clearing a buffer",
           d->cl->clEnqueueFillBuffer(d->queue, (cl_memory)buffer, &zero, 1, offset, bytes, 0, NULL,
                                      NULL));
    return BE_OK;
}

/* From the first line that tells an error on: there may be warnings before it. */
static const char *log_errors(const char *log)
{
    const char *error = strstr(log, "error");
    while (error && error > log && error[-1] != '\n') error--;
    return error ? error : log;
}

static be_status build_failed(const opencl_driver *d, cl_program program, const char *name,
                              cl_int status, be_error *err)
{
    size_t length = 0;
    void *log = NULL;
    d->cl->clGetProgramBuildInfo(program, d->device, CL_BUILD_LOG, 0, NULL, &length);
    if (memory_alloc(&log, length + 1, "build log", NULL) == BE_OK)
        d->cl->clGetProgramBuildInfo(program, d->device, CL_BUILD_LOG, length, log, NULL);
    be_status mine = status_fail(err, __FILE__, __LINE__, BE_DRIVER,
                                 "OpenCL: %s: kernel %s does not compile (%d); update the driver, "
                                 "or report it with this log:\n%.600s",
                                 d->base.facts.name, name, status,
                                 log ? log_errors(log) : "no memory for the log");
    memory_free(log);
    return mine;
}

static void module_free(gpu_driver *driver, gpu_module *module)
{
    opencl_driver *d = (opencl_driver *)driver;
    for (gpu_function *f = module->functions, *next; f; f = next) {
        next = f->next;
        d->cl->clReleaseKernel(f->kernel);
        memory_free(f);
    }
    if (module->program) d->cl->clReleaseProgram(module->program);
    memory_free(module);
}

static be_status compile_one(opencl_driver *d, const gpu_text *text, gpu_module **out,
                             be_error *err)
{
    void *memory = NULL;
    cl_int status;
    const char *source = text->text;
    TRY(memory_alloc(&memory, sizeof(gpu_module), "module", err));
    gpu_module *module = memory;
    module->program = d->cl->clCreateProgramWithSource(d->context, 1, &source, NULL, &status);
    if (status != CL_OK) {
        module->program = NULL;
        module_free(&d->base, module);
        return opencl_fail(d, err, "making a program", status);
    }
    status = d->cl->clBuildProgram(module->program, 1, &d->device, "-cl-std=CL1.2", NULL, NULL);
    if (status != CL_OK) {
        be_status mine = build_failed(d, module->program, text->name, status, err);
        module_free(&d->base, module);
        return mine;
    }
    *out = module;
    return BE_OK;
}

static be_status driver_compile(gpu_driver *driver, const gpu_text *texts, int count,
                                gpu_module **out, be_error *err)
{
    for (int i = 0; i < count; i++) {
        be_status status = compile_one((opencl_driver *)driver, &texts[i], &out[i], err);
        if (status == BE_OK) continue;
        while (i-- > 0) module_free(driver, out[i]);
        return status;
    }
    return BE_OK;
}

static be_status driver_function(gpu_driver *driver, gpu_module *module, const char *name,
                                 const gpu_function **out, be_error *err)
{
    opencl_driver *d = (opencl_driver *)driver;
    void *memory = NULL;
    cl_int status;
    for (gpu_function *f = module->functions; f; f = f->next)
        if (strcmp(f->name, name) == 0) {
            *out = f;
            return BE_OK;
        }
    TRY(memory_alloc(&memory, sizeof(gpu_function), "kernel", err));
    gpu_function *f = memory;
    MUST(strlen(name) < sizeof f->name);
    strcpy(f->name, name);
    f->program = module->program;
    f->kernel = d->cl->clCreateKernel(module->program, name, &status);
    if (status != CL_OK) {
        memory_free(f);
        return opencl_fail(d, err, name, status);
    }
    f->next = module->functions;
    module->functions = f;
    *out = f;
    return BE_OK;
}

static be_status set_arguments(opencl_driver *d, cl_kernel kernel, const gpu_launch *launch,
                               be_error *err)
{
    cl_uint place = 0;
    cl_int status = CL_OK;
    for (int i = 0; status == CL_OK && i < launch->argument_count; i++) {
        const gpu_argument *a = &launch->arguments[i];
        cl_memory memory = (cl_memory)a->span.buffer;
        cl_ulong offset = a->span.offset;
        if (a->kind == GPU_ARGUMENT_I32)
            status = d->cl->clSetKernelArg(kernel, place++, sizeof a->i32, &a->i32);
        if (a->kind == GPU_ARGUMENT_F32)
            status = d->cl->clSetKernelArg(kernel, place++, sizeof a->f32, &a->f32);
        if (a->kind != GPU_ARGUMENT_SPAN) continue;
        status = d->cl->clSetKernelArg(kernel, place++, sizeof memory, &memory);
        if (status == CL_OK)
            status = d->cl->clSetKernelArg(kernel, place++, sizeof offset, &offset);
    }
    if (status != CL_OK) return opencl_fail(d, err, launch->function->name, status);
    return BE_OK;
}

static be_status enqueue(opencl_driver *d, cl_kernel kernel, size_t items, size_t group,
                         be_error *err)
{
    CL_TRY(d, "launching a kernel",
           d->cl->clEnqueueNDRangeKernel(d->queue, kernel, 1, NULL, &items, &group, 0, NULL, NULL));
    d->base.launches++;
    return BE_OK;
}

/* A call of a library counts as one launch, whatever it is made of. */
static be_status start_task(opencl_driver *d, const gpu_task *task, be_error *err)
{
    TRY(task->start(task, &d->base, err));
    d->base.launches++;
    return BE_OK;
}

static be_status driver_launch(gpu_driver *driver, const gpu_launch *launch, be_error *err)
{
    opencl_driver *d = (opencl_driver *)driver;
    if (launch->task) return start_task(d, launch->task, err);
    TRY(set_arguments(d, launch->function->kernel, launch, err));
    return enqueue(d, launch->function->kernel, (size_t)launch->groups * (size_t)launch->group,
                   (size_t)launch->group, err);
}

static void sequence_free(gpu_driver *driver, gpu_sequence *sequence)
{
    opencl_driver *d = (opencl_driver *)driver;
    d->cl->clFinish(d->queue);
    for (int i = 0; i < sequence->count; i++)
        if (sequence->launches[i].kernel) d->cl->clReleaseKernel(sequence->launches[i].kernel);
    memory_free(sequence);
}

static be_status sequence_fill(opencl_driver *d, const gpu_launch *launches, int count,
                               gpu_sequence *sequence, be_error *err)
{
    for (int i = 0; i < count; i++) {
        cl_int status;
        const gpu_launch *launch = &launches[i];
        if (launch->task) {
            /* Once, on memory that holds nothing yet: the library compiles at the first call. */
            if (!launch->task->is_counted) TRY(launch->task->start(launch->task, &d->base, err));
            sequence->launches[sequence->count++] = (recorded){.task = launch->task};
            continue;
        }
        cl_kernel kernel =
            d->cl->clCreateKernel(launch->function->program, launch->function->name, &status);
        if (status != CL_OK) return opencl_fail(d, err, launch->function->name, status);
        sequence->launches[sequence->count++] =
            (recorded){.kernel = kernel,
                       .items = (size_t)launch->groups * (size_t)launch->group,
                       .group = (size_t)launch->group};
        TRY(set_arguments(d, kernel, launch, err));
    }
    return BE_OK;
}

static be_status driver_sequence(gpu_driver *driver, const gpu_launch *launches, int count,
                                 gpu_sequence **out, be_error *err)
{
    void *memory = NULL;
    *out = NULL;
    TRY(memory_alloc(&memory, sizeof(gpu_sequence) + (size_t)count * sizeof(recorded), "launches",
                     err));
    be_status status = sequence_fill((opencl_driver *)driver, launches, count, memory, err);
    if (status == BE_OK)
        *out = memory;
    else
        sequence_free(driver, memory);
    return status;
}

static be_status driver_replay(gpu_driver *driver, gpu_sequence *sequence, int64_t times,
                               be_error *err)
{
    opencl_driver *d = (opencl_driver *)driver;
    for (int64_t t = 0; t < times; t++) {
        for (int i = 0; i < sequence->count; i++) {
            const recorded *r = &sequence->launches[i];
            if (r->task)
                TRY(start_task(d, r->task, err));
            else
                TRY(enqueue(d, r->kernel, r->items, r->group, err));
        }
        bool is_full = t % FINISH_EVERY == FINISH_EVERY - 1;
        CL_TRY(d, is_full ? "waiting" : "handing over",
               is_full ? d->cl->clFinish(d->queue) : d->cl->clFlush(d->queue));
        driver->waits += is_full;
    }
    return BE_OK;
}

static be_status driver_synchronise(gpu_driver *driver, be_error *err)
{
    opencl_driver *d = (opencl_driver *)driver;
    driver->waits++;
    CL_TRY(d, "waiting", d->cl->clFinish(d->queue));
    return BE_OK;
}

static const gpu_driver_vtable opencl_vtable = {.close = driver_close,
                                                .alloc = driver_alloc,
                                                .free = driver_free,
                                                .memory_free = driver_memory_free,
                                                .upload = driver_upload,
                                                .download = driver_download,
                                                .clear = driver_clear,
                                                .compile = driver_compile,
                                                .module_free = module_free,
                                                .function = driver_function,
                                                .launch = driver_launch,
                                                .sequence = driver_sequence,
                                                .replay = driver_replay,
                                                .sequence_free = sequence_free,
                                                .feed_new = opencl_feed_new,
                                                .feed_free = opencl_feed_free,
                                                .feed_claim = opencl_feed_claim,
                                                .feed_send = opencl_feed_send,
                                                .feed_release = opencl_feed_release,
                                                .transfer = opencl_transfer,
                                                .synchronise = driver_synchronise,
                                                .join_host = opencl_join_host,
                                                .mean = opencl_mean};

static be_status driver_start(opencl_driver *d, be_error *err)
{
    cl_int status;
    d->context = d->cl->clCreateContext(NULL, 1, &d->device, NULL, NULL, &status);
    if (status != CL_OK) {
        d->context = NULL;
        return opencl_fail(d, err, "making a context", status);
    }
    d->queue = d->cl->clCreateCommandQueue(d->context, d->device, 0, &status);
    if (status != CL_OK) {
        d->queue = NULL;
        return opencl_fail(d, err, "making a queue", status);
    }
    return BE_OK;
}

be_status opencl_driver_open(const opencl_library *cl, const opencl_place *place, gpu_driver **out,
                             be_error *err)
{
    void *memory = NULL;
    *out = NULL;
    TRY(memory_alloc(&memory, sizeof(opencl_driver), "OpenCL device", err));
    opencl_driver *d = memory;
    d->base.vtable = &opencl_vtable;
    d->base.dialect = gpu_source_dialect_opencl.text;
    d->cl = cl;
    d->device = place->device;
    be_status status = opencl_facts(cl, place, &d->base.facts, err);
    /* Nobody waits for a processor behind OpenCL to be fast: it is for tests. */
    if (!d->base.facts.is_cpu) d->base.tune_seconds = TUNE_SECONDS;
    if (status == BE_OK) status = driver_start(d, err);
    if (status == BE_OK)
        *out = &d->base;
    else
        driver_close(&d->base);
    return status;
}
