/* The search for the fastest tiles on a device behind OpenCL: it is done once, kept, and done again
 * when what was kept does not hold; and whatever it finds, the network learns the same. */
#include <dirent.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "backend/gpu/gpu.h"
#include "core/file.h"
#include "core/kept.h"
#include "plan_network.h"

/* The products of the network: two layers forward; and in a training dx and dw of the second, and
 * dw of the first. */
#define CHOICES 2
#define TRAIN_CHOICES 5
#define RESULTS (ROWS * CLASSES)
#define LONG 1000.0 /* seconds: no search is cut short */

static struct {
    char *cache;
    gpu_device *device;
    const gpu_driver_vtable *vtable;
    network network;
    int compiles, downloads;
} world;

static int set_up(void **state)
{
    char path[4096];
    be_error err;
    be_device *device;
    (void)state;
    /* PoCL's own folder must not move with ours. */
    if (!getenv("POCL_CACHE_DIR") && getenv("XDG_CACHE_HOME"))
        setenv("POCL_CACHE_DIR",
               support_path(path, sizeof path, getenv("XDG_CACHE_HOME"), "pocl/kcache"), 1);
    support_quick_kernels();
    unsetenv("BREAKEVEN_TUNE_SECONDS");
    /* It compiles a text once in the life of the process. */
    if (getenv("BREAKEVEN_FAULTY_OPENCL"))
        setenv("BREAKEVEN_OPENCL_LIB_DIR", getenv("BREAKEVEN_FAULTY_OPENCL"), 1);
    world.cache = support_make_folder();
    setenv("XDG_CACHE_HOME", world.cache, 1);
    ASSERT_OK(be_device_open("opencl:0", NULL, &device, &err));
    world.device = (gpu_device *)device;
    world.vtable = world.device->driver->vtable;
    world.network = network_new(1, &adam, 0.0f);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    world.device->driver->vtable = world.vtable;
    be_device_close(&world.device->base);
    be_graph_free(world.network.graph);
    support_remove_folder(world.cache);
    return 0;
}

typedef struct outcome {
    be_plan_facts facts;
    int64_t tries;       /* kernels that ran while it was planned */
    bool is_named_tuned; /* by the plan's implementation */
    union {
        float weight[A_WEIGHT]; /* of a training */
        float logits[RESULTS];  /* of an inference */
    };
} outcome;

_Static_assert(A_WEIGHT >= RESULTS, "the weights are the larger of the two");

static outcome plan_and_run(double limit, const be_plan_options *options)
{
    be_error err;
    outcome out = {0};
    world.device->tune_limit = limit;
    int64_t before = world.device->driver->launches;
    be_plan *plan = plan_of(&world.network, &world.device->base, options);
    out.tries = world.device->driver->launches - before;
    out.facts = be_plan_describe(plan);
    out.is_named_tuned = strstr(out.facts.implementation, ", tuned") != NULL;
    write_inputs(&world.network, plan);
    run(plan, 3);
    if (options->mode == BE_TRAIN)
        read_weight(plan, out.weight);
    else
        ASSERT_OK(be_plan_read(plan, world.network.logits, out.logits, sizeof out.logits, &err));
    be_plan_free(plan);
    return out;
}

static outcome plan_with(double limit)
{
    be_plan_options options = {.mode = BE_INFER, .keep = &world.network.logits, .keep_count = 1};
    return plan_and_run(limit, &options);
}

static void expect_counts(const outcome *o, int tuned, int partly, int before)
{
    assert_int_equal(o->facts.tuned, tuned);
    assert_int_equal(o->facts.tuned_partly, partly);
    assert_int_equal(o->facts.tuned_before, before);
    assert_true((o->tries > 0) == (tuned > 0));
    assert_true(o->is_named_tuned == (tuned + partly + before > 0));
}

static void same(const outcome *a, const outcome *b)
{
    assert_memory_equal(a->weight, b->weight, sizeof a->weight);
}

static void near(const float *found, const float *expected, int count)
{
    for (int i = 0; i < count; i++)
        if (!(fabsf(found[i] - expected[i]) < 1e-3f))
            fail_msg("element %d: expected %g, found %g", i, (double)expected[i], (double)found[i]);
}

/* Call `change` with the path of every file of the folder; returns how many there are. */
static int each_file(void (*change)(const char *path))
{
    char folder[4096], path[4096];
    int count = 0;
    support_path(folder, sizeof folder, world.cache, "breakeven/tuning");
    DIR *list = opendir(folder);
    for (struct dirent *e; list && (e = readdir(list));) {
        if (e->d_name[0] == '.') continue;
        assert_non_null(strstr(e->d_name, ".tune"));
        support_path(path, sizeof path, folder, e->d_name);
        if (change) change(path);
        count++;
    }
    if (list) closedir(list);
    return count;
}

