/* Tests of the sensors: planted ones under another root, none, and the fake NVML's. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/file.h"
#include "machine/sensors.h"
#include "support.h"

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

#define CPU "/sys/devices/system/cpu/cpu"
#define RAPL "/sys/class/powercap/intel-rapl:"

static void plant_package(const char *root, int number, const char *energy)
{
    char path[100], name[20];
    snprintf(path, sizeof path, RAPL "%d/name", number);
    snprintf(name, sizeof name, "package-%d\n", number);
    plant(root, path, name);
    snprintf(path, sizeof path, RAPL "%d/energy_uj", number);
    plant(root, path, energy);
    snprintf(path, sizeof path, RAPL "%d/max_energy_range_uj", number);
    plant(root, path, "262143328850\n");
}

static void planted_sensors_are_read(void **state)
{
    (void)state;
    sensors s;
    char *root = support_make_folder();
    plant(root, CPU "0/cpufreq/scaling_cur_freq", "3000000\n");
    plant(root, CPU "1/cpufreq/scaling_cur_freq", "2000000\n");
    plant(root, CPU "0/cpufreq/cpuinfo_max_freq", "4200000\n");
    plant(root, "/sys/class/hwmon/hwmon0/name", "nvme\n");
    plant(root, "/sys/class/hwmon/hwmon0/temp1_input", "99000\n");
    plant(root, "/sys/class/hwmon/hwmon3/name", "coretemp\n");
    plant(root, "/sys/class/hwmon/hwmon3/temp1_input", "56500\n");
    plant(root, "/sys/class/hwmon/hwmon3/temp1_label", "Package id 0\n");
    plant_package(root, 0, "1000000\n");
    plant_package(root, 1, "500000\n");
    plant(root, RAPL "2/name", "psys\n");
    plant(root, RAPL "2/energy_uj", "7\n");
    plant(root, RAPL "2/max_energy_range_uj", "9\n");
    sensors_read(root, true, &s);
    assert_true(s.cpu.clock_hz == 2.5e9 && s.cpu.clock_max_hz == 4.2e9);
    assert_float_equal(s.cpu.temperature_c, 56.5, 1e-9);
    assert_string_equal(s.cpu.temperature_sensor, "coretemp Package id 0");
    assert_string_equal(s.cpu.energy_sensor, "RAPL package-0, package-1");
    json_t *json = sensors_to_json(&s), *cpu = json_object_get(json, "cpu");
    assert_float_equal(json_number_value(json_object_get(cpu, "energy_j")), 1.5, 1e-9);
    assert_string_equal(json_string_value(json_object_get(cpu, "energy_sensor")),
                        "RAPL package-0, package-1");
    json_decref(json);
    support_remove_folder(root);
}

static void a_thermal_zone_will_do(void **state)
{
    (void)state;
    sensors s;
    char *root = support_make_folder();
    plant(root, "/sys/class/thermal/thermal_zone0/type", "acpitz\n");
    plant(root, "/sys/class/thermal/thermal_zone0/temp", "20000\n");
    plant(root, "/sys/class/thermal/thermal_zone1/type", "x86_pkg_temp\n");
    plant(root, "/sys/class/thermal/thermal_zone1/temp", "48000\n");
    sensors_read(root, true, &s);
    assert_float_equal(s.cpu.temperature_c, 48, 1e-9);
    assert_string_equal(s.cpu.temperature_sensor, "thermal zone x86_pkg_temp");
    support_remove_folder(root);
}

/* Also what is there and holds nonsense. */
static void what_is_not_there_is_null(void **state)
{
    (void)state;
    static const char *const members[] = {"clock_hz",           "clock_max_hz", "temperature_c",
                                          "temperature_sensor", "energy_j",     "energy_sensor"};
    sensors s;
    char *root = support_make_folder();
    for (int nonsense = 0; nonsense < 2; nonsense++) {
        if (nonsense) {
            plant(root, CPU "0/cpufreq/scaling_cur_freq", "<unknown>\n");
            plant(root, "/sys/class/hwmon/hwmon0/name", "coretemp\n");
            plant(root, "/sys/class/hwmon/hwmon0/temp1_input", "\n");
            plant_package(root, 0, "many\n");
        }
        sensors_read(root, true, &s);
        json_t *json = sensors_to_json(&s), *cpu = json_object_get(json, "cpu");
        for (size_t i = 0; i < sizeof members / sizeof *members; i++)
            assert_true(json_is_null(json_object_get(cpu, members[i])));
        json_decref(json);
        assert_true(isnan(sensors_cpu_energy_j(&s, &s)));
    }
    support_remove_folder(root);
}

