/* Activations by formula: F and DF name those of activation_list.gpu.c, which stands in front. */
KERNEL activation(ITEM_ARG ARG_IN(float, x), ARG_OUT(float, y), ARG_INT(count))
{
    OPEN_IN(float, x);
    OPEN_OUT(float, y);
    EACH (i, count) y[i] = F(x[i]);
}

KERNEL activation_backward(ITEM_ARG ARG_IN(float, x), ARG_IN(float, dy), ARG_OUT(float, dx),
                           ARG_INT(count))
{
    OPEN_IN(float, x);
    OPEN_IN(float, dy);
    OPEN_OUT(float, dx);
    EACH (i, count) dx[i] = dy[i] * DF(x[i]);
}
