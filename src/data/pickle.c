/* Reading the pickles of CIFAR-10: a stack machine that knows data and no code. */
#include "data/pickle.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "core/memory.h"

#define STACK_MAX 4096 /* lists are written in pieces of 1,000 items */
#define ITEMS_MAX 64   /* in all tuples */
#define LISTS_MAX 8
#define MEMO_MAX 65536

typedef enum value_kind {
    VALUE_ABSENT, /* of the memo: not put */
    VALUE_MARK,
    VALUE_NONE,
    VALUE_BOOL,
    VALUE_NUMBER,
    VALUE_TEXT, /* text or bytes, in the file */
    VALUE_TUPLE,
    VALUE_LIST,
    VALUE_DICT,
    VALUE_RECONSTRUCT, /* numpy.core.multiarray._reconstruct */
    VALUE_NDARRAY,     /* numpy.ndarray, the class */
    VALUE_DTYPE,       /* numpy.dtype, the class */
    VALUE_BYTE_TYPE,   /* dtype("u1") */
    VALUE_ARRAY,
} value_kind;

typedef struct value {
    value_kind kind;
    int64_t number; /* of a number or bool; a tuple's first item; a list's index */
    const uint8_t *text;
    size_t count; /* bytes of a text, items of a tuple */
} value;

typedef struct machine {
    const char *name;
    const uint8_t *bytes;
    size_t size, at;
    value stack[STACK_MAX], items[ITEMS_MAX];
    int depth, item_count, list_count;
    value *memo;
    size_t memo_room, memo_count;
    struct {
        int32_t *numbers;
        size_t room, count;
        bool others; /* it has items that are no numbers */
    } lists[LISTS_MAX];
    bool has_array, array_built, has_data;
    int labels; /* the list, or -1 */
    pickle_batch batch;
} machine;

__attribute__((format(printf, 3, 4))) static be_status refuse(const machine *m, be_error *err,
                                                              const char *format, ...)
{
    char text[120];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    FAIL(err, BE_BAD_DATA,
         "%s: byte %zu: expected the pickle of a batch of CIFAR-10, found %s; only data is read "
         "from a pickle, nothing in it is run: 'breakeven data get cifar-10' fetches the binary "
         "files",
         m->name, m->at, text);
}

static be_status take(machine *m, size_t count, const uint8_t **out, be_error *err)
{
    if (count > m->size - m->at) return refuse(m, err, "the end of the file");
    *out = m->bytes + m->at;
    m->at += count;
    return BE_OK;
}

/* A little-endian number of `count` bytes. */
static be_status take_number(machine *m, size_t count, uint64_t *out, be_error *err)
{
    const uint8_t *bytes = NULL;
    TRY(take(m, count, &bytes, err));
    *out = 0;
    for (size_t i = 0; i < count; i++) *out |= (uint64_t)bytes[i] << (8 * i);
    return BE_OK;
}

static be_status push(machine *m, value v, be_error *err)
{
    if (m->depth == STACK_MAX) return refuse(m, err, "more than %d values at once", STACK_MAX);
    m->stack[m->depth++] = v;
    return BE_OK;
}

static be_status pop(machine *m, value *out, be_error *err)
{
    if (m->depth == 0) return refuse(m, err, "an opcode without its value");
    *out = m->stack[--m->depth];
    return BE_OK;
}

/* The number of values above the last mark, which is taken away; *first is the first of them. */
static be_status pop_to_mark(machine *m, int *first, int *count, be_error *err)
{
    int mark = m->depth - 1;
    while (mark >= 0 && m->stack[mark].kind != VALUE_MARK) mark--;
    if (mark < 0) return refuse(m, err, "an opcode without its mark");
    *first = mark + 1;
    *count = m->depth - mark - 1;
    m->depth = mark;
    return BE_OK;
}

static be_status push_text(machine *m, size_t length_bytes, be_error *err)
{
    uint64_t length = 0;
    value v = {.kind = VALUE_TEXT};
    TRY(take_number(m, length_bytes, &length, err));
    TRY(take(m, length, &v.text, err));
    v.count = length;
    return push(m, v, err);
}

static be_status push_number(machine *m, size_t bytes, be_error *err)
{
    uint64_t number = 0;
    TRY(take_number(m, bytes, &number, err));
    return push(m, (value){VALUE_NUMBER, bytes == 4 ? (int32_t)number : (int64_t)number, NULL, 0},
                err);
}

static bool is_text(const value *v, const char *text)
{
    return v->kind == VALUE_TEXT && v->count == strlen(text) &&
           memcmp(v->text, text, v->count) == 0;
}

/* "MODULE\nNAME\n": one of the three that such a file mentions. */
static be_status read_global(machine *m, be_error *err)
{
    static const struct {
        const char *text;
        value_kind kind;
    } names[] = {{"numpy.core.multiarray\n_reconstruct\n", VALUE_RECONSTRUCT},
                 {"numpy\nndarray\n", VALUE_NDARRAY},
                 {"numpy\ndtype\n", VALUE_DTYPE}};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        size_t length = strlen(names[i].text);
        if (length > m->size - m->at || memcmp(m->bytes + m->at, names[i].text, length) != 0)
            continue;
        m->at += length;
        return push(m, (value){.kind = names[i].kind}, err);
    }
    return refuse(m, err, "the name of something in Python");
}

