/* Tests of the base: random numbers against published answers, memory and its faults, statuses. */
#include "core/half.h"
#include "core/json.h"
#include "fake_clock.h"
#include "support.h"

#include <math.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/memory.h"
#include "core/rng.h"
#include "core/topology.h"

static void philox_gives_the_published_answers(void **state)
{
    (void)state;
    /* kat_vectors of Random123 1.14: philox4x32, 10 rounds. */
    static const struct {
        rng_key key;
        uint64_t index;
        uint32_t expected[4];
    } known[] = {
        {{0, 0, 0}, 0, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
        {{UINT64_MAX, UINT32_MAX, UINT32_MAX},
         UINT64_MAX,
         {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
        {{0x299f31d0a4093822, 0x03707344, 0x13198a2e},
         0x85a308d3243f6a88,
         {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
    };
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        uint32_t found[4];
        rng_block(known[i].key, known[i].index, found);
        for (int w = 0; w < 4; w++) assert_int_equal(found[w], known[i].expected[w]);
    }
}

static void words_are_those_of_the_blocks(void **state)
{
    (void)state;
    rng_key key = {.seed = 42, .stream = RNG_TEST, .sub = 3};
    rng reader = {.key = key, .next = 5};
    for (uint64_t i = 5; i < 40; i++) {
        uint32_t block[4];
        rng_block(key, i / 4, block);
        assert_int_equal(rng_word(key, i), block[i % 4]);
        assert_int_equal(rng_next(&reader), block[i % 4]);
    }
    assert_int_equal(reader.next, 40);
}

static void streams_seeds_and_subs_differ(void **state)
{
    (void)state;
    rng_key keys[] = {{1, RNG_PARAMETER, 0},
                      {1, RNG_ORDER, 0},
                      {1, RNG_PARAMETER, 1},
                      {2, RNG_PARAMETER, 0},
                      {(uint64_t)1 << 32 | 1, RNG_PARAMETER, 0}};
    for (int a = 0; a < 5; a++)
        for (int b = 0; b < a; b++) {
            int same = 0;
            for (uint64_t i = 0; i < 100; i++) same += rng_word(keys[a], i) == rng_word(keys[b], i);
            assert_int_equal(same, 0);
        }
}

static void uniform_numbers_are_exact_and_even(void **state)
{
    (void)state;
    enum { COUNT = 100000, BINS = 20 };
    int bins[BINS] = {0};
    rng r = {.key = {.seed = 7, .stream = RNG_TEST}};
    for (uint64_t i = 0; i < COUNT; i++) {
        float u = rng_next_uniform(&r);
        assert_true(u >= 0.0f && u < 1.0f);
        assert_true(u == (float)(rng_word(r.key, i) >> 8) / 16777216.0f);
        bins[(int)(u * BINS)]++;
    }
    double chi2 = 0;
    for (int b = 0; b < BINS; b++) chi2 += pow(bins[b] - COUNT / BINS, 2) / (COUNT / BINS);
    assert_true(chi2 < 43.8); /* 19 degrees of freedom: exceeded once in 1000 seeds */
}

static void bounded_numbers_stay_below_and_are_even(void **state)
{
    (void)state;
    rng r = {.key = {.seed = 8, .stream = RNG_TEST}};
    int bins[7] = {0}, upper = 0;
    for (int i = 0; i < 70000; i++) bins[rng_next_below(&r, 7)]++; /* beyond 6: ASan, UBSan */
    double chi2 = 0;
    for (int b = 0; b < 7; b++) chi2 += pow(bins[b] - 10000, 2) / 10000.0;
    assert_true(chi2 < 22.5); /* 6 degrees of freedom */
    for (int i = 0; i < 100; i++) assert_int_equal(rng_next_below(&r, 1), 0);
    /* A bound of 3/4 · 2^32: by the remainder alone, the lower third would come twice as often. */
    uint32_t bound = 0xC0000000u, third = bound / 3;
    for (int i = 0; i < 30000; i++) {
        uint32_t x = rng_next_below(&r, bound);
        assert_true(x < bound);
        upper += x >= 2 * third;
    }
    assert_true(fabs(upper - 10000.0) < 400);
}

static void normal_numbers_have_their_moments(void **state)
{
    (void)state;
    enum { COUNT = 100000 };
    rng r = {.key = {.seed = 9, .stream = RNG_TEST}};
    double sum = 0, square = 0, fourth = 0;
    for (int i = 0; i < COUNT; i++) {
        double x = rng_next_normal(&r);
        assert_true(isfinite(x));
        sum += x;
        square += x * x;
        fourth += x * x * x * x;
    }
    assert_true(fabs(sum / COUNT) < 0.015);
    assert_true(fabs(square / COUNT - 1.0) < 0.02);
    assert_true(fabs(fourth / COUNT - 3.0) < 0.15);
}

static void permutations_hold_each_number_once(void **state)
{
    (void)state;
    enum { COUNT = 1000 };
    int32_t order[COUNT], again[COUNT], other[COUNT];
    int seen[COUNT] = {0}, same = 0;
    rng_key key = {.seed = 5, .stream = RNG_ORDER, .sub = 0}, next = key;
    next.sub = 1;
    rng_permutation(key, order, COUNT);
    rng_permutation(key, again, COUNT);
    rng_permutation(next, other, COUNT);
    assert_memory_equal(order, again, sizeof order);
    for (int i = 0; i < COUNT; i++) {
        assert_in_range(order[i], 0, COUNT - 1);
        seen[order[i]]++;
        same += order[i] == other[i];
    }
    for (int i = 0; i < COUNT; i++) assert_int_equal(seen[i], 1);
    assert_true(same < 10);
    order[0] = 77;
    rng_permutation(key, order, 0);
    assert_int_equal(order[0], 77);
    rng_permutation(key, order, 1);
    assert_int_equal(order[0], 0);
}

static void permutations_are_even(void **state)
{
    (void)state;
    enum { DRAWS = 24000 };
    int bins[256] = {0}, kinds = 0;
    double chi2 = 0;
    for (uint32_t d = 0; d < DRAWS; d++) {
        int32_t order[4];
        rng_permutation((rng_key){.seed = 11, .stream = RNG_TEST, .sub = d}, order, 4);
        bins[order[0] << 6 | order[1] << 4 | order[2] << 2 | order[3]]++;
    }
    for (int i = 0; i < 256; i++) {
        if (!bins[i]) continue;
        kinds++;
        chi2 += pow(bins[i] - DRAWS / 24, 2) / (DRAWS / 24);
    }
    assert_int_equal(kinds, 24);
    assert_true(chi2 < 49.8); /* 23 degrees of freedom */
}

static void memory_is_zeroed_aligned_and_refused(void **state)
{
    (void)state;
    static const size_t sizes[] = {0, 1, 63, 64, 65, 100000};
    be_error err;
    for (size_t s = 0; s < sizeof sizes / sizeof sizes[0]; s++) {
        void *block = NULL;
        ASSERT_OK(memory_alloc(&block, sizes[s], "a test", &err));
        assert_int_equal((uintptr_t)block % MEMORY_ALIGN, 0);
        for (size_t i = 0; i < sizes[s]; i++) {
            assert_int_equal(((unsigned char *)block)[i], 0);
            ((unsigned char *)block)[i] = 0xFF; /* so that a block used again shows */
        }
        memory_free(block);
    }
    void *block = &err;
    ASSERT_FAILS(memory_alloc(&block, SIZE_MAX - 3, "the moon", &err), BE_NO_MEMORY, "the moon",
                 "beyond any address space");
    assert_null(block);
    memory_free(NULL);
}

static void the_chosen_allocation_fails(void **state)
{
    (void)state;
    be_error err;
    void *block = NULL;
    memory_fail_at(2);
    ASSERT_OK(memory_alloc(&block, 10, "first", &err));
    memory_free(block);
    ASSERT_FAILS(memory_alloc(&block, 1 << 20, "second", &err), BE_NO_MEMORY, "second",
                 "1048576 bytes (1.0 MiB)", "free memory");
    ASSERT_OK(memory_alloc(&block, 10, "third", &err));
    memory_free(block);
    assert_int_equal(memory_fail_at(0), 3);
    assert_int_equal(memory_fail_at(0), 0);
}

static void arrays_grow_and_keep_their_content(void **state)
{
    (void)state;
    be_error err;
    int *array = NULL;
    size_t capacity = 0;
    for (int i = 0; i < 1000; i++) {
        ASSERT_OK(memory_grow((void **)&array, &capacity, (size_t)i + 1, sizeof *array, &err));
        assert_true(capacity >= (size_t)i + 1);
        array[i] = i;
    }
    for (int i = 0; i < 1000; i++) assert_int_equal(array[i], i);
    int *before = array;
    size_t had = capacity;
    ASSERT_OK(memory_grow((void **)&array, &capacity, had, sizeof *array, &err));
    assert_ptr_equal(array, before);
    memory_fail_at(1);
    ASSERT_FAILS(memory_grow((void **)&array, &capacity, had + 1, sizeof *array, &err),
                 BE_NO_MEMORY, "no memory left");
    memory_fail_at(0);
    ASSERT_FAILS(memory_grow((void **)&array, &capacity, SIZE_MAX / 2 + 2, 1, &err), BE_NO_MEMORY,
                 "items");
    ASSERT_FAILS(memory_grow((void **)&array, &capacity, SIZE_MAX / 4, 1000, &err), BE_NO_MEMORY,
                 "items");
    assert_ptr_equal(array, before); /* a failure leaves the array as it was */
    assert_int_equal(capacity, had);
    assert_int_equal(array[999], 999);
    memory_free_array(array);
}

static void arenas_hand_out_separate_zeroed_blocks(void **state)
{
    (void)state;
    enum { BLOCKS = 3000 };
    static unsigned char *blocks[BLOCKS];
    static size_t sizes[BLOCKS];
    be_error err;
    arena *a = NULL;
    rng r = {.key = {.seed = 3, .stream = RNG_TEST}};
    ASSERT_OK(arena_new(&a, &err));
    for (int b = 0; b < BLOCKS; b++) {
        void *block = NULL;
        sizes[b] = b % 500 == 499 ? 100000 : rng_next_below(&r, 200);
        ASSERT_OK(arena_alloc(a, &block, sizes[b], &err));
        blocks[b] = block;
        assert_int_equal((uintptr_t)block % 16, 0);
        for (size_t i = 0; i < sizes[b]; i++) assert_int_equal(blocks[b][i], 0);
        memset(block, b % 255 + 1, sizes[b]);
    }
    for (int b = 0; b < BLOCKS; b++)
        for (size_t i = 0; i < sizes[b]; i++) assert_int_equal(blocks[b][i], b % 255 + 1);
    void *none = &err;
    ASSERT_FAILS(arena_alloc(a, &none, SIZE_MAX - 5, &err), BE_NO_MEMORY, "address space");
    assert_null(none);
    arena_free(a);
    arena_free(NULL);
}

static void arenas_print(void **state)
{
    (void)state;
    char longer[5000];
    const char *text = NULL, *second = NULL;
    be_error err;
    arena *a = NULL;
    ASSERT_OK(arena_new(&a, &err));
    ASSERT_OK(arena_printf(a, &text, &err, "%s.%d", "conv1", 42));
    memset(longer, 'x', sizeof longer);
    longer[sizeof longer - 1] = 0;
    ASSERT_OK(arena_printf(a, &second, &err, "%s", longer));
    assert_string_equal(text, "conv1.42");
    assert_string_equal(second, longer);
    arena_free(a);
}

static be_status use_an_arena(void *context, be_error *err)
{
    (void)context;
    arena *a = NULL;
    void *block = NULL;
    const char *text = NULL;
    TRY(arena_new(&a, err));
    be_status status = arena_alloc(a, &block, 100000, err);
    if (status == BE_OK) status = arena_printf(a, &text, err, "%0100000d", 1);
    arena_free(a);
    return status;
}

static void arenas_survive_a_lack_of_memory(void **state)
{
    (void)state;
    assert_int_equal(support_fail_each_allocation(use_an_arena, NULL, 10), 3);
}

static be_status refuse(be_error *err)
{
    FAIL(err, BE_BAD_DATA, "expected %d, found %s", 7, "eight");
}

static be_status pass_on(be_error *err)
{
    TRY(BE_OK);
    TRY(refuse(err));
    return BE_OK;
}

static void errors_hold_status_place_and_text(void **state)
{
    (void)state;
    be_error err = {0};
    ASSERT_FAILS(pass_on(&err), BE_BAD_DATA, "expected 7, found eight");
    assert_int_equal(err.status, BE_BAD_DATA);
    assert_non_null(strstr(err.file, "test_core.c"));
    assert_true(err.line > 0);
    assert_int_equal(pass_on(NULL), BE_BAD_DATA);
}

static void prefixes_are_put_in_front_and_cut(void **state)
{
    (void)state;
    be_error err = {.text = "no such file"};
    status_prefix(&err, "image %d", 3);
    assert_string_equal(err.text, "image 3: no such file");
    status_prefix(NULL, "nothing");

    char longest[sizeof err.text];
    memset(longest, 'y', sizeof longest);
    longest[sizeof longest - 1] = 0;
    assert_int_equal(status_fail(&err, "f", 1, BE_IO, "%syyy", longest), BE_IO);
    assert_string_equal(err.text, longest); /* cut at the end of the room */
    status_prefix(&err, "disk");
    assert_int_equal(strlen(err.text), sizeof err.text - 1);
    assert_memory_equal(err.text, "disk: yyy", 9);
    assert_int_equal(err.text[sizeof err.text - 2], 'y');

    memset(err.text, 0, sizeof err.text);
    memcpy(err.text, "end", 3);
    status_prefix(&err, "%s", longest); /* a prefix is cut at 255 characters */
    assert_int_equal(strlen(err.text), 255 + 2 + 3);
    assert_string_equal(err.text + 255, ": end");
}

static void statuses_have_their_exit_codes(void **state)
{
    (void)state;
    static const struct {
        be_status status;
        int code;
    } known[] = {{BE_OK, 0},        {BE_FAILED, 1}, {BE_BAD_DATA, 1},     {BE_IO, 1},
                 {BE_DRIVER, 1},    {BE_USAGE, 2},  {BE_UNAVAILABLE, 3},  {BE_NUMERIC, 4},
                 {BE_NO_MEMORY, 5}, {BE_SLOWER, 6}, {BE_INTERRUPTED, 130}};
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        assert_int_equal(be_status_exit_code(known[i].status), known[i].code);
        const char *text = be_status_text(known[i].status);
        assert_true(text && strlen(text) > 1);
    }
}

static void a_broken_promise_aborts_with_its_place(void **state)
{
    (void)state;
    int pipe_ends[2], status = 0;
    char text[1000] = "";
    assert_int_equal(pipe(pipe_ends), 0);
    fflush(NULL);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        signal(SIGABRT, SIG_DFL);
        dup2(pipe_ends[1], STDERR_FILENO);
        MUST(1 + 1 == 2);
        MUST(1 + 1 == 3);
        _exit(0);
    }
    close(pipe_ends[1]);
    size_t used = 0;
    for (ssize_t got; used < sizeof text - 1 &&
                      (got = read(pipe_ends[0], text + used, sizeof text - 1 - used)) > 0;)
        used += (size_t)got;
    close(pipe_ends[0]);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    assert_non_null(strstr(text, "test_core.c"));
    assert_non_null(strstr(text, "(1 + 1 == 3)"));
    assert_null(strstr(text, "(1 + 1 == 2)"));
}

static void expect_json(const char *text, const char *expected)
{
    json_t *string = json_of_text(text);
    assert_string_equal(json_string_value(string), expected);
    json_decref(string);
}

/* Unicode 15, table 3-7: what is well formed, and the neighbours of each bound. */
static void text_of_any_bytes_becomes_json(void **state)
{
    (void)state;
    static const char *const good[] = {"", "plain", "\xC2\x80\xDF\xBF",
                                       "\xE0\xA0\x80 \xED\x9F\xBF \xEE\x80\x80",
                                       "\xF0\x90\x80\x80 \xF4\x8F\xBF\xBF"};
    static const char *const bad[] = {"\x80", "\xC0", "\xC1", "\xF5", "\xFF", "\xC2", "\xE1"};
    static const char *const pairs[] = {"\xE0\x9F", "\xED\xA0", "\xF0\x8F", "\xF4\x90"};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) expect_json(good[i], good[i]);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char text[16], expected[24];
        snprintf(text, sizeof text, "a%sb", bad[i]);
        snprintf(expected, sizeof expected, "a%sb", "\xEF\xBF\xBD");
        expect_json(text, expected);
    }
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        char text[16];
        snprintf(text, sizeof text, "%s\x80", pairs[i]);
        expect_json(text, "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD");
    }
    assert_true(json_is_null(json_of_text(NULL)));
    memory_fail_at(1);
    assert_null(json_of_text("\xFF"));
    memory_fail_at(0);
}

