/* cuDNN and cuBLASLt: opened and probed. */
#include "backend/cuda/cuda_math.h"

#include <stdio.h>
#include <string.h>

/* Their version as text; the number is MAJOR·10000 + MINOR·100 + PATCH. */
static void read_version(cuda_library *library, const char *symbol)
{
    size_t (*version)(void) = NULL;
    *(void **)&version = library_symbol(library, symbol);
    if (!version) return;
    size_t number = version();
    library_locate(library, symbol);
    snprintf(library->version, sizeof library->version, "%zu.%zu.%zu", number / 10000,
             number / 100 % 100, number % 100);
}

void cublaslt_library_open(cuda_library *out, const cuda_places *places, bool newer)
{
    static const char *const names[][2] = {{"libcublasLt.so.12", NULL},
                                           {"libcublasLt.so.13", NULL}};
    library_open(out, places, names[newer],
                 newer ? "install it, as by 'pip install nvidia-cublas'"
                       : "install it, as by 'pip install nvidia-cublas-cu12'");
    read_version(out, "cublasLtGetVersion");
}

void cudnn_library_open(cuda_library *out, const cuda_places *places, bool newer)
{
    static const char *const names[] = {"libcudnn.so.9", NULL};
    library_open(out, places, names,
                 newer ? "install it, as by 'pip install nvidia-cudnn-cu13'"
                       : "install it, as by 'pip install nvidia-cudnn-cu12'");
    read_version(out, "cudnnGetVersion");
}

static be_status lacks(const cuda_library *library, const char *symbol, be_error *err)
{
    FAIL(err, BE_UNAVAILABLE, "%.200s lacks %s; install another one of it", library->path, symbol);
}

static be_status take_cublaslt(cuda_math *out, be_error *err)
{
    const char *missing = NULL;
    if (!out->cublaslt.handle) FAIL(err, BE_UNAVAILABLE, "%s", out->cublaslt.reason);
#define X(member, symbol, parameters)                                    \
    *(void **)&out->lt.member = library_symbol(&out->cublaslt, #symbol); \
    if (!out->lt.member && !missing) missing = #symbol;
    CUBLASLT_FUNCTION_LIST(X)
#undef X
    *(void **)&out->lt.version = library_symbol(&out->cublaslt, "cublasLtGetVersion");
    *(void **)&out->lt.error_string = library_symbol(&out->cublaslt, "cublasLtGetStatusString");
    if (!missing && (!out->lt.version || !out->lt.error_string))
        missing = "cublasLtGetStatusString";
    if (missing) return lacks(&out->cublaslt, missing, err);
    snprintf(out->cublaslt_title, sizeof out->cublaslt_title, "cuBLASLt %s", out->cublaslt.version);
    return BE_OK;
}

static be_status take_cudnn(cuda_math *out, int driver_version, be_error *err)
{
    const char *missing = NULL;
    if (!out->cudnn.handle) FAIL(err, BE_UNAVAILABLE, "%s", out->cudnn.reason);
#define X(member, symbol, parameters)                                  \
    *(void **)&out->dnn.member = library_symbol(&out->cudnn, #symbol); \
    if (!out->dnn.member && !missing) missing = #symbol;
    CUDNN_FUNCTION_LIST(X)
#undef X
    *(void **)&out->dnn.version = library_symbol(&out->cudnn, "cudnnGetVersion");
    *(void **)&out->dnn.cudart_version = library_symbol(&out->cudnn, "cudnnGetCudartVersion");
    *(void **)&out->dnn.error_string = library_symbol(&out->cudnn, "cudnnGetErrorString");
    *(void **)&out->dnn.last_error = library_symbol(&out->cudnn, "cudnnGetLastErrorString");
    if (!missing && (!out->dnn.version || !out->dnn.cudart_version || !out->dnn.error_string ||
                     !out->dnn.last_error))
        missing = "cudnnGetLastErrorString";
    if (missing) return lacks(&out->cudnn, missing, err);
    int made_for = (int)out->dnn.cudart_version();
    if (driver_version && made_for / 1000 > driver_version / 1000)
        FAIL(err, BE_UNAVAILABLE,
             "%.200s is made for CUDA %d, and the driver is for CUDA %d; install one that fits, as "
             "by 'pip install nvidia-cudnn-cu%d'",
             out->cudnn.path, made_for / 1000, driver_version / 1000, driver_version / 1000);
    snprintf(out->cudnn_title, sizeof out->cudnn_title, "cuDNN %s", out->cudnn.version);
    return BE_OK;
}

be_status cuda_math_open(cuda_math *out, const cuda_places *places, int driver_version,
                         be_error *err)
{
    bool newer = !driver_version || driver_version >= 13000;
    *out = (cuda_math){0};
    /* cuDNN opens cuBLASLt by its name when it needs it: found if it is loaded already. */
    cublaslt_library_open(&out->cublaslt, places, newer);
    TRY(take_cublaslt(out, err));
    cudnn_library_open(&out->cudnn, places, newer);
    return take_cudnn(out, driver_version, err);
}

void cuda_math_close(cuda_math *math)
{
    library_close(&math->cudnn);
    library_close(&math->cublaslt);
}

static struct {
    cuda_math math;
    be_error error;
    be_status status;
    bool looked;
} math_found;

be_status cuda_math_get(const cuda_libraries *libraries, const cuda_math **out, be_error *err)
{
    *out = NULL;
    if (!math_found.looked) {
        cuda_places places;
        TRY(cuda_places_find(&places, false, err));
        math_found.status =
            cuda_math_open(&math_found.math, &places, libraries->driver_version, &math_found.error);
        math_found.looked = true;
        cuda_places_free(&places);
    }
    if (math_found.status == BE_OK)
        *out = &math_found.math;
    else if (err)
        *err = math_found.error;
    return math_found.status;
}

void cuda_math_forget(void)
{
    cuda_math_close(&math_found.math);
    math_found.looked = false;
}
