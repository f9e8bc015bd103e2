/* Images [N, CHANNELS, PIXELS] with the channels last, [N, PIXELS, CHANNELS], and back: an element
 * of y an item. */
KERNEL reorder(ITEM_ARG ARG_IN(IN0_T, x), ARG_OUT(OUT0_T, y), ARG_INT(count), ARG_INT(inner),
               ARG_INT(outer))
{
    OPEN_IN(IN0_T, x);
    OPEN_OUT(OUT0_T, y);
    u32 rows = (u32)outer, columns = (u32)inner;
    EACH (i, count) {
        u32 column = i % columns, row = i / columns % rows, image = i / (columns * rows);
        y[i] = x[(image * columns + column) * rows + row];
    }
}

/* Rows of `columns` elements, x_pitch apart in x and y_pitch in y. */
KERNEL reorder_rows(ITEM_ARG ARG_IN(IN0_T, x), ARG_OUT(OUT0_T, y), ARG_INT(count), ARG_INT(columns),
                    ARG_INT(x_pitch), ARG_INT(y_pitch))
{
    OPEN_IN(IN0_T, x);
    OPEN_OUT(OUT0_T, y);
    EACH (i, count) {
        u32 row = i / (u32)columns, column = i % (u32)columns;
        y[row * (u32)y_pitch + column] = x[row * (u32)x_pitch + column];
    }
}
