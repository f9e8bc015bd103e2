/* The exponential with a limit. */
KERNEL limited_exp(ITEM_ARG ARG_IN(float, x), ARG_OUT(float, y), ARG_INT(count), ARG_FLOAT(limit))
{
    OPEN_IN(float, x);
    OPEN_OUT(float, y);
    EACH (i, count) y[i] = EXP(x[i] > limit ? limit : x[i]);
}

KERNEL limited_exp_backward(ITEM_ARG ARG_IN(float, x), ARG_IN(float, y), ARG_IN(float, dy),
                            ARG_OUT(float, dx), ARG_INT(count), ARG_FLOAT(limit))
{
    OPEN_IN(float, x);
    OPEN_IN(float, y);
    OPEN_IN(float, dy);
    OPEN_OUT(float, dx);
    EACH (i, count) dx[i] = x[i] > limit ? 0.0f : dy[i] * y[i];
}
