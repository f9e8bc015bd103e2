/* See faulty_opencl.h. */
#include "faulty_opencl.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/opencl/opencl.h"

#define BUFFERS_MAX 256
#define PROGRAMS_MAX 256

static struct {
    opencl_library real;
    bool ready;
    int calls, fail_at, status;
    bool sticky, lost;
    const char *last;
    int live, builds;
    long long memory;
    size_t used;
    struct {
        cl_memory buffer;
        size_t bytes;
    } buffers[BUFFERS_MAX];
    /* Kept, so that the same text is compiled once in the life of the process. */
    cl_context context;
    cl_int (*retain_context)(cl_context);
    cl_int (*retain_program)(cl_program);
    struct {
        char *text;
        cl_program program;
        bool built;
    } programs[PROGRAMS_MAX];
    int program_count;
} faulty = {.last = ""};

static long long number(const char *name, long long otherwise)
{
    const char *text = getenv(name);
    return text && *text ? atoll(text) : otherwise;
}

__attribute__((constructor)) static void start(void)
{
    faulty.fail_at = (int)number("FAULTY_OPENCL_FAIL_AT", 0);
    faulty.status = (int)number("FAULTY_OPENCL_STATUS", CL_OUT_OF_RESOURCES);
    faulty.sticky = number("FAULTY_OPENCL_STICKY", 0) != 0;
    faulty.memory = number("FAULTY_OPENCL_MEMORY", 0);
}

/* By its file: its name would find this library itself. */
static void open_real(void)
{
    opencl_library *real = &faulty.real;
    faulty.ready = true;
    real->handle = dlopen("libOpenCL.so.1", RTLD_NOW | RTLD_LOCAL);
    if (!real->handle || dlsym(real->handle, "faulty_opencl_calls")) {
        fprintf(stderr, "faulty_opencl: the system's libOpenCL.so.1 is not found\n");
        abort();
    }
#define X(result, name, parameters) *(void **)&real->name = dlsym(real->handle, #name);
    OPENCL_FUNCTIONS(X)
#undef X
    *(void **)&faulty.retain_context = dlsym(real->handle, "clRetainContext");
    *(void **)&faulty.retain_program = dlsym(real->handle, "clRetainProgram");
}

/* 0, or the status with which this call fails. */
static cl_int enter(const char *name)
{
    if (!faulty.ready) open_real();
    if (faulty.lost) return faulty.status;
    faulty.calls++;
    if (!faulty.fail_at || faulty.calls != faulty.fail_at) return CL_OK;
    faulty.last = name;
    faulty.lost = faulty.sticky;
    return faulty.status;
}

#define ENTER()                                 \
    do {                                        \
        cl_int entered_ = enter(__func__);      \
        if (entered_ != CL_OK) return entered_; \
    } while (0)

#define ENTER_MAKING(status)                 \
    do {                                     \
        *(status) = enter(__func__);         \
        if (*(status) != CL_OK) return NULL; \
    } while (0)

static void *made(void *object)
{
    faulty.live += object != NULL;
    return object;
}

void faulty_opencl_fail_at(int n, int status, int sticky)
{
    faulty.calls = 0;
    faulty.fail_at = n;
    faulty.status = status;
    faulty.sticky = sticky;
    faulty.lost = false;
    faulty.last = "";
}

int faulty_opencl_calls(void)
{
    return faulty.calls;
}

const char *faulty_opencl_last(void)
{
    return faulty.last;
}

int faulty_opencl_live(void)
{
    return faulty.live;
}

int faulty_opencl_builds(void)
{
    return faulty.builds;
}

/* ---------------------------------------------------------------- platforms and devices */

cl_int clGetPlatformIDs(cl_uint room, cl_platform *out, cl_uint *count)
{
    ENTER();
    if (number("FAULTY_OPENCL_PLATFORMS", 1) == 0) return CL_NO_PLATFORM;
    return faulty.real.clGetPlatformIDs(room, out, count);
}

cl_int clGetPlatformInfo(cl_platform platform, cl_uint what, size_t room, void *out, size_t *bytes)
{
    ENTER();
    return faulty.real.clGetPlatformInfo(platform, what, room, out, bytes);
}

cl_int clGetDeviceIDs(cl_platform platform, cl_ulong type, cl_uint room, cl_device *out,
                      cl_uint *count)
{
    ENTER();
    if (number("FAULTY_OPENCL_DEVICES", 1) == 0) return CL_DEVICE_NOT_FOUND;
    return faulty.real.clGetDeviceIDs(platform, type, room, out, count);
}

