/* The generated sets of tokens: their ranges, that they are the same everywhere, and that order
 * alone tells their class. */
#include "set_fixture.h"

#include <omp.h>
#include <stdlib.h>
#include <string.h>

#include "data/generated.h"
#include "workloads/sequences.h"

/* Computed once: the same from every compiler and machine. */
#define SEQUENCES_HASH 0xf500296c11eb8937
#define PAIRS_HASH 0xd772f2e9abf87bb1

#define FORM(length, words)                                                \
    (generated_form)                                                       \
    {                                                                      \
        .sequence = (length), .vocabulary = (words), .train = 9, .test = 9 \
    }

static be_error err;

static be_dataset *opened(open_set *open, int sequence, int vocabulary, dataset_split split,
                          int64_t limit)
{
    be_dataset *d = NULL;
    generated_form form = {
        .sequence = sequence, .vocabulary = vocabulary, .train = 4096, .test = 1024};
    ASSERT_OK(open(&form, split, &(dataset_options){.seed = 1, .limit = limit}, &d, &err));
    return d;
}

static const int32_t *column(const be_dataset *d, const char *name)
{
    return set_column(d, name);
}

/* ---------------------------------------------------------------- the same everywhere */

static void threads_and_limits_change_nothing(void **state)
{
    (void)state;
    static open_set *const sets[] = {generated_sequences, generated_pairs};
    static const uint64_t known[] = {SEQUENCES_HASH, PAIRS_HASH};
    int threads = omp_get_max_threads();
    for (int s = 0; s < 2; s++) {
        be_dataset *one = NULL, *many = NULL, *few = NULL, *test = NULL;
        omp_set_num_threads(1);
        one = opened(sets[s], 64, 1000, SPLIT_TRAIN, 300);
        omp_set_num_threads(3);
        many = opened(sets[s], 64, 1000, SPLIT_TRAIN, 300);
        omp_set_num_threads(threads);
        few = opened(sets[s], 64, 1000, SPLIT_TRAIN, 7);
        test = opened(sets[s], 64, 1000, SPLIT_TEST, 300);
        assert_true(set_hash(one) == set_hash(many));
        assert_int_equal(set_hash(one), known[s]);
        assert_memory_equal(column(one, "tokens"), column(few, "tokens"), 7 * 64 * 4);
        assert_memory_not_equal(column(one, "tokens"), column(test, "tokens"), 64 * 4);
        assert_int_equal(test->count, 75);
        dataset_close(one);
        dataset_close(many);
        dataset_close(few);
        dataset_close(test);
    }
}

/* ---------------------------------------------------------------- sequences */

/* Words behind the end are padding and nowhere else; the rest is in its range. */
static void check_ranges(const be_dataset *d, int sequence, int vocabulary, int least, int classes)
{
    int counts[16] = {0};
    for (int64_t i = 0; i < d->count; i++) {
        const int32_t *tokens = column(d, "tokens") + i * sequence;
        int32_t length = column(d, "lengths")[i];
        assert_in_range(length, least, sequence);
        for (int k = 0; k < sequence; k++)
            assert_in_range(tokens[k], k < length ? 1 : 0, k < length ? vocabulary - 1 : 0);
        counts[column(d, "labels")[i]]++;
    }
    for (int c = 0; c < classes; c++)
        assert_in_range(counts[c], d->count / classes * 8 / 10, d->count / classes * 12 / 10);
}

static void sequences_are_in_range(void **state)
{
    (void)state;
    be_dataset *d = opened(generated_sequences, 40, 32000, SPLIT_TRAIN, 0);
    assert_int_equal(d->count, 4096);
    assert_string_equal(d->table.unit, "token");
    check_ranges(d, 40, 32000, 10, SEQUENCES_CLASSES);
    dataset_close(d);
    d = opened(generated_sequences, 8, 32, SPLIT_TEST, 0);
    assert_int_equal(d->count, 1024);
    check_ranges(d, 8, 32, 8, SEQUENCES_CLASSES);
    dataset_close(d);
}

/* Of a class: how often each sign of its topic is, and whether the first is before the second. */
static void order_tells_the_class_and_counts_do_not(void **state)
{
    (void)state;
    enum { SEQUENCE = 64 };
    be_dataset *d = opened(generated_sequences, SEQUENCE, 32000, SPLIT_TRAIN, 8000);
    double signs[SEQUENCES_CLASSES][2] = {{0}};
    for (int64_t i = 0; i < d->count; i++) {
        const int32_t *tokens = column(d, "tokens") + i * SEQUENCE;
        int32_t label = column(d, "labels")[i], one = 1 + label / 2 * 2, last[2] = {-1, -1};
        int32_t first[2] = {SEQUENCE, SEQUENCE};
        for (int k = 0; k < SEQUENCE; k++) {
            int which = tokens[k] - one;
            if (tokens[k] > 0 && tokens[k] <= SEQUENCES_CLASSES) assert_in_range(which, 0, 1);
            if (which != 0 && which != 1) continue;
            signs[label][which]++;
            last[which] = k;
            if (first[which] == SEQUENCE) first[which] = k;
        }
        assert_true(label % 2 ? last[1] < first[0] : last[0] < first[1]);
    }
    for (int topic = 0; topic < SEQUENCES_CLASSES / 2; topic++)
        for (int which = 0; which < 2; which++) {
            double here = signs[2 * topic][which], there = signs[2 * topic + 1][which];
            assert_true(here > 0.85 * there && there > 0.85 * here);
        }
    dataset_close(d);
}

