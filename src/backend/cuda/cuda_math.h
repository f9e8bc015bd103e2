/* NVIDIA's libraries of ready operations, cuDNN and cuBLASLt: opened only when a user asks for
 * them; our own kernels need neither.
 *
 * Owns the opened libraries for the life of the process. */
#ifndef BACKEND_CUDA_CUDA_MATH_H
#define BACKEND_CUDA_CUDA_MATH_H

#include "backend/cuda/cublaslt_api.h"
#include "backend/cuda/cuda.h"
#include "backend/cuda/cudnn_api.h"
#include "graph/dtype.h"

/* What the two may take of a device's memory for one call. */
#define CUDA_MATH_WORKSPACE_MOST ((size_t)256 << 20)

/* The alignment of every tensor that the planner places, and of every part of scratch. */
#define CUDA_MATH_ALIGN 64

typedef struct cuda_math {
    cuda_library cublaslt, cudnn;
    cublaslt_functions lt;
    cudnn_functions dnn;
    char cublaslt_title[80], cudnn_title[80]; /* with versions, for people */
} cuda_math;

/* Open one of them, with its version.  `newer`: for CUDA 13; else versions for 12 alone are taken.
 */
void cublaslt_library_open(cuda_library *out, const cuda_places *places, bool newer);
void cudnn_library_open(cuda_library *out, const cuda_places *places, bool newer);

/* Open both.  BE_UNAVAILABLE with reason and remedy.  The second call and all later ones give what
 * the first found. */
BE_CHECKED be_status cuda_math_get(const cuda_libraries *libraries, const cuda_math **out,
                                   be_error *err);
void cuda_math_forget(void); /* for tests, with no device open */

/* The same from given places, for tests; free with cuda_math_close.  `driver_version` 0: no driver
 * that they must fit. */
BE_CHECKED be_status cuda_math_open(cuda_math *out, const cuda_places *places, int driver_version,
                                    be_error *err);
void cuda_math_close(cuda_math *math);

#endif
