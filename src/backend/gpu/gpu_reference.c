/* See gpu_reference.h. */
#include "backend/gpu/gpu_reference.h"

#include <stdio.h>

#include "core/clock.h"
#include "core/memory.h"

#define GROUP_ITEMS 128
#define GROUPS_PER_UNIT 8
#define ROUNDS_GPU 48000 /* about 2 ms on a large GPU */
#define ROUNDS_CPU 4000  /* … and on a processor behind OpenCL */

struct gpu_reference {
    gpu_module *module;
    gpu_buffer y;
    gpu_launch launch;
};

extern const gpu_source gpu_source_reference;

static be_status compile(gpu_driver *driver, int group, gpu_module **out, be_error *err)
{
    arena *memory = NULL;
    gpu_text text = {.name = gpu_source_reference.file};
    TRY(arena_new(&memory, err));
    be_status status =
        arena_printf(memory, &text.text, err, "%s\n#define GROUP %d\n#line 1 \"%s\"\n%s",
                     driver->dialect, group, text.name, gpu_source_reference.text);
    if (status == BE_OK) status = driver->vtable->compile(driver, &text, 1, out, err);
    arena_free(memory);
    return status;
}

static be_status make(gpu_device *device, be_error *err)
{
    gpu_driver *driver = device->driver;
    void *memory = NULL;
    int group = GROUP_ITEMS < driver->facts.group_max ? GROUP_ITEMS : driver->facts.group_max;
    int groups = GROUPS_PER_UNIT * driver->facts.units;
    size_t bytes = (size_t)groups * (size_t)group * sizeof(float);
    TRY(memory_alloc(&memory, sizeof(struct gpu_reference), "the reference", err));
    struct gpu_reference *r = device->reference = memory;
    TRY(compile(driver, group, &r->module, err));
    TRY(driver->vtable->alloc(driver, bytes, "the reference", &r->y, err));
    r->launch = (gpu_launch){.groups = groups, .group = group, .argument_count = 2};
    r->launch.arguments[0] = gpu_writes((gpu_span){r->y, 0, bytes});
    r->launch.arguments[1] = gpu_int(driver->facts.is_cpu ? ROUNDS_CPU : ROUNDS_GPU);
    return driver->vtable->function(driver, r->module, "reference", &r->launch.function, err);
}

void gpu_reference_free(gpu_device *device)
{
    struct gpu_reference *r = device->reference;
    if (!r) return;
    if (r->y) device->driver->vtable->free(device->driver, r->y);
    if (r->module) device->driver->vtable->module_free(device->driver, r->module);
    memory_free(r);
    device->reference = NULL;
}

static be_status run(gpu_device *device, int64_t *wall_ns, be_error *err)
{
    gpu_driver *driver = device->driver;
    TRY(driver->vtable->synchronise(driver, err));
    int64_t start_ns = clock_now_ns();
    TRY(driver->vtable->launch(driver, &device->reference->launch, err));
    TRY(driver->vtable->synchronise(driver, err));
    *wall_ns = clock_now_ns() - start_ns;
    return BE_OK;
}

/* The first time is for what a driver does at the first launch of a kernel. */
be_status gpu_reference_run(be_device *device, int64_t *wall_ns, be_error *err)
{
    gpu_device *gpu = (gpu_device *)device;
    bool is_new = !gpu->reference;
    be_status status = is_new ? make(gpu, err) : BE_OK;
    if (status == BE_OK && is_new) status = run(gpu, wall_ns, err);
    if (status == BE_OK) status = run(gpu, wall_ns, err);
    if (status != BE_OK) gpu_reference_free(gpu);
    return status;
}
