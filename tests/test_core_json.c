/* Tests of JSON and text as all rooms use them: what is not known is null, errors say what was
 * expected, found and where, and what does not fit is cut between characters. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/json.h"
#include "core/memory.h"
#include "core/text.h"
#include "support.h"

/* ---------------------------------------------------------------- making */

static int allocations_left;

static void *scarce(size_t bytes)
{
    return allocations_left-- > 0 ? malloc(bytes) : NULL;
}

static void what_is_not_known_is_null(void **state)
{
    (void)state;
    json_t *list = json_array();
    json_add(&list, json_of_real(NAN));
    json_add(&list, json_of_real(INFINITY));
    json_add(&list, json_of_count(-1));
    json_add(&list, json_of_text(NULL));
    json_add(&list, json_of_known(""));
    assert_int_equal(json_array_size(list), 5);
    for (size_t i = 0; i < 5; i++) assert_true(json_is_null(json_array_get(list, i)));
    json_add(&list, json_of_real(0));
    json_add(&list, json_of_count(0));
    json_add(&list, json_of_text(""));
    assert_true(json_is_real(json_array_get(list, 5)));
    assert_true(json_is_integer(json_array_get(list, 6)));
    assert_string_equal(json_string_value(json_array_get(list, 7)), "");
    json_decref(list);
}

static json_t *nested(void)
{
    json_t *object = json_object(), *list = json_array();
    json_add(&list, json_of_real(1.5));
    json_add(&list, json_of_text("a\xff"));
    json_put(&object, "list", list);
    json_put(&object, "count", json_of_count(7));
    return object;
}

/* Whichever allocation fails, nothing is left out: there is all of it, or none. */
static void without_memory_there_is_no_half_of_it(void **state)
{
    (void)state;
    json_t *whole = nested(), *made = NULL;
    json_malloc_t usual_malloc;
    json_free_t usual_free;
    be_error err = {0};
    json_get_alloc_funcs(&usual_malloc, &usual_free);
    int failed = 0;
    for (int n = 0; !made; n++, failed += !made) {
        allocations_left = n;
        json_set_alloc_funcs(scarce, free);
        made = nested();
        json_set_alloc_funcs(usual_malloc, usual_free);
    }
    assert_true(failed > 5);
    assert_true(json_equal(made, whole));
    json_decref(made);
    json_decref(whole);
    ASSERT_FAILS(json_check(NULL, "a record", &err), BE_NO_MEMORY, "a record: no memory", "free");
    ASSERT_OK(json_check(json_null(), "a record", &err));
}

/* ---------------------------------------------------------------- reading */

static void a_path_leads_to_its_member(void **state)
{
    (void)state;
    json_t *json = json_pack("{s:{s:{s:f, s:s}}}", "a", "b", "c", 2.5, "d", "text");
    assert_true(json_real_at(json, "a.b.c") == 2.5);
    assert_string_equal(json_text_at(json, "a.b.d"), "text");
    assert_true(isnan(json_real_at(json, "a.b.d")));
    assert_string_equal(json_text_at(json, "a.b.c"), "");
    assert_null(json_at(json, "a.x.c"));
    assert_ptr_equal(json_at(json, ""), json);
    assert_null(json_at(NULL, "a"));
    json_decref(json);
}

static void complaint(const char *text, void (*read)(json_reader *), const char *expected)
{
    be_error err = {0};
    json_t *json = json_loads(text, 0, NULL);
    json_reader r = {
        .json = json, .about = "answer", .next = "ask again", .fault = BE_BAD_DATA, .err = &err};
    read(&r);
    assert_int_equal(r.status, expected ? BE_BAD_DATA : BE_OK);
    if (expected) assert_string_equal(err.text, expected);
    json_decref(json);
}

static void read_steps(json_reader *r)
{
    int64_t steps = json_read_integer(r, "steps", 1, 5);
    assert_true(r->status == BE_OK ? steps >= 1 && steps <= 5 : steps == 0);
}

static void read_loss(json_reader *r)
{
    double loss = json_read_real(r, "loss", 0);
    assert_true(loss >= 0 || isnan(loss));
}

static void read_all(json_reader *r)
{
    json_read_text(r, "name");
    json_read_list(r, "list");
    json_read_object(r, "object");
}