static void off_by_default_on_a_processor(void **state)
{
    (void)state;
    assert_true(world.device->driver->facts.is_cpu == (world.device->tune_limit == 0.0));
    outcome o = plan_with(0.0);
    expect_counts(&o, 0, 0, 0);
    assert_int_equal(each_file(NULL), 0);
}

static void searched_once(void **state)
{
    be_error err;
    be_plan *dry;
    float expected[A_WEIGHT];
    (void)state;
    outcome first = plan_and_run(LONG, &train), second = plan_and_run(LONG, &train);
    expect_counts(&first, TRAIN_CHOICES, 0, 0);
    expect_counts(&second, 0, 0, TRAIN_CHOICES);
    assert_true(first.facts.tune_seconds > 0.0 && second.facts.tune_seconds == 0.0);
    assert_int_equal(each_file(NULL), TRAIN_CHOICES);
    same(&first, &second);
    /* A dry run knows it too, and so its launches are right. */
    be_plan_options options = {.mode = BE_TRAIN, .dry_run = 1};
    ASSERT_OK(be_plan_new(world.network.graph, &world.device->base, &options, &dry, &err));
    assert_int_equal(be_plan_describe(dry).tuned_before, TRAIN_CHOICES);
    assert_int_equal(be_plan_describe(dry).launches, first.facts.launches);
    be_plan_free(dry);
    be_device *processor = cpu(1);
    be_plan *plan = ready_plan(&world.network, processor, &train);
    run(plan, 3);
    read_weight(plan, expected);
    be_plan_free(plan);
    be_device_close(processor);
    near(first.weight, expected, A_WEIGHT);
}

static void cut(const char *path)
{
    support_write_file(path, "BEKERN1\n", 8);
}

static void flip(const char *path)
{
    FILE *file = fopen(path, "r+b");
    assert_non_null(file);
    assert_int_equal(fseek(file, -20, SEEK_END), 0);
    int byte = fgetc(file);
    assert_int_equal(fseek(file, -20, SEEK_END), 0);
    fputc(byte ^ 4, file);
    fclose(file);
}

static void damage_is_repaired(void **state)
{
    (void)state;
    plan_with(LONG);
    void (*const damages[])(const char *) = {cut, flip};
    for (int i = 0; i < 2; i++) {
        assert_int_equal(each_file(damages[i]), CHOICES);
        outcome again = plan_with(LONG), after = plan_with(LONG);
        expect_counts(&again, CHOICES, 0, 0);
        expect_counts(&after, 0, 0, CHOICES);
    }
}

/* A file that is whole, and says what cannot be. */
static void rewrite(const char *path)
{
    static const char *const nonsense[] = {"way 8 of 8, cut at 0 s\n", "way -1 of 8, cut at 0 s\n",
                                           "way 1 of 2, cut at 0 s\n", "way 1 of 8\n", ""};
    static int turn;
    be_error err;
    void *file;
    size_t bytes;
    ASSERT_OK(file_read(&file, &bytes, path, 1 << 20, &err));
    uint64_t key_bytes;
    memcpy(&key_bytes, (char *)file + 8, sizeof key_bytes);
    kept_key key = {"tuning", "tune", (char *)file + 32, key_bytes};
    const char *text = nonsense[turn++ % 5];
    ASSERT_OK(kept_write(&key, text, strlen(text) + 1, &err));
    memory_free(file);
}

static void nonsense_is_not_believed(void **state)
{
    (void)state;
    plan_with(LONG);
    for (int turn = 0; turn < 3; turn++) {
        assert_int_equal(each_file(rewrite), CHOICES);
        assert_int_equal(each_file(NULL), CHOICES);
        outcome again = plan_with(LONG);
        expect_counts(&again, CHOICES, 0, 0);
    }
}

static void each_driver_has_its_own(void **state)
{
    (void)state;
    plan_with(LONG);
    gpu_facts *facts = &world.device->driver->facts, before = *facts;
    strcat(facts->software, "+1");
    outcome other = plan_with(LONG);
    expect_counts(&other, CHOICES, 0, 0);
    *facts = before;
    strcat(facts->name, " II");
    other = plan_with(LONG);
    expect_counts(&other, CHOICES, 0, 0);
    *facts = before;
    other = plan_with(LONG);
    expect_counts(&other, 0, 0, CHOICES);
}

/* What there was no time for stays as it is, until there is more time. */
static void time_is_limited(void **state)
{
    (void)state;
    outcome guessed = plan_with(0.0), none = plan_with(1e-9), again = plan_with(1e-9);
    expect_counts(&none, 0, CHOICES, 0);
    expect_counts(&again, 0, 0, CHOICES);
    same(&guessed, &none);
    same(&guessed, &again);
    /* A limit that is over before the first one has run. */
    outcome short_one = plan_with(1e-5), short_again = plan_with(1e-5);
    expect_counts(&short_one, 0, CHOICES, 0);
    expect_counts(&short_again, 0, 0, CHOICES);
    outcome longer = plan_with(LONG), less = plan_with(1e-9);
    expect_counts(&longer, CHOICES, 0, 0);
    expect_counts(&less, 0, 0, CHOICES);
    same(&longer, &less);
}

