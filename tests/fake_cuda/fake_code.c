/* The fake driver's code: modules, kernels, graphs.  See fake_cuda.h. */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "fake_state.h"

#define FAKE_EDGES 8192 /* that are remembered of a graph */

static struct cuda_function_ *functions;

/* ---------------------------------------------------------------- running */

void fake_run_launch(fake_launch *launch)
{
    void *pointers[FAKE_ARGUMENTS];
    for (int i = 0; i < FAKE_ARGUMENTS; i++) pointers[i] = &launch->values[i];
    if (!getenv("FAKE_CUDA_IDLE")) launch->function->call(pointers, launch->groups);
}

static bool first_order;

void fake_cuda_order_first(void)
{
    first_order = true;
}

/* Again and again the last node that is ready, or the first one. */
int fake_run_graph(cuda_exec exec)
{
    int overlaps = 0;
    bool *done = calloc((size_t)exec->count + 1, 1);
    for (int left = exec->count; left > 0; left--) {
        int next = -1, earliest = -1;
        for (int n = exec->count - 1; n >= 0; n--) {
            if (done[n]) continue;
            earliest = n;
            bool ready = next < 0 || first_order;
            for (int b = 0; ready && b < exec->nodes[n].before_count; b++)
                ready = done[exec->nodes[n].before[b]];
            if (ready) next = n;
        }
        if (next < 0) abort();
        overlaps += next != earliest;
        struct cuda_node_ *node = &exec->nodes[next];
        if (node->child)
            fake_run_graph(node->child);
        else if (node->host.call)
            node->host.call(node->host.data);
        else
            fake_run_launch(&node->launch);
        done[next] = true;
    }
    free(done);
    return overlaps;
}

/* ---------------------------------------------------------------- code */

cuda_result cuModuleLoadData(cuda_module *module, const void *image)
{
    ENTER();
    fake_code head;
    char path[64];
    memcpy(&head, image, sizeof head);
    if (memcmp(head.magic, FAKE_CODE_MAGIC, sizeof head.magic) != 0) return CUDA_INVALID_IMAGE;
    int fd = memfd_create("fake-code", MFD_CLOEXEC);
    if (fd < 0) return CUDA_OUT_OF_MEMORY;
    bool written = write(fd, (const char *)image + sizeof head, head.bytes) == (ssize_t)head.bytes;
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    void *library = written ? dlopen(path, RTLD_NOW | RTLD_LOCAL) : NULL;
    if (!library) {
        close(fd);
        return CUDA_INVALID_IMAGE;
    }
    *module = malloc(sizeof **module);
    **module = (struct cuda_module_){library, fd};
    fake_count(1);
    return CUDA_OK;
}

cuda_result cuModuleUnload(cuda_module module)
{
    fake_finish();
    dlclose(module->library);
    close(module->fd);
    free(module);
    fake_count(-1);
    ENTER();
    return CUDA_OK;
}

cuda_result cuModuleGetFunction(cuda_function *function, cuda_module module, const char *name)
{
    ENTER();
    char symbol[128];
    snprintf(symbol, sizeof symbol, "fake_call_%s", name);
    void *call = dlsym(module->library, symbol);
    if (!call) return CUDA_NOT_FOUND;
    struct cuda_function_ *made = calloc(1, sizeof *made);
    *(void **)&made->call = call;
    snprintf(symbol, sizeof symbol, "fake_waits_%s", name);
    const int *waits = dlsym(module->library, symbol);
    made->waits = waits && *waits;
    snprintf(made->name, sizeof made->name, "%s", name);
    made->next = functions;
    functions = made;
    *function = made;
    return CUDA_OK;
}

/* Functions live as long as the process; LeakSanitizer shall see that they are held. */
__attribute__((destructor)) static void free_functions(void)
{
    while (functions) {
        struct cuda_function_ *next = functions->next;
        free(functions);
        functions = next;
    }
}

