/* Opening data sets: where the files are, what they must hold, and what stands in for them. */
#include "data/dataset.h"

#include <inttypes.h>
#include <string.h>

#include "data/cifar.h"
#include "data/gzip.h"
#include "data/idx.h"
#include "data/shapes.h"
#include "data/tar.h"
#include "data/tokenizer.h"

static const catalog_file *find_file(const catalog_set *set, dataset_split split, bool labels)
{
    for (int i = 0; i < set->file_count; i++)
        if (set->files[i].split == split && set->files[i].labels == labels) return &set->files[i];
    MUST(!"every IDX set has both files of both splits");
    return NULL;
}

static be_status open_file(gzip_reader **out, const catalog_set *set, const char *folder,
                           const catalog_file *file, be_error *err)
{
    char path[FILE_PATH_BYTES];
    *out = NULL;
    if (!catalog_file_path(path, folder, file))
        FAIL(err, BE_IO,
             "%s: expected %s or %s.gz among the files of %s, found neither; fetch the set with "
             "'breakeven data get %s'",
             folder, file->name, file->name, set->title, set->name);
    return gzip_open(out, path, err);
}

/* Two sets may have the same file names, and a wrong one would train without a word. */
static be_status check_identity(const be_dataset *d, const idx_array *labels, const char *path,
                                be_error *err)
{
    for (int k = 0; k < DATASET_KINDS; k++) {
        const catalog_set *other = catalog_get((dataset_kind)k);
        const catalog_file *file = NULL;
        if (other->format != FORMAT_IDX || other->kind == d->kind) continue;
        file = find_file(other, d->split, true);
        if (labels->file_count != file->bytes - 8 || labels->shape[0] < 16 ||
            memcmp(labels->bytes, other->first_labels[d->split], 16) != 0)
            continue;
        FAIL(
            err, BE_BAD_DATA,
            "%s: expected the labels of %s, found those of %s, which has the same file names; name "
            "the right folder, or keep each set in a folder of its own",
            path, catalog_get(d->kind)->title, other->title);
    }
    return BE_OK;
}

static be_status take_labels(be_dataset *d, const idx_array *array, const char *path, be_error *err)
{
    void *memory = NULL;
    for (int64_t i = 0; i < array->shape[0]; i++)
        if (array->bytes[i] >= d->classes)
            FAIL(err, BE_BAD_DATA,
                 "%s: item %" PRId64 ": expected a label from 0 to %d, found %d; check that it is "
                 "the right file, or fetch it again",
                 path, i, d->classes - 1, array->bytes[i]);
    TRY(check_identity(d, array, path, err));
    TRY(memory_alloc(&memory, (size_t)array->shape[0] * sizeof *d->labels, "labels", err));
    d->labels = memory;
    for (int64_t i = 0; i < array->shape[0]; i++) d->labels[i] = array->bytes[i];
    return BE_OK;
}

static be_status load_idx_labels(be_dataset *d, const char *folder, int64_t limit, int64_t *count,
                                 be_error *err)
{
    const catalog_set *set = catalog_get(d->kind);
    gzip_reader *r = NULL;
    idx_array array = {0};
    TRY(open_file(&r, set, folder, find_file(set, d->split, true), err));
    be_status status = idx_read(r, 1, limit, &array, err);
    *count = array.file_count;
    if (status == BE_OK) status = take_labels(d, &array, gzip_name(r), err);
    memory_free(array.bytes);
    gzip_close(r);
    return status;
}

