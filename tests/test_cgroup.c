/* Tests of what control groups allow, on planted folders of /proc and /sys. */
#include "support.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/cgroup.h"
#include "core/file.h"
#include "core/topology.h"

#define FILES 12

/* A machine: its files by their paths. */
typedef struct planted {
    const char *name;
    struct {
        const char *path, *text;
    } files[FILES];
    double processors;    /* that must come out; 0: no limit */
    int64_t memory_bytes; /* 0: no limit */
} planted;

#define V2_MOUNT "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"
#define V1_CPU \
    "33 25 0:29 / /sys/fs/cgroup/cpu,cpuacct rw shared:9 - cgroup cgroup rw,cpu,cpuacct\n"
#define V1_MEMORY "34 25 0:30 / /sys/fs/cgroup/memory rw shared:10 - cgroup cgroup rw,memory\n"
#define V1_SET "35 25 0:31 / /sys/fs/cgroup/cpuset rw shared:11 - cgroup cgroup rw,cpuset\n"
#define DISK "25 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n"

static const planted machines[] = {
    {"version 2, the group itself",
     {{"/proc/self/cgroup", "0::/user.slice/run-u1.scope\n"},
      {"/proc/self/mountinfo", DISK V2_MOUNT},
      {"/sys/fs/cgroup/user.slice/run-u1.scope/cpu.max", "150000 100000\n"},
      {"/sys/fs/cgroup/user.slice/run-u1.scope/memory.max", "1073741824\n"}},
     1.5,
     1073741824},
    {"version 2, the tightest in the middle",
     {{"/proc/self/cgroup", "0::/slurm/job7/step0\n"},
      {"/proc/self/mountinfo", V2_MOUNT},
      {"/sys/fs/cgroup/slurm/cpu.max", "800000 100000\n"},
      {"/sys/fs/cgroup/slurm/job7/cpu.max", "100000 50000\n"},
      {"/sys/fs/cgroup/slurm/job7/step0/cpu.max", "max 100000\n"},
      {"/sys/fs/cgroup/slurm/memory.max", "4096000\n"},
      {"/sys/fs/cgroup/slurm/job7/step0/memory.max", "max\n"},
      {"/sys/fs/cgroup/slurm/other/cpu.max", "1000 100000\n"}},
     2,
     4096000},
    {"version 2, a namespace of its own",
     {{"/proc/self/cgroup", "0::/\n"},
      {"/proc/self/mountinfo", DISK V2_MOUNT},
      {"/sys/fs/cgroup/cpu.max", "50000 100000\n"}},
     0.5,
     0},
    {"version 2, a mount of a part, no namespace",
     {{"/proc/self/cgroup", "0::/docker/ab12/inner\n"},
      {"/proc/self/mountinfo", "30 23 0:26 /docker/ab12 /sys/fs/cgroup ro - cgroup2 cgroup rw\n"},
      {"/sys/fs/cgroup/cpu.max", "max 100000\n"},
      {"/sys/fs/cgroup/inner/cpu.max", "300000 100000\n"},
      {"/sys/fs/cgroup/docker/ab12/inner/cpu.max", "1000 100000\n"}},
     3,
     0},
    {"version 2, moved out of the namespace",
     {{"/proc/self/cgroup", "0::/../../other\n"},
      {"/proc/self/mountinfo", "30 23 0:26 /../.. /sys/fs/cgroup ro - cgroup2 cgroup rw\n"},
      {"/sys/fs/cgroup/cpu.max", "400000 100000\n"}},
     4,
     0},
    {"version 1, docker --cpus",
     {{"/proc/self/cgroup", "7:cpuset:/docker/f0\n4:cpu,cpuacct:/docker/f0\n2:memory:/docker/f0\n"},
      {"/proc/self/mountinfo",
       "40 39 0:29 /docker/f0 /sys/fs/cgroup/cpu,cpuacct ro - cgroup cgroup rw,cpu,cpuacct\n"
       "41 39 0:30 /docker/f0 /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n"},
      {"/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "250000\n"},
      {"/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us", "100000\n"},
      {"/sys/fs/cgroup/memory/memory.limit_in_bytes", "536870912\n"}},
     2.5,
     536870912},
    {"version 1, nested, the tightest above",
     {{"/proc/self/cgroup", "5:cpuset:/\n4:cpu,cpuacct:/batch/job\n2:memory:/batch/job\n"},
      {"/proc/self/mountinfo", V1_SET V1_CPU V1_MEMORY},
      {"/sys/fs/cgroup/cpu,cpuacct/batch/cpu.cfs_quota_us", "100000\n"},
      {"/sys/fs/cgroup/cpu,cpuacct/batch/cpu.cfs_period_us", "100000\n"},
      {"/sys/fs/cgroup/cpu,cpuacct/batch/job/cpu.cfs_quota_us", "-1\n"},
      {"/sys/fs/cgroup/cpu,cpuacct/batch/job/cpu.cfs_period_us", "100000\n"},
      {"/sys/fs/cgroup/cpuset/cpu.cfs_quota_us", "1000\n"},
      {"/sys/fs/cgroup/cpuset/cpu.cfs_period_us", "100000\n"},
      {"/sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n"}},
     1,
     0},
    {"both versions, the controller in version 1",
     {{"/proc/self/cgroup", "4:cpu,cpuacct:/a\n0::/a\n"},
      {"/proc/self/mountinfo",
       V1_CPU "42 25 0:27 / /sys/fs/cgroup/unified rw shared:5 - cgroup2 cgroup2 rw\n"},
      {"/sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_quota_us", "700000\n"},
      {"/sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_period_us", "100000\n"}},
     7,
     0},
    {"a mount point with a blank, and a line without end before it",
     {{"/proc/self/cgroup", "0::/g h\n"},
      {"/proc/self/mountinfo", NULL},
      {"/my groups/g h/cpu.max", "200000 100000\n"}},
     2,
     0},
    {"no quota at all",
     {{"/proc/self/cgroup", "0::/user.slice\n"},
      {"/proc/self/mountinfo", V2_MOUNT},
      {"/sys/fs/cgroup/user.slice/cpu.max", "max 100000\n"}},
     0,
     0},
    {"files that are no such files",
     {{"/proc/self/cgroup", "0:\nx\n:::\n0::\n0::/a\n"},
      {"/proc/self/mountinfo", "1 2\n - \n30 23 0:26 / /p rw - cgroup2\n" V2_MOUNT},
      {"/sys/fs/cgroup/a/cpu.max", "plenty\n"},
      {"/sys/fs/cgroup/a/memory.max", "-5\n"},
      {"/sys/fs/cgroup/cpu.max", "100000 0\n"}},
     0,
     0},
    {"nothing", {{"/proc/other", ""}}, 0, 0},
};

/* As /proc has it where many layers are mounted. */
static const char *long_mounts(void)
{
    static char text[40000];
    int length = snprintf(text, sizeof text, "29 23 0:25 / /x rw - overlay overlay rw,lowerdir=");
    memset(text + length, 'l', 30000);
    strcpy(text + length + 30000, "\n30 23 0:26 / /my\\040groups rw - cgroup2 cgroup2 rw\n");
    return text;
}

static void plant(const char *root, const planted *m)
{
    be_error err;
    for (int i = 0; i < FILES && m->files[i].path; i++) {
        char path[1000], folder[1000];
        const char *text = m->files[i].text ? m->files[i].text : long_mounts();
        snprintf(path, sizeof path, "%s%s", root, m->files[i].path);
        snprintf(folder, sizeof folder, "%s", path);
        *strrchr(folder, '/') = 0;
        ASSERT_OK(file_make_folders(folder, &err));
        support_write_file(path, text, strlen(text));
    }
}

static void the_tightest_limit_is_found(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof machines / sizeof *machines; i++) {
        const planted *m = &machines[i];
        char *root = support_make_folder();
        plant(root, m);
        cgroup_limits found = cgroup_read(root);
        double expected = m->processors > 0 ? m->processors : (double)NAN;
        int64_t bytes = m->memory_bytes ? m->memory_bytes : -1;
        if (!(found.processors == expected || (isnan(found.processors) && isnan(expected))) ||
            found.memory_bytes != bytes)
            fail_msg("%s: found %g processors and %lld bytes", m->name, found.processors,
                     (long long)found.memory_bytes);
        support_remove_folder(root);
    }
}

