/* Tests of the page of a sweep: which break-even points stand in its plot, and that nothing that it
 * says contradicts another thing, whatever was measured. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/json.h"
#include "core/rng.h"
#include "report/sweep.h"
#include "report/sweep_pair.h"
#include "support.h"

#define SETS 3000
#define FLOOR 0.0125

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
    assert_int_equal(count_of(with_one, ">PyTorch cpu</text>"), 1);
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

static void print_as_markdown(const json_t *result, FILE *out)
{
    be_error err = {0};
    ASSERT_OK(sweep_write(result, REPORT_MD, out, &err));
}

/* One place has no curve, and no frame is left where it would be. */
static void one_place_is_not_drawn(void **state)
{
    (void)state;
    json_t *result = make_result(), *pair;
    size_t i;
    char *drawn = written(print_as_markdown, result);
    assert_int_equal(count_of(drawn, "```"), 2);
    json_array_foreach(json_object_get(result, "pairs"), i, pair)
    {
        json_array_remove(json_object_get(pair, "points"), 1);
        json_object_set_new(pair, "crossings", json_array());
    }
    char *bare = written(print_as_markdown, result);
    assert_int_equal(count_of(bare, "```"), 0);
    assert_int_equal(count_of(bare, "\n\n\n"), 0);
    free(drawn);
    free(bare);
    json_decref(result);
}

/* ---------------------------------------------------------------- contradictions */

static const crossing_options range = {.from = 8, .to = 4096, .integer = true, .floor = FLOOR};

static double among(rng *r, const double *values, int count)
{
    return values[(int)(rng_next_uniform(r) * count)];
}

/* Curves with no, one or many changes of sign, places measured several times, errors from none to
 * far too much. */
static int make_points(uint64_t seed, crossing_point out[CROSSING_RUNS_MAX])
{
    static const double errors[] = {0, 1e-6, 0.01, 0.03, 0.1, 0.3, 5};
    static const double sizes[] = {0, 0.02, 0.1, 0.5, 3};
    rng r = {.key = {.seed = seed, .stream = RNG_TEST}};
    int count = 1 + (int)(rng_next_uniform(&r) * rng_next_uniform(&r) * (CROSSING_RUNS_MAX - 1));
    double shift = 2 * among(&r, sizes, 5) * (rng_next_uniform(&r) - 0.5);
    double size = among(&r, sizes, 5), slope = rng_next_uniform(&r) - 0.5, error = 0;
    bool alike = rng_next_uniform(&r) < 0.5;
    for (int i = 0; i < count; i++) {
        double x = round(8 * exp2(9 * rng_next_uniform(&r)));
        if (i && rng_next_uniform(&r) < 0.2) x = out[i - 1].x;
        if (!i || !alike) error = among(&r, errors, 7);
        out[i] = (crossing_point){x, shift + slope * log(x / 180), error};
        out[i].y += size * rng_next_normal(&r);
    }
    return count;
}

static int sign_of(const crossing_place *place)
{
    return place->verdict == STATS_FASTER ? -1 : place->verdict == STATS_SLOWER;
}

static void check_crossings(const crossing_result *r)
{
    for (int c = 0; c < r->count; c++) {
        const crossing *at = &r->crossings[c];
        double before = c ? r->crossings[c - 1].high : 0;
        double behind = c + 1 < r->count ? r->crossings[c + 1].low : INFINITY;
        assert_true(at->low <= at->x && at->x <= at->high && before <= at->low);
        assert_true(c == 0 || at->below == -r->crossings[c - 1].below);
        for (int i = 0; i < r->place_count; i++) {
            const crossing_place *p = &r->places[i];
            int wanted = p->x <= at->low && p->x >= before    ? at->below
                         : p->x >= at->high && p->x <= behind ? -at->below
                                                              : 0;
            assert_true(!wanted || !sign_of(p) || sign_of(p) == wanted);
            assert_false(p->x > at->low && p->x < at->high && sign_of(p));
            assert_false(p->verdict == STATS_SAME && p->x > at->left && p->x < at->low);
            assert_false(p->verdict == STATS_SAME && p->x > at->high && p->x < at->right);
        }
    }
}

/* Is a place without a sign spoken of? */
static bool is_told(const crossing_result *r, double x)
{
    for (int u = 0; u < r->undecided_count; u++)
        if (x >= r->undecided[u].from && x <= r->undecided[u].to) return true;
    for (int c = 0; c < r->count; c++)
        if (x > r->crossings[c].left && x < r->crossings[c].right) return true;
    return false;
}

