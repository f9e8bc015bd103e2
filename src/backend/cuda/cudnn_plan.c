/* See cudnn_plan.h.  The attributes and their meaning: NVIDIA's "cuDNN backend API" reference. */
#include "backend/cuda/cudnn_plan.h"

#include <string.h>

#include "core/memory.h"
#include "graph/precision.h"

#define NOTES_MOST 16

#define ONE CUDNN_ONE
#define SET_ALL CUDNN_SET_ALL

/* ---------------------------------------------------------------- the choice of an engine */

static bool may_be_taken(be_precision precision, const int *notes, int64_t count)
{
    bool tensor_core = false;
    for (int64_t i = 0; i < count; i++) switch (notes[i]) {
        case DNN_NUMERICAL_NOTE_TENSOR_CORE:
            tensor_core = true;
            break;
        case DNN_NUMERICAL_NOTE_DOWN_CONVERT_INPUTS:
            if (precision != BE_PRECISION_TF32) return false;
            break;
        case DNN_NUMERICAL_NOTE_REDUCED_PRECISION_REDUCTION:
        case DNN_NUMERICAL_NOTE_FFT:
        case DNN_NUMERICAL_NOTE_NONDETERMINISTIC:
        case DNN_NUMERICAL_NOTE_WINOGRAD_TILE_6x6:
        case DNN_NUMERICAL_NOTE_WINOGRAD_TILE_13x13:
            return false;
        default:
            break;
        }
    return precision == BE_PRECISION_BF16 || tensor_core == (precision == BE_PRECISION_TF32);
}

/* The engine of a configuration, and whether it may be taken. */
static be_status look_at_engine(cudnn_builder *b, cudnn_descriptor config, be_precision precision,
                                cudnn_answer *out, be_error *err)
{
    int notes[NOTES_MOST];
    int64_t count = 0;
    cudnn_descriptor engine;
    const cudnn_functions *dnn = &b->math->dnn;
    *out = (cudnn_answer){.workspace_bytes = -1};
    TRY(cudnn_make(b, DNN_BACKEND_ENGINE_DESCRIPTOR, &engine, err));
    cudnn_status status = dnn->get(config, DNN_ATTR_ENGINECFG_ENGINE, DNN_TYPE_BACKEND_DESCRIPTOR,
                                   1, &count, &engine);
    if (status == DNN_STATUS_SUCCESS)
        status =
            dnn->get(engine, DNN_ATTR_ENGINE_GLOBAL_INDEX, DNN_TYPE_INT64, 1, &count, &out->engine);
    count = 0;
    if (status == DNN_STATUS_SUCCESS)
        status = dnn->get(engine, DNN_ATTR_ENGINE_NUMERICAL_NOTE, DNN_TYPE_NUMERICAL_NOTE,
                          NOTES_MOST, &count, notes);
    cudnn_drop(b);
    if (status != DNN_STATUS_SUCCESS) return cudnn_refuse(b->math, "an engine", status, err);
    out->may_be_taken = may_be_taken(precision, notes, count);
    for (int64_t i = 0; i < count; i++) out->notes |= 1u << notes[i];
    return BE_OK;
}

/* The plan of a configuration; true if it can be made and is small enough. */
static bool make_plan(cudnn_choice *c, cudnn_handle handle, cudnn_descriptor config,
                      cudnn_descriptor device)
{
    int64_t bytes = 0, count = 0;
    be_error *err = NULL;
    cudnn_builder *b = &c->made;
    if (cudnn_make(b, DNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR, &c->plan, err) != BE_OK) return false;
    be_status status = SET_ALL(
        b, c->plan, "a plan", ONE(EXECUTION_PLAN_ENGINE_CONFIG, BACKEND_DESCRIPTOR, &config),
        {DNN_ATTR_EXECUTION_PLAN_HANDLE, DNN_TYPE_HANDLE, handle != NULL, &handle},
        {DNN_ATTR_EXECUTION_PLAN_DEVICEPROP, DNN_TYPE_BACKEND_DESCRIPTOR, device != NULL, &device});
    if (status == BE_OK &&
        b->math->dnn.get(c->plan, DNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE, DNN_TYPE_INT64, 1, &count,
                         &bytes) == DNN_STATUS_SUCCESS &&
        bytes >= 0 && (size_t)bytes <= c->graph.workspace_most) {
        c->workspace_bytes = (size_t)bytes;
        return true;
    }
    cudnn_drop(b);
    c->plan = NULL;
    return false;
}

