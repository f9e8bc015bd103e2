/* mlp-mnist: 784 → 128 → 64 → 10 with ReLU. */
#include "workloads/workload.h"

static be_value mlp_mnist_build(be_graph *g, be_value x, const workload_variant *v)
{
    x = be_relu(g, be_linear(g, x, "fc1", 128 * v->width));
    x = be_relu(g, be_linear(g, x, "fc2", 64 * v->width));
    return be_linear(g, x, "fc3", 10);
}

const workload workload_mlp_mnist = {
    .name = "mlp-mnist",
    .summary = "three linear layers on MNIST",
    .dataset = "mnist",
    .channels = 1,
    .height = 28,
    .width = 28,
    .classes = 10,
    .parameters = 109386,
    .batch = 64,
    .epochs = 5,
    .optimizer = {.kind = BE_SGD, .learning_rate = 0.01, .momentum = 0.9},
    .own = {.width = 1, .size = 28},
    .gate = {.batch = 8, .steps = 3, .most = {.width = 4, .size = 64}},
    .build = mlp_mnist_build};
