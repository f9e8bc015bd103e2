/* Folders of libraries on this machine. */
#include "backend/cuda/cuda_places.h"

#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static bool places_have(const cuda_places *places, const char *folder)
{
    for (int kind = 0; kind < CUDA_PLACE_COUNT; kind++)
        for (size_t i = 0; i < places->counts[kind]; i++)
            if (strcmp(places->folders[kind][i], folder) == 0) return true;
    return false;
}

be_status cuda_places_add(cuda_places *places, cuda_place kind, const char *folder, be_error *err)
{
    void *list = places->folders[kind], *copy = NULL;
    if (places_have(places, folder)) return BE_OK;
    TRY(memory_alloc(&copy, strlen(folder) + 1, "a folder of libraries", err));
    strcpy(copy, folder);
    be_status status = memory_grow(&list, &places->capacities[kind], places->counts[kind] + 1,
                                   sizeof(char *), err);
    if (status != BE_OK) {
        memory_free(copy);
        return status;
    }
    places->folders[kind] = list;
    places->folders[kind][places->counts[kind]++] = copy;
    return BE_OK;
}

void cuda_places_free(cuda_places *places)
{
    for (int kind = 0; kind < CUDA_PLACE_COUNT; kind++) {
        for (size_t i = 0; i < places->counts[kind]; i++) memory_free(places->folders[kind][i]);
        memory_free_array(places->folders[kind]);
    }
    *places = (cuda_places){0};
}

/* Every folder that matches "PREFIX/PATTERN". */
static be_status add_matches(cuda_places *places, cuda_place kind, const char *prefix,
                             const char *pattern, be_error *err)
{
    char whole[FILE_PATH_BYTES];
    glob_t found = {0};
    be_status status = BE_OK;
    if (snprintf(whole, sizeof whole, "%s/%s", prefix, pattern) >= (int)sizeof whole) return BE_OK;
    if (glob(whole, GLOB_ONLYDIR | GLOB_NOSORT, NULL, &found) == 0)
        for (size_t i = 0; status == BE_OK && i < found.gl_pathc; i++)
            if (file_is_folder(found.gl_pathv[i]))
                status = cuda_places_add(places, kind, found.gl_pathv[i], err);
    globfree(&found);
    return status;
}

/* A list of folders as PATH has it; `each` is called with every one that is not empty. */
typedef be_status (*folder_fn)(cuda_places *places, const char *folder, be_error *err);

static be_status each_folder(cuda_places *places, const char *list, folder_fn each, be_error *err)
{
    char folder[FILE_PATH_BYTES];
    while (list && *list) {
        size_t length = strcspn(list, ":");
        if (length > 0 && length < sizeof folder) {
            memcpy(folder, list, length);
            folder[length] = 0;
            TRY(each(places, folder, err));
        }
        list += length + (list[length] == ':');
    }
    return BE_OK;
}

static be_status add_user(cuda_places *places, const char *folder, be_error *err)
{
    return cuda_places_add(places, CUDA_PLACE_USER, folder, err);
}

/* ---------------------------------------------------------------- wheels */

/* A folder of packages holds nvidia/NAME/lib (wheels by component) and nvidia/cu13/lib. */
static be_status add_packages(cuda_places *places, const char *folder, be_error *err)
{
    return add_matches(places, CUDA_PLACE_WHEELS, folder, "nvidia/*/lib", err);
}

static be_status add_prefix(cuda_places *places, const char *prefix, be_error *err)
{
    static const char *const patterns[] = {
        "lib/python3*/site-packages/nvidia/*/lib",
        "lib64/python3*/site-packages/nvidia/*/lib",
        "lib/python3*/dist-packages/nvidia/*/lib",
        "local/lib/python3*/dist-packages/nvidia/*/lib",
        "versions/*/lib/python3*/site-packages/nvidia/*/lib", /* pyenv: its programs are scripts */
    };
    for (size_t i = 0; i < sizeof patterns / sizeof *patterns; i++)
        TRY(add_matches(places, CUDA_PLACE_WHEELS, prefix, patterns[i], err));
    return BE_OK;
}

/* PREFIX of PREFIX/bin/python3, as it is named (a virtual environment) and as it is (the Python
 * behind it). */