/* The configurations that the heuristics of a mode give, best first. */
typedef struct configurations {
    cudnn_descriptor of[CUDNN_ANSWERS_MOST];
    int made;
    int64_t count;
} configurations;

static void free_configurations(const cuda_math *math, configurations *c)
{
    for (int i = 0; i < c->made; i++)
        if (c->of[i]) math->dnn.descriptor_free(c->of[i]);
}

static be_status ask(cudnn_builder *b, cudnn_descriptor graph, cudnn_descriptor device, int mode,
                     configurations *out, be_error *err)
{
    const cudnn_functions *dnn = &b->math->dnn;
    cudnn_descriptor heuristics;
    *out = (configurations){.made = 0};
    TRY(cudnn_make(b, DNN_BACKEND_ENGINEHEUR_DESCRIPTOR, &heuristics, err));
    TRY(SET_ALL(
        b, heuristics, "the heuristics",
        ONE(ENGINEHEUR_OPERATION_GRAPH, BACKEND_DESCRIPTOR, &graph),
        ONE(ENGINEHEUR_MODE, HEUR_MODE, &mode),
        {DNN_ATTR_ENGINEHEUR_DEVICEPROP, DNN_TYPE_BACKEND_DESCRIPTOR, device != NULL, &device}));
    cudnn_status status = DNN_STATUS_SUCCESS;
    while (out->made < CUDNN_ANSWERS_MOST && status == DNN_STATUS_SUCCESS) {
        status = dnn->descriptor_new(DNN_BACKEND_ENGINECFG_DESCRIPTOR, &out->of[out->made]);
        out->made += status == DNN_STATUS_SUCCESS;
    }
    if (status == DNN_STATUS_SUCCESS)
        status = dnn->get(heuristics, DNN_ATTR_ENGINEHEUR_RESULTS, DNN_TYPE_BACKEND_DESCRIPTOR,
                          CUDNN_ANSWERS_MOST, &out->count, out->of);
    if (status == DNN_STATUS_SUCCESS) return BE_OK;
    free_configurations(b->math, out);
    return cudnn_refuse(b->math, "its engines", status, err);
}

/* The first of them that is allowed and works, or the one `rank` behind it. */
static be_status take_first(cudnn_choice *c, cudnn_handle handle, configurations *from,
                            cudnn_descriptor device, be_error *err)
{
    for (int64_t i = 0; i < from->count && !c->plan; i++) {
        cudnn_answer answer;
        c->tried++;
        TRY(look_at_engine(&c->made, from->of[i], c->graph.precision, &answer, err));
        if (!answer.may_be_taken || !make_plan(c, handle, from->of[i], device)) continue;
        if (c->passed++ < c->rank) {
            cudnn_drop(&c->made);
            c->plan = NULL;
            continue;
        }
        c->engine = answer.engine;
        /* It lives as long as its plan. */
        MUST(c->made.count < CUDNN_DESCRIPTORS_MOST);
        c->made.owned[c->made.count++] = from->of[i];
        from->of[i] = NULL;
    }
    return BE_OK;
}

static be_status add_device(cudnn_builder *b, const char *text, cudnn_descriptor *out,
                            be_error *err)
{
    *out = NULL;
    if (!text) return BE_OK;
    TRY(cudnn_make(b, DNN_BACKEND_DEVICEPROP_DESCRIPTOR, out, err));
    return SET_ALL(
        b, *out, "the description of a device",
        {DNN_ATTR_DEVICEPROP_JSON_REPRESENTATION, DNN_TYPE_CHAR, (int64_t)strlen(text), text});
}

