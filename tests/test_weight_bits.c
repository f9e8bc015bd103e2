/* The weights of every workload of pictures after STEPS steps on the CPU, bit by bit, against the
 * hashes in weight_bits.txt: a change of the graph, of its passes or of a kernel that was not meant
 * to change a result is seen here at once.
 *
 * Bits are those of one compiler, one C library and, with oneDNN, one version of it on one kind of
 * processor; where weight_bits.txt has no hash for what is there, the test is skipped and says so.
 * To record anew, see there. */
#include "support.h"

#include <inttypes.h>
#include <oneapi/dnnl/dnnl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#ifdef __GLIBC__
#include <gnu/libc-version.h>
#endif

#include "breakeven/breakeven.h"
#include "build_info.h"
#include "core/topology.h"
#include "data/dataset.h"
#include "data/shapes.h"
#include "graph/graph.h"
#include "workloads/workload.h"

enum { STEPS = 100, PICTURES = 48, BATCH = 2, LINE_BYTES = 400 };

/* Our bits are those of any number of threads (test_layers).  oneDNN's are not, and where its
 * threads wait for each other they spin: on a busy machine two of them would take minutes here. Its
 * pictures are half as wide and high, for the sake of time. */
typedef struct setting {
    const char *isa, *library;
    int threads, shrink;
} setting;

static const setting settings[] = {
    {"generic", "native", 2, 1}, {"avx2", "native", 2, 1}, {"avx512", "native", 2, 1},
    {"generic", "onednn", 1, 2}, {"avx2", "onednn", 1, 2}, {"avx512", "onednn", 1, 2},
};

static FILE *record; /* where the hashes go instead of being compared, or NULL */

static const char *c_library(void)
{
#ifdef __GLIBC__
    return gnu_get_libc_version();
#else
    return "none";
#endif
}

/* What the bits depend on beside the source. */
static void describe_surroundings(const char *library, char *text, size_t room)
{
    const dnnl_version_t *v = dnnl_version();
    int used = snprintf(text, room, "%s, glibc %s", BUILD_COMPILER, c_library());
    if (strcmp(library, "onednn") != 0) return;
    snprintf(text + used, room - (size_t)used, ", oneDNN %d.%d.%d for 0x%x on %s", v->major,
             v->minor, v->patch, (unsigned)dnnl_get_effective_cpu_isa(), topology_get()->cpu_name);
}

/* FNV-1a */
static uint64_t hash_bytes(uint64_t hash, const void *bytes, size_t count)
{
    for (size_t i = 0; i < count; i++)
        hash = (hash ^ ((const unsigned char *)bytes)[i]) * UINT64_C(0x100000001b3);
    return hash;
}

static uint64_t hash_weights(be_plan *plan)
{
    be_error err;
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    for (int p = 0; p < be_plan_parameter_count(plan); p++) {
        be_parameter parameter = be_plan_parameter(plan, p);
        size_t bytes = sizeof(float);
        for (int d = 0; d < parameter.shape.rank; d++) bytes *= (size_t)parameter.shape.dim[d];
        void *weights = malloc(bytes);
        assert_non_null(weights);
        ASSERT_OK(be_plan_read(plan, parameter.value, weights, bytes, &err));
        hash = hash_bytes(hash, weights, bytes);
        free(weights);
    }
    return hash;
}

static uint64_t train(const workload *whole, int shrink, be_device *device)
{
    be_error err;
    workload room;
    const workload *w;
    workload_model model;
    workload_variant variant = {.size = shrink > 1 ? whole->own.size / shrink : 0};
    ASSERT_OK(workload_vary(whole, &variant, &room, &w, &err));
    be_plan *plan = NULL;
    int32_t labels[PICTURES], order[PICTURES];
    be_shape sample = workload_form(w, PICTURES).field[0].form.sample;
    int channels = (int)sample.dim[0], size = (int)sample.dim[1];
    size_t bytes = (size_t)(PICTURES * shape_elements(&sample));
    uint8_t *pictures = malloc(bytes);
    assert_non_null(pictures);
    shapes_draw(&(shapes_form){.seed = 1, .channels = channels, .size = size}, PICTURES, pictures,
                labels);
    for (int i = 0; i < PICTURES; i++) order[i] = i * 5 % PICTURES;
    be_dataset set = {.name = "drawn",
                      .count = PICTURES,
                      .channels = channels,
                      .height = size,
                      .width = size,
                      .classes = 10,
                      .mean = {0.4f, 0.5f, 0.6f},
                      .std = {0.25f, 0.3f, 0.35f}};
    dataset_describe(&set);
    workload_options options = {.seed = 7, .batch = BATCH, .data = &set.table};
    ASSERT_OK(workload_model_new(w, &options, &model, &err));
    ASSERT_OK(be_plan_new(model.graph, device, &(be_plan_options){.mode = BE_TRAIN}, &plan, &err));
    ASSERT_OK(be_plan_write(plan, be_value_find(model.graph, "images"), pictures, bytes, &err));
    ASSERT_OK(
        be_plan_write(plan, be_value_find(model.graph, "labels"), labels, sizeof labels, &err));
    ASSERT_OK(be_plan_write(plan, model.order, order, sizeof order, &err));
    ASSERT_OK(be_plan_run(plan, STEPS, &err));
    uint64_t hash = hash_weights(plan);
    be_plan_free(plan);
    be_graph_free(model.graph);
    free(pictures);
    return hash;
}