/* ---------------------------------------------------------------- pairs */

static void pairs_are_built_as_bert_reads_them(void **state)
{
    (void)state;
    enum { SEQUENCE = 48 };
    be_dataset *d = opened(generated_pairs, SEQUENCE, 30522, SPLIT_TRAIN, 3000);
    check_ranges(d, SEQUENCE, 30522, 16, PAIRS_CLASSES);
    for (int64_t i = 0; i < d->count; i++) {
        const int32_t *tokens = column(d, "tokens") + i * SEQUENCE;
        const int32_t *segments = column(d, "segments") + i * SEQUENCE;
        int32_t length = column(d, "lengths")[i], ends = 0, signs[2] = {-1, -1};
        assert_int_equal(tokens[0], 101);
        assert_int_equal(tokens[length - 1], 102);
        for (int k = 0; k < SEQUENCE; k++) {
            assert_int_equal(segments[k], k < length && ends == 1);
            ends += tokens[k] == 102;
            assert_true(k == 0 || tokens[k] != 101);
            if (tokens[k] >= 104 && tokens[k] < 120) signs[segments[k]] = tokens[k] - 104;
        }
        assert_int_equal(ends, 2);
        assert_int_equal(signs[0] / 2, signs[1] / 2);
        assert_int_equal(signs[0] % 2, column(d, "labels")[i]);
        assert_int_equal(signs[1] % 2, !column(d, "labels")[i]);
    }
    dataset_close(d);
}

/* ---------------------------------------------------------------- workloads */

/* What a smaller variant reads is what the larger one was drawn as, cut and folded. */
static void a_variant_cuts_its_samples(void **state)
{
    (void)state;
    data_table form;
    workload_variant v = {.seq = 12, .vocab = 200};
    be_dataset *d = opened(generated_pairs, 48, 30522, SPLIT_TRAIN, 200);
    be_dataset *whole = opened(generated_pairs, 48, 30522, SPLIT_TRAIN, 200);
    ASSERT_OK(sequences_fit(&v, &d->table, &err));
    pairs_form(&v, &form, PAIRS_CLASSES);
    ASSERT_OK(table_check(&d->table, &form, "a test", &err));
    for (int64_t i = 0; i < d->count; i++) {
        assert_in_range(column(d, "lengths")[i], 1, 12);
        for (int k = 0; k < 12; k++) {
            int32_t cut = column(d, "tokens")[i * 12 + k];
            int32_t own = column(whole, "tokens")[i * 48 + k];
            assert_in_range(cut, 1, 199);
            assert_true(own >= 200 || cut == own);
            assert_int_equal(column(d, "segments")[i * 12 + k],
                             column(whole, "segments")[i * 48 + k]);
        }
    }
    dataset_close(whole);
    dataset_close(d);
    v = (workload_variant){.seq = 20, .vocab = 300};
    ASSERT_OK(
        sequences_data(&workload_encoder, &v, SPLIT_TEST, &(dataset_options){.seed = 1}, &d, &err));
    sequences_form(&v, &form, SEQUENCES_CLASSES);
    ASSERT_OK(table_check(&d->table, &form, "a test", &err));
    ASSERT_OK(sequences_fit(&v, &d->table, &err));
    dataset_close(d);
}

static void what_cannot_be_drawn_is_refused(void **state)
{
    (void)state;
    be_dataset *d = NULL;
    dataset_options options = {.seed = 1};
    ASSERT_FAILS(generated_sequences(&FORM(7, 1000), SPLIT_TRAIN, &options, &d, &err), BE_USAGE,
                 "generated sequences: expected at least 8 tokens per sample, found 7", "--seq");
    ASSERT_FAILS(generated_pairs(&FORM(16, 159), SPLIT_TRAIN, &options, &d, &err), BE_USAGE,
                 "a vocabulary of at least 160 tokens, found 159", "--vocab");
    options.limit = -1;
    ASSERT_FAILS(generated_pairs(&FORM(16, 160), SPLIT_TRAIN, &options, &d, &err), BE_USAGE,
                 "a limit of samples", "found -1");
}

static be_status open_pairs(void *context, be_error *error)
{
    be_dataset *d = NULL;
    workload_variant v = {.seq = 16, .vocab = 200};
    (void)context;
    TRY(generated_pairs(&FORM(32, 1000), SPLIT_TRAIN, &(dataset_options){.seed = 1}, &d, error));
    be_status status = sequences_fit(&v, &d->table, error);
    dataset_close(d);
    return status;
}

static void memory_may_end(void **state)
{
    (void)state;
    assert_true(support_fail_each_allocation(open_pairs, NULL, 60) >= 8);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(threads_and_limits_change_nothing),
        cmocka_unit_test(sequences_are_in_range),
        cmocka_unit_test(order_tells_the_class_and_counts_do_not),
        cmocka_unit_test(pairs_are_built_as_bert_reads_them),
        cmocka_unit_test(a_variant_cuts_its_samples),
        cmocka_unit_test(what_cannot_be_drawn_is_refused),
        cmocka_unit_test(memory_may_end),
    };
    return cmocka_run_group_tests_name("data_generated", tests, NULL, NULL);
}