static be_status choose(cudnn_choice *c, const cudnn_place *place, be_error *err)
{
    static const int modes[] = {DNN_HEUR_MODE_A, DNN_HEUR_MODE_FALLBACK};
    const cuda_math *math = c->made.math;
    cudnn_descriptor graph, device;
    TRY(cudnn_build_graph(&c->made, &c->graph, place->handle, &graph, err));
    TRY(add_device(&c->made, place->device_text, &device, err));
    for (size_t m = 0; m < sizeof modes / sizeof *modes && !c->passed; m++) {
        configurations found;
        TRY(ask(&c->made, graph, device, modes[m], &found, err));
        be_status status = take_first(c, place->handle, &found, device, err);
        free_configurations(math, &found);
        if (status != BE_OK) return status;
    }
    if (!c->plan)
        FAIL(err, BE_UNAVAILABLE,
             "%s: none of the %d configurations for %s computes in %s%s and in a fixed order, and "
             "works",
             math->cudnn_title, c->tried, c->graph.what,
             c->graph.precision == BE_PRECISION_FP32 ? "true " : "",
             precision_name(c->graph.precision));
    return BE_OK;
}

/* ---------------------------------------------------------------- what is kept */

static bool same_tensor(const cudnn_tensor *a, const cudnn_tensor *b)
{
    return memcmp(a->dims, b->dims, sizeof a->dims) == 0 &&
           memcmp(a->strides, b->strides, sizeof a->strides) == 0 && a->type == b->type &&
           a->operand == b->operand && a->inner == b->inner && a->is_number == b->is_number &&
           memcmp(&a->number, &b->number, sizeof a->number) == 0;
}

static bool same_graph(const cudnn_graph *a, const cudnn_graph *b)
{
    if (a->precision != b->precision || a->workspace_most != b->workspace_most ||
        a->tensor_count != b->tensor_count || a->operation_count != b->operation_count ||
        memcmp(a->stride, b->stride, sizeof a->stride) != 0 ||
        memcmp(a->padding, b->padding, sizeof a->padding) != 0)
        return false;
    for (int t = 1; t <= a->tensor_count; t++)
        if (!same_tensor(&a->tensors[t], &b->tensors[t])) return false;
    /* Integers alone: nothing lies between them. */
    return memcmp(a->operations, b->operations,
                  (size_t)a->operation_count * sizeof *a->operations) == 0;
}

static cudnn_choice *find_kept(const cudnn_place *place, const cudnn_graph *graph)
{
    cudnn_choice *c = place->kept ? *place->kept : NULL;
    while (c && !(c->rank == place->rank && same_graph(&c->graph, graph))) c = c->next;
    return c;
}

static void choice_free(cudnn_choice *c)
{
    cudnn_drop_all(&c->made);
    memory_free(c);
}

static be_status choice_new(const cuda_math *math, const cudnn_place *place,
                            const cudnn_graph *graph, cudnn_choice **out, be_error *err)
{
    void *memory = NULL;
    TRY(memory_alloc(&memory, sizeof(cudnn_choice), "an engine of cuDNN", err));
    cudnn_choice *c = memory;
    *c = (cudnn_choice){.graph = *graph, .rank = place->rank, .made = {.math = math}};
    be_status status = choose(c, place, err);
    if (status != BE_OK) {
        choice_free(c);
        return status;
    }
    if (place->kept) {
        c->next = *place->kept;
        *place->kept = c;
    }
    *out = c;
    return BE_OK;
}

/* ---------------------------------------------------------------- the plan */

be_status cudnn_plan_new(const cuda_math *math, const cudnn_place *place, const cudnn_graph *graph,
                         cudnn_plan *out, be_error *err)
{
    *out = (cudnn_plan){.math = math, .place = *place, .pack = {.math = math}};
    cudnn_choice *choice = find_kept(place, graph);
    if (!choice) TRY(choice_new(math, place, graph, &choice, err));
    choice->users++;
    out->choice = choice;
    return BE_OK;
}

