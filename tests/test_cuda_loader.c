/* Finding, opening and probing NVIDIA's libraries, with fakes in their place. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "backend/backend.h"
#include "backend/cuda/cuda.h"
#include "core/clock.h"
#include "fake_cuda/fake_folder.h"

#define FAKES(...) fake_folder((const char *const[]){__VA_ARGS__, NULL})

static const char *const variables[] = {
    "FAKE_CUDA_DEVICES", "FAKE_CUDA_INIT",       "FAKE_CUDA_VERSION",     "FAKE_CUDA_CC",
    "FAKE_CUDA_MODE",    "CUDA_VISIBLE_DEVICES", "BREAKEVEN_CUDA_LIB_DIR"};

static int clean(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof variables / sizeof *variables; i++) unsetenv(variables[i]);
    return 0;
}

/* The libraries of a folder, opened; `expected` of another status: with these pieces in the text.
 */
static void open_from(char *folder, be_status expected, const char *const *pieces,
                      cuda_libraries *out)
{
    be_error err = {0};
    cuda_libraries own;
    cuda_places places = fake_places(folder);
    cuda_libraries *l = out ? out : &own;
    be_status status = cuda_libraries_open(l, &places, &places, &err);
    if (expected == BE_OK)
        support_assert_ok(status, &err, "cuda_libraries_open", __FILE__, __LINE__);
    else
        support_assert_fails(status, expected, &err, pieces, __FILE__, __LINE__);
    if (!out) cuda_libraries_close(l);
    cuda_places_free(&places);
    support_remove_folder(folder);
}

#define REFUSES(folder, ...) \
    open_from((folder), BE_UNAVAILABLE, (const char *const[]){__VA_ARGS__, NULL}, NULL)

#define ALL "libcuda.so.1", "libnvrtc.so.13", "libnvidia-ml.so.1"

/* ---------------------------------------------------------------- places */

static bool has_place(const cuda_places *places, cuda_place kind, const char *end)
{
    for (size_t i = 0; i < places->counts[kind]; i++) {
        const char *folder = places->folders[kind][i];
        size_t length = strlen(folder), wanted = strlen(end);
        if (length >= wanted && strcmp(folder + length - wanted, end) == 0) return true;
    }
    return false;
}

static void make_folders(const char *root, const char *path)
{
    char whole[4096];
    be_error err = {0};
    ASSERT_OK(file_make_folders(support_path(whole, sizeof whole, root, path), &err));
}

static void places_of_wheels_and_user(void **state)
{
    (void)state;
    be_error err = {0};
    cuda_places places;
    char *root = support_make_folder(), path[4096], both[9000];
    const char *old = getenv("PATH");
    char *kept = strdup(old ? old : "");
    make_folders(root, "bin");
    make_folders(root, "one");
    make_folders(root, "two");
    make_folders(root, "lib/python3.12/site-packages/nvidia/cu13/lib");
    make_folders(root, "lib/python3.12/site-packages/nvidia/cudnn/lib");
    support_write_file(support_path(path, sizeof path, root, "bin/python3"), "#!/bin/sh\n", 10);
    chmod(path, 0755);
    snprintf(both, sizeof both, "%s/bin", root);
    setenv("PATH", both, 1);
    snprintf(both, sizeof both, "%s/one:%s/two", root, root);
    setenv("BREAKEVEN_CUDA_LIB_DIR", both, 1);
    ASSERT_OK(cuda_places_find(&places, false, &err));
    assert_true(places.loader);
    assert_int_equal(places.counts[CUDA_PLACE_USER], 2);
    assert_true(has_place(&places, CUDA_PLACE_USER, "/one"));
    assert_true(has_place(&places, CUDA_PLACE_USER, "/two"));
    assert_true(has_place(&places, CUDA_PLACE_WHEELS, "site-packages/nvidia/cu13/lib"));
    assert_true(has_place(&places, CUDA_PLACE_WHEELS, "site-packages/nvidia/cudnn/lib"));
    cuda_places_free(&places);
    ASSERT_OK(cuda_places_find(&places, true, &err));
    assert_int_equal(places.counts[CUDA_PLACE_USER], 2);
    assert_int_equal(places.counts[CUDA_PLACE_WHEELS], 0);
    assert_int_equal(places.counts[CUDA_PLACE_TOOLKIT], 0);
    cuda_places_free(&places);
    /* A Python that is named, by its path or by a name on PATH, for each engine. */
    make_folders(root, "own/bin");
    make_folders(root, "own/lib/python3.11/site-packages/nvidia/own/lib");
    support_write_file(support_path(path, sizeof path, root, "own/bin/python3.11"), "#!/bin/sh\n",
                       10);
    chmod(path, 0755);
    snprintf(both, sizeof both, "%s/bin:%s/own/bin", root, root);
    setenv("PATH", both, 1);
    const char *const named[][2] = {{"BREAKEVEN_PYTHON", path},
                                    {"BREAKEVEN_PYTHON", "python3.11"},
                                    {"BREAKEVEN_TENSORFLOW_PYTHON", path},
                                    {"BREAKEVEN_TENSORFLOW_PYTHON", "python3.11"}};
    for (int i = 0; i < 4; i++) {
        setenv(named[i][0], named[i][1], 1);
        ASSERT_OK(cuda_places_find(&places, false, &err));
        assert_true(has_place(&places, CUDA_PLACE_WHEELS, "site-packages/nvidia/own/lib"));
        cuda_places_free(&places);
        unsetenv(named[i][0]);
    }
    setenv("PATH", kept, 1);
    free(kept);
    support_remove_folder(root);
}