static void threads_are_what_the_quota_pays_for(void **state)
{
    (void)state;
    assert_int_equal(cgroup_threads(8, (double)NAN), 8);
    assert_int_equal(cgroup_threads(8, 8.0), 8);
    assert_int_equal(cgroup_threads(8, 64.0), 8);
    assert_int_equal(cgroup_threads(8, 7.99), 7);
    assert_int_equal(cgroup_threads(8, 1.5), 1);
    assert_int_equal(cgroup_threads(8, 0.25), 1);
    assert_int_equal(cgroup_threads(1, 0.25), 1);
}

static void numbers_of_threads_are_those_worth_comparing(void **state)
{
    (void)state;
    int counts[CGROUP_THREAD_COUNTS];
    assert_int_equal(cgroup_thread_counts(1, 1, counts), 1);
    assert_int_equal(counts[0], 1);
    assert_int_equal(cgroup_thread_counts(16, 16, counts), 2);
    assert_int_equal(counts[0], 16);
    assert_int_equal(counts[1], 1);
    assert_int_equal(cgroup_thread_counts(3, 16, counts), 3);
    assert_int_equal(counts[0], 3);
    assert_int_equal(counts[1], 16);
    assert_int_equal(counts[2], 1);
    assert_int_equal(cgroup_thread_counts(1, 16, counts), 2);
    assert_int_equal(counts[0], 1);
    assert_int_equal(counts[1], 16);
}

static void this_machines_are_read_once(void **state)
{
    (void)state;
    const topology *t = topology_get();
    cgroup_limits found = cgroup_read("");
    assert_true(t->quota == found.processors || (isnan(t->quota) && isnan(found.processors)));
    assert_int_equal(t->usual_threads, cgroup_threads(t->cores, t->quota));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_tightest_limit_is_found),
        cmocka_unit_test(threads_are_what_the_quota_pays_for),
        cmocka_unit_test(numbers_of_threads_are_those_worth_comparing),
        cmocka_unit_test(this_machines_are_read_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
