/* Dropout: the mask of four elements follows from one block of Philox4x32-10 (core/rng.c), so an
 * item takes four elements.  `rank`, `turns`, `before`, `each`, `threshold`: dropout.h; the first
 * block of a part may begin with elements of another one, which are skipped. */
PARAMETERS(STREAM)

KERNEL dropout(ITEM_ARG ARG_IN(IN0_T, x), ARG_IN(int, clock), ARG_OUT(OUT0_T, y), ARG_INT(count),
               ARG_INT(seed_low), ARG_INT(seed_high), ARG_INT(salt), ARG_INT(threshold),
               ARG_INT(rank), ARG_INT(turns), ARG_INT(before), ARG_INT(each), ARG_FLOAT(scale))
{
    OPEN_IN(IN0_T, x);
    OPEN_IN(int, clock);
    OPEN_OUT(OUT0_T, y);
    u32 t = (u32)clock[0] / (u32)turns, turn = (u32)clock[0] % (u32)turns, size = (u32)count;
    i64 first = each ? (i64)(count / each) * before : ((i64)rank * turns + turn) * count;
    u32 first_quad = (u32)(first / 4), skipped = (u32)(first % 4);
    EACH (quad, (size + skipped + 3u) / 4u) {
        u32 c[4], k0 = (u32)seed_low, k1 = (u32)seed_high;
        c[0] = first_quad + quad;
        c[1] = t;
        c[2] = (u32)salt;
        c[3] = STREAM;
        for (int round = 0; round < 10; round++) {
            u32 high0 = MULTIPLY_HIGH(0xD2511F53u, c[0]), low0 = 0xD2511F53u * c[0];
            u32 high1 = MULTIPLY_HIGH(0xCD9E8D57u, c[2]), low1 = 0xCD9E8D57u * c[2];
            c[0] = high1 ^ c[1] ^ k0;
            c[1] = low1;
            c[2] = high0 ^ c[3] ^ k1;
            c[3] = low0;
            k0 += 0x9E3779B9u;
            k1 += 0xBB67AE85u;
        }
        UNROLL for (u32 j = 0; j < 4u; j++)
        {
            u32 i = quad * 4u + j - skipped; /* below 0 it is beyond any size */
            int is_kept = (c[j] >> 8) >= (u32)threshold;
            if (i < size) STORE(OUT0, y, i, is_kept ? LOAD(IN0, x, i) * scale : 0.0f);
        }
    }
}
