/* The declarations of cuda_api.h, cublaslt_api.h, cudnn_api.h and nccl_api.h against NVIDIA's own
 * headers, where a toolkit is installed: every function has the same type, every constant the same
 * value, every struct the same layout.  What differs does not compile.  Without a toolkit the test
 * is skipped. */
#include <stdio.h>

#ifdef HAVE_CUDA_HEADERS

#include <cublasLt.h>
#include <cuda.h>
#include <nvrtc.h>
#ifdef HAVE_CUDNN_HEADERS
#include <cudnn.h>
#endif

#ifdef HAVE_NCCL_HEADERS
#include <nccl.h>
#endif

#define CUDA_API_REAL_TYPES
typedef CUresult cuda_result;
typedef CUdevice cuda_device_index;
typedef CUdevice_attribute cuda_attribute;
typedef CUdeviceptr cuda_address;
typedef CUcontext cuda_context;
typedef CUstream cuda_stream;
typedef CUhostFn cuda_host_call;
typedef CUevent cuda_event;
typedef CUmodule cuda_module;
typedef CUfunction cuda_function;
typedef CUgraph cuda_graph;
typedef CUgraphExec cuda_exec;
typedef CUgraphNode cuda_node;
typedef CUDA_KERNEL_NODE_PARAMS_v2 cuda_kernel_node;
typedef CUstreamCaptureMode cuda_capture_mode;
typedef CUgraphNodeType cuda_node_type;
typedef CUgraphEdgeData cuda_edge;
typedef nvrtcResult nvrtc_result;
typedef nvrtcProgram nvrtc_program;
typedef cublasStatus_t cublaslt_status;
typedef cublasComputeType_t cublaslt_compute;
typedef cudaDataType_t cublaslt_type;
typedef cublasLtMatmulDescAttributes_t cublaslt_desc_attribute;
typedef cublasLtMatrixLayoutAttribute_t cublaslt_layout_attribute;
typedef cublasLtMatmulPreferenceAttributes_t cublaslt_pref_attribute;
typedef cublasLtHandle_t cublaslt_handle;
typedef cublasLtMatmulDesc_t cublaslt_desc;
typedef cublasLtMatrixLayout_t cublaslt_layout;
typedef cublasLtMatmulPreference_t cublaslt_preference;
typedef cublasLtMatmulAlgo_t cublaslt_algorithm;
typedef cublasLtMatmulHeuristicResult_t cublaslt_found;
#include "backend/cuda/cublaslt_api.h"
#include "backend/cuda/cuda_api.h"

/* The symbols with a version are declared by the header under their names without it, and a macro
 * gives them the version: #symbol below is what the header's own name expands to. */
