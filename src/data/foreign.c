/* Telling foreign files by their first bytes. */
#include "data/foreign.h"

#include <string.h>
#include <strings.h>

typedef struct foreign_format {
    const char *start;
    size_t bytes;
    const char *what, *advice;
} foreign_format;

#define UNPACK "unpack it and name what was in it"
#define PAGE "a web page", "the download failed or needs a login, fetch the file again"
#define SAVE_FILE "write its tensors with safetensors.torch.save_file"

static const foreign_format texts[] = {
    {"<!doctype", 9, PAGE},
    {"<html", 5, PAGE},
    {"<head", 5, PAGE},
    {"<?xml", 5, "an XML document", "the download failed or needs a login, fetch the file again"},
    {"version https://git-lfs", 23, "a pointer of Git LFS",
     "the file itself was not fetched; run 'git lfs pull' in the repository"},
};

static const foreign_format binaries[] = {
    {"PK\003\004", 4, "a zip archive", UNPACK ", or, if torch.save wrote it, " SAVE_FILE},
    {"\037\213", 2, "a gzip file", UNPACK},
    {"BZh", 3, "a bzip2 file", UNPACK},
    {"\375"
     "7zXZ",
     5, "an xz file", UNPACK},
    {"7z\274\257", 4, "a 7-Zip archive", UNPACK},
    {"\050\265\057\375", 4, "a zstd file", UNPACK},
    {"PAR1", 4, "a Parquet file", "fetch the publisher's own files"},
    {"\223NUMPY", 6, "a file of NumPy", "fetch the publisher's own files"},
    {"\211HDF", 4, "an HDF5 file", "if Keras wrote it, export it as safetensors"},
    {"\200\002", 2, "a Python pickle",
     "a pickle can hold code and is not loaded; if torch.save wrote it, " SAVE_FILE},
    {"\200\003", 2, "a Python pickle", "a pickle can hold code and is not loaded"},
    {"\200\004", 2, "a Python pickle", "a pickle can hold code and is not loaded"},
    {"\200\005", 2, "a Python pickle", "a pickle can hold code and is not loaded"},
};

/* The format of a text is told by its first words, whatever white space or mark precedes them. */
static const foreign_format *find(const char *bytes, size_t count)
{
    for (size_t i = 0; i < sizeof binaries / sizeof *binaries; i++)
        if (count >= binaries[i].bytes && memcmp(bytes, binaries[i].start, binaries[i].bytes) == 0)
            return &binaries[i];
    if (count >= 3 && memcmp(bytes, "\357\273\277", 3) == 0) bytes += 3, count -= 3;
    while (count && strchr(" \t\r\n", *bytes) && *bytes) bytes++, count--;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        if (count >= texts[i].bytes && strncasecmp(bytes, texts[i].start, texts[i].bytes) == 0)
            return &texts[i];
    return NULL;
}

be_status foreign_check(const char *name, const void *bytes, size_t count, const char *expected,
                        be_error *err)
{
    const foreign_format *format = find(bytes, count);
    if (format)
        FAIL(err, BE_BAD_DATA, "%s: expected %s, found %s; %s", name, expected, format->what,
             format->advice);
    return BE_OK;
}