static void check_places(const crossing_result *r, bool told)
{
    bool reached = false;
    for (int i = 0; i < r->place_count; i++) {
        const crossing_place *p = &r->places[i];
        int sign = sign_of(p);
        double margin = sign < 0 ? -log(p->ratio.high) : log(p->ratio.low);
        assert_true(i == 0 || p->x > r->places[i - 1].x);
        assert_true(sign || !told || is_told(r, p->x));
        if (!sign) continue;
        assert_true(margin > 0);
        for (int u = 0; u < r->undecided_count; u++)
            assert_false(p->x > r->undecided[u].from && p->x < r->undecided[u].to);
        if (r->count || (!told && !r->sign)) continue;
        assert_int_equal(sign, r->sign);
        assert_true(margin >= r->least);
        reached |= margin == r->least && p->x == r->at;
    }
    assert_true(r->count || !r->sign || reached);
    for (int u = 0; u < r->undecided_count; u++)
        assert_true(r->undecided[u].low <= 0 && r->undecided[u].high >= 0);
}

static json_t *make_page(const crossing_result *found)
{
    json_t *pair = json_pack("{s:s, s:s, s:b, s:f, s:f}", "first", "alpha", "second", "beta",
                             "beside", 0, "from", range.from, "to", range.to);
    json_t *points = json_array();
    for (int i = 0; i < found->place_count; i++) {
        json_t *point = sweep_place_json(&found->places[i]);
        double ratio = found->places[i].ratio.point;
        json_object_set_new(point, "first_s", json_of_real(1e-3 * ratio));
        json_object_set_new(point, "second_s", json_real(1e-3));
        json_array_append_new(points, point);
    }
    json_object_set_new(pair, "points", points);
    sweep_add_findings(pair, found);
    return json_pack("{s:s, s:s, s:s, s:i, s:i, s:b, s:[o]}", "workload", "w", "axis", "batch",
                     "noun", "batch", "from", 8, "to", 4096, "total", 0, "pairs", pair);
}

/* The row of a place on the page: the word in its last column. */
static void row_word(const char *page, double x, char out[32])
{
    char count[REPORT_TEXT_BYTES], *text = strdup(page);
    out[0] = 0;
    report_count(x, count);
    for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) {
        line += strspn(line, " ");
        size_t length = strlen(count);
        if (strncmp(line, count, length) != 0 || line[length] != ' ') continue;
        snprintf(out, 32, "%s", strrchr(line, ' ') + 1);
        break;
    }
    free(text);
}

/* With single blanks, whatever the wrapping. */
static char *flat_of(const char *page)
{
    char *flat = strdup(page), *to = flat;
    for (const char *from = page; *from; from++) {
        bool blank = *from == ' ' || *from == '\n';
        if (!blank || (to > flat && to[-1] != ' ')) *to++ = blank ? ' ' : *from;
    }
    *to = 0;
    return flat;
}

/* Each sentence of the page against each of its rows, as a reader has them. */
static void check_page(const char *page, const crossing_result *r)
{
    char word[32], below[32], above[32], wanted[200];
    for (int i = 0; i < r->place_count; i++) {
        row_word(page, r->places[i].x, word);
        int sign = sign_of(&r->places[i]);
        assert_string_equal(word, sign < 0   ? "alpha"
                                  : sign > 0 ? "beta"
                                             : stats_verdict_name(r->places[i].verdict));
    }
    char *flat = flat_of(page);
    assert_int_equal(count_of(flat, "is faster, above it"), r->count);
    assert_int_equal(count_of(flat, "undecided between batch"), r->undecided_count);
    const char *at = flat;
    for (int c = 0; c < r->count; c++) {
        char number[32];
        at = strstr(at, "below batch ");
        assert_non_null(at);
        assert_int_equal(sscanf(at,
                                "below batch %31[^ ] (%*[^)]) %31s is faster, above it %31[a-z]",
                                number, below, above),
                         3);
        at++;
        double x = strtod(number, NULL);
        assert_true(strchr(number, ',') ||
                    (r->crossings[c].low <= x + 0.5 && x - 0.5 <= r->crossings[c].high));
        assert_string_not_equal(below, above);
        for (int i = 0; i < r->place_count; i++) {
            double place = r->places[i].x;
            row_word(page, place, word);
            if (place >= (c ? r->crossings[c - 1].high : 0) && place <= r->crossings[c].low)
                assert_string_not_equal(word, above);
        }
    }
    bool everywhere = strstr(flat, "is faster everywhere") != NULL;
    for (int i = 0; i < r->place_count; i++) {
        row_word(page, r->places[i].x, word);
        if (everywhere) assert_int_equal(sign_of(&r->places[i]), r->sign);
        snprintf(wanted, sizeof wanted, ": %s is faster", strcmp(word, "alpha") ? "alpha" : "beta");
        if (sign_of(&r->places[i])) assert_null(strstr(flat, wanted));
    }
    free(flat);
}

