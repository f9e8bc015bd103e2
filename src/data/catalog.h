/* The data sets that breakeven knows: their shapes and constants, their files with sizes and
 * checksums, their publishers' addresses, and where they lie on this machine.
 * May not read or write the files themselves. */
#ifndef DATA_CATALOG_H
#define DATA_CATALOG_H

#include <stdbool.h>
#include <stdint.h>

#include "core/file.h"
#include "core/status.h"

typedef enum dataset_kind {
    DATASET_MNIST,
    DATASET_FASHION_MNIST,
    DATASET_CIFAR10,
    DATASET_SHAPES,        /* generated, 28×28 grey */
    DATASET_SHAPES_COLOUR, /* generated, 32×32 colour */
    DATASET_KINDS,
} dataset_kind;

typedef enum dataset_format { FORMAT_IDX, FORMAT_CIFAR, FORMAT_GENERATED } dataset_format;

typedef enum dataset_split { SPLIT_TRAIN, SPLIT_TEST } dataset_split;

#define CATALOG_FILES_MAX 6
#define CATALOG_FOLDERS_MAX 3

typedef struct catalog_file {
    const char *name; /* as unpacked; on disk also with .gz */
    dataset_split split;
    bool labels;          /* an IDX file of labels */
    int64_t bytes;        /* unpacked */
    const char *sha256;   /* of the unpacked bytes; NULL: not published */
    int64_t packed_bytes; /* of the publisher's NAME.gz; 0: comes in an archive */
    const char *packed_sha256;
    const char *pickle; /* the name of the same as a Python pickle; NULL: there is none */
} catalog_file;

typedef struct catalog_archive { /* one .tar.gz that holds all files */
    const char *name;
    int64_t bytes;
    const char *sha256;
    const char *pickles; /* the name of the archive of the pickles */
} catalog_archive;

typedef struct catalog_set {
    dataset_kind kind;
    dataset_format format;
    const char *name;                         /* the id: "fashion-mnist" */
    const char *title;                        /* for people: "Fashion-MNIST" */
    const char *folders[CATALOG_FOLDERS_MAX]; /* below a data folder; NULL ends */
    const char *url;                          /* of the folder of the files or archive, with / */
    catalog_archive archive;                  /* name NULL: none */
    catalog_file files[CATALOG_FILES_MAX];
    int file_count;
    int channels, height, width, classes;
    dataset_kind stand_in;       /* the generated set of the same shape */
    float mean[3], std[3];       /* of the pixels / 255, by channel */
    uint8_t first_labels[2][16]; /* by split; tells two sets with the same file names apart */
} catalog_set;

const catalog_set *catalog_get(dataset_kind kind);

/* By its id, or BE_USAGE with the list of ids. */
BE_CHECKED be_status catalog_find(const char *name, dataset_kind *kind, be_error *err);

/* The path of a file in a folder, with or without .gz, whichever is there; false: neither.  Where
 * the publisher's name is not there, one that differs in case, dots, dashes or underscores alone
 * is taken ("train-images.idx3-ubyte"), a folder of that name that holds the file, and the
 * pickle. */
bool catalog_file_path(char out[FILE_PATH_BYTES], const char *folder, const catalog_file *file);

/* The path of an archive with all files of the set; false: there is none. */
bool catalog_archive_path(char out[FILE_PATH_BYTES], const char *folder, const catalog_set *set);

/* Is `name` that of the file, apart from case, dots, dashes and underscores? */
bool catalog_is_file(const catalog_file *file, const char *name);

/* How many pictures the publisher's split has. */
int64_t catalog_count(const catalog_set *set, dataset_split split);

/* Where `data get` puts a set below a folder of data sets: where files of it lie already, else in
 * the set's own folder.  With data_dir NULL as catalog_locate: $BREAKEVEN_DATA, or else the XDG
 * data folder. */
BE_CHECKED be_status catalog_home(const catalog_set *set, const char *data_dir,
                                  char out[FILE_PATH_BYTES], be_error *err);

/* Where a set lies: the first folder that holds any of its files or its archive.  With data_dir
 * that folder alone is searched (data_dir/NAME and data_dir itself), else $BREAKEVEN_DATA, then the
 * XDG data folder. Not found is no error: *found says it, and `searched` lists the data folders. */
typedef struct catalog_place {
    bool is_there;
    char folder[FILE_PATH_BYTES];
    char searched[600]; /* "A and B", for a text */
} catalog_place;

BE_CHECKED be_status catalog_locate(const catalog_set *set, const char *data_dir,
                                    catalog_place *out, be_error *err);

#endif
