/* What an OpenCL driver tells: of its devices, and of its failures. */
#include <stdio.h>
#include <string.h>

#include "backend/opencl/opencl_driver.h"

be_status opencl_fail(const opencl_driver *d, be_error *err, const char *what, cl_int status)
{
    static const struct {
        cl_int status;
        const char *text;
    } texts[] = {{CL_OUT_OF_DEVICE_MEMORY, "the device has not enough memory"},
                 {CL_OUT_OF_RESOURCES, "the device is out of resources, or a kernel failed"},
                 {CL_OUT_OF_HOST_MEMORY, "the host has not enough memory"},
                 {CL_INVALID_BUFFER_SIZE, "the device has no buffers of this size"}};
    const char *text = "an error of the driver";
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        if (texts[i].status == status) text = texts[i].text;
    bool memory = status == CL_OUT_OF_DEVICE_MEMORY || status == CL_OUT_OF_HOST_MEMORY ||
                  status == CL_INVALID_BUFFER_SIZE;
    FAIL(err, memory ? BE_NO_MEMORY : BE_DRIVER, "OpenCL: %s: %s failed with %d: %s",
         d->base.facts.name, what, status, text);
}

/* One answer of the driver; what it does not fill is zero. */
static be_status ask(const opencl_library *cl, cl_device device, cl_uint what, void *out,
                     size_t bytes, be_error *err)
{
    memset(out, 0, bytes);
    cl_int status = cl->clGetDeviceInfo(device, what, bytes, out, NULL);
    if (status != CL_OK)
        FAIL(err, BE_DRIVER,
             "OpenCL: asking the driver about its device (0x%04x) failed with %d; update the "
             "driver, or start the machine anew",
             what, status);
    return BE_OK;
}

static be_status ask_text(const opencl_library *cl, cl_device device, cl_uint what, char out[128],
                          be_error *err)
{
    char text[512];
    text[sizeof text - 1] = 0;
    TRY(ask(cl, device, what, text, sizeof text - 1, err));
    snprintf(out, 128, "%.127s", text + strspn(text, " "));
    for (size_t n = strlen(out); n > 0 && out[n - 1] == ' ';) out[--n] = 0;
    return BE_OK;
}

static be_status ask_numbers(const opencl_library *cl, cl_device d, gpu_facts *out, be_error *err)
{
    cl_ulong type, local, memory, buffer, cache;
    cl_uint units;
    size_t group;
    TRY(ask(cl, d, CL_DEVICE_TYPE, &type, sizeof type, err));
    TRY(ask(cl, d, CL_DEVICE_UNITS, &units, sizeof units, err));
    TRY(ask(cl, d, CL_DEVICE_GROUP_MAX, &group, sizeof group, err));
    TRY(ask(cl, d, CL_DEVICE_LOCAL_MEMORY, &local, sizeof local, err));
    TRY(ask(cl, d, CL_DEVICE_MEMORY, &memory, sizeof memory, err));
    TRY(ask(cl, d, CL_DEVICE_BUFFER_MAX, &buffer, sizeof buffer, err));
    TRY(ask(cl, d, CL_DEVICE_CACHE, &cache, sizeof cache, err));
    *out = (gpu_facts){.is_cpu = (type & CL_TYPE_CPU) != 0,
                       .units = (int)units,
                       .group_max = (int)group,
                       .local_bytes = local,
                       .memory_bytes = memory,
                       .buffer_max_bytes = buffer,
                       .cache_bytes = cache};
    return BE_OK;
}

be_status opencl_facts(const opencl_library *cl, const opencl_place *place, gpu_facts *out,
                       be_error *err)
{
    char name[128], version[128], driver[128], platform[128] = "";
    cl_device d = place->device;
    TRY(ask_numbers(cl, d, out, err));
    TRY(ask_text(cl, d, CL_DEVICE_NAME, name, err));
    TRY(ask_text(cl, d, CL_DEVICE_VERSION, version, err));
    TRY(ask_text(cl, d, CL_DRIVER_VERSION, driver, err));
    cl_int status = cl->clGetPlatformInfo(place->platform, CL_PLATFORM_NAME, sizeof platform - 1,
                                          platform, NULL);
    if (status != CL_OK)
        FAIL(err, BE_DRIVER, "OpenCL: asking a platform for its name failed with %d", status);
    /* In front, so that no table cuts it off. */
    snprintf(out->name, sizeof out->name, "%s%s", out->is_cpu ? "CPU behind OpenCL: " : "", name);
    /* "OpenCL 3.0 and what the vendor adds": two words of it. */
    size_t words = strcspn(version, " ");
    if (version[words]) words += 1 + strcspn(version + words + 1, " ");
    snprintf(out->software, sizeof out->software, "%.*s, %.40s %.24s", (int)words, version,
             platform, driver);
    return BE_OK;
}

be_status opencl_check_usable(const opencl_library *cl, const opencl_place *place,
                              const gpu_facts *facts, be_error *err)
{
    cl_uint available, compiler;
    TRY(ask(cl, place->device, CL_DEVICE_AVAILABLE, &available, sizeof available, err));
    TRY(ask(cl, place->device, CL_DEVICE_COMPILER, &compiler, sizeof compiler, err));
    const char *reason = NULL;
    if (!available)
        reason = "its driver says that it is not available";
    else if (!compiler)
        reason = "its driver has no compiler for OpenCL C";
    else if (facts->local_bytes < 16384 || facts->group_max < 1)
        reason = "it has less local memory than OpenCL 1.2 demands";
    if (reason) FAIL(err, BE_UNAVAILABLE, "%s; update its driver", reason);
    return BE_OK;
}
