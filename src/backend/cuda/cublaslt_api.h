/* The part of cuBLASLt that this backend uses, declared from its documented binary interface; see
 * cudnn_api.h.  Holds declarations only. */
#ifndef BACKEND_CUDA_CUBLASLT_API_H
#define BACKEND_CUDA_CUBLASLT_API_H

#include <stddef.h>
#include <stdint.h>

#include "backend/cuda/cuda_api.h"

/* LT_name here is name there. */
#define CUBLASLT_CONSTANT_LIST(X)                     \
    X(CUBLAS_STATUS_SUCCESS, 0)                       \
    X(CUBLAS_STATUS_NOT_INITIALIZED, 1)               \
    X(CUBLAS_STATUS_ALLOC_FAILED, 3)                  \
    X(CUBLAS_STATUS_INVALID_VALUE, 7)                 \
    X(CUBLAS_STATUS_EXECUTION_FAILED, 13)             \
    X(CUBLAS_STATUS_NOT_SUPPORTED, 15)                \
    X(CUBLAS_COMPUTE_32F, 68)                         \
    X(CUBLAS_COMPUTE_32F_FAST_TF32, 77)               \
    X(CUBLAS_OP_N, 0)                                 \
    X(CUBLAS_OP_T, 1)                                 \
    X(CUDA_R_32F, 0)                                  \
    X(CUDA_R_16BF, 14)                                \
    X(CUBLASLT_MATMUL_DESC_TRANSA, 3)                 \
    X(CUBLASLT_MATMUL_DESC_TRANSB, 4)                 \
    X(CUBLASLT_MATMUL_DESC_EPILOGUE, 7)               \
    X(CUBLASLT_MATMUL_DESC_BIAS_POINTER, 8)           \
    X(CUBLASLT_EPILOGUE_DEFAULT, 1)                   \
    X(CUBLASLT_EPILOGUE_BIAS, 4)                      \
    X(CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, 5)          \
    X(CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET, 6) \
    X(CUBLASLT_REDUCTION_SCHEME_NONE, 0)              \
    X(CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE, 2)      \
    X(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, 1)    \
    X(CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, 3)  \
    X(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, 5)  \
    X(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, 6)  \
    X(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, 7)  \
    X(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, 8)

enum {
#define X(name, value) LT_##name = value,
    CUBLASLT_CONSTANT_LIST(X)
#undef X
};

#ifndef CUDA_API_REAL_TYPES
typedef int cublaslt_status;
typedef int cublaslt_compute;
typedef int cublaslt_type;           /* of elements */
typedef int cublaslt_desc_attribute; /* of a product */
typedef int cublaslt_layout_attribute;
typedef int cublaslt_pref_attribute;
typedef struct cublaslt_context_ *cublaslt_handle;
typedef struct cublaslt_desc_ *cublaslt_desc;
typedef struct cublaslt_layout_ *cublaslt_layout; /* of a matrix, column by column */
typedef struct cublaslt_preference_ *cublaslt_preference;
typedef struct cublaslt_algorithm {
    uint64_t data[8];
} cublaslt_algorithm;
typedef struct cublaslt_found {
    cublaslt_algorithm algorithm;
    size_t workspace_bytes;
    cublaslt_status state;
    float waves;
    int reserved[4];
} cublaslt_found;
#endif

/* member, symbol of the library, parameters; all give a cublaslt_status. */
#define CUBLASLT_FUNCTION_LIST(X)                                                                 \
    X(create, cublasLtCreate, (cublaslt_handle *))                                                \
    X(destroy, cublasLtDestroy, (cublaslt_handle))                                                \
    X(desc_new, cublasLtMatmulDescCreate, (cublaslt_desc *, cublaslt_compute, cublaslt_type))     \
    X(desc_free, cublasLtMatmulDescDestroy, (cublaslt_desc))                                      \
    X(desc_set, cublasLtMatmulDescSetAttribute,                                                   \
      (cublaslt_desc, cublaslt_desc_attribute, const void *, size_t))                             \
    X(layout_new, cublasLtMatrixLayoutCreate,                                                     \
      (cublaslt_layout *, cublaslt_type, uint64_t, uint64_t, int64_t))                            \
    X(layout_free, cublasLtMatrixLayoutDestroy, (cublaslt_layout))                                \
    X(layout_set, cublasLtMatrixLayoutSetAttribute,                                               \
      (cublaslt_layout, cublaslt_layout_attribute, const void *, size_t))                         \
    X(preference_new, cublasLtMatmulPreferenceCreate, (cublaslt_preference *))                    \
    X(preference_free, cublasLtMatmulPreferenceDestroy, (cublaslt_preference))                    \
    X(preference_set, cublasLtMatmulPreferenceSetAttribute,                                       \
      (cublaslt_preference, cublaslt_pref_attribute, const void *, size_t))                       \
    X(heuristic, cublasLtMatmulAlgoGetHeuristic,                                                  \
      (cublaslt_handle, cublaslt_desc, cublaslt_layout, cublaslt_layout, cublaslt_layout,         \
       cublaslt_layout, cublaslt_preference, int, cublaslt_found *, int *))                       \
    X(matmul, cublasLtMatmul,                                                                     \
      (cublaslt_handle, cublaslt_desc, const void *, const void *, cublaslt_layout, const void *, \
       cublaslt_layout, const void *, const void *, cublaslt_layout, void *, cublaslt_layout,     \
       const cublaslt_algorithm *, void *, size_t, cuda_stream))

typedef struct cublaslt_functions {
#define X(member, symbol, parameters) cublaslt_status(*member) parameters;
    CUBLASLT_FUNCTION_LIST(X)
#undef X
    size_t (*version)(void);                      /* cublasLtGetVersion */
    const char *(*error_string)(cublaslt_status); /* cublasLtGetStatusString */
} cublaslt_functions;

#endif
