/* cnn-fashion: the 37,250-parameter network of a published CPU-and-GPU comparison. */
#include "workloads/pictures.h"

static void cnn_fashion_form(const workload_variant *v, data_table *out)
{
    pictures_form(out, 1, v->size, 10);
}

static void cnn_fashion_build(be_graph *g, const be_value *fields, const workload_variant *v,
                              workload_outputs *out)
{
    be_value x = fields[PICTURES_IMAGES];
    x = be_relu(
        g, be_conv2d(g, x, &(be_conv2d_options){"conv1", .channels = 16 * v->width, .kernel = 3}));
    x = be_max_pool2d(g, x, &(be_pool2d_options){.size = 2});
    x = be_relu(
        g, be_conv2d(g, x, &(be_conv2d_options){"conv2", .channels = 32 * v->width, .kernel = 3}));
    x = be_max_pool2d(g, x, &(be_pool2d_options){.size = 2});
    x = be_relu(
        g, be_linear(g, be_flatten(g, x), &(be_linear_options){"fc1", .features = 40 * v->width}));
    pictures_classify(g, be_linear(g, x, &(be_linear_options){"fc2", .features = 10}), fields, out);
}

const workload workload_cnn_fashion = {
    .name = "cnn-fashion",
    .summary = "two 3x3 convolutions of 16 and 32 channels on Fashion-MNIST",
    .dataset = "fashion-mnist",
    .form = cnn_fashion_form,
    .fit = pictures_fit,
    .data = pictures_data,
    .parameters = 37250,
    .batch = 100,
    .epochs = 10,
    .optimizer = {.kind = BE_ADAM, .learning_rate = 1e-3},
    .own = {.width = 1, .size = 28},
    .gate = {.batch = 8, .steps = 3, .most = {.width = 4, .size = 64}},
    .build = cnn_fashion_build};
