/* Inner parts of the OpenCL driver: its struct, failing, feeds.
 *
 * opencl_driver.c owns context and queue, opencl_feed.c the queues and buffers of feeds. */
#ifndef BACKEND_OPENCL_OPENCL_DRIVER_H
#define BACKEND_OPENCL_OPENCL_DRIVER_H

#include "backend/opencl/opencl.h"

struct clblast;

typedef struct opencl_driver {
    gpu_driver base;
    const opencl_library *cl;
    cl_device device;
    cl_context context;
    cl_queue queue;
    const struct clblast *clblast; /* NULL: our own kernels alone */
    size_t held_bytes;             /* in buffers of the device */
    be_group *group;               /* with whose other ranks it adds up, on the host; or NULL */
    void *means;                   /* memory for it … */
    size_t means_bytes;            /* … of so many bytes */
} opencl_driver;

/* See gpu_driver_vtable. */
be_status opencl_join_host(gpu_driver *driver, be_group *group, size_t bytes, be_error *err);
be_status opencl_mean(gpu_driver *driver, gpu_span span, be_error *err);

/* Fills the error of a call that gave `status`. */
be_status opencl_fail(const opencl_driver *d, be_error *err, const char *what, cl_int status);

#define CL_TRY(d, what, call)                                                \
    do {                                                                     \
        cl_int cl_try_ = (call);                                             \
        if (cl_try_ != CL_OK) return opencl_fail((d), err, (what), cl_try_); \
    } while (0)

/* See gpu_driver_vtable. */
be_status opencl_feed_new(gpu_driver *driver, size_t bytes, int slots, gpu_feed **out,
                          be_error *err);
be_status opencl_transfer(gpu_driver *driver, gpu_span device, void *host, bool to_host,
                          be_error *err);
void opencl_feed_free(gpu_driver *driver, gpu_feed *feed);
be_status opencl_feed_claim(gpu_driver *driver, gpu_feed *feed, int slot, void **memory,
                            be_error *err);
be_status opencl_feed_send(gpu_driver *driver, gpu_feed *feed, int slot, const gpu_copy *copies,
                           int count, be_error *err);
be_status opencl_feed_release(gpu_driver *driver, gpu_feed *feed, int slot, be_error *err);

#endif
