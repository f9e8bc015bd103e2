/* See clblast.h: opening the library, and calling it. */
#include "backend/opencl/clblast.h"

#include <dlfcn.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "core/loading.h"

#ifdef __APPLE__
#define LIBRARY_NAME "libclblast.1.dylib"
#else
#define LIBRARY_NAME "libclblast.so.1"
#endif

static struct {
    pthread_once_t once;
    clblast library;
    be_status status;
    be_error error;
} found = {.once = PTHREAD_ONCE_INIT};

/* The library tells its version by the name of its file alone: libclblast.so.1.5.3. */
static void read_version(clblast *out)
{
    Dl_info info;
    struct stat file;
    char *path = NULL;
    void *address = NULL;
    memcpy(&address, &out->product, sizeof address);
    if (dladdr(address, &info) && info.dli_fname) path = realpath(info.dli_fname, NULL);
    snprintf(out->path, sizeof out->path, "%s", path ? path : LIBRARY_NAME);
    free(path);
    if (stat(out->path, &file) == 0) {
        out->file_bytes = (int64_t)file.st_size;
        out->file_s = (int64_t)file.st_mtime;
    }
    const char *name = strrchr(out->path, '/');
    const char *digits = strpbrk(name ? name : out->path, "0123456789");
    snprintf(out->title, sizeof out->title, "CLBlast %.*s",
             digits ? (int)strspn(digits, "0123456789.") : 1, digits ? digits : "1");
}

static be_status library_open(clblast *out, be_error *err)
{
    char path[FILE_PATH_BYTES] = LIBRARY_NAME;
    const char *folder = getenv("BREAKEVEN_CLBLAST_LIB_DIR");
    bool given = folder && *folder;
    if (given) TRY(file_format_path(path, err, "%s/%s", folder, LIBRARY_NAME));
    out->handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    const char *text = out->handle ? NULL : dlerror();
    if (!out->handle && !loading_found_none(path, text))
        FAIL(err, BE_UNAVAILABLE, "CLBlast: %s is there but cannot be opened: %.200s; reinstall it",
             path, text);
    if (!out->handle)
        FAIL(err, BE_UNAVAILABLE, "CLBlast: %s not found (%.200s); %s", path,
             text ? text : "no reason given",
             given ? "unset BREAKEVEN_CLBLAST_LIB_DIR, or name the folder that has it"
                   : "install libclblast1, or leave --library out");
    *(void **)&out->product = dlsym(out->handle, "CLBlastSgemmWithTempBuffer");
    *(void **)&out->temporary_bytes = dlsym(out->handle, "CLBlastSGemmTempBufferSize");
    if (!out->product || !out->temporary_bytes)
        FAIL(err, BE_UNAVAILABLE,
             "CLBlast: %s has no %s, so it is older than CLBlast 1.5; install a newer one", path,
             out->product ? "CLBlastSGemmTempBufferSize" : "CLBlastSgemmWithTempBuffer");
    read_version(out);
    return BE_OK;
}

static void library_find(void)
{
    found.status = library_open(&found.library, &found.error);
}

be_status clblast_get(const clblast **out, be_error *err)
{
    pthread_once(&found.once, library_find);
    *out = &found.library;
    if (found.status != BE_OK && err) *err = found.error;
    return found.status;
}

static int way(bool transposed)
{
    return transposed ? CLBLAST_TRANSPOSED : CLBLAST_AS_IT_IS;
}

static size_t row_a(const clblast_product *p)
{
    return (size_t)(p->transpose_a ? p->rows : p->depth);
}

static size_t row_b(const clblast_product *p)
{
    return (size_t)(p->transpose_b ? p->depth : p->columns);
}

static be_status refuse(const opencl_driver *d, const clblast_product *p, int status, be_error *err)
{
    char what[120];
    snprintf(what, sizeof what, "%s: a product of %" PRId64 " × %" PRId64 " × %" PRId64,
             d->clblast->title, p->rows, p->columns, p->depth);
    return opencl_fail(d, err, what, status);
}

/* An operand at the start of its buffer may need less: asked as if none were. */
be_status clblast_room(const opencl_driver *d, const clblast_product *p, size_t *bytes,
                       be_error *err)
{
    cl_queue queue = d->queue;
    *bytes = 0;
    int status =
        d->clblast->temporary_bytes(CLBLAST_ROW_MAJOR, way(p->transpose_a), way(p->transpose_b),
                                    (size_t)p->rows, (size_t)p->columns, (size_t)p->depth, 1,
                                    row_a(p), 1, row_b(p), 1, (size_t)p->columns, &queue, bytes);
    return status == CLBLAST_OK ? BE_OK : refuse(d, p, status, err);
}

be_status clblast_start(opencl_driver *d, const clblast_product *p, const clblast_operands *o,
                        be_error *err)
{
    cl_queue queue = d->queue;
    int status = d->clblast->product(
        CLBLAST_ROW_MAJOR, way(p->transpose_a), way(p->transpose_b), (size_t)p->rows,
        (size_t)p->columns, (size_t)p->depth, 1.0f, (cl_memory)o->a.buffer,
        o->a.offset / sizeof(float), row_a(p), (cl_memory)o->b.buffer, o->b.offset / sizeof(float),
        row_b(p), p->add ? 1.0f : 0.0f, (cl_memory)o->y.buffer, o->y.offset / sizeof(float),
        (size_t)p->columns, &queue, NULL, (cl_memory)o->temporary.buffer);
    MUST(o->temporary.offset == 0);
    return status == CLBLAST_OK ? BE_OK : refuse(d, p, status, err);
}