static be_status find_places(void *context, be_error *err)
{
    cuda_places places;
    (void)context;
    be_status status = cuda_places_find(&places, false, err);
    if (status == BE_OK) cuda_places_free(&places);
    return status;
}

static void places_without_memory(void **state)
{
    (void)state;
    setenv("BREAKEVEN_CUDA_LIB_DIR", "/one:/two:/three", 1);
    assert_true(support_fail_each_allocation(find_places, NULL, 400) >= 3);
}

/* ---------------------------------------------------------------- one library */

static void library_by_version(void **state)
{
    (void)state;
    static const char *const cudnn[] = {"libcudnn.so.9", NULL};
    static const char *const either[] = {"libnvrtc.so.14", "libnvrtc.so.13", NULL};
    char *folder = FAKES("libcudnn.so.9", "libnvrtc.so.13");
    cuda_places places = fake_places(folder);
    cuda_library library;
    library_open(&library, &places, cudnn, "install it");
    assert_non_null(library.handle);
    assert_string_equal(library.name, "libcudnn.so.9");
    assert_non_null(library_symbol(&library, "cudnnGetVersion"));
    assert_null(library_symbol(&library, "cudnnGetVersions"));
    library_locate(&library, "cudnnGetVersion");
    assert_non_null(strstr(library.path, "/libcudnn.so.9"));
    library_close(&library);
    library_open(&library, &places, either, "install it");
    assert_string_equal(library.name, "libnvrtc.so.13");
    library_close(&library);
    cuda_places_free(&places);
    support_remove_folder(folder);
}

static void library_that_is_not_there(void **state)
{
    (void)state;
    static const char *const names[] = {"libcudnn.so.9", "libcudnn.so.10", NULL};
    char *folder = support_make_folder(), path[4096];
    cuda_places places = fake_places(folder);
    cuda_library library;
    library_open(&library, &places, names, "install cuDNN");
    assert_null(library.handle);
    assert_string_equal(library.reason, "libcudnn.so.9 or libcudnn.so.10 not found in the folder "
                                        "of BREAKEVEN_CUDA_LIB_DIR; install cuDNN");
    /* Another major version is told and not taken. */
    support_write_file(support_path(path, sizeof path, folder, "libcudnn.so.8"), "x", 1);
    library_open(&library, &places, names, "install cuDNN");
    assert_null(library.handle);
    assert_non_null(strstr(library.reason, "not found, only "));
    assert_non_null(strstr(library.reason, "/libcudnn.so.8 of another version; install cuDNN"));
    /* A file that is no library. */
    support_write_file(support_path(path, sizeof path, folder, "libcudnn.so.9"), "x", 1);
    library_open(&library, &places, names, "install cuDNN");
    assert_null(library.handle);
    assert_non_null(strstr(library.reason, "/libcudnn.so.9 is there but cannot be opened: "));
    cuda_places_free(&places);
    support_remove_folder(folder);
}

/* ---------------------------------------------------------------- driver and compiler */

static void all_there(void **state)
{
    (void)state;
    cuda_libraries l;
    open_from(FAKES(ALL), BE_OK, NULL, &l);
    assert_int_equal(l.driver_version, 13000);
    assert_string_equal(l.driver_text, "580.12.34 (CUDA 13.0)");
    assert_string_equal(l.nvrtc.version, "13.0");
    assert_int_equal(l.nvrtc_version, 13000);
    assert_int_equal(l.device_count, 1);
    assert_int_equal(l.arch_count, 5);
    cuda_libraries_close(&l);
    /* NVML is not needed. */
    open_from(FAKES("libcuda.so.1", "libnvrtc.so.13"), BE_OK, NULL, &l);
    assert_string_equal(l.driver_text, "CUDA 13.0");
    assert_non_null(strstr(l.nvml.reason, "libnvidia-ml.so.1 not found"));
    cuda_libraries_close(&l);
}