static be_status add_python(cuda_places *places, const char *program, be_error *err)
{
    char real[FILE_PATH_BYTES];
    for (int resolved = 0; resolved < 2; resolved++) {
        char prefix[FILE_PATH_BYTES];
        if (resolved && !realpath(program, real)) break;
        snprintf(prefix, sizeof prefix, "%s", resolved ? real : program);
        for (int up = 0; up < 2; up++) {
            char *slash = strrchr(prefix, '/');
            if (slash) *slash = 0;
        }
        if (*prefix) TRY(add_prefix(places, prefix, err));
    }
    return BE_OK;
}

static be_status add_python_in(cuda_places *places, const char *folder, be_error *err)
{
    char program[FILE_PATH_BYTES];
    if (snprintf(program, sizeof program, "%s/python3", folder) >= (int)sizeof program ||
        access(program, X_OK) != 0)
        return BE_OK;
    return add_python(places, program, err);
}

/* The Python that a variable names, by its path or by a name on PATH, as a runner is started. */
static be_status add_named(cuda_places *places, const char *python, be_error *err)
{
    char program[FILE_PATH_BYTES];
    if (!python || !*python) return BE_OK;
    if (strchr(python, '/')) return add_python(places, python, err);
    for (const char *list = getenv("PATH"); list && *list;) {
        int length = (int)strcspn(list, ":");
        if (snprintf(program, sizeof program, "%.*s/%s", length, list, python) <
                (int)sizeof program &&
            access(program, X_OK) == 0)
            return add_python(places, program, err);
        list += length + (list[length] == ':');
    }
    return BE_OK;
}

static be_status add_wheels(cuda_places *places, be_error *err)
{
    const char *home = getenv("HOME");
    const char *environment = getenv("VIRTUAL_ENV"), *conda = getenv("CONDA_PREFIX");
    char user[FILE_PATH_BYTES];
    TRY(add_named(places, getenv("BREAKEVEN_PYTHON"), err));
    TRY(add_named(places, getenv("BREAKEVEN_TENSORFLOW_PYTHON"), err));
    TRY(each_folder(places, getenv("PYTHONPATH"), add_packages, err));
    if (environment && *environment) TRY(add_prefix(places, environment, err));
    if (conda && *conda) TRY(add_prefix(places, conda, err));
    TRY(each_folder(places, getenv("PATH"), add_python_in, err));
    TRY(add_python(places, "/usr/bin/python3", err));
    if (home && *home && snprintf(user, sizeof user, "%s/.local", home) < (int)sizeof user)
        TRY(add_prefix(places, user, err));
    return BE_OK;
}

/* ---------------------------------------------------------------- system and toolkit */

/* Containers mount the driver in folders of which the loader does not always know. */
static be_status add_driver(cuda_places *places, be_error *err)
{
    static const char *const folders[] = {
        "/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib64",
        "/usr/local/nvidia/lib64",   "/usr/local/nvidia/lib",      "/usr/lib64-nvidia",
        "/usr/lib/wsl/lib",
    };
    for (size_t i = 0; i < sizeof folders / sizeof *folders; i++)
        if (file_is_folder(folders[i]))
            TRY(cuda_places_add(places, CUDA_PLACE_SYSTEM, folders[i], err));
    return BE_OK;
}

static be_status add_toolkit(cuda_places *places, be_error *err)
{
    static const char *const patterns[] = {"lib64", "lib", "targets/x86_64-linux/lib",
                                           "targets/sbsa-linux/lib"};
    const char *roots[] = {getenv("CUDA_HOME"), getenv("CUDA_PATH"), "/usr/local/cuda",
                           "/usr/local/cuda-*", "/opt/cuda"};
    for (size_t r = 0; r < sizeof roots / sizeof *roots; r++)
        for (size_t i = 0; roots[r] && *roots[r] && i < sizeof patterns / sizeof *patterns; i++)
            TRY(add_matches(places, CUDA_PLACE_TOOLKIT, roots[r], patterns[i], err));
    return BE_OK;
}

static be_status find_all(cuda_places *out, bool driver_only, be_error *err)
{
    TRY(each_folder(out, getenv("BREAKEVEN_CUDA_LIB_DIR"), add_user, err));
    if (!driver_only) TRY(add_wheels(out, err));
    TRY(add_driver(out, err));
    return driver_only ? BE_OK : add_toolkit(out, err);
}

be_status cuda_places_find(cuda_places *out, bool driver_only, be_error *err)
{
    *out = (cuda_places){.loader = true};
    be_status status = find_all(out, driver_only, err);
    if (status != BE_OK) cuda_places_free(out);
    return status;
}
