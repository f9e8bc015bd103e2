/* Which values lie in the memory of the host, where the device has its own, and who may read them.
 */
#include "support.h"

#include <string.h>

#include "graph/passes.h"

/* Where the device has memory of its own, what is uploaded and what was downloaded lie with the
 * host, each by itself; elsewhere nothing is moved. */
static void what_lies_with_the_host(void **state)
{
    (void)state;
    be_error err;
    be_graph *g = be_graph_new(1), *lowered = NULL;
    be_value above =
        be_buffer_add(g, "above", (be_shape){BE_F32, 1, {100}}, (be_start){BE_NORMAL, 1});
    be_value below =
        be_parameter_add(g, "below", (be_shape){BE_F32, 1, {100}}, (be_start){BE_NORMAL, 1});
    be_value up = be_upload(g, above, 0), down = be_download(g, below);
    be_value first = be_upload(g, down, 3);
    be_plan_options options = {
        .mode = BE_INFER, .keep = (be_value[]){up, down, first}, .keep_count = 3};
    for (int apart = 0; apart < 2; apart++) {
        memory_map map;
        ASSERT_OK(graph_lower(g, &options, &(lower_target){.is_apart = apart}, &lowered, &err));
        ASSERT_OK(memory_plan(lowered, 0, &map, &err));
        const memory_place *a = &map.places[above], *b = &map.places[down];
        assert_int_equal(a->region, apart ? REGION_HOST : REGION_PERSISTENT);
        assert_int_equal(b->region, apart ? REGION_HOST : REGION_ACTIVATION);
        assert_int_equal(map.places[below].region, REGION_PERSISTENT);
        assert_int_equal(map.places[up].region, REGION_ACTIVATION);
        assert_int_equal(map.places[first].bytes, 3 * sizeof(float));
        assert_true(!apart || a->offset >= b->offset + b->bytes ||
                    b->offset >= a->offset + a->bytes);
        assert_true(map.host_bytes >= (apart ? a->bytes + b->bytes : 0));
        assert_true(apart || map.host_bytes == 0);
        be_graph_free(lowered);
    }
    be_activate(g, down, BE_TANH);
    be_upload(g, down, 101);
    assert_int_equal(be_graph_check(g, &err), BE_USAGE);
    assert_non_null(strstr(err.text, "upload: count: expected 0 (all) to 100 elements, found 101"));
    be_graph_free(g);
}

/* Kernels reach what lies with the device alone, and only buffers can lie elsewhere. */
static void nothing_else_reads_there(void **state)
{
    (void)state;
    be_error err;
    lower_target apart = {.is_apart = true};
    for (int wrong = 0; wrong < 3; wrong++) {
        be_graph *g = be_graph_new(1), *lowered = NULL;
        be_value a = be_buffer_add(g, "a", (be_shape){BE_F32, 1, {8}}, (be_start){BE_NORMAL, 1});
        be_value p = be_parameter_add(g, "p", (be_shape){BE_F32, 1, {8}}, (be_start){BE_NORMAL, 1});
        be_value y = wrong == 0   ? be_activate(g, be_download(g, p), BE_TANH)
                     : wrong == 1 ? be_add(g, be_upload(g, a, 0), a)
                                  : be_upload(g, p, 0);
        be_plan_options options = {.mode = BE_INFER, .keep = &y, .keep_count = 1};
        ASSERT_OK(graph_lower(g, &options, &(lower_target){0}, &lowered, &err));
        be_graph_free(lowered);
        ASSERT_FAILS(graph_lower(g, &options, &apart, &lowered, &err), BE_USAGE,
                     wrong == 2
                         ? "expected \"p\" in the memory of the host, found it in that of the "
                           "device; copy it by be_upload or be_download"
                         : "in the memory of the device, found it in that of the host");
        be_graph_free(g);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_lies_with_the_host),
        cmocka_unit_test(nothing_else_reads_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