static void something_missing(void **state)
{
    (void)state;
    REFUSES(FAKES("libnvrtc.so.13"), "libcuda.so.1 not found in ", "; install the NVIDIA driver");
    REFUSES(FAKES("libcuda.so.1"), "libnvrtc.so.13 or libnvrtc.so.12 not found in ",
            "install it, as by 'pip install nvidia-cuda-nvrtc'");
    /* Under a driver for CUDA 12, code of a compiler for 13 would not load. */
    setenv("FAKE_CUDA_VERSION", "12040", 1);
    REFUSES(FAKES(ALL), "libnvrtc.so.12 not found, only ", "libnvrtc.so.13 of another version",
            "nvidia-cuda-nvrtc-cu12");
}

/* A machine without a driver must not start slower by more than 20 ms of a processor's time for
 * having looked. */
static void looking_costs_little(void **state)
{
    (void)state;
    static const char *const names[] = {"libcuda.so.0", NULL};
    int64_t least_ns = INT64_MAX;
    for (int turn = 0; turn < 5; turn++) {
        be_error err = {0};
        cuda_places places;
        cuda_library library;
        int64_t start_ns = clock_cpu_ns(0);
        ASSERT_OK(cuda_places_find(&places, true, &err));
        library_open(&library, &places, names, "install it");
        int64_t took_ns = clock_cpu_ns(0) - start_ns;
        assert_null(library.handle);
        cuda_places_free(&places);
        if (took_ns < least_ns) least_ns = took_ns;
    }
    assert_true(least_ns < 20000000);
}

static void driver_that_does_not_start(void **state)
{
    (void)state;
    setenv("FAKE_CUDA_VERSION", "11040", 1);
    REFUSES(FAKES(ALL), "too old: expected one for CUDA 12.0 or later, found one for 11.4",
            "install driver 525 or later");
    unsetenv("FAKE_CUDA_VERSION");
    setenv("FAKE_CUDA_INIT", "34", 1);
    REFUSES(FAKES(ALL), "does not start: CUDA_ERROR_STUB_LIBRARY (34)", "the toolkit's stub");
    setenv("FAKE_CUDA_INIT", "803", 1);
    REFUSES(FAKES(ALL), "(803)", "of different versions; restart the machine");
    setenv("FAKE_CUDA_INIT", "101", 1); /* as of CUDA_VISIBLE_DEVICES=0,0 */
    REFUSES(FAKES(ALL), "(101)", "names a GPU twice");
    setenv("FAKE_CUDA_INIT", "999", 1);
    REFUSES(FAKES(ALL), "(999)", "/dev/nvidia*");
}

static void no_devices(void **state)
{
    (void)state;
    setenv("FAKE_CUDA_DEVICES", "0", 1);
    REFUSES(FAKES(ALL), "the NVIDIA driver sees no GPU", "nvidia-smi");
    setenv("FAKE_CUDA_DEVICES", "2", 1);
    setenv("CUDA_VISIBLE_DEVICES", "", 1);
    REFUSES(FAKES(ALL), "CUDA_VISIBLE_DEVICES is set and empty", "unset it");
    setenv("CUDA_VISIBLE_DEVICES", "7", 1);
    REFUSES(FAKES(ALL), "CUDA_VISIBLE_DEVICES=7 leaves no NVIDIA GPU");
}

/* ---------------------------------------------------------------- devices */

static void facts_of_devices(void **state)
{
    (void)state;
    be_error err = {0};
    cuda_libraries l;
    cuda_device_facts facts;
    setenv("FAKE_CUDA_DEVICES", "3", 1);
    setenv("CUDA_VISIBLE_DEVICES", "2,0", 1);
    open_from(FAKES(ALL), BE_OK, NULL, &l);
    assert_int_equal(l.device_count, 2);
    ASSERT_OK(cuda_device_read(&l, 0, &facts, &err));
    assert_string_equal(facts.id, "cuda:0");
    assert_string_equal(facts.name, "Fake GPU 2");
    assert_string_equal(facts.pci, "0000:08:00.0");
    assert_int_equal(facts.major, 9);
    assert_int_equal(facts.memory_bytes, 1 << 30);
    ASSERT_OK(cuda_device_read(&l, 1, &facts, &err));
    assert_string_equal(facts.name, "Fake GPU 0");
    ASSERT_FAILS(cuda_device_read(&l, 2, &facts, &err), BE_UNAVAILABLE,
                 "cuda:2: expected one of the 2 NVIDIA GPUs that are visible (cuda:0 to cuda:1)");
    cuda_libraries_close(&l);
    setenv("FAKE_CUDA_MODE", "2", 1);
    open_from(FAKES(ALL), BE_OK, NULL, &l);
    ASSERT_FAILS(cuda_device_read(&l, 0, &facts, &err), BE_UNAVAILABLE,
                 "cuda:0 (Fake GPU 2) is set to refuse computing", "compute mode");
    cuda_libraries_close(&l);
}

