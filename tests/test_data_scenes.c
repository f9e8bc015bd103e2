/* The generated pictures of many classes and the scenes: the same everywhere, and what their labels
 * and captions say is to be seen. */
#include "set_fixture.h"

#include <math.h>
#include <omp.h>
#include <stdlib.h>
#include <string.h>

#include "data/generated.h"
#include "workloads/captions.h"
#include "workloads/pictures.h"

/* Computed once: the same from every compiler and machine. */
#define PICTURES_HASH 0x21c7401af3d43601
#define SCENES_HASH 0x7a0aa1dcd59da3d8

#define SIZE 64
#define PLANE (SIZE * SIZE)

static be_error err;

static const generated_form form = {.sequence = 77,
                                    .vocabulary = 49152,
                                    .size = SIZE,
                                    .classes = PICTURES_CLASSES,
                                    .train = 216,
                                    .test = 24};

static be_dataset *opened(open_set *open, dataset_split split, int64_t limit)
{
    be_dataset *d = NULL;
    ASSERT_OK(open(&form, split, &(dataset_options){.seed = 1, .limit = limit}, &d, &err));
    return d;
}

static void threads_and_limits_change_nothing(void **state)
{
    (void)state;
    static open_set *const sets[] = {generated_pictures, generated_scenes};
    static const uint64_t known[] = {PICTURES_HASH, SCENES_HASH};
    int threads = omp_get_max_threads();
    for (int s = 0; s < 2; s++) {
        omp_set_num_threads(1);
        be_dataset *one = opened(sets[s], SPLIT_TRAIN, 0);
        omp_set_num_threads(3);
        be_dataset *many = opened(sets[s], SPLIT_TRAIN, 0), *few = opened(sets[s], SPLIT_TRAIN, 3);
        be_dataset *test = opened(sets[s], SPLIT_TEST, 0);
        omp_set_num_threads(threads);
        assert_int_equal(one->count, 216);
        assert_int_equal(test->count, 24);
        assert_true(set_hash(one) == set_hash(many));
        assert_int_equal(set_hash(one), known[s]);
        assert_memory_equal(set_column(one, "images"), set_column(few, "images"), 3 * 3 * PLANE);
        assert_memory_not_equal(set_column(one, "images"), set_column(test, "images"), 3 * PLANE);
        dataset_close(one);
        dataset_close(many);
        dataset_close(few);
        dataset_close(test);
    }
    be_dataset *more = opened(generated_scenes, SPLIT_TEST, 2160);
    assert_int_equal(more->count, 240);
    dataset_close(more);
}

/* ---------------------------------------------------------------- what is to be seen */

/* The constants are those of the pixels. */
static void pixels_are_as_they_are_normalised(void **state)
{
    (void)state;
    static open_set *const sets[] = {generated_pictures, generated_scenes};
    for (int s = 0; s < 2; s++) {
        be_dataset *d = opened(sets[s], SPLIT_TRAIN, 1000);
        const uint8_t *images = set_column(d, "images");
        for (int c = 0; c < 3; c++) {
            double sum = 0, squares = 0, n = (double)d->count * PLANE;
            for (int64_t i = 0; i < d->count; i++)
                for (int k = 0; k < PLANE; k++) {
                    double x = images[(i * 3 + c) * PLANE + k] / 255.0;
                    sum += x;
                    squares += x * x;
                }
            double mean = sum / n, std = sqrt(squares / n - mean * mean);
            assert_true(fabs(mean - (double)d->table.field[0].form.mean[c]) < 0.01);
            assert_true(fabs(std - (double)d->table.field[0].form.std[c]) < 0.01);
        }
        dataset_close(d);
    }
}

/* How much redder than its ground a picture of a red figure is, and so for green and blue. */
static void labels_tell_the_colour(void **state)
{
    (void)state;
    be_dataset *d = opened(generated_pictures, SPLIT_TRAIN, 3000);
    const uint8_t *images = set_column(d, "images");
    const int32_t *labels = set_column(d, "labels");
    double seen[3][3] = {{0}};
    int count[3] = {0};
    for (int64_t i = 0; i < d->count; i++) {
        int colour = labels[i] / 10 % 10;
        assert_in_range(labels[i], 0, PICTURES_CLASSES - 1);
        if (colour > 2) continue; /* red, green, blue */
        count[colour]++;
        for (int c = 0; c < 3; c++)
            for (int k = 0; k < PLANE; k++) seen[colour][c] += images[(i * 3 + c) * PLANE + k];
    }
    for (int colour = 0; colour < 3; colour++) {
        assert_in_range(count[colour], 200, 400);
        for (int c = 0; c < 3; c++)
            if (c != colour)
                assert_true(seen[colour][colour] / count[colour] / PLANE >
                            seen[colour][c] / count[colour] / PLANE + 8);
    }
    dataset_close(d);
}

