/* The few types and functions of NCCL that this backend uses, declared from its documented binary
 * interface, so that it is not needed to build.
 *
 * tests/test_cuda_abi.c compares every declaration here with the real header where it is installed;
 * it defines NCCL_API_REAL_TYPES and gives the names below the real types.  Holds declarations
 * only. */
#ifndef BACKEND_CUDA_NCCL_API_H
#define BACKEND_CUDA_NCCL_API_H

#include "backend/cuda/cuda_api.h"

enum { NCCL_OK = 0, NCCL_FLOAT32 = 7, NCCL_AVERAGE = 4 };

#define NCCL_OLDEST 21000 /* 2.10, the first with means */
#define NCCL_ID_BYTES 128

#ifndef NCCL_API_REAL_TYPES
typedef int nccl_result;
typedef int nccl_type;
typedef int nccl_operation;
typedef struct nccl_comm_ *nccl_comm;
typedef struct nccl_id {
    char bytes[NCCL_ID_BYTES];
} nccl_id;
#endif

/* member, symbol, parameters; all give an nccl_result. */
#define NCCL_FUNCTION_LIST(X)                                   \
    X(version, ncclGetVersion, (int *))                         \
    X(id_new, ncclGetUniqueId, (nccl_id *))                     \
    X(join, ncclCommInitRank, (nccl_comm *, int, nccl_id, int)) \
    X(leave, ncclCommDestroy, (nccl_comm))                      \
    X(abort, ncclCommAbort, (nccl_comm))                        \
    X(all_reduce, ncclAllReduce,                                \
      (const void *, void *, size_t, nccl_type, nccl_operation, nccl_comm, cuda_stream))

typedef struct nccl_functions {
#define X(member, symbol, parameters) nccl_result(*member) parameters;
    NCCL_FUNCTION_LIST(X)
#undef X
    const char *(*error_string)(nccl_result); /* ncclGetErrorString */
    const char *(*last_error)(nccl_comm);     /* ncclGetLastError; NULL in versions before 2.13 */
} nccl_functions;

#endif
