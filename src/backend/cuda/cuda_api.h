/* The few types and functions of NVIDIA's libraries that this backend uses, declared from their
 * documented binary interface, so that no toolkit is needed to build.
 *
 * tests/test_cuda_abi.c compares every declaration here with the real headers where they are
 * installed; it defines CUDA_API_REAL_TYPES and gives the names below the real types.  Holds
 * declarations only. */
#ifndef BACKEND_CUDA_CUDA_API_H
#define BACKEND_CUDA_CUDA_API_H

#include <stddef.h>
#include <stdint.h>

/* Results that are told apart; the driver names the others itself. */
enum {
    CUDA_OK = 0,
    CUDA_INVALID_VALUE = 1,
    CUDA_OUT_OF_MEMORY = 2,
    CUDA_NOT_INITIALIZED = 3,
    CUDA_STUB_LIBRARY = 34,
    CUDA_DEVICE_UNAVAILABLE = 46,
    CUDA_NO_DEVICE = 100,
    CUDA_INVALID_DEVICE = 101,
    CUDA_INVALID_IMAGE = 200,
    CUDA_NO_BINARY_FOR_GPU = 209,
    CUDA_ECC_UNCORRECTABLE = 214,
    CUDA_UNSUPPORTED_PTX_VERSION = 222,
    CUDA_NOT_FOUND = 500,
    CUDA_NOT_READY = 600,
    CUDA_ILLEGAL_ADDRESS = 700,
    CUDA_LAUNCH_OUT_OF_RESOURCES = 701,
    CUDA_LAUNCH_TIMEOUT = 702,
    CUDA_ILLEGAL_INSTRUCTION = 715,
    CUDA_MISALIGNED_ADDRESS = 716,
    CUDA_LAUNCH_FAILED = 719,
    CUDA_NOT_SUPPORTED = 801,
    CUDA_SYSTEM_NOT_READY = 802,
    CUDA_SYSTEM_DRIVER_MISMATCH = 803,
    CUDA_CAPTURE_UNSUPPORTED = 900,
    CUDA_UNKNOWN = 999
};

enum {
    CUDA_ATTRIBUTE_THREADS_PER_BLOCK = 1,
    CUDA_ATTRIBUTE_SHARED_PER_BLOCK = 8,
    CUDA_ATTRIBUTE_CLOCK_KHZ = 13,
    CUDA_ATTRIBUTE_MULTIPROCESSORS = 16,
    CUDA_ATTRIBUTE_COMPUTE_MODE = 20,
    CUDA_ATTRIBUTE_L2_BYTES = 38,
    CUDA_ATTRIBUTE_MAJOR = 75,
    CUDA_ATTRIBUTE_MINOR = 76
};

enum {
    CUDA_COMPUTE_PROHIBITED = 2,
    CUDA_STREAM_NON_BLOCKING = 1,
    CUDA_EVENT_NO_TIMING = 2,
    CUDA_CAPTURE_THREAD_LOCAL = 1,
    CUDA_NODE_KERNEL = 0,
    /* When the second node of an edge may begin, and of which kind the edge is. */
    CUDA_PORT_PROGRAMMATIC = 1,
    CUDA_EDGE_FULL = 0,
    CUDA_EDGE_PROGRAMMATIC = 1
};

enum { NVRTC_OK = 0, NVRTC_COMPILATION = 6, NVML_OK = 0 };