/* The values of the arguments are taken at once, as the driver does.  Their sizes are known to the
 * code of the kernel: it is asked with a number of groups below 0. */
static int take_launch(fake_launch *out, cuda_function function, unsigned groups, unsigned items,
                       void **arguments)
{
    if (!function || groups < 1 || items < 1 || items > 1024) return CUDA_INVALID_VALUE;
    *out = (fake_launch){.function = function, .groups = (int)groups};
    unsigned char sizes[FAKE_ARGUMENTS] = {0};
    void *ask[2] = {NULL, sizes};
    function->call(ask, -1);
    for (int i = 0; i < FAKE_ARGUMENTS && sizes[i]; i++)
        memcpy(&out->values[i], arguments[i], sizes[i]);
    return CUDA_OK;
}

cuda_result cuLaunchKernel(cuda_function function, unsigned gx, unsigned gy, unsigned gz,
                           unsigned bx, unsigned by, unsigned bz, unsigned shared,
                           cuda_stream stream, void **arguments, void **extra)
{
    ENTER();
    (void)shared;
    if (getenv("FAKE_CUDA_REFUSE") && !stream->capture) return CUDA_LAUNCH_FAILED;
    work w = {.kind = WORK_LAUNCH};
    if (gy != 1 || gz != 1 || by != 1 || bz != 1 || extra) return CUDA_INVALID_VALUE;
    int result = take_launch(&w.launch, function, gx, bx, arguments);
    if (result != CUDA_OK) return result;
    if (stream->capture) return fake_capture(stream->capture, &w);
    fake_work_add(stream, w);
    return CUDA_OK;
}

/* ---------------------------------------------------------------- graphs */

/* Is this what FAKE_CUDA_EDGES wants refused? */
static bool asked_edges(const char *what)
{
    const char *asked = getenv("FAKE_CUDA_EDGES");
    return asked && strcmp(asked, what) == 0;
}

cuda_graph fake_graph_new(void)
{
    fake_count(1);
    return calloc(1, sizeof(struct cuda_graph_));
}

cuda_result cuGraphCreate(cuda_graph *graph, unsigned flags)
{
    ENTER();
    (void)flags;
    *graph = fake_graph_new();
    return CUDA_OK;
}

static cuda_node add_node(cuda_graph graph, const cuda_node *before, size_t count)
{
    if (graph->count == FAKE_NODES) return NULL;
    cuda_node made = calloc(1, sizeof *made);
    made->index = graph->count;
    made->before_count = made->full_count = (int)count;
    made->before = calloc(count + 1, sizeof(int));
    for (size_t i = 0; i < count; i++) made->before[i] = before[i]->index;
    graph->nodes[graph->count++] = made;
    return made;
}

/* What cuGraphKernelNodeGetParams_v2 gives for a library's kernel, whose code is none of ours: its
 * node is where the driver has its arguments. */
static struct cuda_function_ of_library;

cuda_result cuGraphAddKernelNode_v2(cuda_node *node, cuda_graph graph, const cuda_node *before,
                                    size_t count, const cuda_kernel_node *parameters)
{
    ENTER();
    fake_launch launch = {0};
    bool is_copy = parameters->function == &of_library;
    int result = is_copy ? CUDA_OK
                         : take_launch(&launch, parameters->function, parameters->grid[0],
                                       parameters->block[0], parameters->parameters);
    if (result != CUDA_OK) return result;
    *node = add_node(graph, before, count);
    if (!*node) return CUDA_OUT_OF_MEMORY;
    (*node)->launch = launch;
    (*node)->lacks_attributes = is_copy;
    if (is_copy) (*node)->host = ((const struct cuda_node_ *)parameters->extra)->host;
    return CUDA_OK;
}

cuda_result cuGraphGetNodes(cuda_graph graph, cuda_node *nodes, size_t *count)
{
    ENTER();
    for (size_t i = 0; nodes && i < *count && i < (size_t)graph->count; i++)
        nodes[i] = graph->nodes[i];
    *count = (size_t)graph->count;
    return CUDA_OK;
}

