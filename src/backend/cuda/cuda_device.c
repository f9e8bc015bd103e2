/* CUDA devices for the list of backends: opening one, and telling what is there. */
#include <stdio.h>

#include "backend/backend.h"
#include "backend/cuda/cuda.h"
#include "backend/gpu/gpu.h"

be_status cuda_open(int index, const char *id, be_device **out, be_error *err)
{
    const cuda_libraries *libraries = NULL;
    gpu_driver *driver = NULL;
    *out = NULL;
    be_status status = cuda_libraries_get(&libraries, err);
    if (status != BE_OK) status_prefix(err, "%s is not usable", id);
    TRY(status);
    TRY(cuda_driver_open(libraries, index, &driver, err));
    return gpu_device_new(driver, id, out, err);
}

/* ---------------------------------------------------------------- the list */

static void add_library(json_t *list, const cuda_library *library)
{
    json_t *entry =
        json_pack("{s:s, s:b}", "name", library->name, "usable", library->handle != NULL);
    if (library->handle) {
        json_object_set_new(entry, "version", json_string(library->version));
        json_object_set_new(entry, "path", json_string(library->path));
    } else {
        json_object_set_new(entry, "reason", json_string(library->reason));
    }
    json_array_append_new(list, entry);
}

/* A library that nothing computes with yet: its version only, as MAJOR·10000 + MINOR·100 + PATCH.
 */
static void probe(json_t *list, const cuda_places *places, const char *const *names,
                  const char *symbol, const char *install)
{
    cuda_library library;
    size_t (*version)(void) = NULL;
    library_open(&library, places, names, install);
    *(void **)&version = library_symbol(&library, symbol);
    if (version) {
        size_t number = version();
        library_locate(&library, symbol);
        snprintf(library.version, sizeof library.version, "%zu.%zu.%zu", number / 10000,
                 number / 100 % 100, number % 100);
    }
    add_library(list, &library);
    /* It stays open: its own clean-up at the end of the process expects that. */
}

static json_t *list_libraries(const cuda_libraries *l)
{
    static const char *const cublas_names[][2] = {{"libcublasLt.so.12", NULL},
                                                  {"libcublasLt.so.13", NULL}};
    static const char *const cudnn_names[] = {"libcudnn.so.9", NULL};
    json_t *list = json_array();
    cuda_places places;
    bool newer = l->nvrtc_version >= 13000;
    add_library(list, &l->driver);
    add_library(list, &l->nvrtc);
    add_library(list, &l->nvml);
    if (cuda_places_find(&places, false, NULL) != BE_OK) return list;
    probe(list, &places, cublas_names[newer], "cublasLtGetVersion",
          newer ? "install it, as by 'pip install nvidia-cublas'"
                : "install it, as by 'pip install nvidia-cublas-cu12'");
    probe(list, &places, cudnn_names, "cudnnGetVersion",
          newer ? "install it, as by 'pip install nvidia-cudnn-cu13'"
                : "install it, as by 'pip install nvidia-cudnn-cu12'");
    cuda_places_free(&places);
    return list;
}

static void list_unusable(json_t *devices, const char *id, const char *name, const char *reason)
{
    json_array_append_new(devices, json_pack("{s:s, s:s, s:b, s:s}", "id", id, "name", name,
                                             "usable", 0, "reason", reason));
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
