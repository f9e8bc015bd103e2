/* Rows of WIDTH elements by words: of eight elements where WIDTH divides by 8, which are moved as
 * vectors, else of one.  Compiled in front of kernels that use them; rows lie at 16 bytes. */
PARAMETERS(WIDTH)

#if WIDTH % 8 == 0
#define WORD 8
#define LOAD_WORD(operand, v, p, i) LOAD_8(operand, v, p, i)
#define STORE_WORD(operand, p, i, v) STORE_8(operand, p, i, v)
#else
#define WORD 1
#define LOAD_WORD(operand, v, p, i) (v)[0] = LOAD(operand, p, i)
#define STORE_WORD(operand, p, i, v) STORE(operand, p, i, (v)[0])
#endif
#define ROW_WORDS (WIDTH / WORD)
#define WIDE_TYPE F32
