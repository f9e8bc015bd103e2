/* See cpu_begin.h. */
#include "backend/cpu/cpu_begin.h"

typedef struct span {
    const char *begin, *end;
} span;

static span span_of(const be_graph *g, be_value value, const void *at)
{
    const char *begin = at;
    if (value == BE_NONE) return (span){NULL, NULL};
    return (span){begin, begin + value_bytes(&g->values[value])};
}

static bool overlap(span a, span b)
{
    return a.begin < b.end && b.begin < a.end;
}

/* Does it read or write there? */
static bool uses(const cpu_call *call, const be_graph *g, span where)
{
    for (int i = 0; i < OP_MAX_IN; i++)
        if (overlap(span_of(g, call->node->in[i], call->in[i]), where)) return true;
    for (int o = 0; o < OP_MAX_OUT; o++)
        if (overlap(span_of(g, call->node->out[o], call->out[o]), where)) return true;
    return false;
}

/* The last call before n that uses what n writes; 0 where none does. */
static size_t last_user(const cpu_call *calls, size_t n, const be_graph *g)
{
    span where = span_of(g, calls[n].node->out[0], calls[n].out[0]);
    size_t user = n;
    while (user > 0 && !uses(&calls[user - 1], g, where)) user--;
    return user ? user - 1 : 0;
}

size_t cpu_begin_find(const cpu_call *calls, const cpu_kernel *const *kernels, size_t count,
                      const be_graph *g, cpu_begin *out)
{
    size_t begins = 0;
    for (size_t n = 0; n < count; n++) {
        if (!kernels[n]->begin) continue;
        cpu_begin one = {n, last_user(calls, n, g)};
        size_t at = begins++;
        for (; at > 0 && out[at - 1].after > one.after; at--) out[at] = out[at - 1];
        out[at] = one;
    }
    return begins;
}