static bool is_kernel(const struct cuda_node_ *node)
{
    return !node->child && (node->launch.function || node->host.is_kernel);
}

/* A captured graph's, which are full; an odd order, because none is promised. */
cuda_result cuGraphGetEdges_v2(cuda_graph graph, cuda_node *from, cuda_node *to, cuda_edge *kinds,
                               size_t *count)
{
    ENTER();
    size_t found = 0;
    for (int n = graph->count - 1; n >= 0; n--)
        for (int b = 0; b < graph->nodes[n]->before_count; b++, found++) {
            if (!from || found >= *count) continue;
            from[found] = graph->nodes[graph->nodes[n]->before[b]];
            to[found] = graph->nodes[n];
            kinds[found] = (cuda_edge){0};
        }
    *count = found;
    return CUDA_OK;
}

cuda_result cuGraphNodeGetType(cuda_node node, cuda_node_type *type)
{
    ENTER();
    *type = is_kernel(node) ? CUDA_NODE_KERNEL : 3; /* host */
    return CUDA_OK;
}

cuda_result cuGraphKernelNodeGetParams_v2(cuda_node node, cuda_kernel_node *parameters)
{
    ENTER();
    if (!node->host.is_kernel || asked_edges("kernels")) return CUDA_INVALID_VALUE;
    *parameters = (cuda_kernel_node){.function = &of_library, .extra = (void **)node};
    return CUDA_OK;
}

cuda_result cuGraphKernelNodeCopyAttributes(cuda_node to, cuda_node from)
{
    ENTER();
    if (!is_kernel(to) || !is_kernel(from)) return CUDA_INVALID_VALUE;
    to->lacks_attributes = false;
    return CUDA_OK;
}

/* A programmatic edge leads from a kernel to one that waits by itself; it makes the second one
 * begin before the first has ended, so that another one would compute with what is not there yet.
 */
cuda_result cuGraphAddDependencies_v2(cuda_graph graph, const cuda_node *from, const cuda_node *to,
                                      const cuda_edge *edges, size_t count)
{
    ENTER();
    if (asked_edges("none")) return CUDA_NOT_SUPPORTED;
    for (size_t i = 0; i < count; i++) {
        cuda_node node = to[i];
        bool is_waited = is_kernel(node) && node->launch.function && node->launch.function->waits;
        if (edges[i].type != CUDA_EDGE_PROGRAMMATIC || edges[i].to_port || !is_kernel(from[i]) ||
            edges[i].from_port != CUDA_PORT_PROGRAMMATIC || !is_waited) {
            fprintf(stderr, "fake driver: node %d would begin before node %d has ended\n",
                    node->index, from[i]->index);
            abort();
        }
        node->before = realloc(node->before, (size_t)(node->before_count + 2) * sizeof(int));
        node->before[node->before_count++] = from[i]->index;
        node->port = edges[i].from_port;
        graph->soon_count++;
    }
    return CUDA_OK;
}

cuda_result fake_capture(cuda_graph graph, const work *w)
{
    cuda_node last = graph->count ? graph->nodes[graph->count - 1] : NULL;
    cuda_node node = add_node(graph, &last, last != NULL);
    if (!node) return CUDA_OUT_OF_MEMORY;
    node->launch = w->launch;
    node->host = w->host;
    return CUDA_OK;
}

