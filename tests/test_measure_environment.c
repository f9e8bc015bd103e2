/* Tests of the environment: real facts of this machine, and planted ones under another root. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/file.h"
#include "machine/environment.h"
#include "machine/load.h"
#include "support.h"

static void this_machine_is_described(void **state)
{
    (void)state;
    environment e;
    environment_read(NULL, true, &e);
    assert_true(strlen(e.cpu_model) > 2);
    assert_true(e.cores >= 1 && e.threads >= e.cores && e.machine_threads >= e.threads);
    assert_true(e.machine_cores >= 1);
    assert_true(e.memory_bytes > 100 << 20);
    assert_true(strlen(e.kernel) > 5 && strlen(e.machine) > 2 && strlen(e.system) > 2);
    assert_true(strlen(e.version) > 2 && strlen(e.compiler) > 2 && strlen(e.commit) > 2);
#ifdef __x86_64__
    assert_non_null(strstr(e.isa, "sse4.2"));
#endif
}

static void plant(const char *root, const char *path, const char *text)
{
    be_error err = {0};
    char whole[4096], *slash;
    snprintf(whole, sizeof whole, "%s%s", root, path);
    slash = strrchr(whole, '/');
    *slash = 0;
    ASSERT_OK(file_make_folders(whole, &err));
    *slash = '/';
    support_write_file(whole, text, strlen(text));
}

static bool warned(const environment *e, const char *piece)
{
    for (int i = 0; i < ENVIRONMENT_WARNINGS && e->warnings[i]; i++)
        if (strstr(e->warnings[i], piece)) return true;
    return false;
}

static void planted_facts_are_found(void **state)
{
    (void)state;
    environment e;
    char *root = support_make_folder();
    plant(root, "/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", "powersave\n");
    plant(root, "/etc/os-release", "NAME=\"X\"\nPRETTY_NAME=\"Some System 1\"\n");
    plant(root, "/proc/self/cgroup", "0::/slice/scope\n");
    plant(root, "/proc/self/mountinfo",
          "30 23 0:26 / /sys/fs/cgroup rw shared:4 - cgroup2 cgroup2 rw\n");
    plant(root, "/sys/fs/cgroup/slice/cpu.max", "50000 100000\n");
    plant(root, "/sys/fs/cgroup/slice/scope/memory.max", "1073741824\n");
    plant(root, "/.dockerenv", "");
    plant(root, "/proc/cpuinfo", "processor : 0\nflags\t\t: fpu hypervisor avx\n");
    plant(root, "/sys/class/dmi/id/sys_vendor", "QEMU\n");
    environment_read(root, true, &e);
    assert_string_equal(e.governor, "powersave");
    assert_float_equal(e.quota, 0.5, 1e-12);
    assert_int_equal(e.usual_threads, 1);
    assert_int_equal(e.memory_limit_bytes, 1073741824);
    assert_string_equal(e.container, "docker");
    assert_string_equal(e.virtual_machine, "QEMU");
#ifdef __linux__
    assert_string_equal(e.system, "Some System 1");
#endif
    assert_true(warned(&e, "governor saves power"));
    assert_true(warned(&e, "allows this process fewer processors"));
    support_remove_folder(root);
}

static void what_is_not_there_is_null(void **state)
{
    (void)state;
    be_error err = {0};
    environment e;
    json_t *json = NULL;
    char *root = support_make_folder();
    plant(root, "/sys/fs/cgroup/cpu.max", "max 100000\n");
    plant(root, "/sys/fs/cgroup/memory.max", "max\n");
    environment_read(root, true, &e);
    e.machine_cores = -1;
    e.load[1] = NAN;
    ASSERT_OK(environment_to_json(&e, &json, &err));
    json_t *cpu = json_object_get(json, "cpu");
    assert_true(json_is_null(json_object_get(cpu, "governor")));
    assert_true(json_is_null(json_object_get(cpu, "quota")));
    assert_true(json_is_null(json_object_get(cpu, "machine_cores")));
    assert_true(json_is_null(json_object_get(json, "memory_limit_bytes")));
    assert_true(json_is_null(json_object_get(json, "container")));
    assert_true(json_is_null(json_object_get(json, "virtual_machine")));
    assert_true(json_is_null(json_array_get(json_object_get(json, "load_average"), 1)));
    json_decref(json);
    support_remove_folder(root);
}

static void the_record_has_libraries_and_variables(void **state)
{
    (void)state;
    be_error err = {0};
    environment e;
    json_t *json = NULL;
    setenv("OMP_PLANTED", "yes", 1);
    setenv("PLANTED_OMP_", "no", 1);
    environment_read(NULL, true, &e);
    ASSERT_OK(environment_to_json(&e, &json, &err));
    const json_t *libraries = json_object_get(json, "libraries");
    const char *names[] = {"blas", "zlib", "jansson", "hwloc", "openmp"};
    for (size_t i = 0; i < 5; i++) {
        const char *version = json_string_value(json_object_get(libraries, names[i]));
        assert_true(version && strlen(version) >= 3);
    }
    const json_t *variables = json_object_get(json, "variables");
    assert_string_equal(json_string_value(json_object_get(variables, "OMP_PLANTED")), "yes");
    assert_null(json_object_get(variables, "PLANTED_OMP_"));
    const json_t *build = json_object_get(json, "build");
    assert_string_equal(json_string_value(json_object_get(build, "commit")), e.commit);
    assert_int_equal(json_array_size(json_object_get(json, "warnings")) > 0, e.warnings[0] != NULL);
    json_decref(json);
}

static void shares_of_the_processors(void **state)
{
    (void)state;
    load_sample from = {.time_ns = 0, .busy_ns = 1000, .steal_ns = 0, .processors = 4};
    load_sample to = {.time_ns = 1000, .busy_ns = 3000, .steal_ns = 400, .processors = 4};
    assert_float_equal(load_other_share(&from, &to, 1000), 0.25, 1e-12);
    assert_float_equal(load_other_share(&from, &to, 5000), 0, 0);
    assert_float_equal(load_steal_share(&from, &to), 0.1, 1e-12);
    assert_float_equal(load_taken_share(&from, &to, 1000), 0.35, 1e-12);
    assert_true(isnan(load_other_share(&from, &to, -1)));
    assert_float_equal(load_taken_share(&from, &to, -1), 0.1, 1e-12);
    to.busy_ns = to.steal_ns = -1;
    assert_true(isnan(load_other_share(&from, &to, 0)));
    assert_true(isnan(load_steal_share(&from, &to)));
    assert_true(isnan(load_other_share(&from, &from, 0)));
}

static void own_work_is_counted(void **state)
{
    (void)state;
    load_sample from = load_take(NULL);
    int64_t own_ns = load_own_cpu_ns();
    while (load_own_cpu_ns() - own_ns < 300000000) continue;
    load_sample to = load_take(NULL);
    assert_true(to.time_ns - from.time_ns >= 300000000);
#ifdef __linux__
    assert_true(to.busy_ns - from.busy_ns >= 250000000);
#endif
    double load[3];
    load_averages(load);
    assert_true(load[0] >= 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(this_machine_is_described),
        cmocka_unit_test(planted_facts_are_found),
        cmocka_unit_test(what_is_not_there_is_null),
        cmocka_unit_test(the_record_has_libraries_and_variables),
        cmocka_unit_test(shares_of_the_processors),
        cmocka_unit_test(own_work_is_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
