/* The OpenCL backend: the entry points of OpenCL 1.2 that it uses, its library, its devices.
 *
 * The library is opened at run time; nothing of it is needed to build.  Only what OpenCL 1.2 has is
 * used, so that Apple's works too. */
#ifndef BACKEND_OPENCL_OPENCL_H
#define BACKEND_OPENCL_OPENCL_H

#include "backend/gpu/gpu.h"

typedef int32_t cl_int;
typedef uint32_t cl_uint;
typedef uint64_t cl_ulong;
typedef struct cl_platform_s *cl_platform;
typedef struct cl_device_s *cl_device;
typedef struct cl_context_s *cl_context;
typedef struct cl_queue_s *cl_queue;
typedef struct cl_memory_s *cl_memory;
typedef struct cl_program_s *cl_program;
typedef struct cl_kernel_s *cl_kernel;
typedef struct cl_event_s *cl_event;

/* From the OpenCL 1.2 specification, table by table. */
enum {
    CL_OK = 0,
    CL_DEVICE_NOT_FOUND = -1,
    CL_OUT_OF_DEVICE_MEMORY = -4, /* CL_MEM_OBJECT_ALLOCATION_FAILURE */
    CL_OUT_OF_RESOURCES = -5,
    CL_OUT_OF_HOST_MEMORY = -6,
    CL_BUILD_PROGRAM_FAILURE = -11,
    CL_INVALID_BUFFER_SIZE = -61,
    CL_NO_PLATFORM = -1001, /* of the loader (cl_khr_icd) */
    CL_PLATFORM_NAME = 0x0902,
    CL_DEVICE_TYPE = 0x1000,
    CL_DEVICE_UNITS = 0x1002,
    CL_DEVICE_GROUP_MAX = 0x1004,
    CL_DEVICE_BUFFER_MAX = 0x1010,
    CL_DEVICE_CACHE = 0x101E, /* CL_DEVICE_GLOBAL_MEM_CACHE_SIZE */
    CL_DEVICE_MEMORY = 0x101F,
    CL_DEVICE_LOCAL_MEMORY = 0x1023,
    CL_DEVICE_AVAILABLE = 0x1027,
    CL_DEVICE_COMPILER = 0x1028,
    CL_DEVICE_NAME = 0x102B,
    CL_DRIVER_VERSION = 0x102D,
    CL_DEVICE_VERSION = 0x102F,
    CL_BUFFER_BYTES = 0x1102, /* CL_MEM_SIZE */
    CL_BUILD_LOG = 0x1183,
    CL_MEMORY_READ_WRITE = 1,
    CL_MEMORY_OF_HOST = 16, /* CL_MEM_ALLOC_HOST_PTR: pinned, where that means something */
    CL_MAP_READ_WRITE = 3,
    CL_TYPE_CPU = 2,
};
#define CL_TYPE_ALL 0xFFFFFFFFu