static char *page_of(const json_t *result)
{
    char *text = NULL;
    size_t bytes = 0;
    be_error err = {0};
    FILE *out = open_memstream(&text, &bytes);
    ASSERT_OK(sweep_write(result, REPORT_TABLE, out, &err));
    assert_int_equal(fclose(out), 0);
    return text;
}

static void check_result(const crossing_result *r)
{
    check_crossings(r);
    check_places(r, true);
    json_t *result = make_page(r);
    char *page = page_of(result), *svg = written(sweep_write_svg, result);
    check_page(page, r);
    if (r->place_count > 1)
        assert_int_equal(count_of(svg, "<rect class=\"band\""), r->count + (r->count > 0));
    free(page);
    free(svg);
    json_decref(result);
}

static void nothing_contradicts_another_thing(void **state)
{
    (void)state;
    crossing_point points[CROSSING_RUNS_MAX];
    crossing_result found;
    int with_crossings = 0, with_undecided = 0, with_winner = 0, alone = 0;
    for (uint64_t seed = 1; seed <= SETS; seed++) {
        crossing_options options = range;
        if (seed % 3 == 0) options.floor = 0;
        int count = make_points(seed, points);
        crossing_analyze(points, count, &options, &found);
        check_result(&found);
        with_crossings += found.count > 0;
        with_undecided += found.undecided_count > 0;
        with_winner += found.sign != 0;
        alone += found.place_count == 1;
    }
    assert_true(with_crossings > 100 && with_undecided > 100 && with_winner > 100 && alone > 10);
}

static void totals_contradict_nothing_either(void **state)
{
    (void)state;
    crossing_result found;
    be_error err;
    int with_crossings = 0, with_undecided = 0, with_winner = 0;
    for (uint64_t seed = 1; seed <= SETS / 20; seed++) {
        rng r = {.key = {.seed = seed, .stream = RNG_TEST}};
        crossing_line lines[2];
        for (int k = 0; k < 2; k++) {
            double start = 2 * rng_next_uniform(&r), step = 1e-3 * (0.5 + rng_next_uniform(&r));
            double error = 0.3 * rng_next_uniform(&r) * rng_next_uniform(&r);
            lines[k] = (crossing_line){start, error * start, step, error * step};
        }
        ASSERT_OK(crossing_lines(&lines[0], &lines[1], &range, seed, &found, &err));
        check_crossings(&found);
        with_crossings += found.count > 0;
        with_undecided += found.undecided_count > 0;
        with_winner += found.sign != 0;
        check_places(&found, false);
        json_t *result = make_page(&found);
        char *page = page_of(result);
        check_page(page, &found);
        free(page);
        json_decref(result);
    }
    assert_true(with_crossings > 10 && with_undecided > 10 && with_winner > 10);
}

/* The first wins at 8 by two standard errors, the second elsewhere by more than three. */
static void a_likely_sign_is_no_other_ones_margin(void **state)
{
    (void)state;
    const crossing_point points[] = {{8, -0.30, 0.105}, {11, 0.60, 0.05}, {16, 0.80, 0.05}};
    crossing_options options = range;
    crossing_result found;
    options.floor = 0;
    crossing_analyze(points, 3, &options, &found);
    check_result(&found);
    json_t *result = make_page(&found);
    char *page = page_of(result), *flat = flat_of(page);
    assert_null(strstr(flat, "(at 8)"));
    assert_non_null(strstr(flat, "beta is faster wherever that is sure, by at least 1.65"));
    assert_non_null(strstr(flat, "undecided between batch 8 and 11"));
    assert_non_null(strstr(flat, "UNSURE with 1 outside of its 95 % interval"));
    free(flat);
    free(page);
    json_decref(result);
}

static void one_place_is_not_the_range(void **state)
{
    (void)state;
    const crossing_point point = {8, -0.30, 0.01};
    crossing_result found;
    crossing_analyze(&point, 1, &range, &found);
    json_t *result = make_page(&found);
    char *page = page_of(result), *flat = flat_of(page);
    assert_non_null(strstr(flat, "at batch 8 alpha is faster, by at least 1.3"));
    assert_null(strstr(flat, "everywhere"));
    free(flat);
    free(page);
    json_decref(result);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(crossings_that_were_searched_are_marked),
        cmocka_unit_test(one_place_is_not_drawn),
        cmocka_unit_test(a_likely_sign_is_no_other_ones_margin),
        cmocka_unit_test(one_place_is_not_the_range),
        cmocka_unit_test(nothing_contradicts_another_thing),
        cmocka_unit_test(totals_contradict_nothing_either),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