cl_int clGetDeviceInfo(cl_device device, cl_uint what, size_t room, void *out, size_t *bytes)
{
    ENTER();
    const char *driver = getenv("FAULTY_OPENCL_DRIVER");
    cl_int status = faulty.real.clGetDeviceInfo(device, what, room, out, bytes);
    if (what == CL_DEVICE_MEMORY && faulty.memory) memcpy(out, &faulty.memory, sizeof(cl_ulong));
    if (what == CL_DRIVER_VERSION && driver) snprintf(out, room, "%s", driver);
    return status;
}

/* ---------------------------------------------------------------- objects */

cl_context clCreateContext(const intptr_t *properties, cl_uint count, const cl_device *devices,
                           void *notify, void *context, cl_int *status)
{
    ENTER_MAKING(status);
    if (!faulty.context)
        faulty.context =
            faulty.real.clCreateContext(properties, count, devices, notify, context, status);
    if (faulty.context) faulty.retain_context(faulty.context);
    return made(faulty.context);
}

cl_queue clCreateCommandQueue(cl_context context, cl_device device, cl_ulong properties,
                              cl_int *status)
{
    ENTER_MAKING(status);
    return made(faulty.real.clCreateCommandQueue(context, device, properties, status));
}

cl_program clCreateProgramWithSource(cl_context context, cl_uint count, const char **texts,
                                     const size_t *lengths, cl_int *status)
{
    ENTER_MAKING(status);
    for (int i = 0; i < faulty.program_count; i++)
        if (strcmp(faulty.programs[i].text, texts[0]) == 0) {
            faulty.retain_program(faulty.programs[i].program);
            return made(faulty.programs[i].program);
        }
    cl_program made_now =
        faulty.real.clCreateProgramWithSource(context, count, texts, lengths, status);
    if (made_now && faulty.program_count < PROGRAMS_MAX) {
        faulty.programs[faulty.program_count].text = strdup(texts[0]);
        faulty.programs[faulty.program_count++].program = made_now;
        faulty.retain_program(made_now);
    }
    return made(made_now);
}

cl_kernel clCreateKernel(cl_program program, const char *name, cl_int *status)
{
    ENTER_MAKING(status);
    return made(faulty.real.clCreateKernel(program, name, status));
}

cl_memory clCreateBuffer(cl_context context, cl_ulong flags, size_t bytes, void *host,
                         cl_int *status)
{
    ENTER_MAKING(status);
    if (faulty.memory && faulty.used + bytes > (size_t)faulty.memory) {
        *status = CL_OUT_OF_DEVICE_MEMORY;
        return NULL;
    }
    cl_memory buffer = made(faulty.real.clCreateBuffer(context, flags, bytes, host, status));
    for (int i = 0; buffer && i < BUFFERS_MAX; i++)
        if (!faulty.buffers[i].buffer) {
            faulty.buffers[i].buffer = buffer;
            faulty.buffers[i].bytes = bytes;
            faulty.used += bytes;
            return buffer;
        }
    return buffer;
}

