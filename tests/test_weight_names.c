/* Files of weights as others write them: what of them is taken, what is told, what is refused. */
#include "support.h"

#include <stdlib.h>
#include <string.h>

#include "data/shards.h"
#include "train/weights.h"
#include "workloads/workload.h"

#define TENSORS 120

static const workload_variant tokens = {.layers = 1, .width = 8, .heads = 2, .seq = 4, .vocab = 16};

typedef struct network {
    be_device *device;
    workload_model model;
    be_plan *plan;
} network;

static network network_new(const workload *base, const workload_variant *variant, uint64_t seed)
{
    be_error err;
    network n = {0};
    workload room;
    const workload *w = NULL;
    ASSERT_OK(workload_vary(base, variant, &room, &w, &err));
    ASSERT_OK(be_device_open("cpu", &(be_device_options){.threads = 1}, &n.device, &err));
    workload_options options = {.seed = seed, .batch = 2, .count = 2};
    ASSERT_OK(workload_model_new(w, &options, &n.model, &err));
    be_plan_options planning = {.mode = BE_INFER};
    ASSERT_OK(be_plan_new(n.model.graph, n.device, &planning, &n.plan, &err));
    return n;
}

static void network_free(network *n)
{
    be_plan_free(n->plan);
    be_graph_free(n->model.graph);
    be_device_close(n->device);
}

/* A network's own file, open, and its tensors to be changed. */
typedef struct file_of {
    char *folder, path[300], other[300];
    network from, into; /* of other weights */
    safetensors *file;
    safetensors_tensor tensors[TENSORS];
    char names[TENSORS][100];
    int count;
    char note[WEIGHTS_NOTE_BYTES];
} file_of;

static void file_new(file_of *f, const workload *base, const workload_variant *variant)
{
    be_error err;
    *f = (file_of){.folder = support_make_folder()};
    f->from = network_new(base, variant, 1);
    f->into = network_new(base, variant, 2);
    support_path(f->path, sizeof f->path, f->folder, "own");
    support_path(f->other, sizeof f->other, f->folder, "other");
    ASSERT_OK(weights_save(f->from.plan, f->path, NULL, 0, &err));
    ASSERT_OK(safetensors_open(&f->file, f->path, &err));
    f->count = safetensors_count(f->file);
    assert_true(f->count > 0 && f->count < TENSORS - 8);
    for (int i = 0; i < f->count; i++) {
        f->tensors[i] = *safetensors_at(f->file, i);
        snprintf(f->names[i], sizeof f->names[i], "%s", f->tensors[i].name);
    }
}

static void file_free(file_of *f)
{
    safetensors_close(f->file);
    network_free(&f->from);
    network_free(&f->into);
    support_remove_folder(f->folder);
}

static safetensors_tensor *find(file_of *f, const char *name)
{
    for (int i = 0; i < f->count; i++)
        if (strcmp(f->names[i], name) == 0) return &f->tensors[i];
    fail_msg("%s", name);
    return NULL;
}

/* Put a tensor beside the others: `like` one of them, or four numbers. */
static void add(file_of *f, const char *name, const char *like)
{
    static const float numbers[4] = {1, 2, 3, 4};
    safetensors_tensor own = {.dtype = SAFETENSORS_F32, .rank = 1, .shape = {4}, .data = numbers};
    if (like) own = *find(f, like);
    assert_true(f->count < TENSORS);
    snprintf(f->names[f->count], sizeof f->names[f->count], "%s", name);
    f->tensors[f->count++] = own;
}

/* Take a part out of all names that have it, or put another in its place. */
static void rename_all(file_of *f, const char *part, const char *with)
{
    for (int i = 0; i < f->count; i++) {
        char *at = strstr(f->names[i], part), rest[100];
        if (!at) continue;
        snprintf(rest, sizeof rest, "%s", at + strlen(part));
        snprintf(at, sizeof f->names[i] - (size_t)(at - f->names[i]), "%s%s", with, rest);
    }
}

static void write_other(file_of *f)
{
    be_error err;
    for (int i = 0; i < f->count; i++) f->tensors[i].name = f->names[i];
    ASSERT_OK(
        safetensors_save(f->other, &(safetensors_layout){f->tensors, f->count, NULL, 0}, &err));
}

