/* A network of one's own in under 60 lines: three intertwined spirals, told apart by two hidden
 * layers. Prints the loss and the accuracy. Build, once breakeven is installed ('ninja install'):
 *   cc spirals.c -o spirals $(pkg-config --cflags --libs breakeven) */
#include <breakeven/breakeven.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
enum { BATCH = 300, CLASSES = 3 };

static void draw_batch(float x[BATCH][2], int32_t target[BATCH])
{
    for (int i = 0; i < BATCH; i++) {
        float radius = (float)(rand() % 1000) / 1000, noise = (float)(rand() % 1000) / 5000;
        target[i] = i % CLASSES;
        float angle = 4.0f * radius + 2.0944f * (float)target[i] + noise;
        x[i][0] = radius * sinf(angle);
        x[i][1] = radius * cosf(angle);
    }
}

static be_status train(be_graph *g, be_device *device, be_error *err)
{
    be_value x = be_input(g, "x", (be_shape){BE_F32, 2, {BATCH, 2}});
    be_value target = be_input(g, "target", (be_shape){BE_I32, 1, {BATCH}});
    be_value h = be_relu(g, be_linear(g, x, &(be_linear_options){"hidden1", .features = 64}));
    h = be_relu(g, be_linear(g, h, &(be_linear_options){"hidden2", .features = 64}));
    be_value y = be_linear(g, h, &(be_linear_options){"output", .features = CLASSES});
    be_value loss = be_softmax_cross_entropy(g, y, target);
    be_graph_minimize(g, loss, &(be_optimizer){.kind = BE_ADAM, .learning_rate = 0.005});
    be_plan *plan;
    be_status status = be_plan_new(g, device, &(be_plan_options){.mode = BE_TRAIN}, &plan, err);
    float points[BATCH][2], loss_now;
    int32_t classes[BATCH], correct;
    for (int step = 1; status == BE_OK && step <= 1500; step++) {
        draw_batch(points, classes);
        status = be_plan_write(plan, x, points, sizeof points, err);
        if (status == BE_OK) status = be_plan_write(plan, target, classes, sizeof classes, err);
        if (status == BE_OK) status = be_plan_run(plan, 1, err);
        if (status == BE_OK) status = be_plan_losses(plan, 1, &loss_now, &correct, err);
        if (status == BE_OK && step % 300 == 0)
            printf("step %4d  loss %.4f  accuracy %.1f%%\n", step, (double)loss_now,
                   100.0 * correct / BATCH);
    }
    be_plan_free(plan);
    return status;
}

int main(void)
{
    be_device *device = NULL;
    be_graph *g = be_graph_new(1);
    be_error err;
    be_status status = be_device_open("cpu", NULL, &device, &err);
    if (status == BE_OK) status = train(g, device, &err);
    if (status != BE_OK) fprintf(stderr, "spirals: %s\n", err.text);
    be_device_close(device);
    be_graph_free(g);
    return be_status_exit_code(status);
}
