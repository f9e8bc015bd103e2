/* Which implementation runs a node on the CPU: tables, detection, and the ordered choice. */
#include <stdio.h>
#include <string.h>

#include "backend/cpu/cpu.h"
#include "core/text.h"
#include "graph/precision.h"

#define X(isa)                                                \
    extern const cpu_kernel *const cpu_table_##isa[OP_COUNT]; \
    extern const cpu_kernel *const cpu_onednn_table_##isa[OP_COUNT];
CPU_ISA_LIST(X)
#undef X

/* In the order of cpu_isa. */
#define X(isa) cpu_table_##isa,
static const cpu_kernel *const *const native_tables[CPU_ISA_COUNT] = {CPU_ISA_LIST(X)};
#undef X

#define X(isa) cpu_onednn_table_##isa,
static const cpu_kernel *const *const onednn_tables[CPU_ISA_COUNT] = {CPU_ISA_LIST(X)};
#undef X

cpu_isa cpu_isa_detect(void)
{
#if defined(__x86_64__)
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq"))
        return CPU_AVX512;
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return CPU_AVX2;
#endif
    return CPU_GENERIC;
}

const char *cpu_isa_text(cpu_isa isa)
{
    static const char *const texts[] = {"generic", "avx2", "avx512"};
    return texts[isa];
}

void cpu_layouts_of_input(const cpu_device *device, const be_graph *g, const graph_node *node,
                          value_layout in[OP_MAX_IN], value_layout out[OP_MAX_OUT])
{
    (void)device;
    for (int i = 0; i < node->op->inputs; i++) in[i] = g->values[node->in[0]].layout;
    for (int o = 0; o < node->op->outputs; o++) out[o] = in[0];
}

static int op_index(const be_op *op)
{
    for (int i = 0; i < OP_COUNT; i++)
        if (op_table[i] == op) return i;
    MUST(!"the op is in the list");
    return -1;
}

/* The candidates in order of preference; an absent one is NULL. */
static void candidates(const cpu_device *device, const be_op *op, const cpu_kernel *out[2])
{
    int index = op_index(op);
    const cpu_kernel *native = native_tables[device->isa][index],
                     *onednn = onednn_tables[device->isa][index];
    out[0] = native;
    out[1] = onednn;
    if (device->library == CPU_NATIVE_ONLY && native) out[1] = NULL;
    if (device->library == CPU_ONEDNN_ONLY && onednn) out[0] = NULL;
}

bool cpu_has(const cpu_device *device, const be_op *op)
{
    const cpu_kernel *list[2];
    candidates(device, op, list);
    return list[0] || list[1];
}

/* oneDNN would compute in bf16 without the instructions, too: slower than in fp32. */
be_status cpu_onednn_has_bf16(const cpu_device *device, be_error *err)
{
    bool has = false;
#if defined(__x86_64__)
    int isa = (int)dnnl_get_effective_cpu_isa(), needed = (int)dnnl_cpu_isa_avx512_core_bf16;
    has = device->isa == CPU_AVX512 && (isa & needed) == needed;
#endif
    if (!has)
        FAIL(err, BE_UNAVAILABLE,
             "oneDNN computes in bf16 on processors with AVX512-BF16 or AMX alone, and this device "
             "has %s without it; use --precision fp32",
             cpu_isa_text(device->isa));
    return BE_OK;
}

static be_status check_precision(const cpu_device *device, const be_graph *g,
                                 const graph_node *node, const cpu_kernel *kernel, be_error *err)
{
    if (!node->op->narrow || g->precision == BE_PRECISION_FP32) return BE_OK;
    if (!(kernel->precisions >> g->precision & 1))
        FAIL(err, BE_UNAVAILABLE, "it multiplies in fp32 alone, not in %s",
             precision_name(g->precision));
    return cpu_onednn_has_bf16(device, err);
}

static be_status accepts(const cpu_device *device, const be_graph *g, const graph_node *node,
                         const cpu_kernel *kernel, be_error *reason)
{
    TRY(check_precision(device, g, node, kernel, reason));
    return kernel->accept ? kernel->accept(device, g, node, reason) : BE_OK;
}

be_status cpu_choose(const cpu_device *device, const be_graph *g, const graph_node *node,
                     const cpu_kernel **out, be_error *err)
{
    const cpu_kernel *list[2];
    char reasons[600];
    text_buffer b = TEXT_BUFFER(reasons);
    candidates(device, node->op, list);
    for (int i = 0; i < 2; i++) {
        be_error reason = {.status = BE_OK};
        if (!list[i]) continue;
        if (accepts(device, g, node, list[i], &reason) == BE_OK) {
            *out = list[i];
            return BE_OK;
        }
        text_add(&b, "%s%s: %.200s", b.used ? "; " : "", list[i]->implementation, reason.text);
    }
    FAIL(err, BE_UNAVAILABLE, "the cpu device cannot run op %s here: %s", node->op->name,
         b.used ? reasons : "no implementation of it");
}

be_status cpu_onednn_fail(be_error *err, const char *what, dnnl_status_t status)
{
    static const char *const texts[] = {"success",       "out of memory", "invalid arguments",
                                        "unimplemented", "iterator ends", "runtime error",
                                        "not required"};
    const char *text = status >= 0 && status <= 6 ? texts[status] : "unknown";
    be_status mine = status == dnnl_out_of_memory   ? BE_NO_MEMORY
                     : status == dnnl_unimplemented ? BE_UNAVAILABLE
                                                    : BE_DRIVER;
    FAIL(err, mine, "oneDNN %d.%d.%d: %s: %s", dnnl_version()->major, dnnl_version()->minor,
         dnnl_version()->patch, what, text);
}
