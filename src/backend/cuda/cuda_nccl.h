/* NCCL, by which the GPUs of a group of ranks add up their gradients: opened when a training with
 * several workers asks for it.
 *
 * One rank has one GPU.  Owns the opened library for the life of the process. */
#ifndef BACKEND_CUDA_CUDA_NCCL_H
#define BACKEND_CUDA_CUDA_NCCL_H

#include "backend/cuda/cuda.h"
#include "backend/cuda/nccl_api.h"

typedef struct cuda_nccl {
    cuda_library library;
    nccl_functions call;
    int version; /* 22805: 2.28.5 */
    char title[40];
} cuda_nccl;

void nccl_library_open(cuda_library *out, const cuda_places *places, bool newer);

/* BE_UNAVAILABLE with reason and remedy.  The second call and all later ones give what the first
 * found. */
BE_CHECKED be_status cuda_nccl_get(const cuda_libraries *libraries, const cuda_nccl **out,
                                   be_error *err);
void cuda_nccl_forget(void); /* for tests, with no device open */

/* The same from given places, for tests; free with cuda_nccl_close.  `newer`: for CUDA 13. */
BE_CHECKED be_status cuda_nccl_open(cuda_nccl *out, const cuda_places *places, bool newer,
                                    be_error *err);
void cuda_nccl_close(cuda_nccl *nccl);

#endif