static be_status take_images(be_dataset *d, idx_array *array, int64_t label_count, const char *path,
                             be_error *err)
{
    if (array->shape[1] != d->height || array->shape[2] != d->width)
        FAIL(err, BE_BAD_DATA,
             "%s: expected pictures of %d×%d, found %" PRId64 "×%" PRId64
             "; check that it is the right file",
             path, d->height, d->width, array->shape[1], array->shape[2]);
    if (array->file_count != label_count)
        FAIL(err, BE_BAD_DATA,
             "%s: expected as many pictures as there are labels (%" PRId64 "), found %" PRId64
             "; the files do not belong together, fetch them again",
             path, label_count, array->file_count);
    if (array->file_count == 0)
        FAIL(err, BE_BAD_DATA, "%s: expected pictures, found none; fetch the file again", path);
    d->images = array->bytes;
    d->count = array->shape[0];
    array->bytes = NULL;
    return BE_OK;
}

static be_status load_idx(be_dataset *d, const char *folder, int64_t limit, be_error *err)
{
    const catalog_set *set = catalog_get(d->kind);
    gzip_reader *r = NULL;
    idx_array array = {0};
    int64_t label_count = 0;
    TRY(load_idx_labels(d, folder, limit, &label_count, err));
    TRY(open_file(&r, set, folder, find_file(set, d->split, false), err));
    be_status status = idx_read(r, 3, limit, &array, err);
    if (status == BE_OK) status = take_images(d, &array, label_count, gzip_name(r), err);
    memory_free(array.bytes);
    gzip_close(r);
    return status;
}

/* One member of an archive, which has to be in memory to be read as a file of its own. */
static be_status load_member(gzip_reader *archive, tar_member *member, int64_t limit,
                             cifar_records *records, be_error *err)
{
    char name[FILE_PATH_BYTES];
    void *memory = NULL;
    size_t got = 0;
    gzip_reader *r = NULL;
    TRY(file_format_path(name, err, "%s: %s", gzip_name(archive), member->name));
    if (member->bytes > CIFAR_FILE_BYTES_MAX)
        FAIL(err, BE_BAD_DATA, "%s: expected at most %d bytes, found %" PRId64 "; fetch it again",
             name, CIFAR_FILE_BYTES_MAX, member->bytes);
    TRY(memory_alloc(&memory, (size_t)member->bytes + 1, name, err));
    be_status status = tar_read(archive, member, memory, (size_t)member->bytes, &got, err);
    if (status == BE_OK) status = gzip_open_memory(&r, memory, got, name, err);
    if (status == BE_OK) status = cifar_append(r, limit, records, err);
    gzip_close(r);
    memory_free(memory);
    return status;
}

/* The records of each of the set's files, in whatever order the archive has them. */
static be_status load_members(gzip_reader *r, const catalog_set *set, dataset_split split,
                              int64_t limit, cifar_records parts[CATALOG_FILES_MAX], be_error *err)
{
    tar_member member = {0};
    for (bool is_member = true; is_member;) {
        TRY(tar_next(r, &member, &is_member, err));
        for (int i = 0; is_member && member.regular && i < set->file_count; i++)
            if (set->files[i].split == split && parts[i].count == 0 &&
                catalog_is_file(&set->files[i], member.name)) {
                TRY(load_member(r, &member, limit, &parts[i], err));
                break;
            }
    }
    for (int i = 0; i < set->file_count; i++)
        if (set->files[i].split == split && parts[i].count == 0)
            FAIL(err, BE_BAD_DATA, "%s: expected %s or %s in it, found neither; fetch it again",
                 gzip_name(r), set->files[i].name, set->files[i].pickle);
    return BE_OK;
}

static be_status load_archive(cifar_records *records, const catalog_set *set, dataset_split split,
                              int64_t limit, const char *path, be_error *err)
{
    cifar_records parts[CATALOG_FILES_MAX] = {0};
    gzip_reader *r = NULL;
    TRY(gzip_open(&r, path, err));
    be_status status = load_members(r, set, split, limit, parts, err);
    for (int i = 0; i < set->file_count; i++) {
        if (status == BE_OK) status = cifar_join(records, &parts[i], limit, err);
        cifar_free(&parts[i]);
    }
    gzip_close(r);
    return status;
}

