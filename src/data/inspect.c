/* Listing and verifying the files of data sets. */
#include "data/inspect.h"

#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>

#include "data/cifar.h"
#include "data/dataset.h"
#include "data/sha256.h"

const char *inspect_state_name(inspect_state state)
{
    static const char *const names[] = {"missing", "there", "published", "other", "damaged"};
    return names[state];
}

be_status inspect_list(const catalog_set *set, const char *data_dir, inspect_report *out,
                       be_error *err)
{
    struct stat info;
    *out = (inspect_report){.set = set};
    if (set->format == FORMAT_GENERATED) return BE_OK;
    TRY(catalog_locate(set, data_dir, &out->place, err));
    for (int i = 0; i < set->file_count; i++) {
        inspect_file *f = &out->files[i];
        f->file = &set->files[i];
        if (!out->place.is_there || !catalog_file_path(f->path, out->place.folder, f->file))
            continue;
        f->state = INSPECT_THERE;
        f->bytes = stat(f->path, &info) == 0 ? info.st_size : 0;
    }
    if (out->place.is_there && !catalog_archive_path(out->archive, out->place.folder, set))
        out->archive[0] = 0;
    out->archive_bytes = *out->archive && stat(out->archive, &info) == 0 ? info.st_size : 0;
    return BE_OK;
}

bool inspect_is_incomplete(const inspect_report *report)
{
    bool missing = false;
    for (int i = 0; i < report->set->file_count; i++)
        missing |= report->files[i].state == INSPECT_MISSING;
    return missing && !*report->archive;
}

/* The bytes of one file.  BE_NO_MEMORY alone is passed on: it says nothing about the file. */
static be_status verify_file(inspect_file *f, be_error *err)
{
    char sum[SHA256_TEXT_BYTES];
    int64_t bytes = 0, limit = f->file->pickle ? CIFAR_FILE_BYTES_MAX : f->file->bytes;
    be_status status = sha256_unpacked(f->path, limit, sum, &bytes, &f->problem);
    if (status == BE_NO_MEMORY) FAIL(err, BE_NO_MEMORY, "%s", f->problem.text);
    if (status != BE_OK)
        f->state = INSPECT_DAMAGED;
    else
        f->state = f->file->sha256 && strcmp(sum, f->file->sha256) == 0 ? INSPECT_PUBLISHED
                                                                        : INSPECT_OTHER;
    return BE_OK;
}

/* A part of a set trains without a word, so it may not pass for the whole. */
static be_status check_count(const inspect_report *report, dataset_split split, int64_t count,
                             be_error *err)
{
    const catalog_set *set = report->set;
    int64_t expected = catalog_count(set, split);
    if (count == expected) return BE_OK;
    FAIL(err, BE_BAD_DATA,
         "%s: expected the %" PRId64 " %s pictures of %s, found %" PRId64
         "; 'breakeven data get %s' fetches what is missing",
         report->place.folder, expected, split == SPLIT_TRAIN ? "training" : "test", set->title,
         count, set->name);
}

static be_status verify_split(inspect_report *report, dataset_split split, be_error *err)
{
    inspect_split *s = &report->splits[split];
    be_dataset *d = NULL;
    const dataset_options options = {.data_dir = report->place.folder};
    be_status status = dataset_open(report->set->kind, split, &options, &d, &s->problem);
    if (status == BE_NO_MEMORY) FAIL(err, BE_NO_MEMORY, "%s", s->problem.text);
    s->count = d ? d->count : 0;
    dataset_close(d);
    if (status == BE_OK) status = check_count(report, split, s->count, &s->problem);
    s->good = status == BE_OK;
    report->good &= s->good;
    return BE_OK;
}

be_status inspect_verify(const catalog_set *set, const char *data_dir, inspect_report *out,
                         be_error *err)
{
    TRY(inspect_list(set, data_dir, out, err));
    out->good = out->place.is_there || set->format == FORMAT_GENERATED;
    for (int i = 0; i < set->file_count; i++) {
        if (out->files[i].state != INSPECT_THERE) continue;
        TRY(verify_file(&out->files[i], err));
        out->good &= out->files[i].state != INSPECT_DAMAGED;
    }
    if (!out->place.is_there) return BE_OK;
    TRY(verify_split(out, SPLIT_TRAIN, err));
    return verify_split(out, SPLIT_TEST, err);
}
