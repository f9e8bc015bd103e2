/* The driver, the run-time compiler and NVML: opened, probed, started. */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/cuda/cuda.h"

static const char *const driver_names[] = {"libcuda.so.1", NULL};
static const char *const nvml_names[] = {"libnvidia-ml.so.1", NULL};
static const char *const nvrtc_names_13[] = {"libnvrtc.so.13", "libnvrtc.so.12", NULL};
static const char *const nvrtc_names_12[] = {"libnvrtc.so.12", NULL};

/* ---------------------------------------------------------------- the driver */

static be_status take_driver_functions(cuda_libraries *out, be_error *err)
{
    const char *missing = NULL;
#define X(member, symbol, parameters)                                  \
    *(void **)&out->cu.member = library_symbol(&out->driver, #symbol); \
    if (!out->cu.member && !missing) missing = #symbol;
    CUDA_FUNCTION_LIST(X)
#undef X
#define X(member, symbol, parameters) \
    *(void **)&out->cu.member = library_symbol(&out->driver, #symbol);
    CUDA_LATER_FUNCTION_LIST(X)
#undef X
    if (missing && out->cu.driver_version) out->cu.driver_version(&out->driver_version);
    if (missing)
        FAIL(err, BE_UNAVAILABLE,
             "the NVIDIA driver is too old: %.200s is for CUDA %d.%d and lacks %s; install driver "
             "525 or later",
             out->driver.path, out->driver_version / 1000, out->driver_version % 1000 / 10,
             missing);
    return BE_OK;
}

/* Why the driver does not start, and what to do, for the reasons that people meet. */
static const char *start_advice(cuda_result result)
{
    switch (result) {
    case CUDA_STUB_LIBRARY:
        return "this is the toolkit's stub, not a driver; install the NVIDIA driver";
    case CUDA_SYSTEM_DRIVER_MISMATCH:
        return "the kernel module and the library are of different versions; restart the machine "
               "after an update of the driver";
    case CUDA_SYSTEM_NOT_READY:
        return "start the NVIDIA services (nvidia-persistenced, nvidia-fabricmanager) and try "
               "again";
    case CUDA_INVALID_DEVICE:
        return "CUDA_VISIBLE_DEVICES names a GPU twice, or one that is not there; name each once, "
               "as nvidia-smi lists them";
    case CUDA_UNKNOWN:
        return "check with nvidia-smi that the kernel module is loaded and /dev/nvidia* may be "
               "opened";
    default:
        return "check with nvidia-smi that the driver works";
    }
}

static be_status no_device(be_error *err)
{
    const char *visible = getenv("CUDA_VISIBLE_DEVICES");
    if (visible && !*visible)
        FAIL(err, BE_UNAVAILABLE,
             "CUDA_VISIBLE_DEVICES is set and empty, which hides every NVIDIA GPU; unset it");
    if (visible)
        FAIL(err, BE_UNAVAILABLE,
             "CUDA_VISIBLE_DEVICES=%.100s leaves no NVIDIA GPU; name one that nvidia-smi lists",
             visible);
    FAIL(err, BE_UNAVAILABLE,
         "the NVIDIA driver sees no GPU; check with nvidia-smi that one is there and that this "
         "user may open /dev/nvidia0");
}

static be_status start_driver(cuda_libraries *out, be_error *err)
{
    const char *name = NULL;
    cuda_result result = out->cu.init(0);
    if (result == CUDA_NO_DEVICE) return no_device(err);
    if (result != CUDA_OK) {
        out->cu.error_name(result, &name);
        FAIL(err, BE_UNAVAILABLE, "the NVIDIA driver (%.200s) does not start: %s (%d); %s",
             out->driver.path, name ? name : "error", result, start_advice(result));
    }
    CUDA_TRY(out, "cuda", out->cu.driver_version(&out->driver_version), "ask for the version");
    if (out->driver_version < CUDA_OLDEST_DRIVER)
        FAIL(err, BE_UNAVAILABLE,
             "the NVIDIA driver is too old: expected one for CUDA 12.0 or later, found one for "
             "%d.%d (%.200s); install driver 525 or later",
             out->driver_version / 1000, out->driver_version % 1000 / 10, out->driver.path);
    CUDA_TRY(out, "cuda", out->cu.device_count(&out->device_count), "count the devices");
    return out->device_count > 0 ? BE_OK : no_device(err);
}

/* The driver's own version is known to NVML alone; without it the version of the API must do. */
static void probe_nvml(cuda_libraries *out, const cuda_places *places)
{
    int (*start)(void) = NULL, (*stop)(void) = NULL, (*ask)(char *, unsigned) = NULL;
    char text[32] = "";
    library_open(&out->nvml, places, nvml_names, "install the NVIDIA driver with its NVML");
    *(void **)&start = library_symbol(&out->nvml, "nvmlInit_v2");
    *(void **)&stop = library_symbol(&out->nvml, "nvmlShutdown");
    *(void **)&ask = library_symbol(&out->nvml, "nvmlSystemGetDriverVersion");
    if (start && stop && ask && start() == NVML_OK) {
        if (ask(text, sizeof text) != NVML_OK) text[0] = 0;
        stop();
    }
    library_locate(&out->nvml, "nvmlInit_v2");
    snprintf(out->nvml.version, sizeof out->nvml.version, "%s", text);
    snprintf(out->driver_text, sizeof out->driver_text, "%s%s%d.%d%s", text,
             *text ? " (CUDA " : "CUDA ", out->driver_version / 1000,
             out->driver_version % 1000 / 10, *text ? ")" : "");
    snprintf(out->driver.version, sizeof out->driver.version, "%s", out->driver_text);
}

static be_status open_driver(cuda_libraries *out, const cuda_places *places, be_error *err)
{
    library_open(&out->driver, places, driver_names, "install the NVIDIA driver");
    if (!out->driver.handle) FAIL(err, BE_UNAVAILABLE, "%s", out->driver.reason);
    library_locate(&out->driver, "cuInit");
    TRY(take_driver_functions(out, err));
    return start_driver(out, err);
}

/* ---------------------------------------------------------------- the compiler */

/* NVRTC opens its builtins by name when it compiles first; where both lie in a folder that the
 * system's loader does not know, it finds them only if they are loaded. */
static void preload_builtins(const cuda_libraries *l, int major, int minor)
{
    char path[sizeof l->nvrtc.path + 64];
    const char *slash = strrchr(l->nvrtc.path, '/');
    if (!slash) return;
    snprintf(path, sizeof path, "%.*s/libnvrtc-builtins.so.%d.%d", (int)(slash - l->nvrtc.path),
             l->nvrtc.path, major, minor);
    if (file_exists(path)) dlopen(path, RTLD_NOW | RTLD_LOCAL);
}

static be_status take_compiler(cuda_libraries *out, be_error *err)
{
    const char *missing = NULL;
    int major = 0, minor = 0;
#define X(member, symbol, parameters)                                  \
    *(void **)&out->rtc.member = library_symbol(&out->nvrtc, #symbol); \
    if (!out->rtc.member) missing = #symbol;
    NVRTC_FUNCTION_LIST(X)
#undef X
    *(void **)&out->rtc.error_string = library_symbol(&out->nvrtc, "nvrtcGetErrorString");
    if (!out->rtc.error_string) missing = "nvrtcGetErrorString";
    if (missing)
        FAIL(err, BE_UNAVAILABLE,
             "%.200s lacks %s: it is no NVRTC of CUDA 12 or 13; install "
             "another, as by 'pip install nvidia-cuda-nvrtc'",
             out->nvrtc.path, missing);
    nvrtc_result result = out->rtc.version(&major, &minor);
    if (result == NVRTC_OK) result = out->rtc.arch_count(&out->arch_count);
    if (result == NVRTC_OK && (out->arch_count < 1 || out->arch_count > CUDA_ARCHS_MAX))
        FAIL(err, BE_UNAVAILABLE,
             "%.200s: expected 1 to %d architectures, found %d; install "
             "another NVRTC",
             out->nvrtc.path, CUDA_ARCHS_MAX, out->arch_count);
    if (result == NVRTC_OK) result = out->rtc.archs(out->archs);
    if (result != NVRTC_OK)
        FAIL(err, BE_UNAVAILABLE, "%.200s does not answer: %s; install another NVRTC",
             out->nvrtc.path, out->rtc.error_string(result));
    preload_builtins(out, major, minor);
    out->nvrtc_version = major * 1000 + minor * 10;
    snprintf(out->nvrtc.version, sizeof out->nvrtc.version, "%d.%d", major, minor);
    return BE_OK;
}

static be_status open_compiler(cuda_libraries *out, const cuda_places *places, be_error *err)
{
    /* Machine code of a newer major version does not load into an older driver. */
    bool newer = out->driver_version >= 13000;
    library_open(&out->nvrtc, places, newer ? nvrtc_names_13 : nvrtc_names_12,
                 newer ? "install it, as by 'pip install nvidia-cuda-nvrtc'"
                       : "install it, as by 'pip install nvidia-cuda-nvrtc-cu12'");
    if (!out->nvrtc.handle) FAIL(err, BE_UNAVAILABLE, "%s", out->nvrtc.reason);
    library_locate(&out->nvrtc, "nvrtcVersion");
    return take_compiler(out, err);
}

/* ---------------------------------------------------------------- all */

be_status cuda_libraries_open(cuda_libraries *out, const cuda_places *driver,
                              const cuda_places *toolkit, be_error *err)
{
    *out = (cuda_libraries){0};
    TRY(open_driver(out, driver, err));
    probe_nvml(out, driver);
    return open_compiler(out, toolkit, err);
}

void cuda_libraries_close(cuda_libraries *libraries)
{
    library_close(&libraries->nvrtc);
    library_close(&libraries->nvml);
    library_close(&libraries->driver);
    *libraries = (cuda_libraries){0};
}

static struct {
    cuda_libraries libraries;
    be_error error;
    be_status status;
    bool looked;
} cuda_found;

static be_status look(cuda_libraries *out, be_error *err)
{
    cuda_places driver, toolkit;
    TRY(cuda_places_find(&driver, true, err));
    /* The toolkit is not looked for where there is no driver: most machines have none, and the
     * search costs time at every start. */
    *out = (cuda_libraries){0};
    be_status status = open_driver(out, &driver, err);
    if (status == BE_OK) {
        probe_nvml(out, &driver);
        status = cuda_places_find(&toolkit, false, err);
        if (status == BE_OK) {
            status = open_compiler(out, &toolkit, err);
            cuda_places_free(&toolkit);
        }
    }
    cuda_places_free(&driver);
    return status;
}

be_status cuda_libraries_get(const cuda_libraries **out, be_error *err)
{
    if (!cuda_found.looked) {
        cuda_found.status = look(&cuda_found.libraries, &cuda_found.error);
        /* A lack of memory may be over next time. */
        cuda_found.looked = cuda_found.status != BE_NO_MEMORY;
    }
    *out = &cuda_found.libraries;
    if (cuda_found.status != BE_OK && err) *err = cuda_found.error;
    return cuda_found.status;
}

void cuda_libraries_forget(void)
{
    cuda_libraries_close(&cuda_found.libraries);
    cuda_found.looked = false;
}

/* What a user can do about it. */
static const char *advice(cuda_result result)
{
    switch (result) {
    case CUDA_OUT_OF_MEMORY:
        return "use a smaller batch, or end what else uses this GPU";
    case CUDA_DEVICE_UNAVAILABLE:
        return "another process has it for itself; wait for it or choose another device";
    case CUDA_ECC_UNCORRECTABLE:
        return "its memory has an error that could not be corrected; restart it, and replace it "
               "if that happens again";
    case CUDA_ILLEGAL_ADDRESS:
    case CUDA_ILLEGAL_INSTRUCTION:
    case CUDA_MISALIGNED_ADDRESS:
    case CUDA_LAUNCH_FAILED:
        return "the device is lost to this process; this is a fault of breakeven or of the "
               "hardware: please report it";
    case CUDA_LAUNCH_TIMEOUT:
        return "the system ended a kernel that ran too long; use a device that drives no display";
    case CUDA_INVALID_IMAGE:
    case CUDA_NO_BINARY_FOR_GPU:
    case CUDA_UNSUPPORTED_PTX_VERSION:
        return "NVRTC and the driver do not match; update the driver";
    default:
        return "check the device with nvidia-smi";
    }
}

be_status cuda_fail(const cuda_libraries *libraries, be_error *err, const char *who,
                    cuda_result result, const char *what)
{
    const char *name = NULL, *text = NULL;
    libraries->cu.error_name(result, &name);
    libraries->cu.error_string(result, &text);
    be_status status = result == CUDA_OUT_OF_MEMORY        ? BE_NO_MEMORY
                       : result == CUDA_DEVICE_UNAVAILABLE ? BE_UNAVAILABLE
                                                           : BE_DRIVER;
    FAIL(err, status, "%s: cannot %s: %s (%s); %s", who, what, name ? name : "unknown result",
         text ? text : "no text", advice(result));
}
