/* A view that is a copy: elements of four bytes, whatever they are. */
KERNEL view(ITEM_ARG ARG_IN(u32, x), ARG_OUT(u32, y), ARG_INT(count))
{
    OPEN_IN(u32, x);
    OPEN_OUT(u32, y);
    EACH (i, count) y[i] = x[i];
}
