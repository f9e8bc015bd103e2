/* The OpenCL devices of this machine: finding, describing, opening. */
#include <stdio.h>
#include <string.h>

#include "backend/backend.h"
#include "backend/opencl/clblast.h"

be_status opencl_devices(const opencl_library *cl, opencl_place *out, int *count, be_error *err)
{
    cl_platform platforms[16];
    cl_uint platform_count = 0;
    cl_int failed = CL_OK;
    *count = 0;
    cl_int status = cl->clGetPlatformIDs(16, platforms, &platform_count);
    if (status != CL_OK && status != CL_NO_PLATFORM)
        FAIL(err, BE_UNAVAILABLE, "OpenCL: asking for platforms failed with %d; update the driver",
             status);
    for (cl_uint p = 0; status == CL_OK && p < platform_count && p < 16; p++) {
        cl_device devices[16];
        cl_uint device_count = 0;
        cl_int asked = cl->clGetDeviceIDs(platforms[p], CL_TYPE_ALL, 16, devices, &device_count);
        if (asked != CL_OK && asked != CL_DEVICE_NOT_FOUND) failed = asked;
        if (asked != CL_OK) continue; /* another platform may have some */
        for (cl_uint d = 0; d < device_count && d < 16 && *count < OPENCL_DEVICES_MAX; d++)
            out[(*count)++] = (opencl_place){platforms[p], devices[d]};
    }
    if (*count == 0 && failed != CL_OK)
        FAIL(err, BE_UNAVAILABLE,
             "OpenCL: asking a platform for its devices failed with %d; update its driver", failed);
    if (*count == 0)
        FAIL(err, BE_UNAVAILABLE,
             "OpenCL: %u platform%s and no device found; install the OpenCL driver (ICD) of the "
             "device, or pocl-opencl-icd for the processor",
             platform_count, platform_count == 1 ? "" : "s");
    return BE_OK;
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

/* Why a device that is listed cannot be used, or nothing. */
static be_status check_usable(const opencl_library *cl, const opencl_place *place,
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

/* Takes over the driver, and closes it on failure. */
static be_status open_driver(gpu_driver *driver, const char *id, const char *library,
                             be_device **out, be_error *err)
{
    bool clblast = library && strcmp(library, "clblast") == 0;
    be_status status = clblast ? opencl_driver_use_clblast(driver, err) : BE_OK;
    if (status != BE_OK) {
        driver->vtable->close(driver);
        status_prefix(err, "%s is not usable with --library clblast", id);
        return status;
    }
    TRY(gpu_device_new(driver, id, out, err));
    if (clblast) ((gpu_device *)*out)->library = &clblast_kernels;
    return BE_OK;
}

be_status opencl_open(const backend_place *place, be_device **out, be_error *err)
{
    const opencl_library *cl;
    opencl_place places[OPENCL_DEVICES_MAX];
    int count = 0;
    char full_id[24];
    gpu_facts facts;
    gpu_driver *driver = NULL;
    int index = place->index;
    *out = NULL;
    TRY(opencl_library_get(&cl, err));
    TRY(opencl_devices(cl, places, &count, err));
    if (index >= count)
        FAIL(err, BE_UNAVAILABLE,
             "device \"%s\": OpenCL has %d device%s here, opencl:0 to opencl:%d", place->id, count,
             count == 1 ? "" : "s", count - 1);
    TRY(opencl_facts(cl, &places[index], &facts, err));
    be_status status = check_usable(cl, &places[index], &facts, err);
    if (status != BE_OK) {
        status_prefix(err, "device \"%s\" (%s)", place->id, facts.name);
        return status;
    }
    TRY(opencl_driver_open(cl, &places[index], &driver, err));
    snprintf(full_id, sizeof full_id, "opencl:%d", index);
    return open_driver(driver, full_id, place->options->library, out, err);
}

int opencl_list(backend_entry *out, int room)
{
    const opencl_library *cl;
    opencl_place places[OPENCL_DEVICES_MAX];
    int count = 0;
    be_error err;
    be_status status = opencl_library_get(&cl, &err);
    if (status == BE_OK) status = opencl_devices(cl, places, &count, &err);
    if (status != BE_OK) {
        if (room < 1) return 1;
        out[0] = (backend_entry){.id = "opencl"};
        snprintf(out[0].reason, sizeof out[0].reason, "%.390s", err.text);
        return 1;
    }
    for (int i = 0; i < count && i < room; i++) {
        gpu_facts facts = {0};
        status = opencl_facts(cl, &places[i], &facts, &err);
        if (status == BE_OK) status = check_usable(cl, &places[i], &facts, &err);
        out[i] = (backend_entry){
            .usable = status == BE_OK, .is_cpu = facts.is_cpu, .memory_bytes = facts.memory_bytes};
        snprintf(out[i].id, sizeof out[i].id, "opencl:%d", i);
        snprintf(out[i].name, sizeof out[i].name, "%s", facts.name);
        snprintf(out[i].software, sizeof out[i].software, "%s", facts.software);
        if (status != BE_OK) snprintf(out[i].reason, sizeof out[i].reason, "%.390s", err.text);
    }
    return count;
}