/* Of a scene with a red and a blue figure: where the middles of both are, by their pixels. */
static void find_colours(const uint8_t *image, double middle[2][2])
{
    double weight[2] = {0};
    memset(middle, 0, 4 * sizeof(double));
    for (int k = 0; k < PLANE; k++) {
        int red = image[k], green = image[PLANE + k], blue = image[2 * PLANE + k];
        bool is_red = red > green + 90 && red > blue + 90;
        bool is_blue = blue > red + 90 && blue > green + 90;
        if (!is_red && !is_blue) continue;
        weight[is_blue]++;
        middle[is_blue][0] += k % SIZE;
        middle[is_blue][1] += k / SIZE;
    }
    for (int w = 0; w < 2; w++)
        for (int a = 0; a < 2; a++) middle[w][a] /= weight[w];
}

static bool says(const int32_t *tokens, int at, const char *word)
{
    const char *found = generated_scene_word(tokens[at]);
    return found && strcmp(found, word) == 0;
}

/* "a small red circle left of a large blue square", and red is left of blue. */
static void captions_say_what_is_to_be_seen(void **state)
{
    (void)state;
    be_dataset *d = opened(generated_scenes, SPLIT_TRAIN, 4000);
    const int32_t *tokens = set_column(d, "tokens"), *lengths = set_column(d, "lengths");
    const uint8_t *images = set_column(d, "images");
    int looked = 0, counts[4] = {0};
    for (int64_t i = 0; i < d->count; i++, tokens += 77) {
        int end = lengths[i] - 1;
        assert_int_equal(tokens[0], 49150);
        assert_int_equal(tokens[end], 49151);
        for (int k = 1; k < end; k++) assert_non_null(generated_scene_word(tokens[k]));
        for (int k = end + 1; k < 77; k++) assert_int_equal(tokens[k], 0);
        counts[end <= 6 ? 1 : end <= 11 ? 2 : 3]++;
        if (end > 11 || end <= 6) continue;
        bool upright = says(tokens, 5, "above") || says(tokens, 5, "below");
        int second = upright ? 8 : 9;
        bool there = says(tokens, 3, "red") && says(tokens, second, "blue");
        bool back = says(tokens, 3, "blue") && says(tokens, second, "red");
        if (!there && !back) continue;
        double middle[2][2];
        find_colours(images + i * 3 * PLANE, middle);
        bool before = says(tokens, 5, "left") || says(tokens, 5, "above");
        double apart = middle[back][upright] - middle[!back][upright];
        assert_true(before ? apart < 0 : apart > 0);
        looked++;
    }
    assert_true(looked > 15);
    for (int n = 1; n < 4; n++) assert_in_range(counts[n], 600, 1800);
    dataset_close(d);
}

static void what_cannot_be_drawn_is_refused(void **state)
{
    (void)state;
    be_dataset *d = NULL;
    dataset_options options = {.seed = 1};
    generated_form bad = form;
    bad.size = 7;
    ASSERT_FAILS(generated_pictures(&bad, SPLIT_TRAIN, &options, &d, &err), BE_USAGE,
                 "expected pictures of 8 to 1024 pixels, found 7", "--size");
    bad = form;
    bad.sequence = 19;
    ASSERT_FAILS(generated_scenes(&bad, SPLIT_TRAIN, &options, &d, &err), BE_USAGE,
                 "captions of at least 20 tokens", "found 19 and 49152");
    bad = form;
    bad.classes = 1001;
    ASSERT_FAILS(generated_pictures(&bad, SPLIT_TRAIN, &options, &d, &err), BE_USAGE,
                 "1 to 1000 classes, found 1001");
}

static void large_form(const workload_variant *v, data_table *out)
{
    pictures_form(out, 3, v->size, PICTURES_CLASSES);
}

/* As the ImageNet-sized networks are. */
static const workload large = {
    .name = "large", .dataset = "shapes", .drawn = {40, 8}, .form = large_form};
static const workload towers = {.name = "towers", .dataset = "scenes", .drawn = {216, 24}};

static void workloads_have_them_at_their_sizes(void **state)
{
    (void)state;
    be_dataset *d = NULL;
    data_table wanted;
    workload_variant v = {.size = 32, .seq = 24, .vocab = 100};
    dataset_options options = {.seed = 1, .limit = 20};
    ASSERT_OK(captions_data(&towers, &v, SPLIT_TRAIN, &options, &d, &err));
    captions_form(&v, &wanted);
    ASSERT_OK(table_check(&d->table, &wanted, "a test", &err));
    v = (workload_variant){.size = 16, .seq = 20, .vocab = 64};
    ASSERT_OK(captions_fit(&v, &d->table, &err));
    captions_form(&v, &wanted);
    ASSERT_OK(table_check(&d->table, &wanted, "a test", &err));
    dataset_close(d);
    v = (workload_variant){.size = 224};
    ASSERT_OK(pictures_data(&large, &v, SPLIT_TEST, &options, &d, &err));
    large_form(&v, &wanted);
    ASSERT_OK(table_check(&d->table, &wanted, "a test", &err));
    dataset_close(d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(threads_and_limits_change_nothing),
        cmocka_unit_test(pixels_are_as_they_are_normalised),
        cmocka_unit_test(labels_tell_the_colour),
        cmocka_unit_test(captions_say_what_is_to_be_seen),
        cmocka_unit_test(what_cannot_be_drawn_is_refused),
        cmocka_unit_test(workloads_have_them_at_their_sizes),
    };
    return cmocka_run_group_tests_name("data_scenes", tests, NULL, NULL);
}
