/* Batches from mapped memory: a second queue copies them while the first one computes.
 *
 * A slot is a buffer that the driver keeps in memory of the host (pinned, on a GPU) and that stays
 * mapped; writes from there do not wait.  Markers and barriers of OpenCL 1.2 order the two queues;
 * each queue is flushed before the other waits for it. */
#include "backend/opencl/opencl_driver.h"

struct gpu_feed {
    cl_queue queue;
    struct {
        cl_memory buffer;
        void *memory;        /* where it is mapped */
        cl_event sent, used; /* NULL: nothing to wait for */
    } slots[GPU_FEED_SLOTS];
};

static be_status feed_open(const opencl_driver *d, size_t bytes, int slots, gpu_feed *feed,
                           be_error *err)
{
    cl_int status;
    feed->queue = d->cl->clCreateCommandQueue(d->context, d->device, 0, &status);
    if (status != CL_OK) {
        feed->queue = NULL;
        return opencl_fail(d, err, "making a queue for copies", status);
    }
    for (int i = 0; i < slots; i++) {
        cl_memory buffer = d->cl->clCreateBuffer(
            d->context, CL_MEMORY_READ_WRITE | CL_MEMORY_OF_HOST, bytes, NULL, &status);
        if (status != CL_OK) return opencl_fail(d, err, "making a buffer for batches", status);
        feed->slots[i].buffer = buffer;
        void *memory = d->cl->clEnqueueMapBuffer(feed->queue, buffer, 1, CL_MAP_READ_WRITE, 0,
                                                 bytes, 0, NULL, NULL, &status);
        if (status != CL_OK) return opencl_fail(d, err, "mapping a buffer for batches", status);
        feed->slots[i].memory = memory;
    }
    return BE_OK;
}

be_status opencl_feed_new(gpu_driver *driver, size_t bytes, int slots, gpu_feed **out,
                          be_error *err)
{
    void *memory = NULL;
    *out = NULL;
    TRY(memory_alloc(&memory, sizeof(gpu_feed), "a feed", err));
    be_status status = feed_open((const opencl_driver *)driver, bytes, slots, memory, err);
    if (status == BE_OK)
        *out = memory;
    else
        opencl_feed_free(driver, memory);
    return status;
}

static void forget(const opencl_driver *d, cl_event *event)
{
    if (*event) d->cl->clReleaseEvent(*event);
    *event = NULL;
}

void opencl_feed_free(gpu_driver *driver, gpu_feed *feed)
{
    const opencl_driver *d = (const opencl_driver *)driver;
    if (feed->queue) d->cl->clFinish(feed->queue);
    for (int i = 0; i < GPU_FEED_SLOTS; i++) {
        forget(d, &feed->slots[i].sent);
        forget(d, &feed->slots[i].used);
        if (feed->slots[i].memory)
            d->cl->clEnqueueUnmapMemObject(feed->queue, feed->slots[i].buffer,
                                           feed->slots[i].memory, 0, NULL, NULL);
    }
    if (feed->queue) d->cl->clFinish(feed->queue);
    for (int i = 0; i < GPU_FEED_SLOTS; i++)
        if (feed->slots[i].buffer) d->cl->clReleaseMemObject(feed->slots[i].buffer);
    if (feed->queue) d->cl->clReleaseCommandQueue(feed->queue);
    memory_free(feed);
}

be_status opencl_feed_claim(gpu_driver *driver, gpu_feed *feed, int slot, void **memory,
                            be_error *err)
{
    const opencl_driver *d = (const opencl_driver *)driver;
    if (feed->slots[slot].sent) {
        driver->waits++;
        CL_TRY(d, "waiting for a batch", d->cl->clWaitForEvents(1, &feed->slots[slot].sent));
    }
    *memory = feed->slots[slot].memory;
    return BE_OK;
}

be_status opencl_feed_send(gpu_driver *driver, gpu_feed *feed, int slot, const gpu_copy *copies,
                           int count, be_error *err)
{
    const opencl_driver *d = (const opencl_driver *)driver;
    cl_event *sent = &feed->slots[slot].sent, *used = &feed->slots[slot].used;
    if (*used)
        CL_TRY(d, "letting a copy wait for a step",
               d->cl->clEnqueueBarrierWithWaitList(feed->queue, 1, used, NULL));
    forget(d, used);
    for (int i = 0; i < count; i++) {
        CL_TRY(d, "writing a batch",
               d->cl->clEnqueueWriteBuffer(
                   feed->queue, (cl_memory)copies[i].to, 0, copies[i].to_offset, copies[i].bytes,
                   (char *)feed->slots[slot].memory + copies[i].from_offset, 0, NULL, NULL));
        driver->fed_bytes += (int64_t)copies[i].bytes;
    }
    forget(d, sent);
    CL_TRY(d, "marking a copy", d->cl->clEnqueueMarkerWithWaitList(feed->queue, 0, NULL, sent));
    CL_TRY(d, "handing over a copy", d->cl->clFlush(feed->queue));
    CL_TRY(d, "letting a step wait for a copy",
           d->cl->clEnqueueBarrierWithWaitList(d->queue, 1, sent, NULL));
    return BE_OK;
}

be_status opencl_feed_release(gpu_driver *driver, gpu_feed *feed, int slot, be_error *err)
{
    const opencl_driver *d = (const opencl_driver *)driver;
    forget(d, &feed->slots[slot].used);
    CL_TRY(d, "marking a step",
           d->cl->clEnqueueMarkerWithWaitList(d->queue, 0, NULL, &feed->slots[slot].used));
    CL_TRY(d, "handing over a step", d->cl->clFlush(d->queue));
    return BE_OK;
}

be_status opencl_transfer(gpu_driver *driver, gpu_span device, void *host, bool to_host,
                          be_error *err)
{
    const opencl_driver *d = (const opencl_driver *)driver;
    cl_memory memory = (cl_memory)device.buffer;
    CL_TRY(d, to_host ? "copying to the host" : "copying to the device",
           to_host ? d->cl->clEnqueueReadBuffer(d->queue, memory, 0, device.offset, device.bytes,
                                                host, 0, NULL, NULL)
                   : d->cl->clEnqueueWriteBuffer(d->queue, memory, 0, device.offset, device.bytes,
                                                 host, 0, NULL, NULL));
    return BE_OK;
}
