/* The table of the data sets, and the search for their files.
 *
 * Checksums of the unpacked IDX files and of nothing else here were computed from files; sizes and
 * checksums of what the publishers serve are those of TensorFlow Datasets' url_checksums. */
#include "data/catalog.h"

#include <ctype.h>
#include <dirent.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "data/cifar.h"

#define IDX_LABELS_HEADER_BYTES 8

#define CIFAR_BATCH(id, of)                                             \
    {                                                                   \
        .name = id ".bin", .split = of, .bytes = 30730000, .pickle = id \
    }

static const catalog_set sets[DATASET_KINDS] = {
    [DATASET_MNIST] =
        {.kind = DATASET_MNIST,
         .format = FORMAT_IDX,
         .name = "mnist",
         .title = "MNIST",
         .folders = {"mnist", "MNIST/raw"},
         .url = "https://ossci-datasets.s3.amazonaws.com/mnist/",
         .file_count = 4,
         .files = {{"train-images-idx3-ubyte", SPLIT_TRAIN, false, 47040016,
                    "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db", 9912422,
                    "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609", NULL},
                   {"train-labels-idx1-ubyte", SPLIT_TRAIN, true, 60008,
                    "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5", 28881,
                    "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c", NULL},
                   {"t10k-images-idx3-ubyte", SPLIT_TEST, false, 7840016,
                    "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7", 1648877,
                    "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6", NULL},
                   {"t10k-labels-idx1-ubyte", SPLIT_TEST, true, 10008,
                    "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2", 4542,
                    "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6", NULL}},
         .channels = 1,
         .height = 28,
         .width = 28,
         .classes = 10,
         .stand_in = DATASET_SHAPES,
         .mean = {0.1307f},
         .std = {0.3081f},
         .first_labels = {{5, 0, 4, 1, 9, 2, 1, 3, 1, 4, 3, 5, 3, 6, 1, 7},
                          {7, 2, 1, 0, 4, 1, 4, 9, 5, 9, 0, 6, 9, 0, 1, 5}}},
    [DATASET_FASHION_MNIST] =
        {.kind = DATASET_FASHION_MNIST,
         .format = FORMAT_IDX,
         .name = "fashion-mnist",
         .title = "Fashion-MNIST",
         .folders = {"fashion-mnist", "FashionMNIST/raw"},
         .url = "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
         .file_count = 4,
         .files = {{"train-images-idx3-ubyte", SPLIT_TRAIN, false, 47040016,
                    "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888", 26421880,
                    "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84", NULL},
                   {"train-labels-idx1-ubyte", SPLIT_TRAIN, true,
                    60008, "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
                    29515, "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
                    NULL},
                   {"t10k-images-idx3-ubyte", SPLIT_TEST, false, 7840016,
                    "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b", 4422102,
                    "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073", NULL},
                   {"t10k-labels-idx1-ubyte", SPLIT_TEST, true,
                    10008, "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34", 5148,
                    "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5", NULL}},
         .channels = 1,
         .height = 28,
         .width = 28,
         .classes = 10,
         .stand_in = DATASET_SHAPES,
         .mean = {0.2860f},
         .std = {0.3530f},
         .first_labels = {{9, 0, 0, 3, 0, 2, 7, 2, 5, 5, 0, 9, 5, 5, 7, 9},
                          {9, 2, 1, 1, 6, 1, 4, 6, 5, 7, 4, 5, 7, 3, 4, 1}}},
    [DATASET_CIFAR10] =
        {.kind = DATASET_CIFAR10,
         .format = FORMAT_CIFAR,
         .name = "cifar-10",
         .title = "CIFAR-10",
         .folders = {"cifar-10", "cifar-10-batches-bin", "cifar-10-batches-py"},
         .url = "https://www.cs.toronto.edu/~kriz/",
         .archive = {"cifar-10-binary.tar.gz", 170052171,
                     "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
                     "cifar-10-python.tar.gz"},
         .file_count = 6,
         .files = {CIFAR_BATCH("data_batch_1", SPLIT_TRAIN),
                   CIFAR_BATCH("data_batch_2", SPLIT_TRAIN),
                   CIFAR_BATCH("data_batch_3", SPLIT_TRAIN),
                   CIFAR_BATCH("data_batch_4", SPLIT_TRAIN),
                   CIFAR_BATCH("data_batch_5", SPLIT_TRAIN), CIFAR_BATCH("test_batch", SPLIT_TEST)},
         .channels = 3,
         .height = 32,
         .width = 32,
         .classes = 10,
         .stand_in = DATASET_SHAPES_COLOUR,
         .mean = {0.4914f, 0.4822f, 0.4465f},
         .std = {0.2470f, 0.2435f, 0.2616f}},
    [DATASET_SHAPES] = {.kind = DATASET_SHAPES,
                        .format = FORMAT_GENERATED,
                        .name = "shapes",
                        .title = "generated shapes",
                        .channels = 1,
                        .height = 28,
                        .width = 28,
                        .classes = 10,
                        .stand_in = DATASET_SHAPES,
                        .mean = {0.3667f},
                        .std = {0.2651f}},
    [DATASET_SHAPES_COLOUR] = {.kind = DATASET_SHAPES_COLOUR,
                               .format = FORMAT_GENERATED,
                               .name = "shapes-colour",
                               .title = "generated colour shapes",
                               .channels = 3,
                               .height = 32,
                               .width = 32,
                               .classes = 10,
                               .stand_in = DATASET_SHAPES_COLOUR,
                               .mean = {0.3674f, 0.4299f, 0.4297f},
                               .std = {0.2673f, 0.2743f, 0.2734f}},
};

