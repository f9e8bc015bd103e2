/* What the fake libraries of ready operations have in common: they reach the fake driver as the
 * real ones reach the real driver, in the process that has loaded it. */
#ifndef TESTS_FAKE_LIBRARY_H
#define TESTS_FAKE_LIBRARY_H

#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

#include "backend/cuda/cuda_api.h"

static inline void *driver_symbol(const char *name)
{
    void *driver = dlopen("libcuda.so.1", RTLD_NOW | RTLD_NOLOAD);
    void *symbol = driver ? dlsym(driver, name) : NULL;
    if (driver) dlclose(driver);
    return symbol;
}

/* Objects made, or given back; see fake_cuda_live. */
static inline void count_objects(int objects)
{
    void (*count)(int) = NULL;
    *(void **)&count = driver_symbol("fake_count");
    if (count) count(objects);
}

static inline int give_work(cuda_stream stream, void (*call)(const void *), const void *data,
                            size_t bytes)
{
    int (*give)(cuda_stream, void (*)(const void *), const void *, unsigned long) = NULL;
    *(void **)&give = driver_symbol("fake_cuda_host_work");
    return give ? give(stream, call, data, bytes) : CUDA_NOT_INITIALIZED;
}

static inline long setting_of(const char *name, long otherwise)
{
    const char *text = getenv(name);
    return text && *text ? atol(text) : otherwise;
}

#endif
