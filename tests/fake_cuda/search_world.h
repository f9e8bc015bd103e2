/* A fake device whose library says how long its work takes, and counts it: setup and teardown of
 * the tests of searches. */
#ifndef SEARCH_WORLD_H
#define SEARCH_WORLD_H

#include <dlfcn.h>

#include "core/clock.h"
#include "fake_cuda/fake_world.h"

static struct {
    be_device *device;
    cuda_driver *driver;
    void *library;
    int64_t *ns, *runs; /* of the fake */
} world;

/* The clock of these tests: what the library's work took. */
static inline int64_t search_now_ns(void *context)
{
    (void)context;
    return *world.ns;
}

static inline int search_world_open(void **state, const char *library, const char *ns,
                                    const char *runs)
{
    static const clock_source planted = {.now_ns = search_now_ns};
    be_error err = {0};
    fake_world_open(state);
    ASSERT_OK(
        be_device_open("cuda:0", &(be_device_options){.library = "cudnn"}, &world.device, &err));
    world.driver = (cuda_driver *)((gpu_device *)world.device)->driver;
    world.library = dlopen(library, RTLD_NOW | RTLD_NOLOAD);
    assert_non_null(world.library);
    world.ns = dlsym(world.library, ns);
    world.runs = dlsym(world.library, runs);
    assert_true(world.ns && world.runs);
    clock_use(&planted);
    return 0;
}

static inline int search_world_close(void **state)
{
    clock_use(NULL);
    be_device_close(world.device);
    dlclose(world.library);
    return fake_world_close(state);
}

#endif
