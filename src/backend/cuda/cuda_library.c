/* Opening a library by its versioned name, with the reason where it is not there. */
#include <dlfcn.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/cuda/cuda_places.h"
#include "core/loading.h"
#include "core/text.h"

static void library_take(cuda_library *out, void *handle, const char *name)
{
    out->handle = handle;
    out->name = name;
    out->reason[0] = 0;
    snprintf(out->path, sizeof out->path, "%s", name);
}

/* One that is there but cannot be opened is worth telling; the first such reason stays. */
static void note_broken(cuda_library *out, const char *path, const char *text)
{
    if (!out->reason[0])
        snprintf(out->reason, sizeof out->reason, "%.160s is there but cannot be opened: %.200s",
                 path, text ? text : "no reason given");
}

static bool library_try(cuda_library *out, const char *folder, const char *name)
{
    char path[FILE_PATH_BYTES];
    if (snprintf(path, sizeof path, "%s/%s", folder, name) >= (int)sizeof path ||
        !file_exists(path))
        return false;
    void *handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (handle)
        library_take(out, handle, name);
    else
        note_broken(out, path, dlerror());
    return handle != NULL;
}

static bool library_find(cuda_library *out, const cuda_places *places, const char *name)
{
    void *handle = places->loader ? dlopen(name, RTLD_NOW | RTLD_LOCAL | RTLD_NOLOAD) : NULL;
    for (int kind = 0; !handle && kind < CUDA_PLACE_COUNT; kind++) {
        if (kind == CUDA_PLACE_SYSTEM && places->loader) {
            handle = dlopen(name, RTLD_NOW | RTLD_LOCAL);
            const char *text = handle ? NULL : dlerror();
            if (!loading_found_none(name, text)) note_broken(out, name, text);
        }
        for (size_t i = 0; !handle && i < places->counts[kind]; i++)
            if (library_try(out, places->folders[kind][i], name)) return true;
    }
    if (handle) library_take(out, handle, name);
    return handle != NULL;
}

/* Another version of it, which is not taken: "" or its path. */
static void find_other(const cuda_places *places, const char *name, char *out, size_t room)
{
    const char *version = strstr(name, ".so");
    out[0] = 0;
    for (int kind = 0; kind < CUDA_PLACE_COUNT; kind++)
        for (size_t i = 0; i < places->counts[kind]; i++) {
            char pattern[FILE_PATH_BYTES];
            glob_t found = {0};
            int length = snprintf(pattern, sizeof pattern, "%s/%.*s.so.[0-9]*",
                                  places->folders[kind][i], (int)(version - name), name);
            if (length < (int)sizeof pattern && glob(pattern, 0, NULL, &found) == 0 && !out[0])
                snprintf(out, room, "%.160s", found.gl_pathv[0]);
            globfree(&found);
            if (out[0]) return;
        }
}

/* "NAME not found: looked in …; install …" */
static void explain(cuda_library *out, const cuda_places *places, const char *const *names,
                    const char *install)
{
    static const char *const texts[] = {
#define X(id, text) text,
        CUDA_PLACE_LIST(X)
#undef X
    };
    char other[200], broken[CUDA_LIBRARY_REASON];
    snprintf(broken, sizeof broken, "%s", out->reason);
    find_other(places, names[0], other, sizeof other);
    text_buffer b = TEXT_BUFFER(out->reason);
    text_add(&b, "%s", names[0]);
    for (int n = 1; names[n]; n++) text_add(&b, " or %s", names[n]);
    if (broken[0]) {
        snprintf(out->reason, sizeof out->reason, "%.420s; reinstall it", broken);
        return;
    }
    if (other[0]) {
        text_add(&b, " not found, only %.160s of another version; %.150s", other, install);
        return;
    }
    text_add(&b, " not found in ");
    for (int kind = 0, said = 0; kind < CUDA_PLACE_COUNT; kind++)
        if (places->counts[kind] > 0 || (kind == CUDA_PLACE_SYSTEM && places->loader))
            text_add(&b, "%s%s", said++ ? ", " : "", texts[kind]);
    text_add(&b, "; %s", install);
}

void library_open(cuda_library *out, const cuda_places *places, const char *const *names,
                  const char *install)
{
    *out = (cuda_library){.name = names[0]};
    for (int n = 0; names[n]; n++)
        if (library_find(out, places, names[n])) return;
    explain(out, places, names, install);
}

void library_locate(cuda_library *library, const char *symbol)
{
    Dl_info info;
    void *address = library_symbol(library, symbol);
    if (address && dladdr(address, &info) && info.dli_fname)
        snprintf(library->path, sizeof library->path, "%s", info.dli_fname);
}

void library_close(cuda_library *library)
{
    if (library->handle) dlclose(library->handle);
    *library = (cuda_library){.name = library->name};
}

void *library_symbol(const cuda_library *library, const char *symbol)
{
    return library->handle ? dlsym(library->handle, symbol) : NULL;
}
