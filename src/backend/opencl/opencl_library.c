/* Opening the OpenCL library at run time. */
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "backend/opencl/opencl.h"

static const char *const names[] = {
#ifdef __APPLE__
    "/System/Library/Frameworks/OpenCL.framework/OpenCL",
#else
    "libOpenCL.so.1",
#endif
};

static struct {
    pthread_once_t once;
    opencl_library library;
    be_status status;
    be_error error;
} found = {.once = PTHREAD_ONCE_INIT};

static be_status library_open(opencl_library *out, be_error *err)
{
    const char *reason = "";
    for (size_t i = 0; !out->handle && i < sizeof names / sizeof names[0]; i++) {
        out->handle = dlopen(names[i], RTLD_NOW | RTLD_LOCAL);
        if (!out->handle) reason = dlerror();
    }
    if (!out->handle)
        FAIL(err, BE_UNAVAILABLE,
             "OpenCL: %s not found (%.200s); install ocl-icd-libopencl1 and the driver of the "
             "device (its package is an OpenCL ICD)",
             names[0], reason);
#define X(result, name, parameters)                                   \
    *(void **)&out->name = dlsym(out->handle, #name);                 \
    if (!out->name)                                                   \
        FAIL(err, BE_UNAVAILABLE,                                     \
             "OpenCL: %s has no %s, so it is older than OpenCL 1.2; " \
             "install a newer one",                                   \
             names[0], #name);
    OPENCL_FUNCTIONS(X)
#undef X
    return BE_OK;
}

static void library_find(void)
{
    found.status = library_open(&found.library, &found.error);
}

be_status opencl_library_get(const opencl_library **out, be_error *err)
{
    pthread_once(&found.once, library_find);
    *out = &found.library;
    if (found.status != BE_OK && err) *err = found.error;
    return found.status;
}