static cuda_exec copy_graph(const struct cuda_node_ *const *nodes, int count)
{
    cuda_exec exec = calloc(1, sizeof *exec);
    exec->count = count;
    exec->nodes = calloc((size_t)count + 1, sizeof(struct cuda_node_));
    for (int i = 0; i < count; i++) {
        size_t bytes = (size_t)(nodes[i]->before_count + 1) * sizeof(int);
        exec->nodes[i] = *nodes[i];
        exec->nodes[i].before = malloc(bytes);
        memcpy(exec->nodes[i].before, nodes[i]->before, bytes);
        if (!nodes[i]->child) continue;
        const struct cuda_node_ **inner = calloc((size_t)nodes[i]->child->count + 1, sizeof *inner);
        for (int k = 0; k < nodes[i]->child->count; k++) inner[k] = &nodes[i]->child->nodes[k];
        exec->nodes[i].child = copy_graph(inner, nodes[i]->child->count);
        free(inner);
    }
    return exec;
}

static void free_exec(cuda_exec exec)
{
    for (int i = 0; i < exec->count; i++) {
        free(exec->nodes[i].before);
        if (exec->nodes[i].child) free_exec(exec->nodes[i].child);
    }
    free(exec->nodes);
    free(exec);
}

/* The child is copied, as the driver does. */
cuda_result cuGraphAddChildGraphNode(cuda_node *node, cuda_graph graph, const cuda_node *before,
                                     size_t count, cuda_graph child)
{
    ENTER();
    *node = add_node(graph, before, count);
    if (!*node) return CUDA_OUT_OF_MEMORY;
    (*node)->child = copy_graph((const struct cuda_node_ *const *)child->nodes, child->count);
    return CUDA_OK;
}

void fake_graph_free(cuda_graph graph)
{
    for (int i = 0; i < graph->count; i++) {
        if (graph->nodes[i]->child) free_exec(graph->nodes[i]->child);
        free(graph->nodes[i]->before);
        free(graph->nodes[i]);
    }
    free(graph);
    fake_count(-1);
}

cuda_result cuGraphDestroy(cuda_graph graph)
{
    fake_graph_free(graph);
    ENTER();
    return CUDA_OK;
}

static int watched = -1, edge_count;
static int edges[3 * FAKE_EDGES];

void fake_cuda_watch(int nodes)
{
    watched = nodes;
    edge_count = 0;
}

int fake_cuda_edges(int *out, int most)
{
    memcpy(out, edges, 3 * sizeof(int) * (size_t)(edge_count < most ? edge_count : most));
    return edge_count;
}

static void watch_edges(cuda_graph graph)
{
    if (graph->count != watched) return;
    edge_count = 0;
    for (int n = 0; n < graph->count; n++)
        for (int b = 0; b < graph->nodes[n]->before_count && edge_count < FAKE_EDGES; b++) {
            int *edge = &edges[3 * edge_count++];
            edge[0] = graph->nodes[n]->before[b];
            edge[1] = n;
            edge[2] = b < graph->nodes[n]->full_count ? 0 : graph->nodes[n]->port;
        }
}

cuda_result cuGraphInstantiateWithFlags(cuda_exec *exec, cuda_graph graph, unsigned long long flags)
{
    ENTER();
    (void)flags;
    if (graph->soon_count && asked_edges("graphs")) return CUDA_NOT_SUPPORTED;
    for (int n = 0; n < graph->count; n++)
        if (graph->nodes[n]->lacks_attributes) return CUDA_INVALID_VALUE;
    watch_edges(graph);
    *exec = copy_graph((const struct cuda_node_ *const *)graph->nodes, graph->count);
    fake_count(1);
    return CUDA_OK;
}

cuda_result cuGraphExecDestroy(cuda_exec exec)
{
    fake_finish();
    free_exec(exec);
    fake_count(-1);
    ENTER();
    return CUDA_OK;
}

cuda_result cuGraphUpload(cuda_exec exec, cuda_stream stream)
{
    ENTER();
    (void)exec, (void)stream;
    return CUDA_OK;
}

cuda_result cuGraphLaunch(cuda_exec exec, cuda_stream stream)
{
    ENTER();
    if (getenv("FAKE_CUDA_REFUSE")) return CUDA_LAUNCH_FAILED;
    fake_work_add(stream, (work){.kind = WORK_GRAPH, .exec = exec});
    return CUDA_OK;
}