/* result, name, parameters */
#define OPENCL_FUNCTIONS(X)                                                                        \
    X(cl_int, clGetPlatformIDs, (cl_uint, cl_platform *, cl_uint *))                               \
    X(cl_int, clGetPlatformInfo, (cl_platform, cl_uint, size_t, void *, size_t *))                 \
    X(cl_int, clGetDeviceIDs, (cl_platform, cl_ulong, cl_uint, cl_device *, cl_uint *))            \
    X(cl_int, clGetDeviceInfo, (cl_device, cl_uint, size_t, void *, size_t *))                     \
    X(cl_context, clCreateContext,                                                                 \
      (const intptr_t *, cl_uint, const cl_device *, void *, void *, cl_int *))                    \
    X(cl_int, clReleaseContext, (cl_context))                                                      \
    X(cl_queue, clCreateCommandQueue, (cl_context, cl_device, cl_ulong, cl_int *))                 \
    X(cl_int, clReleaseCommandQueue, (cl_queue))                                                   \
    X(cl_memory, clCreateBuffer, (cl_context, cl_ulong, size_t, void *, cl_int *))                 \
    X(cl_int, clReleaseMemObject, (cl_memory))                                                     \
    X(cl_int, clGetMemObjectInfo, (cl_memory, cl_uint, size_t, void *, size_t *))                  \
    X(cl_int, clEnqueueWriteBuffer,                                                                \
      (cl_queue, cl_memory, cl_uint, size_t, size_t, const void *, cl_uint, const void *, void *)) \
    X(cl_int, clEnqueueReadBuffer,                                                                 \
      (cl_queue, cl_memory, cl_uint, size_t, size_t, void *, cl_uint, const void *, void *))       \
    X(cl_int, clEnqueueFillBuffer,                                                                 \
      (cl_queue, cl_memory, const void *, size_t, size_t, size_t, cl_uint, const void *, void *))  \
    X(void *, clEnqueueMapBuffer,                                                                  \
      (cl_queue, cl_memory, cl_uint, cl_ulong, size_t, size_t, cl_uint, const void *, void *,      \
       cl_int *))                                                                                  \
    X(cl_int, clEnqueueUnmapMemObject,                                                             \
      (cl_queue, cl_memory, void *, cl_uint, const void *, void *))                                \
    X(cl_int, clEnqueueMarkerWithWaitList, (cl_queue, cl_uint, const cl_event *, cl_event *))      \
    X(cl_int, clEnqueueBarrierWithWaitList, (cl_queue, cl_uint, const cl_event *, cl_event *))     \
    X(cl_int, clWaitForEvents, (cl_uint, const cl_event *))                                        \
    X(cl_int, clReleaseEvent, (cl_event))                                                          \
    X(cl_program, clCreateProgramWithSource,                                                       \
      (cl_context, cl_uint, const char **, const size_t *, cl_int *))                              \
    X(cl_int, clBuildProgram,                                                                      \
      (cl_program, cl_uint, const cl_device *, const char *, void *, void *))                      \
    X(cl_int, clGetProgramBuildInfo, (cl_program, cl_device, cl_uint, size_t, void *, size_t *))   \
    X(cl_int, clReleaseProgram, (cl_program))                                                      \
    X(cl_kernel, clCreateKernel, (cl_program, const char *, cl_int *))                             \
    X(cl_int, clReleaseKernel, (cl_kernel))                                                        \
    X(cl_int, clSetKernelArg, (cl_kernel, cl_uint, size_t, const void *))                          \
    X(cl_int, clEnqueueNDRangeKernel,                                                              \
      (cl_queue, cl_kernel, cl_uint, const size_t *, const size_t *, const size_t *, cl_uint,      \
       const void *, void *))                                                                      \
    X(cl_int, clFlush, (cl_queue))                                                                 \
    X(cl_int, clFinish, (cl_queue))

typedef struct opencl_library {
    void *handle;
#define X(result, name, parameters) result(*name) parameters;
    OPENCL_FUNCTIONS(X)
#undef X
} opencl_library;

/* The library, opened once for the life of the process; BE_UNAVAILABLE with reason and remedy. */
BE_CHECKED be_status opencl_library_get(const opencl_library **out, be_error *err);

typedef struct opencl_place {
    cl_platform platform;
    cl_device device;
} opencl_place;

/* All devices of all platforms, in the order of the loader; *count is how many there are. */
#define OPENCL_DEVICES_MAX 64
BE_CHECKED be_status opencl_devices(const opencl_library *cl, opencl_place *out, int *count,
                                    be_error *err);

BE_CHECKED be_status opencl_facts(const opencl_library *cl, const opencl_place *place,
                                  gpu_facts *out, be_error *err);

/* BE_UNAVAILABLE with the reason why a device that is listed cannot be used. */
BE_CHECKED be_status opencl_check_usable(const opencl_library *cl, const opencl_place *place,
                                         const gpu_facts *facts, be_error *err);

/* A driver on a device. */
BE_CHECKED be_status opencl_driver_open(const opencl_library *cl, const opencl_place *place,
                                        gpu_driver **out, be_error *err);

#endif
