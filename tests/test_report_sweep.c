/* Tests of the plot of a sweep: which break-even points stand in it. */
#include <stdlib.h>
#include <string.h>

#include "report/sweep.h"
#include "support.h"

#define POINTS                                                                                 \
    "\"points\": [{\"x\": 8, \"ratio\": 0.5, \"first_s\": 1e-5, \"second_s\": 2e-5},"          \
    "{\"x\": 64, \"ratio\": 2, \"first_s\": 2e-5, \"second_s\": 1e-5}],"                       \
    "\"crossings\": [{\"x\": 20, \"low\": 18, \"high\": 24, \"faster_below\": \"native cpu\"," \
    "\"faster_above\": \"native cuda:0\"}]"

/* Both pairs have a crossing; the second stands beside, and none was searched there. */
static json_t *make_result(void)
{
    json_t *result = json_loads(
        "{\"workload\": \"cnn-fashion\", \"axis\": \"batch\", \"noun\": \"batch\", \"total\": "
        "false,"
        "\"pairs\": ["
        "{\"first\": \"native cpu\", \"second\": \"native cuda:0\", \"beside\": false, " POINTS
        "}, {\"first\": \"native cpu\", \"second\": \"PyTorch cpu\", \"beside\": true, " POINTS
        "}]}",
        0, NULL);
    assert_non_null(result);
    return result;
}

static int count_of(const char *text, const char *piece)
{
    int count = 0;
    while ((text = strstr(text, piece)) != NULL) {
        count++;
        text += strlen(piece);
    }
    return count;
}

static char *written(void (*write)(const json_t *, FILE *), const json_t *result)
{
    char *text = NULL;
    size_t bytes = 0;
    FILE *out = open_memstream(&text, &bytes);
    assert_non_null(out);
    write(result, out);
    assert_int_equal(fclose(out), 0);
    return text;
}

static void crossings_that_were_searched_are_marked(void **state)
{
    (void)state;
    json_t *result = make_result(), *pairs = json_object_get(result, "pairs");
    char *with_one = written(sweep_write_svg, result);
    assert_int_equal(count_of(with_one, "95 % interval"), 1);
    assert_int_equal(count_of(with_one, "PyTorch cpu"), 1);
    json_object_set_new(json_array_get(pairs, 0), "crossings", json_array());
    char *with_none = written(sweep_write_svg, result);
    assert_int_equal(count_of(with_none, "95 % interval"), 0);
    char *plot = written(sweep_print_plot, result);
    assert_null(strstr(plot, "crossing"));
    assert_non_null(strstr(plot, "PyTorch cpu"));
    free(with_one);
    free(with_none);
    free(plot);
    json_decref(result);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(crossings_that_were_searched_are_marked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
