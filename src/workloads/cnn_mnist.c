/* cnn-mnist: the two-convolution network with dropout that ships with PyTorch's examples. */
#include "workloads/workload.h"

static be_value cnn_mnist_build(be_graph *g, be_value x, const workload_variant *v)
{
    x = be_relu(
        g, be_conv2d(g, x, &(be_conv2d_options){"conv1", .channels = 32 * v->width, .kernel = 3}));
    x = be_relu(
        g, be_conv2d(g, x, &(be_conv2d_options){"conv2", .channels = 64 * v->width, .kernel = 3}));
    x = be_dropout(g, be_max_pool2d(g, x, 2), 0.25f);
    x = be_dropout(g, be_relu(g, be_linear(g, x, "fc1", 128 * v->width)), 0.5f);
    return be_linear(g, x, "fc2", 10);
}

const workload workload_cnn_mnist = {
    .name = "cnn-mnist",
    .summary = "two 3x3 convolutions of 32 and 64 channels and dropout on MNIST",
    .dataset = "mnist",
    .channels = 1,
    .height = 28,
    .width = 28,
    .classes = 10,
    .parameters = 1199882,
    .batch = 64,
    .epochs = 3,
    .optimizer = {.kind = BE_SGD, .learning_rate = 0.01, .momentum = 0.9},
    .own = {.width = 1, .size = 28},
    .gate = {.batch = 8, .steps = 3, .most = {.width = 4, .size = 64}},
    .build = cnn_mnist_build};