static void the_clock_moves_forward(void **state)
{
    (void)state;
    uint64_t start = (uint64_t)clock_now_ns(), before = start;
    for (int i = 0; i < 1000; i++) {
        uint64_t now = (uint64_t)clock_now_ns();
        assert_true(now >= before);
        before = now;
    }
    clock_sleep_ns(2000000);
    assert_true((uint64_t)clock_now_ns() - start >= 2000000);
    assert_true(clock_unix_s() > 1600000000);
    /* The system may count at its ticks only. */
    while (clock_cpu_ns(0) <= 0 || clock_cpu_ns(getpid()) <= 0) continue;
    assert_int_equal(clock_cpu_ns(4194304), -1); /* the kernel gives no such number */
}

static void waiting_ends_when_there_is_something(void **state)
{
    (void)state;
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    struct pollfd fd = {.fd = ends[0], .events = POLLIN};
    int64_t start_ns = clock_now_ns();
    assert_int_equal(clock_wait_ready(&fd, 1, 2000000), 0);
    assert_true(clock_now_ns() - start_ns >= 2000000);
    assert_int_equal(write(ends[1], "x", 1), 1);
    assert_int_equal(clock_wait_ready(&fd, 1, 60000000000), 1);
    close(ends[0]);
    close(ends[1]);
}