/* The last `count` values, which were taken from the stack at `first`, as a tuple. */
static be_status push_tuple(machine *m, int first, int count, be_error *err)
{
    if (count > ITEMS_MAX - m->item_count)
        return refuse(m, err, "more than %d items in tuples", ITEMS_MAX);
    for (int i = 0; i < count; i++) m->items[m->item_count + i] = m->stack[first + i];
    value tuple = {VALUE_TUPLE, m->item_count, NULL, (size_t)count};
    m->item_count += count;
    return push(m, tuple, err);
}

static be_status short_tuple(machine *m, int count, be_error *err)
{
    if (m->depth < count) return refuse(m, err, "an opcode without its values");
    m->depth -= count;
    return push_tuple(m, m->depth, count, err);
}

static be_status append_items(machine *m, int first, int count, be_error *err)
{
    if (m->depth == 0 || m->stack[m->depth - 1].kind != VALUE_LIST)
        return refuse(m, err, "items for what is no list");
    int64_t index = m->stack[m->depth - 1].number;
    for (int i = 0; i < count; i++) {
        const value *v = &m->stack[first + i];
        void *numbers = m->lists[index].numbers;
        if (v->kind != VALUE_NUMBER || v->number < INT32_MIN || v->number > INT32_MAX) {
            m->lists[index].others = true;
            continue;
        }
        be_status status = memory_grow(&numbers, &m->lists[index].room, m->lists[index].count + 1,
                                       sizeof(int32_t), err);
        m->lists[index].numbers = numbers;
        TRY(status);
        m->lists[index].numbers[m->lists[index].count++] = (int32_t)v->number;
    }
    return BE_OK;
}

static be_status set_items(machine *m, int first, int count, be_error *err)
{
    if (m->depth == 0 || m->stack[m->depth - 1].kind != VALUE_DICT || count % 2)
        return refuse(m, err, "pairs for what is no dict");
    for (int i = first; i < first + count; i += 2) {
        const value *key = &m->stack[i], *v = &m->stack[i + 1];
        if (is_text(key, "labels") && v->kind == VALUE_LIST) m->labels = (int)v->number;
        if (is_text(key, "data") && v->kind == VALUE_ARRAY) m->has_data = true;
    }
    return BE_OK;
}

static be_status reduce(machine *m, be_error *err)
{
    value arguments = {0}, function = {0};
    TRY(pop(m, &arguments, err));
    TRY(pop(m, &function, err));
    if (arguments.kind != VALUE_TUPLE) return refuse(m, err, "a call without arguments");
    if (function.kind == VALUE_RECONSTRUCT && !m->has_array) {
        m->has_array = true;
        return push(m, (value){.kind = VALUE_ARRAY}, err);
    }
    if (function.kind == VALUE_DTYPE && arguments.count > 0 &&
        is_text(&m->items[arguments.number], "u1"))
        return push(m, (value){.kind = VALUE_BYTE_TYPE}, err);
    return refuse(m, err, "a call, or an array of something else than bytes");
}

/* The state of an array: version, shape, type, whether columns come first, bytes. */
static be_status build_array(machine *m, const value *state, be_error *err)
{
    const value *part = &m->items[state->number];
    if (state->count != 5 || part[1].kind != VALUE_TUPLE || part[1].count != 2 ||
        part[2].kind != VALUE_BYTE_TYPE || part[3].kind != VALUE_BOOL || part[3].number ||
        part[4].kind != VALUE_TEXT)
        return refuse(m, err, "an array that is not rows of bytes");
    const value *shape = &m->items[part[1].number];
    int64_t bytes = 0;
    if (shape[0].kind != VALUE_NUMBER || shape[1].kind != VALUE_NUMBER || shape[0].number < 0 ||
        shape[1].number < 1 || __builtin_mul_overflow(shape[0].number, shape[1].number, &bytes) ||
        (uint64_t)bytes != part[4].count)
        return refuse(m, err, "an array whose shape does not fit its %zu bytes", part[4].count);
    m->batch.rows = shape[0].number;
    m->batch.row_bytes = shape[1].number;
    m->batch.data = part[4].text;
    m->array_built = true;
    return BE_OK;
}

static be_status build(machine *m, be_error *err)
{
    value state = {0};
    TRY(pop(m, &state, err));
    value_kind kind = m->depth ? m->stack[m->depth - 1].kind : VALUE_ABSENT;
    if (state.kind != VALUE_TUPLE) return refuse(m, err, "a state that is no tuple");
    if (kind == VALUE_ARRAY) return build_array(m, &state, err);
    if (kind != VALUE_BYTE_TYPE) return refuse(m, err, "a state for something unknown");
    return BE_OK; /* its byte order, of which a byte has none */
}