/* What cannot be kept could be another one in the next run: the model chooses. */
static void nowhere_to_keep_it(void **state)
{
    char path[4096];
    (void)state;
    support_write_file(support_path(path, sizeof path, world.cache, "breakeven"), "", 0);
    outcome guessed = plan_with(0.0), now = plan_with(LONG);
    assert_int_equal(now.facts.tuned, 0);
    assert_int_equal(now.facts.tuned_partly, CHOICES);
    same(&guessed, &now);
}

static be_status some_do_not_compile(gpu_driver *d, const gpu_text *texts, int count,
                                     gpu_module **out, be_error *err)
{
    if (count == 1 && world.compiles++ % 3 == 0) FAIL(err, BE_DRIVER, "no");
    return world.vtable->compile(d, texts, count, out, err);
}

static be_status none_compiles(gpu_driver *d, const gpu_text *texts, int count, gpu_module **out,
                               be_error *err)
{
    if (count == 1) FAIL(err, BE_DRIVER, "no");
    return world.vtable->compile(d, texts, count, out, err);
}

/* A device that fails for a while: the search is left for the next plan. */
static void failures_are_not_kept(void **state)
{
    (void)state;
    gpu_driver_vtable vtable = *world.vtable;
    vtable.compile = none_compiles;
    outcome guessed = plan_with(0.0);
    world.device->driver->vtable = &vtable;
    outcome failed = plan_with(LONG);
    expect_counts(&failed, 0, CHOICES, 0);
    same(&guessed, &failed);
    assert_int_equal(each_file(NULL), 0);
    world.device->driver->vtable = world.vtable;
    outcome now = plan_with(LONG);
    expect_counts(&now, CHOICES, 0, 0);
}

/* No two results of a choice are the same. */
static be_status some_are_wrong(gpu_driver *d, gpu_buffer buffer, size_t offset, void *data,
                                size_t bytes, be_error *err)
{
    TRY(world.vtable->download(d, buffer, offset, data, bytes, err));
    *(float *)data += 100.0f * (float)world.downloads++;
    return BE_OK;
}

static void erase(const char *path)
{
    assert_int_equal(remove(path), 0);
}

static void says_way_0(const char *path)
{
    char command[4200], line[200];
    snprintf(command, sizeof command, "grep -a -c -e '^way 0 of 8' -e '^-1 ns' %s", path);
    FILE *pipe = popen(command, "r");
    assert_non_null(fgets(line, sizeof line, pipe));
    pclose(pipe);
    assert_int_equal(atoi(line), 1 + 7);
}

static void unusable_ways_are_not_taken(void **state)
{
    (void)state;
    gpu_driver_vtable vtable = *world.vtable;
    outcome guessed = plan_with(0.0);
    vtable.compile = some_do_not_compile;
    world.compiles = 0;
    world.device->driver->vtable = &vtable;
    outcome some = plan_with(LONG);
    expect_counts(&some, CHOICES, 0, 0);
    near(some.logits, guessed.logits, RESULTS);
    vtable = *world.vtable;
    vtable.download = some_are_wrong;
    strcat(world.device->driver->facts.name, " III");
    world.downloads = 0;
    world.device->tune_limit = LONG;
    assert_int_equal(each_file(erase), CHOICES);
    be_plan_free(plan_of(&world.network, &world.device->base, &infer));
    assert_int_equal(each_file(says_way_0), CHOICES);
}

static void the_limit_is_checked(void **state)
{
    be_error err;
    be_device *device = NULL;
    (void)state;
    static const char *const wrong[] = {"-1", "twenty", "nan", "1e9", "3s"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        setenv("BREAKEVEN_TUNE_SECONDS", wrong[i], 1);
        ASSERT_FAILS(be_device_open("opencl:0", NULL, &device, &err), BE_USAGE,
                     "BREAKEVEN_TUNE_SECONDS: expected seconds from 0 (no search) to 86400, found",
                     wrong[i]);
        assert_null(device);
    }
    setenv("BREAKEVEN_TUNE_SECONDS", "2.5", 1);
    ASSERT_OK(be_device_open("opencl:0", NULL, &device, &err));
    assert_true(((gpu_device *)device)->tune_limit == 2.5);
    be_device_close(device);
    /* Nothing is fast or slow there. */
    ASSERT_OK(be_device_open("null", NULL, &device, &err));
    assert_true(((gpu_device *)device)->tune_limit == 0.0);
    be_device_close(device);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        T(off_by_default_on_a_processor),
        T(searched_once),
        T(damage_is_repaired),
        T(nonsense_is_not_believed),
        T(each_driver_has_its_own),
        T(time_is_limited),
        T(nowhere_to_keep_it),
        T(unusable_ways_are_not_taken),
        T(failures_are_not_kept),
        T(the_limit_is_checked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
