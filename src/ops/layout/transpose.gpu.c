/* Transposing: a group and round moves a tile of TILE × TILE (the host side says TILE) through
 * local memory, so that rows are read and columns written side by side. */
PARAMETERS(TILE)

#define PADDED (TILE + 1) /* so that a column of the tile lies in different banks */

KERNEL transpose(ITEM_ARG ARG_IN(float, x), ARG_OUT(float, y), ARG_INT(rows), ARG_INT(columns),
                 ARG_INT(count))
{
    OPEN_IN(float, x);
    OPEN_OUT(float, y);
    LOCAL_ARRAY(float, tile, TILE *PADDED);
    int wide = (columns + TILE - 1) / TILE, tiles = (rows + TILE - 1) / TILE * wide;
    for (int job = GROUP_ID; job < count * tiles; job += NUM_GROUPS) {
        int row = job % tiles / wide * TILE, column = job % wide * TILE;
        i64 matrix = (i64)(job / tiles) * rows * columns;
        UNROLL_4 for (int i = LOCAL_ID; i < TILE * TILE; i += GROUP)
        {
            int r = i / TILE, c = i % TILE;
            if (row + r < rows && column + c < columns)
                tile[r * PADDED + c] = x[matrix + (i64)(row + r) * columns + column + c];
        }
        BARRIER();
        for (int i = LOCAL_ID; i < TILE * TILE; i += GROUP) {
            int r = i % TILE, c = i / TILE;
            if (row + r < rows && column + c < columns)
                y[matrix + (i64)(column + c) * rows + row + r] = tile[r * PADDED + c];
        }
        BARRIER();
    }
}