const catalog_set *catalog_get(dataset_kind kind)
{
    MUST(kind >= 0 && kind < DATASET_KINDS);
    return &sets[kind];
}

be_status catalog_find(const char *name, dataset_kind *kind, be_error *err)
{
    char names[200] = "";
    for (int i = 0; i < DATASET_KINDS; i++) {
        if (strcmp(name, sets[i].name) == 0) {
            *kind = sets[i].kind;
            return BE_OK;
        }
        size_t length = strlen(names);
        snprintf(names + length, sizeof names - length, "%s%s", i ? ", " : "", sets[i].name);
    }
    FAIL(err, BE_USAGE, "expected the name of a data set (%s), found \"%.60s\"", names, name);
}

static bool is_there(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0 && !S_ISDIR(info.st_mode);
}

/* The same letters and digits, whatever their case and what stands between them. */
static bool is_alike(const char *a, const char *b)
{
    static const char between[] = "-_. ";
    for (;; a++, b++) {
        while (*a && strchr(between, *a)) a++;
        while (*b && strchr(between, *b)) b++;
        if (tolower((unsigned char)*a) != tolower((unsigned char)*b)) return false;
        if (!*a) return true;
    }
}

static bool is_packed_alike(const char *name, const char *like)
{
    char packed[NAME_MAX + 1];
    snprintf(packed, sizeof packed, "%s.gz", like);
    return is_alike(name, like) || is_alike(name, packed);
}

bool catalog_is_file(const catalog_file *file, const char *name)
{
    return is_packed_alike(name, file->name) ||
           (file->pickle && is_packed_alike(name, file->pickle));
}

/* The entry of a folder that `is` takes, by name the first of several. */
typedef bool (*entry_fn)(const char *path, const char *name, const void *wanted);

static bool find_entry(char out[FILE_PATH_BYTES], const char *folder, entry_fn is, const void *like)
{
    char path[FILE_PATH_BYTES], best[NAME_MAX + 1] = "";
    DIR *directory = opendir(folder);
    if (!directory) return false;
    for (const struct dirent *entry; (entry = readdir(directory));) {
        int length = snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
        if (length >= FILE_PATH_BYTES || !is(path, entry->d_name, like)) continue;
        if (!*best || strcmp(entry->d_name, best) < 0)
            snprintf(best, sizeof best, "%s", entry->d_name);
    }
    closedir(directory);
    return *best && snprintf(out, FILE_PATH_BYTES, "%s/%s", folder, best) < FILE_PATH_BYTES;
}

static bool is_file_alike(const char *path, const char *name, const void *like)
{
    return catalog_is_file(like, name) && is_there(path);
}

/* A folder that is named as the file is and holds it, as some archives unpack. */
static bool is_folder_of_file(const char *path, const char *name, const void *like)
{
    char inside[FILE_PATH_BYTES];
    return catalog_is_file(like, name) && file_is_folder(path) &&
           find_entry(inside, path, is_file_alike, like);
}

bool catalog_file_path(char out[FILE_PATH_BYTES], const char *folder, const catalog_file *file)
{
    static const char *const endings[] = {"", ".gz"};
    char inner[FILE_PATH_BYTES];
    for (int i = 0; i < 2; i++) {
        int length = snprintf(out, FILE_PATH_BYTES, "%s/%s%s", folder, file->name, endings[i]);
        if (length < FILE_PATH_BYTES && is_there(out)) return true;
    }
    if (find_entry(out, folder, is_file_alike, file)) return true;
    return find_entry(inner, folder, is_folder_of_file, file) &&
           find_entry(out, inner, is_file_alike, file);
}

