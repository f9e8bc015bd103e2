/* Which library a program takes part of its ops from, and what people are told of it. */
#include <stdio.h>
#include <string.h>

#include "backend/gpu/gpu.h"
#include "core/text.h"
#include "graph/precision.h"

int gpu_op_index(const be_op *op)
{
    for (int i = 0; i < OP_COUNT; i++)
        if (op_table[i] == op) return i;
    MUST(!"the op is in the list");
    return -1;
}

be_status gpu_knows(const gpu_device *device, be_precision precision, be_error *err)
{
    const gpu_facts *facts = &device->driver->facts;
    if (precision == BE_PRECISION_FP32 || !*facts->too_old) return BE_OK;
    FAIL(err, BE_UNAVAILABLE, "%s (%s): expected %s for products in %s; use --precision fp32",
         device->id, facts->name, facts->too_old, precision_name(precision));
}

be_status gpu_library_find(gpu_device *device, be_precision precision, const gpu_library **out,
                           be_error *err)
{
    *out = device->library;
    if (*out || device->narrow) TRY(gpu_knows(device, precision, err));
    if (*out || precision == BE_PRECISION_FP32 || !device->narrow) return BE_OK;
    be_status status = device->narrow(device, out, err);
    /* Our own kernels read bf16 too. */
    if (status == BE_UNAVAILABLE && precision == BE_PRECISION_BF16) return BE_OK;
    if (status != BE_OK) status_prefix(err, "products in tf32 need cuDNN and cuBLASLt");
    return status;
}

bool gpu_has(const void *device, be_precision precision, const be_graph *g, const graph_node *node,
             const be_op *op)
{
    /* The device is made ready for the library; nothing that others see changes. */
    gpu_device *gpu = (gpu_device *)(uintptr_t)device;
    const gpu_library *library = NULL;
    if (gpu_library_find(gpu, precision, &library, NULL) != BE_OK) library = NULL;
    return gpu_table[gpu_op_index(op)] != NULL &&
           !(library && library->parts && library->parts(g, node, op, library == gpu->library));
}

bool gpu_leaves(const gpu_device *device, const gpu_library *library, const be_graph *g,
                const graph_node *node)
{
    if (!library->table[gpu_op_index(node->op)]) return true;
    return library != device->library && library->leaves && library->leaves(g, node);
}

bool gpu_rounds(const void *device, const be_graph *g, const graph_node *node)
{
    gpu_device *gpu = (gpu_device *)(uintptr_t)device;
    const gpu_library *library = NULL;
    const gpu_kernel *own = gpu_table[gpu_op_index(node->op)];
    if (gpu_library_find(gpu, g->precision, &library, NULL) != BE_OK || !library) return false;
    return own && own->rounds >> g->precision & 1 && gpu_leaves(gpu, library, g, node);
}

size_t gpu_implementations_text(const gpu_call *calls, size_t count, char *out, size_t room)
{
    text_buffer b = text_begin(out, room);
    for (size_t n = 0; n < count; n++) {
        const char *text = calls[n].implementation;
        if (strcmp(text, GPU_IMPLEMENTATION) == 0) text = "native";
        for (size_t before = 0; text && before < n; before++)
            if (strcmp(calls[before].implementation, calls[n].implementation) == 0) text = NULL;
        if (text) text_add(&b, "%s%s", b.used ? " + " : "", text);
    }
    return b.used;
}
