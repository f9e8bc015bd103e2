/* Opening the OpenCL library at run time: by its name, or, if BREAKEVEN_OPENCL_LIB_DIR names a
 * folder, only there. */
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/opencl/opencl.h"
#include "core/file.h"
#include "core/loading.h"

#ifdef __APPLE__
#define LIBRARY_NAME "/System/Library/Frameworks/OpenCL.framework/OpenCL"
#define LIBRARY_FILE "OpenCL"
#else
#define LIBRARY_NAME "libOpenCL.so.1"
#define LIBRARY_FILE LIBRARY_NAME
#endif

static struct {
    pthread_once_t once;
    opencl_library library;
    be_status status;
    be_error error;
} found = {.once = PTHREAD_ONCE_INIT};

static be_status library_open(opencl_library *out, be_error *err)
{
    char path[FILE_PATH_BYTES] = LIBRARY_NAME;
    const char *folder = getenv("BREAKEVEN_OPENCL_LIB_DIR");
    bool given = folder && *folder;
    if (given) TRY(file_format_path(path, err, "%s/%s", folder, LIBRARY_FILE));
    out->handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    const char *text = out->handle ? NULL : dlerror();
    if (!out->handle && !loading_found_none(path, text))
        FAIL(err, BE_UNAVAILABLE, "OpenCL: %s is there but cannot be opened: %.200s; reinstall it",
             path, text);
    if (!out->handle)
        FAIL(err, BE_UNAVAILABLE, "OpenCL: %s not found (%.200s); %s", path,
             text ? text : "no reason given",
             given ? "unset BREAKEVEN_OPENCL_LIB_DIR, or name the folder that has it"
                   : "install ocl-icd-libopencl1 and the driver of the device (its package is an "
                     "OpenCL ICD)");
#define X(result, name, parameters)                                   \
    *(void **)&out->name = dlsym(out->handle, #name);                 \
    if (!out->name)                                                   \
        FAIL(err, BE_UNAVAILABLE,                                     \
             "OpenCL: %s has no %s, so it is older than OpenCL 1.2; " \
             "install a newer one",                                   \
             path, #name);
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
