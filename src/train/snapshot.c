/* Snapshots of a plan: the number of steps, then weights and states one behind the other. */
#include "train/snapshot.h"

#include <string.h>

#include "graph/graph.h"
#include "graph/plan.h"
#include "train/weights.h"

static be_parameter tensor_at(const be_plan *plan, int index)
{
    int weights = weights_count(plan);
    return index < weights ? weights_at(plan, index) : be_plan_slot(plan, index - weights);
}

static int tensor_count(const be_plan *plan)
{
    return weights_count(plan) + be_plan_slot_count(plan);
}

static size_t tensor_bytes(const be_parameter *tensor)
{
    return (size_t)shape_elements(&tensor->shape) * sizeof(float);
}

be_status snapshot_new(void **out, const be_plan *plan, be_error *err)
{
    size_t bytes = sizeof(int64_t);
    for (int i = 0; i < tensor_count(plan); i++) {
        be_parameter tensor = tensor_at(plan, i);
        bytes += tensor_bytes(&tensor);
    }
    return memory_alloc(out, bytes, "a copy of the weights", err);
}

be_status snapshot_take(void *snapshot, be_plan *plan, be_error *err)
{
    char *at = (char *)snapshot + sizeof(int64_t);
    TRY(be_plan_steps(plan, snapshot, err));
    for (int i = 0; i < tensor_count(plan); i++) {
        be_parameter tensor = tensor_at(plan, i);
        TRY(be_plan_read(plan, tensor.value, at, tensor_bytes(&tensor), err));
        at += tensor_bytes(&tensor);
    }
    return BE_OK;
}

be_status snapshot_restore(const void *snapshot, be_plan *plan, be_error *err)
{
    const char *at = (const char *)snapshot + sizeof(int64_t);
    int64_t steps = 0;
    memcpy(&steps, snapshot, sizeof steps);
    for (int i = 0; i < tensor_count(plan); i++) {
        be_parameter tensor = tensor_at(plan, i);
        TRY(be_plan_write(plan, tensor.value, at, tensor_bytes(&tensor), err));
        at += tensor_bytes(&tensor);
    }
    return be_plan_set_steps(plan, steps, err);
}

be_status snapshot_restart(be_plan *plan, be_error *err)
{
    size_t largest = 0;
    void *zeros = NULL;
    for (int i = 0; i < be_plan_slot_count(plan); i++) {
        be_parameter slot = be_plan_slot(plan, i);
        if (tensor_bytes(&slot) > largest) largest = tensor_bytes(&slot);
    }
    TRY(memory_alloc(&zeros, largest, "states as they begin", err));
    be_status status = plan_draw(plan, err);
    for (int i = 0; status == BE_OK && i < be_plan_slot_count(plan); i++) {
        be_parameter slot = be_plan_slot(plan, i);
        status = be_plan_write(plan, slot.value, zeros, tensor_bytes(&slot), err);
    }
    memory_free(zeros);
    return status == BE_OK ? be_plan_set_steps(plan, 0, err) : status;
}
