/* Fetching data sets: single files, or an archive that is unpacked. */
#include "data/get.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "data/cifar.h"
#include "data/download.h"
#include "data/gzip.h"
#include "data/sha256.h"
#include "data/tar.h"

#define PIECE_BYTES (64 * 1024)

typedef struct getter {
    const catalog_set *set;
    const get_options *options;
    get_result *result;
    get_progress progress;
} getter;

static bool on_progress(void *context, int64_t bytes)
{
    getter *g = context;
    g->progress.bytes = bytes;
    return !g->options->progress || g->options->progress(g->options->context, &g->progress);
}

static be_status make_url(const getter *g, const char *file, const char *ending,
                          char out[FILE_PATH_BYTES], be_error *err)
{
    const char *mirror = g->options->mirror;
    if (!mirror) mirror = getenv("BREAKEVEN_MIRROR");
    if (!mirror || !*mirror) return file_format_path(out, err, "%s%s%s", g->set->url, file, ending);
    size_t length = strlen(mirror);
    const char *slash = mirror[length - 1] == '/' ? "" : "/";
    return file_format_path(out, err, "%s%s%s/%s%s", mirror, slash, g->set->name, file, ending);
}

static be_status fetch(getter *g, const char *url, const char *path, int64_t bytes,
                       const char *sha256, be_error *err)
{
    const download d = {.url = url,
                        .path = path,
                        .bytes = bytes,
                        .sha256 = sha256,
                        .stall_seconds = g->options->stall_seconds,
                        .progress = on_progress,
                        .context = g};
    const char *slash = strrchr(url, '/');
    g->progress.file = slash ? slash + 1 : url;
    g->progress.bytes = 0;
    g->progress.total_bytes = bytes;
    return download_file(&d, err);
}

/* Is the file there, with or without .gz, with the right bytes?  A damaged NAME.gz may be replaced;
 * a damaged NAME would hide the NAME.gz that is fetched, and is the user's to remove. */
static be_status is_right(const getter *g, const catalog_file *file, bool *right, be_error *err)
{
    char path[FILE_PATH_BYTES], sum[SHA256_TEXT_BYTES];
    int64_t bytes = 0;
    be_error damage = {0};
    *right = false;
    if (!catalog_file_path(path, g->result->folder, file)) return BE_OK;
    be_status status = sha256_unpacked(path, file->bytes, sum, &bytes, &damage);
    if (status == BE_NO_MEMORY) FAIL(err, BE_NO_MEMORY, "%s", damage.text);
    *right = status == BE_OK && strcmp(sum, file->sha256) == 0;
    size_t length = strlen(path);
    if (!*right && strcmp(path + length - 3, ".gz") != 0)
        FAIL(err, BE_BAD_DATA,
             "%s: expected the bytes that its publisher serves, found others; move the file away "
             "and fetch the set again",
             path);
    return BE_OK;
}

static be_status get_files(getter *g, be_error *err)
{
    char url[FILE_PATH_BYTES], path[FILE_PATH_BYTES];
    g->progress.count = g->set->file_count;
    for (int i = 0; i < g->set->file_count; i++) {
        const catalog_file *file = &g->set->files[i];
        bool right = false;
        TRY(is_right(g, file, &right, err));
        g->progress.index = i;
        if (right) {
            g->result->kept++;
            continue;
        }
        TRY(make_url(g, file->name, ".gz", url, err));
        TRY(file_format_path(path, err, "%s/%s.gz", g->result->folder, file->name));
        TRY(fetch(g, url, path, file->packed_bytes, file->packed_sha256, err));
        g->result->fetched++;
    }
    return BE_OK;
}

/* Where the publisher gives no checksum of a file itself: its form and its size. */
static be_status check_records(const getter *g, const catalog_file *file, bool *right,
                               be_error *err)
{
    char path[FILE_PATH_BYTES];
    cifar_records records = {0};
    gzip_reader *r = NULL;
    be_error damage = {0};
    *right = false;
    if (!catalog_file_path(path, g->result->folder, file)) return BE_OK;
    be_status status = gzip_open(&r, path, &damage);
    if (status == BE_OK) status = cifar_append(r, 0, &records, &damage);
    *right = status == BE_OK && records.count * CIFAR_RECORD_BYTES == file->bytes;
    cifar_free(&records);
    gzip_close(r);
    if (status == BE_NO_MEMORY) FAIL(err, BE_NO_MEMORY, "%s", damage.text);
    return BE_OK;
}