static void a_clock_can_be_replaced(void **state)
{
    (void)state;
    int ends[2];
    fake_clock clock = {.now_ns = 5, .born_s = 100};
    assert_int_equal(pipe(ends), 0);
    struct pollfd fd = {.fd = ends[0], .events = POLLIN};
    fake_clock_use(&clock);
    assert_int_equal(clock_now_ns(), 5);
    clock_sleep_ns(3000000000);
    assert_int_equal(clock_wait_ready(&fd, 1, 3600000000000), 0); /* for an hour */
    assert_int_equal(clock_now_ns(), 3603000000005);
    assert_int_equal(clock_unix_s(), 3703);
    assert_int_equal(write(ends[1], "x", 1), 1);
    assert_int_equal(clock_wait_ready(&fd, 1, 1), 1);
    assert_int_equal(clock.slept_ns, 3603000000000);
    clock.tick_ns = 7;
    assert_float_equal(clock_read_s(), 7e-9, 1e-18);
    fake_clock_end();
    assert_true(clock_unix_s() > 1600000000);
    close(ends[0]);
    close(ends[1]);
}

static void the_machine_is_described(void **state)
{
    (void)state;
    const topology *t = topology_get();
    assert_true(t->cores >= 1 && t->threads >= t->cores && t->threads <= 100000);
    assert_true(strlen(t->cpu_name) > 0 && strlen(t->cpu_name) < sizeof t->cpu_name);
    assert_ptr_equal(t, topology_get());
}

