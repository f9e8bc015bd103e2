/* CUDA devices for the list of backends: opening one, and telling what is there. */
#include <stdio.h>
#include <string.h>

#include "backend/backend.h"
#include "backend/cuda/cuda_driver.h"
#include "core/json.h"

static be_status narrow_library(gpu_device *device, const gpu_library **out, be_error *err)
{
    TRY(cuda_math_ready(device, err));
    *out = &cuda_math_library;
    return BE_OK;
}

static be_status open_device(const backend_place *place, const cuda_libraries *libraries,
                             const cuda_math *math, be_device **out, be_error *err)
{
    gpu_driver *driver = NULL;
    TRY(cuda_driver_open(libraries, place->index, &driver, err));
    be_status status = math ? cuda_driver_use_math(driver, math, err) : BE_OK;
    if (status != BE_OK) driver->vtable->close(driver);
    TRY(status);
    TRY(gpu_device_new(driver, place->id, out, err));
    gpu_device *device = (gpu_device *)*out;
    if (math) device->library = &cuda_math_library;
    if (!place->options->library) device->narrow = narrow_library;
    device->peak = cuda_peak_new;
    return BE_OK;
}

be_status cuda_open(const backend_place *place, be_device **out, be_error *err)
{
    const cuda_libraries *libraries = NULL;
    const cuda_math *math = NULL;
    const char *library = place->options->library;
    bool cudnn = library && strcmp(library, "cudnn") == 0;
    *out = NULL;
    be_status status = cuda_libraries_get(&libraries, err);
    if (status != BE_OK) status_prefix(err, "%s is not usable", place->id);
    TRY(status);
    if (cudnn) status = cuda_math_get(libraries, &math, err);
    if (status != BE_OK) status_prefix(err, "%s is not usable with --library cudnn", place->id);
    TRY(status);
    return open_device(place, libraries, math, out, err);
}

/* ---------------------------------------------------------------- the list */

static void add_library(json_t *list, const cuda_library *library)
{
    json_t *entry =
        json_pack("{s:s, s:b}", "name", library->name, "usable", library->handle != NULL);
    if (library->handle) {
        json_object_set_new(entry, "version", json_of_text(library->version));
        json_object_set_new(entry, "path", json_of_text(library->path));
    } else {
        json_object_set_new(entry, "reason", json_of_text(library->reason));
    }
    json_array_append_new(list, entry);
}

static json_t *list_libraries(const cuda_libraries *l)
{
    json_t *list = json_array();
    cuda_places places;
    cuda_library cublaslt, cudnn;
    bool newer = l->nvrtc_version >= 13000;
    add_library(list, &l->driver);
    add_library(list, &l->nvrtc);
    add_library(list, &l->nvml);
    if (cuda_places_find(&places, false, NULL) != BE_OK) return list;
    cublaslt_library_open(&cublaslt, &places, newer);
    cudnn_library_open(&cudnn, &places, newer);
    add_library(list, &cublaslt);
    add_library(list, &cudnn);
    /* They stay open: their own clean-up at the end of the process expects that. */
    cuda_places_free(&places);
    return list;
}

static void list_unusable(json_t *devices, const char *id, const char *name, const char *reason)
{
    json_array_append_new(devices, json_pack("{s:s, s:s, s:b, s:o}", "id", id, "name", name,
                                             "usable", 0, "reason", json_of_text(reason)));
}

void cuda_list(json_t *devices)
{
    const cuda_libraries *l = NULL;
    be_error err = {0};
    if (cuda_libraries_get(&l, &err) != BE_OK) {
        list_unusable(devices, "cuda", "NVIDIA GPU", err.text);
        return;
    }
    json_t *libraries = list_libraries(l);
    for (int i = 0; i < l->device_count; i++) {
        cuda_device_facts facts;
        cuda_target target;
        char capability[16];
        be_status status = cuda_device_read(l, i, &facts, &err);
        if (status == BE_OK) status = cuda_target_choose(l, &facts, &target, &err);
        if (status != BE_OK) {
            list_unusable(devices, facts.id, *facts.name ? facts.name : "NVIDIA GPU", err.text);
            continue;
        }
        snprintf(capability, sizeof capability, "%d.%d", facts.major, facts.minor);
        json_array_append_new(devices, json_pack("{s:s, s:s, s:b, s:I, s:s, s:s, s:i, s:s, s:O}",
                                                 "id", facts.id, "name", facts.name, "usable", 1,
                                                 "memory_bytes", (json_int_t)facts.memory_bytes,
                                                 "driver", l->driver_text, "compute_capability",
                                                 capability, "units", facts.multiprocessors, "bus",
                                                 facts.pci, "libraries", libraries));
    }
    json_decref(libraries);
}