static FILE *open_hashes(void)
{
    char path[600];
    const char *source = getenv("BREAKEVEN_SOURCE");
    snprintf(path, sizeof path, "%s/tests/weight_bits.txt", source ? source : ".");
    FILE *file = fopen(path, "r");
    if (!file) fail_msg("%s cannot be read", path);
    return file;
}

/* The hash of a line "WORKLOAD ISA LIBRARY THREADS HASH", below "[SURROUNDINGS]".  `count` gets how
 * many there are. */
static uint64_t find_hash(const char *surroundings, const char *key, int *count)
{
    char line[LINE_BYTES], section[LINE_BYTES] = "";
    uint64_t found = 0;
    FILE *file = open_hashes();
    *count = 0;
    while (fgets(line, sizeof line, file)) {
        line[strcspn(line, "\n")] = 0;
        if (line[0] == '[') {
            snprintf(section, sizeof section, "%.*s", (int)strcspn(line + 1, "]"), line + 1);
        } else if (strcmp(section, surroundings) == 0 && strncmp(line, key, strlen(key)) == 0) {
            found = strtoull(line + strlen(key), NULL, 16);
            ++*count;
        }
    }
    fclose(file);
    return found;
}

/* False, with the reason said, if nothing is known of this workload here. */
static bool check_workload(const workload *w, const setting *s, be_device *device)
{
    char surroundings[LINE_BYTES], key[LINE_BYTES];
    int count;
    describe_surroundings(s->library, surroundings, sizeof surroundings);
    snprintf(key, sizeof key, "%s %s %s %d ", w->name, s->isa, s->library, s->threads);
    if (record) {
        fprintf(record, "[%s]\n%s%016" PRIx64 "\n", surroundings, key, train(w, s->shrink, device));
        return true;
    }
    uint64_t expected = find_hash(surroundings, key, &count);
    if (count == 0) {
        print_message("%s: weight_bits.txt has no hash for %s\n", key, surroundings);
        return false;
    }
    uint64_t found = train(w, s->shrink, device);
    if (found != expected)
        fail_msg("%s: expected weights of hash %016" PRIx64 " after %d steps, found %016" PRIx64
                 ": their bits changed (%s); if that is meant, record them anew as "
                 "tests/weight_bits.txt says",
                 key, expected, STEPS, found, surroundings);
    return true;
}

/* The small networks, the first of the ladder: the hashes are those of before the ladder. */
enum { RECORDED = 5 };

static void weights_keep_their_bits(void **state)
{
    const setting *s = *state;
    be_error err;
    be_device *device = NULL;
    if (strcmp(BUILD_TYPE, "release") != 0 || strcmp(BUILD_SANITIZERS, "none") != 0) {
        print_message("hashes are of release builds without a sanitizer\n");
        skip();
    }
    be_status status =
        be_device_open("cpu", &(be_device_options){s->threads, s->isa, s->library}, &device, &err);
    if (status != BE_OK) {
        assert_int_equal(status, BE_UNAVAILABLE);
        print_message("%s\n", err.text);
        skip();
    }
    int known = 0;
    for (int i = 0; i < RECORDED; i++) known += check_workload(workload_table[i], s, device);
    be_device_close(device);
    if (known < RECORDED) skip();
}

/* A hash that stands there twice could hide that one of the two is wrong. */
static void every_hash_stands_there_once(void **state)
{
    (void)state;
    char line[LINE_BYTES], section[LINE_BYTES] = "", key[LINE_BYTES];
    int count, hashes = 0;
    FILE *file = open_hashes();
    while (fgets(line, sizeof line, file)) {
        int end = 0;
        if (line[0] == '[') {
            snprintf(section, sizeof section, "%.*s", (int)strcspn(line + 1, "]"), line + 1);
        } else if (line[0] != '#' && line[0] != '\n') {
            sscanf(line, "%*s %*s %*s %*d%n", &end);
            if (end == 0) fail_msg("weight_bits.txt: no line of a hash: %s", line);
            snprintf(key, sizeof key, "%.*s ", end, line);
            find_hash(section, key, &count);
            if (count != 1) fail_msg("weight_bits.txt has %d hashes of %s", count, key);
            hashes++;
        }
    }
    fclose(file);
    assert_true(hashes >= 2 * RECORDED);
}

int main(int argc, char **argv)
{
    enum { COUNT = sizeof settings / sizeof settings[0] };
    static char names[COUNT][60];
    struct CMUnitTest tests[COUNT + 1];
    if (argc == 2 && !(record = fopen(argv[1], "w"))) {
        perror(argv[1]);
        return 1;
    }
    for (int i = 0; i < COUNT; i++) {
        const setting *s = &settings[i];
        snprintf(names[i], sizeof names[i], "weights of %s %s by %d thread(s)", s->isa, s->library,
                 s->threads);
        tests[i] = (struct CMUnitTest){.name = names[i],
                                       .test_func = weights_keep_their_bits,
                                       .initial_state = (void *)(uintptr_t)s};
    }
    tests[COUNT] = (struct CMUnitTest)cmocka_unit_test(every_hash_stands_there_once);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