static int usable_processors(void)
{
#ifdef __linux__
    cpu_set_t set;
    assert_int_equal(sched_getaffinity(0, sizeof set, &set), 0);
    return CPU_COUNT(&set);
#else
    return topology_get()->threads;
#endif
}

static void threads_get_as_many_cores_and_all_come_back(void **state)
{
    (void)state;
    char list[256] = "untouched";
    const topology *t = topology_get();
    assert_false(topology_bind(t->threads, list, sizeof list)); /* no choice */
    assert_string_equal(list, "");
    assert_false(topology_bind(t->threads + 1, list, sizeof list));
    assert_false(topology_bind(0, list, sizeof list));
    assert_int_equal(usable_processors(), t->threads);
#ifdef __linux__
    for (int threads = 1; threads <= t->cores && threads < t->threads; threads *= 2) {
        assert_true(topology_bind(threads, list, sizeof list));
        assert_int_equal(usable_processors(), threads);
        char *end;
        long first = strtol(list, &end, 10);
        assert_true(first >= 0 && (*end == '-' || *end == ',' || *end == 0));
        if (threads == 1) assert_int_equal(sched_getcpu(), first);
        topology_unbind();
        assert_int_equal(usable_processors(), t->threads);
    }
#endif
}

/* All 65,536 of a type: as a float and back they are the same, and of the floats between two
 * neighbours each goes to the nearer, the middle to the even one. */
