/* The CUDA backend: NVIDIA's libraries as they were found, the devices, and opening one.
 *
 * Owns the opened libraries for the life of the process.  Nothing here depends on a toolkit at
 * build; what is missing makes the devices not usable, with the reason and the remedy. */
#ifndef BACKEND_CUDA_CUDA_H
#define BACKEND_CUDA_CUDA_H

#include "backend/cuda/cuda_api.h"
#include "backend/cuda/cuda_places.h"
#include "backend/gpu/gpu_driver.h"

#define CUDA_OLDEST_DRIVER 12000 /* of the driver API: 12.0, driver 525 */
#define CUDA_EDGES_DRIVER 12030  /* from here on edges of a graph have a kind */
#define CUDA_WAITING_ARCH 90     /* from here on a kernel can wait for those before it */
#define CUDA_NARROW_MAJOR 8      /* the first that multiplies in tf32 and bf16 */
#define CUDA_ARCHS_MAX 64

/* What computing needs: the driver and the compiler; NVML for the version of the driver. */
typedef struct cuda_libraries {
    cuda_library driver, nvrtc, nvml;
    cuda_functions cu;
    nvrtc_functions rtc;
    int driver_version;        /* of the API: 13000 is 13.0 */
    char driver_text[64];      /* "580.159.04 (CUDA 13.0)" */
    int nvrtc_version;         /* 13000 */
    int archs[CUDA_ARCHS_MAX]; /* that nvrtc compiles for: 75, 80, … */
    int arch_count;
    int device_count;
} cuda_libraries;

/* Open and probe, and start the driver.  BE_UNAVAILABLE with reason and remedy.  The second call
 * and all later ones give what the first found. */
BE_CHECKED be_status cuda_libraries_get(const cuda_libraries **out, be_error *err);

/* The same from given places, for tests; free with cuda_libraries_close.  `toolkit` are the places
 * of all but the driver and NVML. */
BE_CHECKED be_status cuda_libraries_open(cuda_libraries *out, const cuda_places *driver,
                                         const cuda_places *toolkit, be_error *err);
void cuda_libraries_close(cuda_libraries *libraries);

/* Forget what cuda_libraries_get found: for tests, with no device open. */
void cuda_libraries_forget(void);

/* Turn a result that is not CUDA_OK into an error: "WHO: cannot WHAT: …; what to do". */
be_status cuda_fail(const cuda_libraries *libraries, be_error *err, const char *who,
                    cuda_result result, const char *what);

#define CUDA_TRY(libraries, who, call, what)                                                    \
    do {                                                                                        \
        cuda_result cuda_try_ = (call);                                                         \
        if (cuda_try_ != CUDA_OK) return cuda_fail((libraries), err, (who), cuda_try_, (what)); \
    } while (0)

typedef struct cuda_device_facts {
    int index;
    cuda_device_index device;
    char id[24]; /* cuda:N */
    char name[128];
    char pci[24];
    size_t memory_bytes, l2_bytes, shared_bytes;
    int major, minor, multiprocessors, clock_khz, compute_mode, group_max;
} cuda_device_facts;

BE_CHECKED be_status cuda_device_read(const cuda_libraries *libraries, int index,
                                      cuda_device_facts *out, be_error *err);

/* How kernels are compiled for a device: machine code for `arch`, or PTX for it where the compiler
 * is older than the device.  BE_UNAVAILABLE if the compiler no longer knows such old devices. */
typedef struct cuda_target {
    int arch; /* 90 */
    bool ptx;
} cuda_target;

BE_CHECKED be_status cuda_target_choose(const cuda_libraries *libraries,
                                        const cuda_device_facts *facts, cuda_target *out,
                                        be_error *err);

/* A driver on device `index`, as CUDA_VISIBLE_DEVICES counts. */
BE_CHECKED be_status cuda_driver_open(const cuda_libraries *libraries, int index, gpu_driver **out,
                                      be_error *err);

#endif