static be_status load_other(file_of *f, weights_head head, be_error *err)
{
    write_other(f);
    return weights_load_file(f->into.plan, f->other, head, f->note, err);
}

/* Are all weights those of the file now, but for the one named `except`? */
static void assert_loaded(const file_of *f, const char *except)
{
    be_error err;
    for (int p = 0; p < weights_count(f->into.plan); p++) {
        be_parameter a = weights_at(f->from.plan, p), b = weights_at(f->into.plan, p);
        size_t bytes = weights_tensor(&a).bytes;
        void *left = malloc(bytes), *right = malloc(bytes);
        ASSERT_OK(be_plan_read(f->from.plan, a.value, left, bytes, &err));
        ASSERT_OK(be_plan_read(f->into.plan, b.value, right, bytes, &err));
        if (!except || strcmp(a.name, except) != 0)
            assert_memory_equal(left, right, bytes);
        else
            assert_memory_not_equal(left, right, bytes);
        free(left);
        free(right);
    }
}

static void gpt2_as_the_hub_has_it(void **state)
{
    (void)state;
    be_error err;
    file_of f;
    file_new(&f, &workload_gpt2, &tokens);
    rename_all(&f, "transformer.", "");
    add(&f, "h.0.attn.bias", NULL);
    add(&f, "h.0.attn.masked_bias", NULL);
    add(&f, "lm_head.weight", "wte.weight");
    ASSERT_OK(load_other(&f, WEIGHTS_WHOLE, &err));
    assert_string_equal(f.note,
                        "the names of the weights are taken with \"transformer.\" before them; 1 "
                        "tensor attn.bias is passed over; 1 tensor attn.masked_bias is passed "
                        "over; 1 tensor lm_head.weight is passed over");
    assert_loaded(&f, NULL);
    /* A head of its own cannot be had: another tensor of the same shape would be lost. */
    float *own = calloc(16 * 8, sizeof *own);
    find(&f, "lm_head.weight")->data = own;
    ASSERT_FAILS(load_other(&f, WEIGHTS_WHOLE, &err), BE_BAD_DATA,
                 "/other: tensor \"lm_head.weight\"",
                 "expected the numbers of \"transformer.wte.weight\"", "ties its head");
    free(own);
    f.count--;
    add(&f, "h.x.attn.bias", NULL);
    ASSERT_FAILS(load_other(&f, WEIGHTS_WHOLE, &err), BE_BAD_DATA, "\"h.x.attn.bias\" too");
    f.count--;
    add(&f, "cls.predictions.bias", NULL); /* known of another network */
    ASSERT_FAILS(load_other(&f, WEIGHTS_WHOLE, &err), BE_BAD_DATA, "\"cls.predictions.bias\" too");
    f.count--;
    ASSERT_FAILS(load_other(&f, WEIGHTS_NEW_HEAD, &err), BE_USAGE,
                 "--new-head: expected a network whose head is classifier, fc or head");
    file_free(&f);
}

static void bert_as_the_hub_has_it(void **state)
{
    (void)state;
    be_error err;
    file_of f;
    file_new(&f, &workload_bert_base, &tokens);
    rename_all(&f, "LayerNorm.weight", "LayerNorm.gamma");
    rename_all(&f, "LayerNorm.bias", "LayerNorm.beta");
    add(&f, "bert.embeddings.position_ids", NULL);
    add(&f, "cls.predictions.bias", NULL);
    add(&f, "cls.seq_relationship.weight", NULL);
    ASSERT_OK(load_other(&f, WEIGHTS_WHOLE, &err));
    assert_string_equal(f.note, "LayerNorm.gamma and .beta are taken as weight and bias; 1 tensor "
                                "position_ids is passed over; 2 tensors cls.* are passed over");
    assert_loaded(&f, NULL);
    rename_all(&f, "bert.", "");
    ASSERT_OK(load_other(&f, WEIGHTS_WHOLE, &err));
    assert_non_null(strstr(f.note, "taken with \"bert.\" before them"));
    rename_all(&f, "embeddings.LayerNorm.gamma", "embeddings.LayerNorm.delta");
    ASSERT_FAILS(load_other(&f, WEIGHTS_WHOLE, &err), BE_BAD_DATA,
                 "expected a tensor \"bert.embeddings.LayerNorm.weight\", found none");
    file_free(&f);
}