static void energy_between_two_readings(void **state)
{
    (void)state;
    sensors from, to;
    char *root = support_make_folder();
    plant_package(root, 0, "1000000\n");
    plant_package(root, 1, "262143000000\n");
    sensors_read(root, true, &from);
    plant_package(root, 0, "3500000\n");
    plant_package(root, 1, "171150\n"); /* began anew: 328850 to the end of the range */
    sensors_read(root, true, &to);
    assert_float_equal(sensors_cpu_energy_j(&from, &to), 2.5 + 0.5, 1e-9);
    to.cpu.packages = 1; /* one can no longer be read */
    assert_true(isnan(sensors_cpu_energy_j(&from, &to)));
    support_remove_folder(root);
}

static void a_gpu_is_known_by_its_place(void **state)
{
    (void)state;
    sensors from = {
        .gpu_count = 2,
        .gpus = {{.bus = "0000:1b:00.0", .energy_j = 5}, {.bus = "0001:1b:00.0", .energy_j = NAN}}};
    sensors to = from;
    to.gpus[0].energy_j = 12;
    assert_ptr_equal(sensors_gpu_find(&from, "00000000:1B:00.0"), &from.gpus[0]);
    assert_ptr_equal(sensors_gpu_find(&from, "0001:1b:00.0"), &from.gpus[1]);
    assert_null(sensors_gpu_find(&from, "0000:1c:00.0"));
    assert_null(sensors_gpu_find(&from, ""));
    assert_float_equal(sensors_gpu_energy_j(&from, &to, "0000:1b:00.0"), 7, 1e-9);
    assert_true(isnan(sensors_gpu_energy_j(&to, &from, "0000:1b:00.0")));
    assert_true(isnan(sensors_gpu_energy_j(&from, &to, "0001:1b:00.0")));
    assert_true(isnan(sensors_gpu_energy_j(&from, &to, "0000:1c:00.0")));
}

/* The library is looked for once, so this test sets the folder before any other reads. */
static int use_fake_nvml(void **state)
{
    const char *folder = getenv("BREAKEVEN_FAKE_CUDA");
    (void)state;
    if (folder) setenv("BREAKEVEN_CUDA_LIB_DIR", folder, 1);
    return 0;
}

static void nvml_tells_of_gpus(void **state)
{
    (void)state;
    sensors from, to;
    if (!getenv("BREAKEVEN_FAKE_CUDA")) skip();
    sensors_read(NULL, true, &from);
    const sensors_gpu *gpu = sensors_gpu_find(&from, "0000:06:00.0");
    assert_non_null(gpu);
    assert_string_equal(gpu->name, "Fake GPU 0");
    assert_true(gpu->clock_hz == 1.5e9 && gpu->clock_max_hz == 1.98e9);
    assert_true(gpu->memory_clock_hz == 2.6e9 && gpu->temperature_c == 41);
    assert_float_equal(gpu->power_w, 123.456, 1e-9);
    assert_string_equal(gpu->throttle, "none");
    setenv("FAKE_NVML_ENERGY", "4500", 1);
    setenv("FAKE_NVML_THROTTLE", "0x25", 1); /* idle, power cap, temperature */
    sensors_read(NULL, true, &to);
    assert_float_equal(sensors_gpu_energy_j(&from, &to, "0000:06:00.0"), 3.5, 1e-9);
    assert_string_equal(to.gpus[0].throttle, "power cap, temperature");
    setenv("FAKE_NVML_POOR", "1", 1);
    sensors_read(NULL, true, &to);
    json_t *json = sensors_gpu_to_json(&to.gpus[0]);
    static const char *const members[] = {"temperature_c", "power_w", "energy_j", "energy_sensor",
                                          "throttle"};
    for (size_t i = 0; i < sizeof members / sizeof *members; i++)
        assert_true(json_is_null(json_object_get(json, members[i])));
    assert_true(json_number_value(json_object_get(json, "clock_hz")) == 1.5e9);
    json_decref(json);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(planted_sensors_are_read),
        cmocka_unit_test(a_thermal_zone_will_do),
        cmocka_unit_test(what_is_not_there_is_null),
        cmocka_unit_test(energy_between_two_readings),
        cmocka_unit_test(a_gpu_is_known_by_its_place),
        cmocka_unit_test(nvml_tells_of_gpus),
    };
    return cmocka_run_group_tests(tests, use_fake_nvml, NULL);
}