static void targets(void **state)
{
    (void)state;
    static const struct {
        int major, minor, arch;
        bool ptx;
    } cases[] = {{9, 0, 90, false},   {8, 9, 80, false},  {7, 5, 75, false}, {10, 3, 100, false},
                 {12, 1, 120, false}, {13, 0, 120, true}, {11, 0, 100, true}};
    be_error err = {0};
    cuda_libraries l;
    cuda_target target;
    open_from(FAKES(ALL), BE_OK, NULL, &l);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        cuda_device_facts facts = {
            .id = "cuda:0", .name = "G", .major = cases[i].major, .minor = cases[i].minor};
        ASSERT_OK(cuda_target_choose(&l, &facts, &target, &err));
        assert_int_equal(target.arch, cases[i].arch);
        assert_int_equal(target.ptx, cases[i].ptx);
    }
    cuda_device_facts old = {.id = "cuda:0", .name = "Old", .major = 6, .minor = 1};
    ASSERT_FAILS(cuda_target_choose(&l, &old, &target, &err), BE_UNAVAILABLE,
                 "cuda:0 (Old) has compute capability 6.1; NVRTC 13.0 compiles for 7.5 and later",
                 "nvidia-cuda-nvrtc-cu12");
    cuda_libraries_close(&l);
}

/* ---------------------------------------------------------------- the list of devices */

static const json_t *find_device(const json_t *devices, const char *id)
{
    size_t i;
    json_t *device;
    json_array_foreach(devices, i, device)
    {
        if (strcmp(json_string_value(json_object_get(device, "id")), id) == 0) return device;
    }
    return NULL;
}

static void list_of_devices(void **state)
{
    (void)state;
    const char *fakes = getenv("BREAKEVEN_FAKE_CUDA");
    size_t i, found = 0;
    json_t *library;
    setenv("BREAKEVEN_CUDA_LIB_DIR", fakes, 1);
    setenv("FAKE_CUDA_DEVICES", "2", 1);
    cuda_libraries_forget();
    json_t *devices = json_array();
    cuda_list(devices);
    assert_int_equal(json_array_size(devices), 2);
    const json_t *device = find_device(devices, "cuda:1");
    assert_non_null(device);
    assert_true(json_is_true(json_object_get(device, "usable")));
    assert_string_equal(json_string_value(json_object_get(device, "compute_capability")), "9.0");
    json_array_foreach(json_object_get(device, "libraries"), i, library)
    {
        const char *name = json_string_value(json_object_get(library, "name"));
        const char *version = json_string_value(json_object_get(library, "version"));
        const char *path = json_string_value(json_object_get(library, "path"));
        if (!path || strncmp(path, fakes, strlen(fakes)) != 0) continue;
        found += strcmp(name, "libcublasLt.so.13") == 0 && strcmp(version, "13.0.2") == 0;
        found += strcmp(name, "libcudnn.so.9") == 0 && strcmp(version, "9.14.0") == 0;
        found += strcmp(name, "libnvrtc.so.13") == 0 && strcmp(version, "13.0") == 0;
    }
    assert_int_equal(found, 3);
    json_decref(devices);
    setenv("CUDA_VISIBLE_DEVICES", "", 1);
    cuda_libraries_forget();
    devices = json_array();
    cuda_list(devices);
    device = find_device(devices, "cuda");
    assert_non_null(device);
    assert_false(json_is_true(json_object_get(device, "usable")));
    assert_non_null(strstr(json_string_value(json_object_get(device, "reason")), "hides every"));
    json_decref(devices);
    be_device *opened = NULL;
    be_error err = {0};
    ASSERT_FAILS(be_device_open("cuda:0", NULL, &opened, &err), BE_UNAVAILABLE,
                 "cuda:0 is not usable: CUDA_VISIBLE_DEVICES is set and empty");
    cuda_libraries_forget();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(places_of_wheels_and_user, clean),
        cmocka_unit_test_setup(places_without_memory, clean),
        cmocka_unit_test_setup(library_by_version, clean),
        cmocka_unit_test_setup(library_that_is_not_there, clean),
        cmocka_unit_test_setup(all_there, clean),
        cmocka_unit_test_setup(something_missing, clean),
        cmocka_unit_test_setup(looking_costs_little, clean),
        cmocka_unit_test_setup(driver_that_does_not_start, clean),
        cmocka_unit_test_setup(no_devices, clean),
        cmocka_unit_test_setup(facts_of_devices, clean),
        cmocka_unit_test_setup(targets, clean),
        cmocka_unit_test_setup(list_of_devices, clean),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
