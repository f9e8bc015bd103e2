/* CLBlast's matrix product on a device behind OpenCL: the two functions of it that are used,
 * opening it, and the self-test that it must pass on a device before anything is computed with it.
 *
 * The library is opened at run time and declared here from its documented C interface (1.5).  May
 * not know any op. */
#ifndef BACKEND_OPENCL_CLBLAST_H
#define BACKEND_OPENCL_CLBLAST_H

#include "backend/opencl/opencl_driver.h"
#include "core/file.h"

enum {
    CLBLAST_OK = 0,
    CLBLAST_ROW_MAJOR = 101,
    CLBLAST_AS_IT_IS = 111, /* CLBlastTransposeNo */
    CLBLAST_TRANSPOSED = 112,
};

typedef struct clblast {
    void *handle;
    /* Offsets are in elements. */
    int (*product)(int layout, int transpose_a, int transpose_b, size_t m, size_t n, size_t k,
                   float alpha, cl_memory a, size_t a_offset, size_t a_ld, cl_memory b,
                   size_t b_offset, size_t b_ld, float beta, cl_memory c, size_t c_offset,
                   size_t c_ld, cl_queue *, cl_event *, cl_memory temporary);
    int (*temporary_bytes)(int layout, int transpose_a, int transpose_b, size_t m, size_t n,
                           size_t k, size_t a_offset, size_t a_ld, size_t b_offset, size_t b_ld,
                           size_t c_offset, size_t c_ld, cl_queue *, size_t *bytes);
    char title[48];             /* "CLBlast 1.5.3" */
    char path[FILE_PATH_BYTES]; /* of the file, no link */
    int64_t file_bytes, file_s; /* its size, and when it was last changed */
} clblast;

/* The library, opened once for the life of the process; BE_UNAVAILABLE with reason and remedy. */
BE_CHECKED be_status clblast_get(const clblast **out, be_error *err);

/* y [rows, columns] = a [rows, depth] · b [depth, columns], each by rows and without gaps; a
 * transposed one lies the other way round. */
typedef struct clblast_product {
    int64_t rows, columns, depth;
    bool transpose_a, transpose_b;
    bool add; /* to what y holds */
} clblast_product;

/* What the product needs at the start of a buffer while it runs, wherever its operands begin. */
BE_CHECKED be_status clblast_room(const opencl_driver *d, const clblast_product *product,
                                  size_t *bytes, be_error *err);

/* Hand it to the queue; temporary is the start of a buffer of clblast_room bytes. */
typedef struct clblast_operands {
    gpu_span a, b, y, temporary;
} clblast_operands;
BE_CHECKED be_status clblast_start(opencl_driver *d, const clblast_product *product,
                                   const clblast_operands *operands, be_error *err);

/* The self-test: BE_UNAVAILABLE with what was expected and found, and where.  The outcome is kept
 * in the user's cache folder, by device, driver and library. */
BE_CHECKED be_status clblast_check(opencl_driver *d, be_error *err);

/* Compute with it on this driver from now on: opened, and past the self-test. */
BE_CHECKED be_status opencl_driver_use_clblast(gpu_driver *driver, be_error *err);

#define CLBLAST_KERNEL(op) clblast_##op

/* Its implementations of ops, for gpu_device. */
extern const gpu_library clblast_kernels;

#endif