static void check_half(float (*widen)(uint16_t), uint16_t (*narrow)(float), uint16_t infinity)
{
    for (unsigned bits = 0; bits < infinity; bits++) {
        float x = widen((uint16_t)bits), next = widen((uint16_t)(bits + 1));
        float middle =
            bits + 1 < infinity ? x / 2 + next / 2 : x + (x - widen((uint16_t)(bits - 1))) / 2;
        unsigned even = bits + (bits & 1);
        assert_int_equal(narrow(x), bits);
        assert_int_equal(narrow(-x), bits | 0x8000u);
        assert_int_equal(narrow(middle), even);
        assert_int_equal(narrow(nextafterf(middle, 0)), bits);
        assert_int_equal(narrow(nextafterf(middle, INFINITY)), bits + 1);
    }
    assert_int_equal(narrow(INFINITY), infinity);
    assert_true(isinf(widen(infinity)) && isnan(widen((uint16_t)(infinity + 1))));
    assert_true(isnan(widen(narrow(NAN))) && isnan(widen(narrow(-NAN))));
}

static void test_halves(void **state)
{
    (void)state;
    check_half(half_to_float, half_from_float, 0x7c00);
    check_half(brain_to_float, brain_from_float, 0x7f80);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(philox_gives_the_published_answers),
        cmocka_unit_test(words_are_those_of_the_blocks),
        cmocka_unit_test(streams_seeds_and_subs_differ),
        cmocka_unit_test(uniform_numbers_are_exact_and_even),
        cmocka_unit_test(bounded_numbers_stay_below_and_are_even),
        cmocka_unit_test(normal_numbers_have_their_moments),
        cmocka_unit_test(permutations_hold_each_number_once),
        cmocka_unit_test(permutations_are_even),
        cmocka_unit_test(memory_is_zeroed_aligned_and_refused),
        cmocka_unit_test(the_chosen_allocation_fails),
        cmocka_unit_test(arrays_grow_and_keep_their_content),
        cmocka_unit_test(arenas_hand_out_separate_zeroed_blocks),
        cmocka_unit_test(arenas_print),
        cmocka_unit_test(arenas_survive_a_lack_of_memory),
        cmocka_unit_test(errors_hold_status_place_and_text),
        cmocka_unit_test(prefixes_are_put_in_front_and_cut),
        cmocka_unit_test(statuses_have_their_exit_codes),
        cmocka_unit_test(a_broken_promise_aborts_with_its_place),
        cmocka_unit_test(text_of_any_bytes_becomes_json),
        cmocka_unit_test(the_clock_moves_forward),
        cmocka_unit_test(waiting_ends_when_there_is_something),
        cmocka_unit_test(a_clock_can_be_replaced),
        cmocka_unit_test(the_machine_is_described),
        cmocka_unit_test(threads_get_as_many_cores_and_all_come_back),
        cmocka_unit_test(test_halves),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