static be_status unpack_data(gzip_reader *r, tar_member *member, file_writer *w, be_error *err)
{
    unsigned char piece[PIECE_BYTES];
    size_t got = 0;
    do {
        TRY(tar_read(r, member, piece, sizeof piece, &got, err));
        TRY(file_write(w, piece, got, err));
    } while (got > 0);
    return BE_OK;
}

static be_status unpack_member(getter *g, gzip_reader *r, tar_member *member, be_error *err)
{
    char path[FILE_PATH_BYTES];
    file_writer w;
    TRY(file_format_path(path, err, "%s/%s", g->result->folder, member->name));
    TRY(file_write_begin(&w, path, err));
    be_status status = unpack_data(r, member, &w, err);
    if (status != BE_OK) {
        file_write_abort(&w);
        return status;
    }
    TRY(file_write_commit(&w, err));
    g->result->fetched++;
    return BE_OK;
}

/* Only members with the names and sizes of the catalog are written, so an archive cannot put
 * anything elsewhere. */
static be_status unpack(getter *g, gzip_reader *r, be_error *err)
{
    tar_member member = {0};
    unsigned names = 0;
    bool is_member = true;
    while (is_member) {
        TRY(tar_next(r, &member, &is_member, err));
        for (int i = 0; is_member && i < g->set->file_count; i++) {
            const catalog_file *file = &g->set->files[i];
            if (!member.regular || strcmp(member.name, file->name) != 0) continue;
            if (member.bytes != file->bytes)
                FAIL(err, BE_BAD_DATA,
                     "%s: %s: expected %" PRId64 " bytes, found %" PRId64 "; fetch it again",
                     gzip_name(r), file->name, file->bytes, member.bytes);
            TRY(unpack_member(g, r, &member, err));
            names |= 1u << i;
            break;
        }
    }
    for (int i = 0; i < g->set->file_count; i++)
        if (!(names >> i & 1))
            FAIL(err, BE_BAD_DATA, "%s: expected %s in it, found none; fetch it again",
                 gzip_name(r), g->set->files[i].name);
    return BE_OK;
}

static be_status get_archive(getter *g, be_error *err)
{
    const catalog_archive *archive = &g->set->archive;
    char url[FILE_PATH_BYTES], path[FILE_PATH_BYTES], sum[SHA256_TEXT_BYTES] = "";
    for (int i = 0; i < g->set->file_count; i++) {
        bool right = false;
        TRY(check_records(g, &g->set->files[i], &right, err));
        g->result->kept += right;
    }
    if (g->result->kept == g->set->file_count) return BE_OK;
    g->result->kept = 0;
    g->progress.count = 1;
    TRY(make_url(g, archive->name, "", url, err));
    TRY(file_format_path(path, err, "%s/%s", g->result->folder, archive->name));
    /* It is there if an earlier run was stopped while unpacking. */
    if (file_exists(path)) TRY(sha256_file(path, sum, err));
    if (strcmp(sum, archive->sha256) != 0)
        TRY(fetch(g, url, path, archive->bytes, archive->sha256, err));
    gzip_reader *r = NULL;
    TRY(gzip_open(&r, path, err));
    be_status status = unpack(g, r, err);
    gzip_close(r);
    TRY(status);
    return file_remove(path, err);
}

be_status get_data_set(const catalog_set *set, const get_options *options, get_result *result,
                       be_error *err)
{
    static const get_options defaults;
    getter g = {.set = set, .options = options ? options : &defaults, .result = result};
    *result = (get_result){0};
    if (set->format == FORMAT_GENERATED)
        FAIL(err, BE_USAGE,
             "expected a set that is published, found %s, which is generated wherever it is needed",
             set->name);
    if (g.options->folder)
        TRY(file_format_path(result->folder, err, "%s", g.options->folder));
    else
        TRY(catalog_home(set, g.options->data_dir, result->folder, err));
    be_error reason = {0};
    bool has_folder = g.options->folder || g.options->data_dir;
    if (file_make_folders(result->folder, &reason) != BE_OK)
        FAIL(err, BE_IO, "%s%s", reason.text,
             has_folder ? "" : "; or name another place by --data");
    return set->archive.name ? get_archive(&g, err) : get_files(&g, err);
}