#ifndef CUDA_API_REAL_TYPES
typedef int cuda_result;
typedef int cuda_device_index;
typedef int cuda_attribute;
typedef int cuda_capture_mode;
typedef int cuda_node_type;
typedef unsigned long long cuda_address;
typedef struct cuda_context_ *cuda_context;
typedef struct cuda_stream_ *cuda_stream;
typedef void (*cuda_host_call)(void *);
typedef struct cuda_event_ *cuda_event;
typedef struct cuda_module_ *cuda_module;
typedef struct cuda_function_ *cuda_function;
typedef struct cuda_graph_ *cuda_graph;
typedef struct cuda_exec_ *cuda_exec;
typedef struct cuda_node_ *cuda_node;
typedef struct cuda_kernel_node {
    cuda_function function;
    unsigned grid[3], block[3]; /* groups, and threads of one */
    unsigned shared_bytes;
    void **parameters, **extra;
    void *kernel; /* read only where function is NULL */
    cuda_context context;
} cuda_kernel_node;
typedef struct cuda_edge {
    unsigned char from_port, to_port, type, reserved[5];
} cuda_edge;
typedef int nvrtc_result;
typedef struct nvrtc_program_ *nvrtc_program;
#endif

/* member, symbol of the library, parameters; all give a cuda_result.  The symbols with a version
 * are those that the real header names so by a macro. */
#define CUDA_FUNCTION_LIST(X)                                                               \
    X(init, cuInit, (unsigned))                                                             \
    X(driver_version, cuDriverGetVersion, (int *))                                          \
    X(error_name, cuGetErrorName, (cuda_result, const char **))                             \
    X(error_string, cuGetErrorString, (cuda_result, const char **))                         \
    X(device_count, cuDeviceGetCount, (int *))                                              \
    X(device_get, cuDeviceGet, (cuda_device_index *, int))                                  \
    X(device_name, cuDeviceGetName, (char *, int, cuda_device_index))                       \
    X(device_pci, cuDeviceGetPCIBusId, (char *, int, cuda_device_index))                    \
    X(device_memory, cuDeviceTotalMem_v2, (size_t *, cuda_device_index))                    \
    X(device_attribute, cuDeviceGetAttribute, (int *, cuda_attribute, cuda_device_index))   \
    X(context_retain, cuDevicePrimaryCtxRetain, (cuda_context *, cuda_device_index))        \
    X(context_release, cuDevicePrimaryCtxRelease_v2, (cuda_device_index))                   \
    X(context_set, cuCtxSetCurrent, (cuda_context))                                         \
    X(memory_info, cuMemGetInfo_v2, (size_t *, size_t *))                                   \
    X(memory_alloc, cuMemAlloc_v2, (cuda_address *, size_t))                                \
    X(memory_free, cuMemFree_v2, (cuda_address))                                            \
    X(host_alloc, cuMemHostAlloc, (void **, size_t, unsigned))                              \
    X(host_free, cuMemFreeHost, (void *))                                                   \
    X(upload, cuMemcpyHtoDAsync_v2, (cuda_address, const void *, size_t, cuda_stream))      \
    X(download, cuMemcpyDtoHAsync_v2, (void *, cuda_address, size_t, cuda_stream))          \
    X(fill, cuMemsetD8Async, (cuda_address, unsigned char, size_t, cuda_stream))            \
    X(stream_new, cuStreamCreate, (cuda_stream *, unsigned))                                \
    X(stream_free, cuStreamDestroy_v2, (cuda_stream))                                       \
    X(stream_wait, cuStreamSynchronize, (cuda_stream))                                      \
    X(stream_query, cuStreamQuery, (cuda_stream))                                           \
    X(stream_await, cuStreamWaitEvent, (cuda_stream, cuda_event, unsigned))                 \
    X(graph_new, cuGraphCreate, (cuda_graph *, unsigned))                                   \
    X(graph_kernel, cuGraphAddKernelNode_v2,                                                \
      (cuda_node *, cuda_graph, const cuda_node *, size_t, const cuda_kernel_node *))       \
    X(graph_child, cuGraphAddChildGraphNode,                                                \
      (cuda_node *, cuda_graph, const cuda_node *, size_t, cuda_graph))                     \
    X(graph_nodes, cuGraphGetNodes, (cuda_graph, cuda_node *, size_t *))                    \
    X(node_type, cuGraphNodeGetType, (cuda_node, cuda_node_type *))                         \
    X(kernel_get, cuGraphKernelNodeGetParams_v2, (cuda_node, cuda_kernel_node *))           \
    X(kernel_copy, cuGraphKernelNodeCopyAttributes, (cuda_node, cuda_node))                 \
    X(capture_begin, cuStreamBeginCapture_v2, (cuda_stream, cuda_capture_mode))             \
    X(capture_end, cuStreamEndCapture, (cuda_stream, cuda_graph *))                         \
    X(graph_instantiate, cuGraphInstantiateWithFlags,                                       \
      (cuda_exec *, cuda_graph, unsigned long long))                                        \
    X(graph_free, cuGraphDestroy, (cuda_graph))                                             \
    X(exec_upload, cuGraphUpload, (cuda_exec, cuda_stream))                                 \
    X(exec_launch, cuGraphLaunch, (cuda_exec, cuda_stream))                                 \
    X(exec_free, cuGraphExecDestroy, (cuda_exec))                                           \
    X(host_call, cuLaunchHostFunc, (cuda_stream, cuda_host_call, void *))                   \
    X(event_new, cuEventCreate, (cuda_event *, unsigned))                                   \
    X(event_free, cuEventDestroy_v2, (cuda_event))                                          \
    X(event_record, cuEventRecord, (cuda_event, cuda_stream))                               \
    X(event_wait, cuEventSynchronize, (cuda_event))                                         \
    X(event_elapsed, cuEventElapsedTime, (float *, cuda_event, cuda_event))                 \
    X(module_load, cuModuleLoadData, (cuda_module *, const void *))                         \
    X(module_free, cuModuleUnload, (cuda_module))                                           \
    X(module_function, cuModuleGetFunction, (cuda_function *, cuda_module, const char *))   \
    X(launch, cuLaunchKernel,                                                               \
      (cuda_function, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, \
       cuda_stream, void **, void **))

