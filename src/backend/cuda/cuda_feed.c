/* Batches from pinned memory: a second stream copies them while the first one computes.
 *
 * Three waits keep the two in step: the host waits until a slot is copied before it fills it again,
 * the copies wait until the device has used what they overwrite, and the work that needs them waits
 * for the copies. */
#include "backend/cuda/cuda_driver.h"

struct gpu_feed {
    cuda_stream stream;
    struct {
        void *memory;
        cuda_event sent, used;
        bool was_sent, was_used; /* the event was recorded */
    } slots[GPU_FEED_SLOTS];
};

static be_status feed_open(const cuda_driver *d, size_t bytes, int slots, gpu_feed *feed,
                           be_error *err)
{
    const cuda_functions *cu = &d->libraries->cu;
    CUDA_TRY(d->libraries, d->facts.id, cu->stream_new(&feed->stream, CUDA_STREAM_NON_BLOCKING),
             "make a stream for copies");
    for (int i = 0; i < slots; i++) {
        CUDA_TRY(d->libraries, d->facts.id, cu->host_alloc(&feed->slots[i].memory, bytes, 0),
                 "get pinned memory of the host");
        CUDA_TRY(d->libraries, d->facts.id,
                 cu->event_new(&feed->slots[i].sent, CUDA_EVENT_NO_TIMING), "make an event");
        CUDA_TRY(d->libraries, d->facts.id,
                 cu->event_new(&feed->slots[i].used, CUDA_EVENT_NO_TIMING), "make an event");
    }
    return BE_OK;
}

be_status cuda_feed_new(gpu_driver *driver, size_t bytes, int slots, gpu_feed **out, be_error *err)
{
    void *memory = NULL;
    *out = NULL;
    TRY(cuda_enter((const cuda_driver *)driver, err));
    TRY(memory_alloc(&memory, sizeof(gpu_feed), "a feed", err));
    be_status status = feed_open((const cuda_driver *)driver, bytes, slots, memory, err);
    if (status == BE_OK)
        *out = memory;
    else
        cuda_feed_end(driver, memory);
    return status;
}

void cuda_feed_end(gpu_driver *driver, gpu_feed *feed)
{
    const cuda_driver *d = (const cuda_driver *)driver;
    const cuda_functions *cu = &d->libraries->cu;
    if (!feed) return;
    cu->context_set(d->context);
    if (feed->stream) cu->stream_wait(feed->stream);
    for (int i = 0; i < GPU_FEED_SLOTS; i++) {
        if (feed->slots[i].memory) cu->host_free(feed->slots[i].memory);
        if (feed->slots[i].sent) cu->event_free(feed->slots[i].sent);
        if (feed->slots[i].used) cu->event_free(feed->slots[i].used);
    }
    if (feed->stream) cu->stream_free(feed->stream);
    memory_free(feed);
}

be_status cuda_feed_claim(gpu_driver *driver, gpu_feed *feed, int slot, void **memory,
                          be_error *err)
{
    const cuda_driver *d = (const cuda_driver *)driver;
    TRY(cuda_enter(d, err));
    if (feed->slots[slot].was_sent) {
        driver->waits++;
        CUDA_TRY(d->libraries, d->facts.id, d->libraries->cu.event_wait(feed->slots[slot].sent),
                 "wait for a batch to be copied");
    }
    *memory = feed->slots[slot].memory;
    return BE_OK;
}

be_status cuda_feed_send(gpu_driver *driver, gpu_feed *feed, int slot, const gpu_copy *copies,
                         int count, be_error *err)
{
    const cuda_driver *d = (const cuda_driver *)driver;
    const cuda_functions *cu = &d->libraries->cu;
    const char *memory = feed->slots[slot].memory;
    TRY(cuda_enter(d, err));
    if (feed->slots[slot].was_used)
        CUDA_TRY(d->libraries, d->facts.id,
                 cu->stream_await(feed->stream, feed->slots[slot].used, 0),
                 "let a copy wait for a step");
    for (int i = 0; i < count; i++) {
        CUDA_TRY(d->libraries, d->facts.id,
                 cu->upload(copies[i].to + copies[i].to_offset, memory + copies[i].from_offset,
                            copies[i].bytes, feed->stream),
                 "copy a batch to the device");
        driver->fed_bytes += (int64_t)copies[i].bytes;
    }
    CUDA_TRY(d->libraries, d->facts.id, cu->event_record(feed->slots[slot].sent, feed->stream),
             "mark a copy");
    feed->slots[slot].was_sent = true;
    CUDA_TRY(d->libraries, d->facts.id, cu->stream_await(d->stream, feed->slots[slot].sent, 0),
             "let a step wait for a copy");
    return BE_OK;
}

be_status cuda_feed_release(gpu_driver *driver, gpu_feed *feed, int slot, be_error *err)
{
    const cuda_driver *d = (const cuda_driver *)driver;
    TRY(cuda_enter(d, err));
    CUDA_TRY(d->libraries, d->facts.id,
             d->libraries->cu.event_record(feed->slots[slot].used, d->stream), "mark a step");
    feed->slots[slot].was_used = true;
    return BE_OK;
}

be_status cuda_transfer(gpu_driver *driver, gpu_span device, void *host, bool to_host,
                        be_error *err)
{
    const cuda_driver *d = (const cuda_driver *)driver;
    const cuda_functions *cu = &d->libraries->cu;
    cuda_address address = cuda_span_address(device);
    TRY(cuda_enter(d, err));
    CUDA_TRY(d->libraries, d->facts.id,
             to_host ? cu->download(host, address, device.bytes, d->stream)
                     : cu->upload(address, host, device.bytes, d->stream),
             to_host ? "copy to the host" : "copy to the device");
    return BE_OK;
}
