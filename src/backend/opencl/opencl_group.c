/* A device of OpenCL as one of a group's: means with the processor of the same process, in the
 * memory of the host. */
#include "backend/opencl/opencl_driver.h"
#include "group/group.h"

be_status opencl_join_host(gpu_driver *driver, be_group *group, size_t bytes, be_error *err)
{
    opencl_driver *d = (opencl_driver *)driver;
    void *memory = NULL;
    MUST(!d->group || d->group == group);
    if (bytes > d->means_bytes) {
        TRY(memory_alloc(&memory, bytes, "gradients on the host", err));
        memory_free(d->means);
        d->means = memory;
        d->means_bytes = bytes;
    }
    d->group = group;
    return BE_OK;
}

/* OpenCL 1.2 has nothing that lets the host work between two pieces of work of a queue: it waits
 * for the one before. */
be_status opencl_mean(gpu_driver *driver, gpu_span span, be_error *err)
{
    opencl_driver *d = (opencl_driver *)driver;
    MUST(span.bytes <= d->means_bytes);
    TRY(driver->vtable->download(driver, span.buffer, span.offset, d->means, span.bytes, err));
    TRY(group_mean(d->group, d->means, (int64_t)(span.bytes / sizeof(float)), err));
    return driver->vtable->upload(driver, span.buffer, span.offset, d->means, span.bytes, err);
}