void cudnn_plan_free(cudnn_plan *plan)
{
    cudnn_choice *choice = plan->choice;
    plan->choice = NULL;
    cudnn_drop_all(&plan->pack);
    if (!choice || --choice->users > 0) return;
    cudnn_choice **at = plan->place.kept;
    while (at && *at != choice) at = &(*at)->next;
    if (at) *at = choice->next;
    choice_free(choice);
}

be_status cudnn_graph_check(const cuda_math *math, const cudnn_graph *graph, be_error *err)
{
    cudnn_builder b = {.math = math};
    cudnn_descriptor made;
    be_status status = cudnn_build_graph(&b, graph, NULL, &made, err);
    cudnn_drop_all(&b);
    return status;
}

static be_status ask_all(cudnn_builder *b, const cudnn_place *place, const cudnn_graph *graph,
                         cudnn_answer *answers, int *count, be_error *err)
{
    cudnn_descriptor made, device;
    configurations found;
    be_status status = BE_OK;
    TRY(cudnn_build_graph(b, graph, place->handle, &made, err));
    TRY(add_device(b, place->device_text, &device, err));
    TRY(ask(b, made, device, DNN_HEUR_MODE_A, &found, err));
    for (int64_t i = 0; i < found.count && status == BE_OK; i++) {
        int64_t got = 0;
        cudnn_answer *a = &answers[(*count)++];
        status = look_at_engine(b, found.of[i], graph->precision, a, err);
        if (b->math->dnn.get(found.of[i], DNN_ATTR_ENGINECFG_WORKSPACE_SIZE, DNN_TYPE_INT64, 1,
                             &got, &a->workspace_bytes) != DNN_STATUS_SUCCESS)
            a->workspace_bytes = -1;
    }
    free_configurations(b->math, &found);
    return status;
}

be_status cudnn_graph_ask(const cuda_math *math, const cudnn_place *place, const cudnn_graph *graph,
                          cudnn_answer *answers, int *count, be_error *err)
{
    cudnn_builder b = {.math = math};
    *count = 0;
    be_status status = ask_all(&b, place, graph, answers, count, err);
    cudnn_drop_all(&b);
    return status;
}

be_status cudnn_plan_bind(cudnn_plan *plan, const cuda_address *operands, cuda_address workspace,
                          be_error *err)
{
    int64_t ids[CUDNN_TENSORS_MOST], count = 0;
    void *pointers[CUDNN_TENSORS_MOST], *work = (void *)(uintptr_t)workspace;
    const cudnn_graph *g = &plan->choice->graph;
    cudnn_descriptor pack;
    for (int t = 1; t <= g->tensor_count; t++) {
        const cudnn_tensor *tensor = &g->tensors[t];
        if (tensor->inner) continue;
        ids[count] = t;
        pointers[count++] = tensor->is_number ? (void *)(uintptr_t)&tensor->number
                                              : (void *)(uintptr_t)operands[tensor->operand];
    }
    MUST(plan->pack.count == 0);
    TRY(cudnn_make(&plan->pack, DNN_BACKEND_VARIANT_PACK_DESCRIPTOR, &pack, err));
    return SET_ALL(&plan->pack, pack, "the addresses of a plan",
                   {DNN_ATTR_VARIANT_PACK_UNIQUE_IDS, DNN_TYPE_INT64, count, ids},
                   {DNN_ATTR_VARIANT_PACK_DATA_POINTERS, DNN_TYPE_VOID_PTR, count, pointers},
                   ONE(VARIANT_PACK_WORKSPACE, VOID_PTR, &work));
}

be_status cudnn_plan_start(const cudnn_plan *plan, be_error *err)
{
    cudnn_status status =
        plan->math->dnn.execute(plan->place.handle, plan->choice->plan, plan->pack.owned[0]);
    return status == DNN_STATUS_SUCCESS
               ? BE_OK
               : cudnn_refuse(plan->math, plan->choice->graph.what, status, err);
}