/* The body alone, as pretraining leaves it; and a head of three classes. */
static void a_head_starts_anew_on_request(void **state)
{
    (void)state;
    be_error err;
    file_of f;
    file_new(&f, &workload_bert_base, &tokens);
    find(&f, "classifier.weight")->shape[0] = 1;
    ASSERT_FAILS(load_other(&f, WEIGHTS_WHOLE, &err), BE_BAD_DATA,
                 "/other: tensor \"classifier.weight\" of the head: expected F32 [2, 8], found F32 "
                 "[1, 8]; to start the head anew, train with --new-head");
    ASSERT_OK(load_other(&f, WEIGHTS_NEW_HEAD, &err));
    assert_string_equal(f.note, "the head \"classifier\" starts anew (in the file: F32 [1, 8])");
    /* Its bias is 0 in every start. */
    assert_loaded(&f, "classifier.weight");
    rename_all(&f, "classifier.", "cls.");
    ASSERT_FAILS(load_other(&f, WEIGHTS_WHOLE, &err), BE_BAD_DATA,
                 "\"classifier.weight\" of the head: expected F32 [2, 8], found none");
    ASSERT_OK(load_other(&f, WEIGHTS_NEW_HEAD, &err));
    assert_non_null(strstr(f.note, "the head \"classifier\" starts anew (in the file: none)"));
    assert_loaded(&f, "classifier.weight");
    find(&f, "bert.pooler.dense.weight")->shape[0] = 4; /* not of the head */
    ASSERT_FAILS(load_other(&f, WEIGHTS_NEW_HEAD, &err), BE_BAD_DATA, "bert.pooler.dense.weight",
                 "expected F32 [8, 8], found F32 [4, 8]");
    file_free(&f);
}

static void clip_has_a_number_without_dimension(void **state)
{
    (void)state;
    be_error err;
    file_of f;
    workload_variant small = tokens;
    small.size = 16;
    file_new(&f, &workload_clip, &small);
    assert_int_equal(find(&f, "logit_scale")->rank, 0);
    find(&f, "logit_scale")->data = (const float[]){1.5f};
    add(&f, "text_model.embeddings.position_ids", NULL);
    add(&f, "vision_model.embeddings.position_ids", NULL);
    float found = 0;
    for (int rank = 0; rank < 2; rank++) { /* [] and, as older exports have it, [1] */
        safetensors_tensor *scale = find(&f, "logit_scale");
        scale->rank = rank;
        scale->shape[0] = 1;
        ASSERT_OK(load_other(&f, WEIGHTS_WHOLE, &err));
        assert_string_equal(f.note, "2 tensors position_ids are passed over");
        be_parameter own = weights_at(f.into.plan, 0);
        assert_string_equal(own.name, "logit_scale");
        ASSERT_OK(be_plan_read(f.into.plan, own.value, &found, sizeof found, &err));
        assert_true(found == 1.5f);
    }
    file_free(&f);
}

/* ---------------------------------------------------------------- several files */

#define INDEX(...) "{\"weight_map\": {" __VA_ARGS__ "}}"
#define PLACE(name, file) "\"" name "\": \"" file "\""

static be_status open_index(const file_of *f, const char *text, be_error *err)
{
    char path[300];
    safetensors *file = NULL;
    support_path(path, sizeof path, f->folder, "model.safetensors.index.json");
    support_write_file(path, text, strlen(text));
    be_status status = shards_open(&file, path, err);
    if (status == BE_OK) assert_int_equal(safetensors_count(file), 2);
    safetensors_close(file);
    return status;
}