static be_status put_memo(machine *m, uint64_t index, be_error *err)
{
    void *memo = m->memo;
    if (m->depth == 0 || index >= MEMO_MAX) return refuse(m, err, "nothing to remember");
    be_status status = memory_grow(&memo, &m->memo_room, index + 1, sizeof(value), err);
    m->memo = memo;
    TRY(status);
    for (; m->memo_count <= index; m->memo_count++) m->memo[m->memo_count] = (value){0};
    m->memo[index] = m->stack[m->depth - 1];
    return BE_OK;
}

static be_status memo(machine *m, size_t index_bytes, bool put, be_error *err)
{
    uint64_t index = 0;
    TRY(take_number(m, index_bytes, &index, err));
    if (put) return put_memo(m, index, err);
    if (index >= m->memo_count || m->memo[index].kind == VALUE_ABSENT)
        return refuse(m, err, "what was not remembered");
    return push(m, m->memo[index], err);
}

static be_status push_list(machine *m, be_error *err)
{
    if (m->list_count == LISTS_MAX) return refuse(m, err, "more than %d lists", LISTS_MAX);
    return push(m, (value){.kind = VALUE_LIST, .number = m->list_count++}, err);
}

/* Opcodes that gather values. */
static be_status gather(machine *m, uint8_t opcode, be_error *err)
{
    int first = m->depth - (opcode == 's' ? 2 : 1), count = opcode == 's' ? 2 : 1;
    if (opcode == 'a' || opcode == 's') {
        if (first < 0) return refuse(m, err, "an opcode without its values");
        m->depth = first;
    } else {
        TRY(pop_to_mark(m, &first, &count, err));
    }
    if (opcode == 'a' || opcode == 'e') return append_items(m, first, count, err);
    if (opcode == 's' || opcode == 'u') return set_items(m, first, count, err);
    return push_tuple(m, first, count, err);
}

static be_status step(machine *m, uint8_t opcode, be_error *err)
{
    uint64_t ignored;
    switch (opcode) {
    case 0x80:
        return take_number(m, 1, &ignored, err); /* the protocol */
    case '(':
        return push(m, (value){.kind = VALUE_MARK}, err);
    case 'N':
        return push(m, (value){.kind = VALUE_NONE}, err);
    case 0x88:
        return push(m, (value){.kind = VALUE_BOOL, .number = 1}, err);
    case 0x89:
        return push(m, (value){.kind = VALUE_BOOL}, err);
    case 'K':
        return push_number(m, 1, err);
    case 'M':
        return push_number(m, 2, err);
    case 'J':
        return push_number(m, 4, err);
    case 'U':
        return push_text(m, 1, err);
    case 'T':
        return push_text(m, 4, err);
    case '}':
        return push(m, (value){.kind = VALUE_DICT}, err);
    case ']':
        return push_list(m, err);
    case 0x85:
    case 0x86:
    case 0x87:
        return short_tuple(m, opcode - 0x84, err);
    case 't':
    case 'a':
    case 'e':
    case 's':
    case 'u':
        return gather(m, opcode, err);
    case 'q':
    case 'h':
        return memo(m, 1, opcode == 'q', err);
    case 'r':
    case 'j':
        return memo(m, 4, opcode == 'r', err);
    case 'c':
        return read_global(m, err);
    case 'R':
        return reduce(m, err);
    case 'b':
        return build(m, err);
    default:
        return refuse(m, err, "the opcode 0x%02x", opcode);
    }
}

static be_status finish(machine *m, be_error *err)
{
    if (m->at != m->size) return refuse(m, err, "more behind its end");
    if (m->depth != 1 || m->stack[0].kind != VALUE_DICT || m->labels < 0 || !m->has_data ||
        !m->array_built || m->lists[m->labels].others)
        return refuse(m, err, "no dict with whole numbers as \"labels\" and bytes as \"data\"");
    m->batch.label_count = (int64_t)m->lists[m->labels].count;
    m->batch.labels = m->lists[m->labels].numbers;
    m->lists[m->labels].numbers = NULL;
    return BE_OK;
}

be_status pickle_read_batch(const uint8_t *bytes, size_t size, const char *name, pickle_batch *out,
                            be_error *err)
{
    void *memory = NULL;
    const uint8_t *opcode = NULL;
    *out = (pickle_batch){0};
    TRY(memory_alloc(&memory, sizeof(machine), "the reader of a pickle", err));
    machine *m = memory;
    m->name = name;
    m->bytes = bytes;
    m->size = size;
    m->labels = -1;
    be_status status = BE_OK;
    do {
        status = take(m, 1, &opcode, err);
        if (status == BE_OK && *opcode != '.') status = step(m, *opcode, err);
    } while (status == BE_OK && *opcode != '.');
    if (status == BE_OK) status = finish(m, err);
    if (status == BE_OK) *out = m->batch;
    for (int i = 0; i < LISTS_MAX; i++) memory_free_array(m->lists[i].numbers);
    memory_free_array(m->memo);
    memory_free(m);
    return status;
}
