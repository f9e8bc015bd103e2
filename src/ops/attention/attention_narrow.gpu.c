/* What stands around an attention that reads and writes bf16 alone, which a library has: the
 * lengths as it wants them, its results as floats, and 0 for what it does not promise to write: of
 * a sample without keys everything, and of the others the gradients of keys beyond the length. */
PARAMETERS(HAS_LENGTHS)

#define WIDE_TYPE F32
#define NARROW_TYPE BF16

/* The keys of a sample. */
DEVICE int length_of(GLOBAL const int *lengths, int sample, int keys)
{
#if HAS_LENGTHS
    int length = lengths[sample];
    return length < 0 ? 0 : length > keys ? keys : length;
#else
    return keys;
#endif
}

/* Every sample has all queries; one without keys is given one. */
KERNEL attention_lengths(ITEM_ARG ARG_IN(int, lengths), ARG_OUT(int, of_queries),
                         ARG_OUT(int, of_keys), ARG_INT(samples), ARG_INT(queries), ARG_INT(keys))
{
    OPEN_IN(int, lengths);
    OPEN_OUT(int, of_queries);
    OPEN_OUT(int, of_keys);
    EACH (b, samples) {
        int length = length_of(lengths, (int)b, keys);
        of_queries[b] = queries;
        of_keys[b] = length < 1 ? 1 : length;
    }
}

KERNEL attention_narrow(ITEM_ARG ARG_IN(float, x), ARG_OUT(bf16, y), ARG_INT(eights))
{
    OPEN_IN(float, x);
    OPEN_OUT(bf16, y);
    EACH (k, eights) {
        float v[8];
        LOAD_8(WIDE, v, x, 8u * k);
        STORE_8(NARROW, y, 8u * k, v);
    }
}

/* Rows of tokens, whose first columns belong to queries and the others to keys. */
KERNEL attention_widen(ITEM_ARG ARG_IN(bf16, x), ARG_IN(int, lengths), ARG_OUT(float, y),
                       ARG_INT(eights), ARG_INT(tokens), ARG_INT(row), ARG_INT(of_queries),
                       ARG_INT(keys))
{
    OPEN_IN(bf16, x);
    OPEN_IN(int, lengths);
    OPEN_OUT(float, y);
    EACH (k, eights) {
        float v[8];
        int token = (int)(8u * k) / row, column = (int)(8u * k) % row;
        int length = length_of(lengths, token / tokens, keys);
        LOAD_8(NARROW, v, x, 8u * k);
        if (length <= (column < of_queries ? 0 : token % tokens))
            for (int i = 0; i < 8; i++) v[i] = 0.0f;
        STORE_8(WIDE, y, 8u * k, v);
    }
}

/* The same where these rows are to stay bf16: nothing is read, and of most rows nothing written. */
KERNEL attention_zero(ITEM_ARG ARG_IN(int, lengths), ARG_OUT(bf16, y), ARG_INT(rows),
                      ARG_INT(tokens), ARG_INT(row), ARG_INT(of_queries), ARG_INT(keys))
{
    OPEN_IN(int, lengths);
    OPEN_OUT(bf16, y);
    for (int r = GROUP_ID; r < rows; r += NUM_GROUPS) {
        int length = length_of(lengths, r / tokens, keys);
        int first = length == 0 ? 0 : r % tokens < length ? row : of_queries;
        for (int column = first + 8 * LOCAL_ID; column < row; column += 8 * LOCAL_SIZE) {
            float v[8];
            for (int i = 0; i < 8; i++) v[i] = 0.0f;
            STORE_8(NARROW, y, r * row + column, v);
        }
    }
}

/* What a sample without keys has: y is 0, if it is here, and the log-sum-exp over no key is 0, as
 * attention.c says. */
KERNEL attention_no_keys(ITEM_ARG ARG_IN(int, lengths), ARG_OUT(bf16, y), ARG_OUT(float, lse),
                         ARG_INT(samples), ARG_INT(y_count), ARG_INT(lse_count), ARG_INT(keys))
{
    OPEN_IN(int, lengths);
    OPEN_OUT(bf16, y);
    OPEN_OUT(float, lse);
    for (int b = GROUP_ID; b < samples; b += NUM_GROUPS) {
        if (length_of(lengths, b, keys) > 0) continue;
        for (int k = 8 * LOCAL_ID; k < y_count; k += 8 * LOCAL_SIZE) {
            float v[8];
            for (int i = 0; i < 8; i++) v[i] = 0.0f;
            STORE_8(NARROW, y, b * y_count + k, v);
        }
        for (int k = LOCAL_ID; k < lse_count; k += LOCAL_SIZE) lse[b * lse_count + k] = 0.0f;
    }
}
