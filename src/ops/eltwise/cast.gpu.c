/* Conversion of types: y = x, rounded where y has fewer digits. */
KERNEL cast_each(ITEM_ARG ARG_IN(IN0_T, x), ARG_OUT(OUT0_T, y), ARG_INT(count))
{
    OPEN_IN(IN0_T, x);
    OPEN_OUT(OUT0_T, y);
    EACH (i, count) STORE(OUT0, y, i, LOAD(IN0, x, i));
}

/* Both lie at 16 bytes; the last few one by one. */
KERNEL cast_eights(ITEM_ARG ARG_IN(IN0_T, x), ARG_OUT(OUT0_T, y), ARG_INT(count))
{
    OPEN_IN(IN0_T, x);
    OPEN_OUT(OUT0_T, y);
    EACH (k, ((u32)count + 7u) / 8u) {
        u32 from = k * 8u;
        if (from + 8u <= (u32)count) {
            float v[8];
            LOAD_8(IN0, v, x, from);
            STORE_8(OUT0, y, from, v);
        } else {
            for (u32 i = from; i < (u32)count; i++) STORE(OUT0, y, i, LOAD(IN0, x, i));
        }
    }
}

/* Images [N, channels, pixels] -> [N, pixels, channels]: an element of y an item. */
KERNEL cast_last(ITEM_ARG ARG_IN(IN0_T, x), ARG_OUT(OUT0_T, y), ARG_INT(count), ARG_INT(channels),
                 ARG_INT(pixels))
{
    OPEN_IN(IN0_T, x);
    OPEN_OUT(OUT0_T, y);
    u32 rows = (u32)pixels, columns = (u32)channels;
    EACH (i, count) {
        u32 column = i % columns, row = i / columns % rows, image = i / (columns * rows);
        STORE(OUT0, y, i, LOAD(IN0, x, (image * columns + column) * rows + row));
    }
}