static void bad_indexes_are_refused(void **state)
{
    (void)state;
    be_error err;
    file_of f = {.folder = support_make_folder()};
    static const char *const names[] = {"a", "b"};
    char path[300];
    static const float one = 1;
    for (int i = 0; i < 2; i++) {
        safetensors_tensor t = {.name = names[i], .dtype = SAFETENSORS_F32, .data = &one};
        support_path(path, sizeof path, f.folder, names[i]);
        ASSERT_OK(safetensors_save(path, &(safetensors_layout){&t, 1, NULL, 0}, &err));
    }
    support_path(path, sizeof path, f.folder, "again");
    safetensors_tensor t = {.name = "a", .dtype = SAFETENSORS_F32, .data = &one};
    ASSERT_OK(safetensors_save(path, &(safetensors_layout){&t, 1, NULL, 0}, &err));
    ASSERT_OK(open_index(&f, INDEX(PLACE("a", "a") "," PLACE("b", "b")), &err));
    ASSERT_FAILS(open_index(&f, INDEX(PLACE("a", "a") "," PLACE("b", "c")), &err), BE_IO, "/c");
    ASSERT_FAILS(open_index(&f, INDEX(PLACE("a", "a") "," PLACE("c", "b")), &err), BE_BAD_DATA,
                 "expected tensor \"c\" in ", "/b, found none of that name there; fetch");
    const char *twice = "{\"weight_map\": {\"a\": \"a\", \"b\": \"b\", \"\\u0061\": \"again\"}}";
    ASSERT_FAILS(open_index(&f, twice, &err), BE_BAD_DATA, "duplicate");
    static const char *const leaving[] = {"../a", "/a", "..", ".", "", "x/a", "x\\\\a"};
    for (size_t i = 0; i < sizeof leaving / sizeof *leaving; i++) {
        char text[200];
        snprintf(text, sizeof text, INDEX("\"a\": \"%s\""), leaving[i]);
        ASSERT_FAILS(open_index(&f, text, &err), BE_BAD_DATA, "model.safetensors.index.json: ",
                     "tensor \"a\": expected the name of a file beside the index, found ");
    }
    ASSERT_FAILS(open_index(&f, INDEX(""), &err), BE_BAD_DATA, "\"weight_map\", found none");
    ASSERT_FAILS(open_index(&f, "{}", &err), BE_BAD_DATA,
                 "expected \"weight_map\" to be an object");
    ASSERT_FAILS(open_index(&f, "{", &err), BE_BAD_DATA, "expected the index of a model's files");
    /* The same tensor in two files that both are named. */
    support_path(path, sizeof path, f.folder, "b");
    safetensors_tensor both[] = {t, {.name = "b", .dtype = SAFETENSORS_F32, .data = &one}};
    ASSERT_OK(safetensors_save(path, &(safetensors_layout){both, 2, NULL, 0}, &err));
    ASSERT_FAILS(open_index(&f, INDEX(PLACE("a", "a") "," PLACE("b", "b")), &err), BE_BAD_DATA,
                 "expected each tensor in one file, found \"a\" in ", "/b too");
    support_remove_folder(f.folder);
}

/* Fails at each of its allocations, with every file closed again. */
static be_status open_both(void *context, be_error *err)
{
    return open_index(context, INDEX(PLACE("a", "a") "," PLACE("b", "b")), err);
}

static void allocations_may_fail(void **state)
{
    (void)state;
    be_error err;
    file_of f = {.folder = support_make_folder()};
    static const float one = 1;
    for (int i = 0; i < 2; i++) {
        char path[300], name[2] = {(char)('a' + i), 0};
        safetensors_tensor t = {.name = name, .dtype = SAFETENSORS_F32, .data = &one};
        support_path(path, sizeof path, f.folder, name);
        ASSERT_OK(safetensors_save(path, &(safetensors_layout){&t, 1, NULL, 0}, &err));
    }
    assert_true(support_fail_each_allocation(open_both, &f, 200) > 4);
    support_remove_folder(f.folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gpt2_as_the_hub_has_it),
        cmocka_unit_test(bert_as_the_hub_has_it),
        cmocka_unit_test(a_head_starts_anew_on_request),
        cmocka_unit_test(clip_has_a_number_without_dimension),
        cmocka_unit_test(bad_indexes_are_refused),
        cmocka_unit_test(allocations_may_fail),
    };
    return cmocka_run_group_tests_name("weight_names", tests, NULL, NULL);
}
