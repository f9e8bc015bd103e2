/* cnn-fashion: the 37,250-parameter network of a published CPU-and-GPU comparison. */
#include "workloads/workload.h"

static be_value cnn_fashion_build(be_graph *g, be_value x, const workload_variant *v)
{
    x = be_relu(
        g, be_conv2d(g, x, &(be_conv2d_options){"conv1", .channels = 16 * v->width, .kernel = 3}));
    x = be_max_pool2d(g, x, 2);
    x = be_relu(
        g, be_conv2d(g, x, &(be_conv2d_options){"conv2", .channels = 32 * v->width, .kernel = 3}));
    x = be_max_pool2d(g, x, 2);
    x = be_relu(g, be_linear(g, x, "fc1", 40 * v->width));
    return be_linear(g, x, "fc2", 10);
}

const workload workload_cnn_fashion = {
    .name = "cnn-fashion",
    .summary = "two 3x3 convolutions of 16 and 32 channels on Fashion-MNIST",
    .dataset = "fashion-mnist",
    .channels = 1,
    .height = 28,
    .width = 28,
    .classes = 10,
    .parameters = 37250,
    .batch = 100,
    .epochs = 10,
    .optimizer = {.kind = BE_ADAM, .learning_rate = 1e-3},
    .own = {.width = 1, .size = 28},
    .gate = {.batch = 8, .steps = 3, .most = {.width = 4, .size = 64}},
    .build = cnn_fashion_build};