/* What drivers before CUDA 12.3 lack: NULL there. */
#define CUDA_LATER_FUNCTION_LIST(X)                                                  \
    X(graph_edges, cuGraphAddDependencies_v2,                                        \
      (cuda_graph, const cuda_node *, const cuda_node *, const cuda_edge *, size_t)) \
    X(edges_get, cuGraphGetEdges_v2, (cuda_graph, cuda_node *, cuda_node *, cuda_edge *, size_t *))

/* As above; all give an nvrtc_result. */
#define NVRTC_FUNCTION_LIST(X)                                                 \
    X(version, nvrtcVersion, (int *, int *))                                   \
    X(arch_count, nvrtcGetNumSupportedArchs, (int *))                          \
    X(archs, nvrtcGetSupportedArchs, (int *))                                  \
    X(create, nvrtcCreateProgram,                                              \
      (nvrtc_program *, const char *, const char *, int, const char *const *,  \
       const char *const *))                                                   \
    X(destroy, nvrtcDestroyProgram, (nvrtc_program *))                         \
    X(compile, nvrtcCompileProgram, (nvrtc_program, int, const char *const *)) \
    X(log_bytes, nvrtcGetProgramLogSize, (nvrtc_program, size_t *))            \
    X(log, nvrtcGetProgramLog, (nvrtc_program, char *))                        \
    X(cubin_bytes, nvrtcGetCUBINSize, (nvrtc_program, size_t *))               \
    X(cubin, nvrtcGetCUBIN, (nvrtc_program, char *))                           \
    X(ptx_bytes, nvrtcGetPTXSize, (nvrtc_program, size_t *))                   \
    X(ptx, nvrtcGetPTX, (nvrtc_program, char *))

typedef struct cuda_functions {
#define X(member, symbol, parameters) cuda_result(*member) parameters;
    CUDA_FUNCTION_LIST(X)
    CUDA_LATER_FUNCTION_LIST(X)
#undef X
} cuda_functions;

typedef struct nvrtc_functions {
#define X(member, symbol, parameters) nvrtc_result(*member) parameters;
    NVRTC_FUNCTION_LIST(X)
#undef X
    const char *(*error_string)(nvrtc_result); /* nvrtcGetErrorString */
} nvrtc_functions;

#endif