/* Given back even where the call fails. */
#define RELEASE(name, type, what)                 \
    cl_int name(type what)                        \
    {                                             \
        cl_int failed = enter(#name);             \
        cl_int status = faulty.real.name(what);   \
        if (status == CL_OK) faulty.live--;       \
        return failed != CL_OK ? failed : status; \
    }

RELEASE(clReleaseContext, cl_context, context)
RELEASE(clReleaseCommandQueue, cl_queue, queue)
RELEASE(clReleaseProgram, cl_program, program)
RELEASE(clReleaseKernel, cl_kernel, kernel)
RELEASE(clReleaseEvent, cl_event, event)

cl_int clGetMemObjectInfo(cl_memory buffer, cl_uint what, size_t room, void *out, size_t *bytes)
{
    ENTER();
    return faulty.real.clGetMemObjectInfo(buffer, what, room, out, bytes);
}

cl_int clReleaseMemObject(cl_memory buffer)
{
    cl_int failed = enter("clReleaseMemObject");
    for (int i = 0; i < BUFFERS_MAX; i++)
        if (faulty.buffers[i].buffer == buffer) {
            faulty.buffers[i].buffer = NULL;
            faulty.used -= faulty.buffers[i].bytes;
        }
    cl_int status = faulty.real.clReleaseMemObject(buffer);
    if (status == CL_OK) faulty.live--;
    return failed != CL_OK ? failed : status;
}

/* ---------------------------------------------------------------- programs and work */

cl_int clBuildProgram(cl_program program, cl_uint count, const cl_device *devices,
                      const char *options, void *notify, void *context)
{
    ENTER();
    faulty.builds++;
    for (int i = 0; i < faulty.program_count; i++)
        if (faulty.programs[i].program == program && faulty.programs[i].built) return CL_OK;
    cl_int status = faulty.real.clBuildProgram(program, count, devices, options, notify, context);
    for (int i = 0; i < faulty.program_count; i++)
        if (faulty.programs[i].program == program) faulty.programs[i].built = status == CL_OK;
    return status;
}

cl_int clGetProgramBuildInfo(cl_program program, cl_device device, cl_uint what, size_t room,
                             void *out, size_t *bytes)
{
    ENTER();
    return faulty.real.clGetProgramBuildInfo(program, device, what, room, out, bytes);
}

cl_int clSetKernelArg(cl_kernel kernel, cl_uint index, size_t bytes, const void *value)
{
    ENTER();
    return faulty.real.clSetKernelArg(kernel, index, bytes, value);
}

cl_int clEnqueueWriteBuffer(cl_queue queue, cl_memory buffer, cl_uint wait, size_t offset,
                            size_t bytes, const void *data, cl_uint count, const void *events,
                            void *event)
{
    ENTER();
    return faulty.real.clEnqueueWriteBuffer(queue, buffer, wait, offset, bytes, data, count, events,
                                            event);
}

cl_int clEnqueueReadBuffer(cl_queue queue, cl_memory buffer, cl_uint wait, size_t offset,
                           size_t bytes, void *data, cl_uint count, const void *events, void *event)
{
    ENTER();
    return faulty.real.clEnqueueReadBuffer(queue, buffer, wait, offset, bytes, data, count, events,
                                           event);
}

cl_int clEnqueueFillBuffer(cl_queue queue, cl_memory buffer, const void *pattern,
                           size_t pattern_bytes, size_t offset, size_t bytes, cl_uint count,
                           const void *events, void *event)
{
    ENTER();
    return faulty.real.clEnqueueFillBuffer(queue, buffer, pattern, pattern_bytes, offset, bytes,
                                           count, events, event);
}

void *clEnqueueMapBuffer(cl_queue queue, cl_memory buffer, cl_uint wait, cl_ulong flags,
                         size_t offset, size_t bytes, cl_uint count, const void *events,
                         void *event, cl_int *status)
{
    ENTER_MAKING(status);
    return made(faulty.real.clEnqueueMapBuffer(queue, buffer, wait, flags, offset, bytes, count,
                                               events, event, status));
}

/* Given back even where the call fails. */
cl_int clEnqueueUnmapMemObject(cl_queue queue, cl_memory buffer, void *memory, cl_uint count,
                               const void *events, void *event)
{
    cl_int failed = enter("clEnqueueUnmapMemObject");
    cl_int status =
        faulty.real.clEnqueueUnmapMemObject(queue, buffer, memory, count, events, event);
    if (status == CL_OK) faulty.live--;
    return failed != CL_OK ? failed : status;
}

cl_int clEnqueueMarkerWithWaitList(cl_queue queue, cl_uint count, const cl_event *events,
                                   cl_event *event)
{
    ENTER();
    cl_int status = faulty.real.clEnqueueMarkerWithWaitList(queue, count, events, event);
    if (status == CL_OK && event) made(*event);
    return status;
}

cl_int clEnqueueBarrierWithWaitList(cl_queue queue, cl_uint count, const cl_event *events,
                                    cl_event *event)
{
    ENTER();
    cl_int status = faulty.real.clEnqueueBarrierWithWaitList(queue, count, events, event);
    if (status == CL_OK && event) made(*event);
    return status;
}

cl_int clWaitForEvents(cl_uint count, const cl_event *events)
{
    ENTER();
    return faulty.real.clWaitForEvents(count, events);
}

cl_int clEnqueueNDRangeKernel(cl_queue queue, cl_kernel kernel, cl_uint dimensions,
                              const size_t *offset, const size_t *items, const size_t *group,
                              cl_uint count, const void *events, void *event)
{
    ENTER();
    return faulty.real.clEnqueueNDRangeKernel(queue, kernel, dimensions, offset, items, group,
                                              count, events, event);
}

cl_int clFlush(cl_queue queue)
{
    ENTER();
    return faulty.real.clFlush(queue);
}

cl_int clFinish(cl_queue queue)
{
    ENTER();
    return faulty.real.clFinish(queue);
}
