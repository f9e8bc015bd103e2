/* y = x, bf16 numbers as floats, for a library that multiplies nothing narrower. */
KERNEL conv2d_widen(ITEM_ARG ARG_IN(bf16, x), ARG_OUT(float, y), ARG_INT(count))
{
    OPEN_IN(bf16, x);
    OPEN_OUT(float, y);
    EACH (i, count) y[i] = LOAD_BF16(x, i);
}