static void members_have_their_type_and_range(void **state)
{
    (void)state;
    complaint("{\"steps\":1}", read_steps, NULL);
    complaint("{\"steps\":5}", read_steps, NULL);
    complaint("{\"steps\":6}", read_steps,
              "answer: expected \"steps\" to be an integer from 1 to 5, found 6; ask again");
    complaint("{\"steps\":1.0}", read_steps,
              "answer: expected \"steps\" to be an integer from 1 to 5, found 1.0; ask again");
    complaint("{}", read_steps,
              "answer: expected \"steps\" to be an integer from 1 to 5, found nothing; ask again");
    complaint("{\"loss\":null}", read_loss, NULL);
    complaint("{\"loss\":0}", read_loss, NULL);
    complaint("{\"loss\":-1}", read_loss,
              "answer: expected \"loss\" to be a number of at least 0, or null, found -1; ask "
              "again");
    complaint("{\"name\":\"n\",\"list\":[],\"object\":{}}", read_all, NULL);
    /* The first complaint is kept; what was found is fit for a terminal. */
    complaint("{\"name\":[\"\x7f\"],\"list\":{}}", read_all,
              "answer: expected \"name\" to be a string, found [\"?\"]; ask again");
    complaint("{\"name\":\"n\",\"list\":{},\"object\":[]}", read_all,
              "answer: expected \"list\" to be a list, found {}; ask again");
}

static void a_bad_text_is_told_with_its_place(void **state)
{
    (void)state;
    static const json_source source = {"kept.json, line 3", "a record", "write it again"};
    static const char bad[] = "{\"a\": 1,\n \"b\": x\x1b}", twice[] = "{\"a\":1,\"a\":2}";
    be_error err = {0};
    json_t *json = NULL;
    ASSERT_FAILS(
        json_parse(&json, bad, sizeof bad - 1, &source, &err), BE_BAD_DATA,
        "kept.json, line 3: expected a record, found 18 bytes beginning with '{\"a\": 1,  \"b\": "
        "x?}' (line 2",
        "); write it again");
    assert_null(json);
    ASSERT_FAILS(json_parse(&json, twice, sizeof twice - 1, &source, &err), BE_BAD_DATA,
                 "duplicate", "line 1");
    ASSERT_OK(json_parse(&json, "{\"a\":1}", 7, &source, &err));
    char *text = NULL;
    ASSERT_OK(json_print_line(&text, json, JSON_COMPACT, "it", &err));
    assert_string_equal(text, "{\"a\":1}\n");
    free(text);
    json_decref(json);
    ASSERT_FAILS(json_print(&text, NULL, 0, "a request", &err), BE_NO_MEMORY, "a request", "free");
}

/* ---------------------------------------------------------------- text */

static void a_growing_text_is_cut_between_characters(void **state)
{
    (void)state;
    char memory[8];
    text_buffer b = TEXT_BUFFER(memory);
    text_add(&b, "%d", 12345);
    text_add(&b, "ü"); /* just fits: 7 bytes */
    assert_string_equal(memory, "12345ü");
    text_add(&b, "%s", "more");
    assert_string_equal(memory, "12345ü");
    assert_int_equal(b.used, 7);
    b = TEXT_BUFFER(memory);
    text_add(&b, "123456ü");
    assert_string_equal(memory, "123456");
    assert_int_equal(b.used, 6);
    b = TEXT_BUFFER(memory);
    for (int i = 0; i < 100; i++) text_add(&b, "€");
    assert_string_equal(memory, "€€");
}

static void widths(void **state)
{
    (void)state;
    assert_int_equal(text_width("µs ±"), 4);
    assert_int_equal(text_cut("µs ±", 2), 3);
    assert_int_equal(text_cut("ab", 9), 2);
}

static void expect_wrap(const char *text, int at, const char *expected)
{
    char out[200] = "";
    FILE *file = fmemopen(out, sizeof out, "w");
    text_wrap(file, text, 10, at, 2);
    fclose(file);
    assert_string_equal(out, expected);
}

static void words_are_wrapped(void **state)
{
    (void)state;
    expect_wrap("one two  three", 0, "one two\n  three\n");
    expect_wrap("one two", 7, "one\n  two\n");
    expect_wrap("a-word-of-many-columns b", 0, "a-word-of-many-columns\n  b\n");
    expect_wrap("üüüüü ääää", 0, "üüüüü ääää\n");
    expect_wrap("", 0, "\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_not_known_is_null),
        cmocka_unit_test(without_memory_there_is_no_half_of_it),
        cmocka_unit_test(a_path_leads_to_its_member),
        cmocka_unit_test(members_have_their_type_and_range),
        cmocka_unit_test(a_bad_text_is_told_with_its_place),
        cmocka_unit_test(a_growing_text_is_cut_between_characters),
        cmocka_unit_test(widths),
        cmocka_unit_test(words_are_wrapped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
