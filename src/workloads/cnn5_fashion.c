/* cnn5-fashion: five 3×3 convolutions and a global average pool. */
#include "workloads/workload.h"

static be_value conv_relu(be_graph *g, be_value x, const char *name, int channels)
{
    be_conv2d_options options = {.name = name, .channels = channels, .kernel = 3, .padding = 1};
    return be_relu(g, be_conv2d(g, x, &options));
}

static be_value cnn5_fashion_build(be_graph *g, be_value x, const workload_variant *v)
{
    x = be_max_pool2d(g, conv_relu(g, x, "conv1", 32 * v->width), 2);
    x = be_max_pool2d(g, conv_relu(g, x, "conv2", 64 * v->width), 2);
    x = conv_relu(g, x, "conv3", 96 * v->width);
    x = be_max_pool2d(g, conv_relu(g, x, "conv4", 128 * v->width), 2);
    x = conv_relu(g, x, "conv5", 256 * v->width);
    return be_linear(g, be_global_average_pool(g, x), "fc1", 10);
}

const workload workload_cnn5_fashion = {
    .name = "cnn5-fashion",
    .summary = "five 3x3 convolutions of 32 to 256 channels on Fashion-MNIST",
    .dataset = "fashion-mnist",
    .channels = 1,
    .height = 28,
    .width = 28,
    .classes = 10,
    .parameters = 482666,
    .batch = 100,
    .epochs = 10,
    .optimizer = {.kind = BE_ADAM, .learning_rate = 1e-3},
    .own = {.width = 1, .size = 28},
    .gate = {.batch = 8, .steps = 3, .most = {.width = 4, .size = 64}},
    .build = cnn5_fashion_build};
