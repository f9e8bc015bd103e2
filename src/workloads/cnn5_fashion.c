/* cnn5-fashion: five 3×3 convolutions and a global average pool. */
#include "workloads/pictures.h"

static be_value conv_relu(be_graph *g, be_value x, const char *name, int channels)
{
    be_conv2d_options options = {.name = name, .channels = channels, .kernel = 3, .padding = 1};
    return be_relu(g, be_conv2d(g, x, &options));
}

static void cnn5_fashion_form(const workload_variant *v, data_table *out)
{
    pictures_form(out, 1, v->size, 10);
}

static void cnn5_fashion_build(be_graph *g, const be_value *fields, const workload_variant *v,
                               workload_outputs *out)
{
    be_value x = fields[PICTURES_IMAGES];
    x = be_max_pool2d(g, conv_relu(g, x, "conv1", 32 * v->width), &(be_pool2d_options){.size = 2});
    x = be_max_pool2d(g, conv_relu(g, x, "conv2", 64 * v->width), &(be_pool2d_options){.size = 2});
    x = conv_relu(g, x, "conv3", 96 * v->width);
    x = be_max_pool2d(g, conv_relu(g, x, "conv4", 128 * v->width), &(be_pool2d_options){.size = 2});
    x = conv_relu(g, x, "conv5", 256 * v->width);
    pictures_classify(
        g, be_linear(g, be_global_average_pool(g, x), &(be_linear_options){"fc1", .features = 10}),
        fields, out);
}

const workload workload_cnn5_fashion = {
    .name = "cnn5-fashion",
    .summary = "five 3x3 convolutions of 32 to 256 channels on Fashion-MNIST",
    .dataset = "fashion-mnist",
    .form = cnn5_fashion_form,
    .fit = pictures_fit,
    .data = pictures_data,
    .parameters = 482666,
    .batch = 100,
    .epochs = 10,
    .optimizer = {.kind = BE_ADAM, .learning_rate = 1e-3},
    .own = {.width = 1, .size = 28},
    .gate = {.batch = 8, .steps = 3, .most = {.width = 4, .size = 64}},
    .build = cnn5_fashion_build};