static be_status load_batches(cifar_records *records, const catalog_set *set, dataset_split split,
                              int64_t limit, const char *folder, be_error *err)
{
    for (int i = 0; i < set->file_count; i++) {
        char path[FILE_PATH_BYTES];
        gzip_reader *r = NULL;
        if (set->files[i].split != split || !catalog_file_path(path, folder, &set->files[i]))
            continue;
        TRY(gzip_open(&r, path, err));
        be_status status = cifar_append(r, limit, records, err);
        gzip_close(r);
        TRY(status);
    }
    return BE_OK;
}

/* Of the training files as many as there are, at least one; that some are not there is told. */
static be_status load_cifar(be_dataset *d, const char *folder, int64_t limit, be_error *err)
{
    const catalog_set *set = catalog_get(d->kind);
    const catalog_file *missing = NULL;
    cifar_records records = {0};
    char path[FILE_PATH_BYTES];
    int files = 0, there = 0;
    for (int i = 0; i < set->file_count; i++) {
        if (set->files[i].split != d->split) continue;
        bool is_there = catalog_file_path(path, folder, &set->files[i]);
        files++;
        there += is_there;
        if (!is_there && !missing) missing = &set->files[i];
    }
    gzip_reader *none = NULL;
    bool archive = there < files && catalog_archive_path(path, folder, set);
    if (!there && !archive) return open_file(&none, set, folder, missing, err); /* says which */
    be_status status = archive ? load_archive(&records, set, d->split, limit, path, err)
                               : load_batches(&records, set, d->split, limit, folder, err);
    d->images = records.images;
    d->labels = records.labels;
    d->count = records.count;
    TRY(status);
    if (there == files || archive) return BE_OK;
    return arena_printf(d->arena, &d->note, err,
                        "%s has %d of the %d files of %s that are expected, %s is not among them; "
                        "'breakeven data get %s' fetches them",
                        folder, there, files, set->title, missing->name, set->name);
}

static be_status generate(be_dataset *d, uint64_t seed, int64_t limit, be_error *err)
{
    void *memory = NULL;
    bool train = d->split == SPLIT_TRAIN;
    d->generated = true;
    d->count = DATASET_SHAPES_TEST;
    if (train) d->count = d->channels == 1 ? DATASET_SHAPES_TRAIN : DATASET_SHAPES_COLOUR_TRAIN;
    if (limit > 0 && limit < d->count) d->count = limit;
    TRY(memory_alloc(&memory, (size_t)(d->count * dataset_image_bytes(d)), "generated pictures",
                     err));
    d->images = memory;
    TRY(memory_alloc(&memory, (size_t)d->count * sizeof *d->labels, "labels", err));
    d->labels = memory;
    shapes_form form = {.seed = seed,
                        .channels = d->channels,
                        .size = d->height,
                        .first = train ? 0 : SHAPES_TEST_FIRST};
    shapes_draw(&form, d->count, d->images, d->labels);
    return arena_printf(d->arena, &d->source, err, "%s, seed %" PRIu64, catalog_get(d->kind)->title,
                        seed);
}

static void take_form(be_dataset *d, const catalog_set *set)
{
    d->kind = set->kind;
    d->name = set->name;
    d->channels = set->channels;
    d->height = set->height;
    d->width = set->width;
    d->classes = set->classes;
    memcpy(d->mean, set->mean, sizeof d->mean);
    memcpy(d->std, set->std, sizeof d->std);
}

static be_status generate_stand_in(be_dataset *d, const catalog_set *set,
                                   const dataset_options *options, const catalog_place *place,
                                   be_error *err)
{
    if (options->data_dir)
        FAIL(err, BE_IO,
             "expected the files of %s in %s or in its folder %s, found none; name another folder, "
             "fetch the set with 'breakeven data get %s', or ask for generated data",
             set->title, options->data_dir, set->folders[0], set->name);
    take_form(d, catalog_get(set->stand_in));
    TRY(arena_printf(d->arena, &d->note, err,
                     "%s is not in %s: %s stand in for it; 'breakeven data get %s' fetches it",
                     set->title, place->searched, catalog_get(set->stand_in)->title, set->name));
    return generate(d, options->seed, options->limit, err);
}

