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
    be_status status = opencl_check_usable(cl, &places[index], &facts, err);
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
        if (status == BE_OK) status = opencl_check_usable(cl, &places[i], &facts, &err);
        out[i] = (backend_entry){
            .usable = status == BE_OK, .is_cpu = facts.is_cpu, .memory_bytes = facts.memory_bytes};
        snprintf(out[i].id, sizeof out[i].id, "opencl:%d", i);
        snprintf(out[i].name, sizeof out[i].name, "%s", facts.name);
        snprintf(out[i].software, sizeof out[i].software, "%s", facts.software);
        if (status != BE_OK) snprintf(out[i].reason, sizeof out[i].reason, "%.390s", err.text);
    }
    return count;
}