static bool is_archive(const char *path, const char *name, const void *like)
{
    const catalog_archive *archive = like;
    return (is_alike(name, archive->name) || is_alike(name, archive->pickles)) && is_there(path);
}

bool catalog_archive_path(char out[FILE_PATH_BYTES], const char *folder, const catalog_set *set)
{
    return set->archive.name && find_entry(out, folder, is_archive, &set->archive);
}

static bool holds_any(const catalog_set *set, const char *folder)
{
    char path[FILE_PATH_BYTES];
    for (int i = 0; i < set->file_count; i++)
        if (catalog_file_path(path, folder, &set->files[i])) return true;
    return catalog_archive_path(path, folder, set);
}

int64_t catalog_count(const catalog_set *set, dataset_split split)
{
    int64_t count = 0;
    for (int i = 0; i < set->file_count; i++) {
        const catalog_file *file = &set->files[i];
        if (file->split != split) continue;
        if (set->format == FORMAT_CIFAR) count += file->bytes / CIFAR_RECORD_BYTES;
        if (file->labels) count += file->bytes - IDX_LABELS_HEADER_BYTES;
    }
    return count;
}

typedef struct wanted_folder {
    const char *name;
    const catalog_set *set; /* of which it holds something; NULL: whatever it holds */
} wanted_folder;

static bool is_folder_alike(const char *path, const char *name, const void *like)
{
    const wanted_folder *w = like;
    return is_alike(name, w->name) && file_is_folder(path) && (!w->set || holds_any(w->set, path));
}

/* BASE/RELATIVE, or the folder whose names are alike, with something of the set; false: neither is
 * there. */
static bool find_folder(char out[FILE_PATH_BYTES], const char *base, const char *relative,
                        const catalog_set *set)
{
    char name[NAME_MAX + 1], parent[FILE_PATH_BYTES];
    if (snprintf(out, FILE_PATH_BYTES, "%s", base) >= FILE_PATH_BYTES) return false;
    while (*relative) {
        size_t length = strcspn(relative, "/");
        const wanted_folder like = {name, relative[length] ? NULL : set};
        snprintf(name, sizeof name, "%.*s", (int)length, relative);
        snprintf(parent, sizeof parent, "%s", out);
        if (snprintf(out, FILE_PATH_BYTES, "%s/%s", parent, name) >= FILE_PATH_BYTES) return false;
        if (!is_folder_alike(out, name, &like) && !find_entry(out, parent, is_folder_alike, &like))
            return false;
        relative += length + (relative[length] == '/');
    }
    return true;
}

/* The first of the set's folders below `base` that holds any of it. */
static bool find_below(char out[FILE_PATH_BYTES], const catalog_set *set, const char *base)
{
    for (int i = 0; i < CATALOG_FOLDERS_MAX && set->folders[i]; i++)
        if (find_folder(out, base, set->folders[i], set)) return true;
    return false;
}

static be_status search_below(const catalog_set *set, const char *base, catalog_place *out,
                              be_error *err)
{
    size_t length = strlen(out->searched);
    snprintf(out->searched + length, sizeof out->searched - length, "%s%s", length ? " and " : "",
             base);
    out->is_there = find_below(out->folder, set, base);
    if (!out->is_there) {
        TRY(file_format_path(out->folder, err, "%s", base));
        out->is_there = holds_any(set, out->folder);
    }
    return BE_OK;
}

/* The folder of $BREAKEVEN_DATA; NULL: not set. */
static const char *named_folder(void)
{
    const char *variable = getenv("BREAKEVEN_DATA");
    return variable && *variable ? variable : NULL;
}

be_status catalog_home(const catalog_set *set, const char *data_dir, char out[FILE_PATH_BYTES],
                       be_error *err)
{
    char xdg[FILE_PATH_BYTES];
    const char *base = data_dir ? data_dir : named_folder();
    if (!base) {
        TRY(file_xdg(xdg, FILE_DATA, err));
        base = xdg;
    }
    if (find_below(out, set, base)) return BE_OK;
    return file_format_path(out, err, "%s/%s", base, set->folders[0]);
}

be_status catalog_locate(const catalog_set *set, const char *data_dir, catalog_place *out,
                         be_error *err)
{
    *out = (catalog_place){0};
    if (data_dir) return search_below(set, data_dir, out, err);
    if (named_folder()) TRY(search_below(set, named_folder(), out, err));
    if (out->is_there) return BE_OK;
    char xdg[FILE_PATH_BYTES];
    TRY(file_xdg(xdg, FILE_DATA, err));
    return search_below(set, xdg, out, err);
}