static be_status load(be_dataset *d, const catalog_set *set, const dataset_options *options,
                      be_error *err)
{
    catalog_place place;
    if (options->limit < 0)
        FAIL(err, BE_USAGE, "expected a limit of pictures from 1 (or 0: all), found %" PRId64,
             options->limit);
    take_form(d, options->synthetic ? catalog_get(set->stand_in) : set);
    if (options->synthetic || set->format == FORMAT_GENERATED)
        return generate(d, options->seed, options->limit, err);
    TRY(catalog_locate(set, options->data_dir, &place, err));
    if (!place.is_there) return generate_stand_in(d, set, options, &place, err);
    TRY(arena_printf(d->arena, &d->source, err, "%s, %s", set->title, place.folder));
    if (set->format == FORMAT_IDX) return load_idx(d, place.folder, options->limit, err);
    return load_cifar(d, place.folder, options->limit, err);
}

be_status dataset_start(be_dataset *d, const char *name, dataset_split split, be_error *err)
{
    d->split = split;
    d->name = name;
    d->generated = true;
    return arena_new(&d->arena, err);
}

int64_t dataset_generated_count(int64_t train, int64_t test, dataset_split split, int64_t limit)
{
    if (limit == 0) return split == SPLIT_TRAIN ? train : test;
    if (split == SPLIT_TRAIN) return limit;
    double share = (double)test * (double)limit / (double)train;
    return share < 1 ? 1 : (int64_t)share;
}

be_status dataset_open(dataset_kind kind, dataset_split split, const dataset_options *options,
                       be_dataset **out, be_error *err)
{
    static const dataset_options defaults = {.seed = 1};
    void *memory = NULL;
    *out = NULL;
    TRY(memory_alloc(&memory, sizeof(be_dataset), "a data set", err));
    be_dataset *d = memory;
    d->split = split;
    be_status status = arena_new(&d->arena, err);
    if (status == BE_OK) status = load(d, catalog_get(kind), options ? options : &defaults, err);
    dataset_describe(d); /* it owns what was loaded, whatever the status */
    if (status == BE_OK)
        *out = d;
    else
        dataset_close(d);
    return status;
}

be_status dataset_resize(be_dataset *d, int size, be_error *err)
{
    data_field scaled;
    if (size == d->height && size == d->width) return BE_OK;
    TRY(field_scale(table_find(&d->table, "images"), size, &scaled, err));
    memory_free(d->images);
    d->images = (uint8_t *)(uintptr_t)scaled.bytes;
    d->height = d->width = size;
    dataset_describe(d);
    return BE_OK;
}

void dataset_describe(be_dataset *d)
{
    d->table = (data_table){
        .name = d->name,
        .source = d->source,
        .sample = "picture",
        .unit = "picture",
        .units_a_sample = 1,
        .count = d->count,
        .fields = 2,
        .field = {{.form = {.name = "images",
                            .count = d->count,
                            .sample = {BE_U8, 3, {d->channels, d->height, d->width}},
                            .normalize = 1},
                   .bytes = d->images},
                  {.form = {.name = "labels", .count = d->count, .sample = {BE_I32, 0, {0}}},
                   .below = d->classes,
                   .bytes = d->labels}}};
    memcpy(d->table.field[0].form.mean, d->mean, sizeof d->mean);
    memcpy(d->table.field[0].form.std, d->std, sizeof d->std);
}

void dataset_close(be_dataset *d)
{
    if (!d) return;
    table_free(&d->table);
    if (d->tokenizer) tokenizer_free(d->tokenizer);
    arena_free(d->arena);
    memory_free(d);
}
