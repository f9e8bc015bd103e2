/* The table of the data sets, and the search for their files.
 *
 * Checksums of the unpacked IDX files and of nothing else here were computed from files; sizes and
 * checksums of what the publishers serve are those of TensorFlow Datasets' url_checksums. */
#include "data/catalog.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

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
                    "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609"},
                   {"train-labels-idx1-ubyte", SPLIT_TRAIN, true, 60008,
                    "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5", 28881,
                    "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c"},
                   {"t10k-images-idx3-ubyte", SPLIT_TEST, false, 7840016,
                    "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7", 1648877,
                    "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6"},
                   {"t10k-labels-idx1-ubyte", SPLIT_TEST, true, 10008,
                    "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2", 4542,
                    "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6"}},
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
                    "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84"},
                   {"train-labels-idx1-ubyte", SPLIT_TRAIN, true,
                    60008, "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
                    29515, "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845"},
                   {"t10k-images-idx3-ubyte", SPLIT_TEST, false, 7840016,
                    "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b", 4422102,
                    "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073"},
                   {"t10k-labels-idx1-ubyte", SPLIT_TEST, true,
                    10008, "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34", 5148,
                    "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5"}},
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
         .folders = {"cifar-10", "cifar-10-batches-bin"},
         .url = "https://www.cs.toronto.edu/~kriz/",
         .archive = {"cifar-10-binary.tar.gz", 170052171,
                     "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd"},
         .file_count = 6,
         .files = {{.name = "data_batch_1.bin", .split = SPLIT_TRAIN, .bytes = 30730000},
                   {.name = "data_batch_2.bin", .split = SPLIT_TRAIN, .bytes = 30730000},
                   {.name = "data_batch_3.bin", .split = SPLIT_TRAIN, .bytes = 30730000},
                   {.name = "data_batch_4.bin", .split = SPLIT_TRAIN, .bytes = 30730000},
                   {.name = "data_batch_5.bin", .split = SPLIT_TRAIN, .bytes = 30730000},
                   {.name = "test_batch.bin", .split = SPLIT_TEST, .bytes = 30730000}},
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
        size_t used = strlen(names);
        snprintf(names + used, sizeof names - used, "%s%s", i ? ", " : "", sets[i].name);
    }
    FAIL(err, BE_USAGE, "expected the name of a data set (%s), found \"%.60s\"", names, name);
}

static bool is_there(const char *path)
{
    struct stat found;
    return stat(path, &found) == 0;
}

bool catalog_file_path(char out[FILE_PATH_BYTES], const char *folder, const catalog_file *file)
{
    static const char *const endings[] = {"", ".gz"};
    for (int i = 0; i < 2; i++) {
        int length = snprintf(out, FILE_PATH_BYTES, "%s/%s%s", folder, file->name, endings[i]);
        if (length < FILE_PATH_BYTES && is_there(out)) return true;
    }
    return false;
}

static bool holds_any(const catalog_set *set, const char *folder)
{
    char path[FILE_PATH_BYTES];
    for (int i = 0; i < set->file_count; i++)
        if (catalog_file_path(path, folder, &set->files[i])) return true;
    return false;
}

static be_status search_below(const catalog_set *set, const char *base, catalog_place *out,
                              be_error *err)
{
    size_t used = strlen(out->searched);
    snprintf(out->searched + used, sizeof out->searched - used, "%s%s", used ? " and " : "", base);
    for (int i = 0; i < CATALOG_FOLDERS_MAX && set->folders[i] && !out->found; i++) {
        TRY(file_format_path(out->folder, err, "%s/%s", base, set->folders[i]));
        out->found = holds_any(set, out->folder);
    }
    if (!out->found) {
        TRY(file_format_path(out->folder, err, "%s", base));
        out->found = holds_any(set, out->folder);
    }
    return BE_OK;
}

be_status catalog_locate(const catalog_set *set, const char *data_dir, catalog_place *out,
                         be_error *err)
{
    *out = (catalog_place){0};
    if (data_dir) return search_below(set, data_dir, out, err);
    const char *variable = getenv("BREAKEVEN_DATA");
    if (variable && *variable) TRY(search_below(set, variable, out, err));
    if (out->found) return BE_OK;
    char xdg[FILE_PATH_BYTES];
    TRY(file_xdg(xdg, FILE_DATA, err));
    return search_below(set, xdg, out, err);
}