#define X(member, symbol, parameters)                                                      \
    _Static_assert(__builtin_types_compatible_p(__typeof__(((cuda_functions *)0)->member), \
                                                __typeof__(&symbol)),                      \
                   #symbol);
CUDA_FUNCTION_LIST(X)
CUDA_LATER_FUNCTION_LIST(X)
#undef X
#define X(member, symbol, parameters)                                                       \
    _Static_assert(__builtin_types_compatible_p(__typeof__(((nvrtc_functions *)0)->member), \
                                                __typeof__(&symbol)),                       \
                   #symbol);
NVRTC_FUNCTION_LIST(X)
#undef X

#define VALUE(ours, theirs) _Static_assert((int)ours == (int)theirs, #ours)
VALUE(CUDA_OK, CUDA_SUCCESS);
VALUE(CUDA_INVALID_VALUE, CUDA_ERROR_INVALID_VALUE);
VALUE(CUDA_OUT_OF_MEMORY, CUDA_ERROR_OUT_OF_MEMORY);
VALUE(CUDA_NOT_INITIALIZED, CUDA_ERROR_NOT_INITIALIZED);
VALUE(CUDA_STUB_LIBRARY, CUDA_ERROR_STUB_LIBRARY);
VALUE(CUDA_DEVICE_UNAVAILABLE, CUDA_ERROR_DEVICE_UNAVAILABLE);
VALUE(CUDA_NO_DEVICE, CUDA_ERROR_NO_DEVICE);
VALUE(CUDA_INVALID_DEVICE, CUDA_ERROR_INVALID_DEVICE);
VALUE(CUDA_INVALID_IMAGE, CUDA_ERROR_INVALID_IMAGE);
VALUE(CUDA_NO_BINARY_FOR_GPU, CUDA_ERROR_NO_BINARY_FOR_GPU);
VALUE(CUDA_ECC_UNCORRECTABLE, CUDA_ERROR_ECC_UNCORRECTABLE);
VALUE(CUDA_UNSUPPORTED_PTX_VERSION, CUDA_ERROR_UNSUPPORTED_PTX_VERSION);
VALUE(CUDA_NOT_FOUND, CUDA_ERROR_NOT_FOUND);
VALUE(CUDA_NOT_READY, CUDA_ERROR_NOT_READY);
VALUE(CUDA_ILLEGAL_ADDRESS, CUDA_ERROR_ILLEGAL_ADDRESS);
VALUE(CUDA_LAUNCH_OUT_OF_RESOURCES, CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES);
VALUE(CUDA_LAUNCH_TIMEOUT, CUDA_ERROR_LAUNCH_TIMEOUT);
VALUE(CUDA_ILLEGAL_INSTRUCTION, CUDA_ERROR_ILLEGAL_INSTRUCTION);
VALUE(CUDA_MISALIGNED_ADDRESS, CUDA_ERROR_MISALIGNED_ADDRESS);
VALUE(CUDA_LAUNCH_FAILED, CUDA_ERROR_LAUNCH_FAILED);
VALUE(CUDA_NOT_SUPPORTED, CUDA_ERROR_NOT_SUPPORTED);
VALUE(CUDA_SYSTEM_NOT_READY, CUDA_ERROR_SYSTEM_NOT_READY);
VALUE(CUDA_SYSTEM_DRIVER_MISMATCH, CUDA_ERROR_SYSTEM_DRIVER_MISMATCH);
VALUE(CUDA_CAPTURE_UNSUPPORTED, CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED);
VALUE(CUDA_UNKNOWN, CUDA_ERROR_UNKNOWN);
VALUE(CUDA_ATTRIBUTE_THREADS_PER_BLOCK, CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_BLOCK);
VALUE(CUDA_ATTRIBUTE_SHARED_PER_BLOCK, CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK);
VALUE(CUDA_ATTRIBUTE_CLOCK_KHZ, CU_DEVICE_ATTRIBUTE_CLOCK_RATE);
VALUE(CUDA_ATTRIBUTE_MULTIPROCESSORS, CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT);
VALUE(CUDA_ATTRIBUTE_COMPUTE_MODE, CU_DEVICE_ATTRIBUTE_COMPUTE_MODE);
VALUE(CUDA_ATTRIBUTE_L2_BYTES, CU_DEVICE_ATTRIBUTE_L2_CACHE_SIZE);
VALUE(CUDA_ATTRIBUTE_MAJOR, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR);
VALUE(CUDA_ATTRIBUTE_MINOR, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR);
VALUE(CUDA_COMPUTE_PROHIBITED, CU_COMPUTEMODE_PROHIBITED);
VALUE(CUDA_STREAM_NON_BLOCKING, CU_STREAM_NON_BLOCKING);
VALUE(CUDA_EVENT_NO_TIMING, CU_EVENT_DISABLE_TIMING);
VALUE(CUDA_CAPTURE_THREAD_LOCAL, CU_STREAM_CAPTURE_MODE_THREAD_LOCAL);
VALUE(CUDA_NODE_KERNEL, CU_GRAPH_NODE_TYPE_KERNEL);
VALUE(CUDA_PORT_PROGRAMMATIC, CU_GRAPH_KERNEL_NODE_PORT_PROGRAMMATIC);
VALUE(CUDA_EDGE_FULL, CU_GRAPH_DEPENDENCY_TYPE_DEFAULT);
VALUE(CUDA_EDGE_PROGRAMMATIC, CU_GRAPH_DEPENDENCY_TYPE_PROGRAMMATIC);
VALUE(NVRTC_OK, NVRTC_SUCCESS);
VALUE(NVRTC_COMPILATION, NVRTC_ERROR_COMPILATION);

/* Our own node of a graph, under another name. */
struct own_node {
    void *function;
    unsigned grid[3], block[3];
    unsigned shared_bytes;
    void **parameters, **extra;
    void *kernel;
    void *context;
};
#define SAME(ours, theirs) \
    _Static_assert(        \
        offsetof(struct own_node, ours) == offsetof(CUDA_KERNEL_NODE_PARAMS_v2, theirs), #ours)
SAME(function, func);
SAME(grid, gridDimX);
SAME(block, blockDimX);
SAME(shared_bytes, sharedMemBytes);
SAME(parameters, kernelParams);
SAME(extra, extra);
SAME(kernel, kern);
SAME(context, ctx);
_Static_assert(sizeof(struct own_node) == sizeof(CUDA_KERNEL_NODE_PARAMS_v2), "size of a node");
struct own_edge {
    unsigned char from_port, to_port, type, reserved[5];
};
_Static_assert(offsetof(struct own_edge, from_port) == offsetof(CUgraphEdgeData, from_port) &&
                   offsetof(struct own_edge, to_port) == offsetof(CUgraphEdgeData, to_port) &&
                   offsetof(struct own_edge, type) == offsetof(CUgraphEdgeData, type) &&
                   sizeof(struct own_edge) == sizeof(CUgraphEdgeData),
               "an edge");
_Static_assert(sizeof(CUdeviceptr) == sizeof(unsigned long long), "an address");
_Static_assert(sizeof(CUresult) == sizeof(int), "a result");
_Static_assert(__builtin_types_compatible_p(__typeof__(&cublasLtGetVersion), size_t (*)(void)),
               "cublasLtGetVersion");

/* ---------------------------------------------------------------- NCCL */

#ifdef HAVE_NCCL_HEADERS
#define NCCL_API_REAL_TYPES
typedef ncclResult_t nccl_result;
typedef ncclDataType_t nccl_type;
typedef ncclRedOp_t nccl_operation;
typedef ncclComm_t nccl_comm;
typedef ncclUniqueId nccl_id;
#include "backend/cuda/nccl_api.h"

#define X(member, symbol, parameters)                                                      \
    _Static_assert(__builtin_types_compatible_p(__typeof__(((nccl_functions *)0)->member), \
                                                __typeof__(&symbol)),                      \
                   #symbol);
NCCL_FUNCTION_LIST(X)
#undef X
VALUE(NCCL_OK, ncclSuccess);
VALUE(NCCL_FLOAT32, ncclFloat32);
VALUE(NCCL_AVERAGE, ncclAvg);
VALUE(NCCL_ID_BYTES, NCCL_UNIQUE_ID_BYTES);
_Static_assert(sizeof(ncclUniqueId) == NCCL_ID_BYTES, "an id");
_Static_assert(sizeof(ncclResult_t) == sizeof(int) && sizeof(ncclDataType_t) == sizeof(int) &&
                   sizeof(ncclRedOp_t) == sizeof(int),
               "what is an int here");
#endif

/* ---------------------------------------------------------------- cuBLASLt */

#define X(member, symbol, parameters)                                                          \
    _Static_assert(__builtin_types_compatible_p(__typeof__(((cublaslt_functions *)0)->member), \
                                                __typeof__(&symbol)),                          \
                   #symbol);
CUBLASLT_FUNCTION_LIST(X)
#undef X
_Static_assert(__builtin_types_compatible_p(__typeof__(((cublaslt_functions *)0)->error_string),
                                            __typeof__(&cublasLtGetStatusString)),
               "cublasLtGetStatusString");

#define X(name, value) VALUE(LT_##name, name);
CUBLASLT_CONSTANT_LIST(X)
#undef X

/* Our own result of the heuristics, under another name. */
struct own_found {
    uint64_t algorithm[8];
    size_t workspace_bytes;
    int state;
    float waves;
    int reserved[4];
};
#define SAME_FOUND(ours, theirs)                                          \
    _Static_assert(offsetof(struct own_found, ours) ==                    \
                       offsetof(cublasLtMatmulHeuristicResult_t, theirs), \
                   #ours)
SAME_FOUND(algorithm, algo);
SAME_FOUND(workspace_bytes, workspaceSize);
SAME_FOUND(state, state);
SAME_FOUND(waves, wavesCount);
SAME_FOUND(reserved, reserved);
_Static_assert(sizeof(struct own_found) == sizeof(cublasLtMatmulHeuristicResult_t), "a result");
_Static_assert(sizeof(cublasComputeType_t) == sizeof(int) &&
                   sizeof(cudaDataType_t) == sizeof(int) && sizeof(cublasStatus_t) == sizeof(int) &&
                   sizeof(cublasLtMatmulDescAttributes_t) == sizeof(int) &&
                   sizeof(cublasLtMatmulPreferenceAttributes_t) == sizeof(int),
               "what is an int here");

/* ---------------------------------------------------------------- cuDNN */

#ifdef HAVE_CUDNN_HEADERS
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"

typedef cudnnStatus_t cudnn_status;
typedef cudnnBackendDescriptorType_t cudnn_kind;
typedef cudnnBackendAttributeName_t cudnn_attribute;
typedef cudnnBackendAttributeType_t cudnn_type;
typedef cudnnBackendDescriptor_t cudnn_descriptor;
typedef cudnnHandle_t cudnn_handle;
#include "backend/cuda/cudnn_api.h"

#define SAME_TYPE(member, symbol)                                                           \
    _Static_assert(__builtin_types_compatible_p(__typeof__(((cudnn_functions *)0)->member), \
                                                __typeof__(&symbol)),                       \
                   #symbol);
#define X(member, symbol, parameters) SAME_TYPE(member, symbol)
CUDNN_FUNCTION_LIST(X)
#undef X
SAME_TYPE(version, cudnnGetVersion)
SAME_TYPE(cudart_version, cudnnGetCudartVersion)
SAME_TYPE(error_string, cudnnGetErrorString)
SAME_TYPE(last_error, cudnnGetLastErrorString)

#define X(name, value) VALUE(DNN_##name, CUDNN_##name);
CUDNN_CONSTANT_LIST(X)
#undef X
_Static_assert(sizeof(cudnnStatus_t) == sizeof(int) &&
                   sizeof(cudnnBackendDescriptorType_t) == sizeof(int) &&
                   sizeof(cudnnBackendAttributeName_t) == sizeof(int) &&
                   sizeof(cudnnBackendAttributeType_t) == sizeof(int) &&
                   sizeof(cudnnBackendNumericalNote_t) == sizeof(int) &&
                   sizeof(cudnnDataType_t) == sizeof(int) &&
                   sizeof(cudnnConvolutionMode_t) == sizeof(int) &&
                   sizeof(cudnnPointwiseMode_t) == sizeof(int) &&
                   sizeof(cudnnBackendHeurMode_t) == sizeof(int),
               "what is an int here");
#endif

int main(void)
{
    printf("1..2\nok 1 - cuda_api.h and cublaslt_api.h agree with the headers of CUDA %d.%d\n",
           CUDA_VERSION / 1000, CUDA_VERSION % 1000 / 10);
#ifdef HAVE_CUDNN_HEADERS
    printf("ok 2 - cudnn_api.h agrees with the headers of cuDNN %d.%d\n", CUDNN_MAJOR, CUDNN_MINOR);
#else
    printf("ok 2 - cudnn_api.h # SKIP no headers of cuDNN are installed\n");
#endif
    return 0;
}

#else

int main(void)
{
    printf("no toolkit is installed: nothing to compare with\n");
    return 77; /* skipped */
}

#endif
