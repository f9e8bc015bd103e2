/* Rows of `columns` elements of type X_T, x_pitch apart in x and y_pitch in y. */
PARAMETERS(X_T)

KERNEL pitch_rows(ITEM_ARG ARG_IN(X_T, x), ARG_OUT(X_T, y), ARG_INT(count), ARG_INT(columns),
                  ARG_INT(x_pitch), ARG_INT(y_pitch))
{
    OPEN_IN(X_T, x);
    OPEN_OUT(X_T, y);
    EACH (i, count) {
        u32 row = i / (u32)columns, column = i % (u32)columns;
        y[row * (u32)y_pitch + column] = x[row * (u32)x_pitch + column];
    }
}
