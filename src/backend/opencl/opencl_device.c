/* The OpenCL devices of this machine: finding, describing, opening. */
#include <stdio.h>
#include <string.h>

#include "backend/backend.h"
#include "backend/opencl/opencl.h"

be_status opencl_devices(const opencl_library *cl, opencl_place *out, int *count, be_error *err)
{
    cl_platform platforms[16];
    cl_uint platform_count = 0;
    *count = 0;
    cl_int status = cl->clGetPlatformIDs(16, platforms, &platform_count);
    if (status != CL_OK && status != CL_NO_PLATFORM)
        FAIL(err, BE_UNAVAILABLE, "OpenCL: asking for platforms failed with %d", status);
    for (cl_uint p = 0; status == CL_OK && p < platform_count && p < 16; p++) {
        cl_device devices[16];
        cl_uint device_count = 0;
        if (cl->clGetDeviceIDs(platforms[p], CL_TYPE_ALL, 16, devices, &device_count) != CL_OK)
            continue;
        for (cl_uint d = 0; d < device_count && d < 16 && *count < OPENCL_DEVICES_MAX; d++)
            out[(*count)++] = (opencl_place){platforms[p], devices[d]};
    }
    if (*count == 0)
        FAIL(err, BE_UNAVAILABLE,
             "OpenCL: %u platform%s and no device found; install the OpenCL driver (ICD) of the "
             "device, or pocl-opencl-icd for the processor",
             platform_count, platform_count == 1 ? "" : "s");
    return BE_OK;
}

static void device_text(const opencl_library *cl, cl_device device, cl_uint what, char *out,
                        size_t room)
{
    char text[512] = "";
    cl->clGetDeviceInfo(device, what, sizeof text - 1, text, NULL);
    const char *start = text + strspn(text, " ");
    snprintf(out, room, "%s", start);
    for (size_t n = strlen(out); n > 0 && out[n - 1] == ' ';) out[--n] = 0;
}

static cl_ulong device_number(const opencl_library *cl, cl_device device, cl_uint what,
                              size_t bytes)
{
    cl_ulong wide = 0;
    cl_uint narrow = 0;
    if (bytes == sizeof narrow) {
        cl->clGetDeviceInfo(device, what, bytes, &narrow, NULL);
        return narrow;
    }
    cl->clGetDeviceInfo(device, what, bytes, &wide, NULL);
    return wide;
}

void opencl_facts(const opencl_library *cl, const opencl_place *place, gpu_facts *out)
{
    char name[120], version[80], driver[40], platform[80] = "";
    cl_device d = place->device;
    device_text(cl, d, CL_DEVICE_NAME, name, sizeof name);
    device_text(cl, d, CL_DEVICE_VERSION, version, sizeof version);
    device_text(cl, d, CL_DRIVER_VERSION, driver, sizeof driver);
    *out = (gpu_facts){
        .is_cpu = (device_number(cl, d, CL_DEVICE_TYPE, sizeof(cl_ulong)) & CL_TYPE_CPU) != 0,
        .units = (int)device_number(cl, d, CL_DEVICE_UNITS, sizeof(cl_uint)),
        .group_max = (int)device_number(cl, d, CL_DEVICE_GROUP_MAX, sizeof(size_t)),
        .local_bytes = device_number(cl, d, CL_DEVICE_LOCAL_MEMORY, sizeof(cl_ulong)),
        .memory_bytes = device_number(cl, d, CL_DEVICE_MEMORY, sizeof(cl_ulong)),
        .buffer_max_bytes = device_number(cl, d, CL_DEVICE_BUFFER_MAX, sizeof(cl_ulong))};
    /* In front, so that no table cuts it off. */
    snprintf(out->name, sizeof out->name, "%s%s", out->is_cpu ? "CPU behind OpenCL: " : "", name);
    /* "OpenCL 3.0 and what the vendor adds": two words of it. */
    size_t words = strcspn(version, " ");
    if (version[words]) words += 1 + strcspn(version + words + 1, " ");
    cl->clGetPlatformInfo(place->platform, CL_PLATFORM_NAME, sizeof platform - 1, platform, NULL);
    snprintf(out->software, sizeof out->software, "%.*s, %.40s %.24s", (int)words, version,
             platform, driver);
}

/* Why a device that is listed cannot be used, or NULL. */
static const char *refusal(const opencl_library *cl, const opencl_place *place,
                           const gpu_facts *facts)
{
    if (!device_number(cl, place->device, CL_DEVICE_AVAILABLE, sizeof(cl_uint)))
        return "its driver says that it is not available";
    if (!device_number(cl, place->device, CL_DEVICE_COMPILER, sizeof(cl_uint)))
        return "its driver has no compiler for OpenCL C";
    if (facts->local_bytes < 16384 || facts->group_max < 1)
        return "it has less local memory than OpenCL 1.2 demands";
    return NULL;
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
    opencl_facts(cl, &places[index], &facts);
    const char *reason = refusal(cl, &places[index], &facts);
    if (reason)
        FAIL(err, BE_UNAVAILABLE, "device \"%s\" (%s): %s; update its driver", place->id,
             facts.name, reason);
    TRY(opencl_driver_open(cl, &places[index], &driver, err));
    snprintf(full_id, sizeof full_id, "opencl:%d", index);
    return gpu_device_new(driver, full_id, out, err);
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
        gpu_facts facts;
        opencl_facts(cl, &places[i], &facts);
        const char *reason = refusal(cl, &places[i], &facts);
        out[i] = (backend_entry){
            .usable = !reason, .is_cpu = facts.is_cpu, .memory_bytes = facts.memory_bytes};
        snprintf(out[i].id, sizeof out[i].id, "opencl:%d", i);
        snprintf(out[i].name, sizeof out[i].name, "%s", facts.name);
        snprintf(out[i].software, sizeof out[i].software, "%s", facts.software);
        if (reason) snprintf(out[i].reason, sizeof out[i].reason, "%s", reason);
    }
    return count;
}
