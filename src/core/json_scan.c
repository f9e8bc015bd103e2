/* See json_scan.h. */
#include "core/json_scan.h"

#include <string.h>

#include "core/text.h"

#define DEPTH_MOST 24
#define NAMES_MOST 512 /* of the objects that a value stands in, together */
#define PATH_BYTES 512
#define DIGITS_MOST 18                /* of a number: they fit an int64_t */
#define EXACT_MOST (INT64_C(1) << 53) /* whole numbers up to here are exact in a double */
#define POWER_MOST 22                 /* and so are the powers of ten up to this one */

#define HASH_START UINT64_C(0xcbf29ce484222325) /* FNV-1a, 64 bits */
#define HASH_FACTOR UINT64_C(0x100000001b3)

typedef struct name {
    const char *text;
    uint64_t hash; /* of the path that ends with it */
} name;

typedef struct scanner {
    char *at, *end; /* a zero byte stands at the end */
    json_scan_take *take;
    void *context;
    int depth, name_count;
    size_t path_length;
    char path[PATH_BYTES];
    name names[NAMES_MOST];
} scanner;

json_scalar json_scalar_of(const json_t *value)
{
    return (json_scalar){.type = value ? json_typeof(value) : JSON_NULL,
                         .text = json_string_value(value),
                         .real = json_number_value(value),
                         .integer = json_integer_value(value),
                         .json = value};
}

static uint64_t fold(uint64_t hash, const char *text)
{
    for (; *text; text++) hash = (hash ^ (unsigned char)*text) * HASH_FACTOR;
    return hash;
}

uint64_t json_path_hash(const char *path)
{
    return fold(HASH_START, path);
}

static bool take_byte(scanner *s, char byte)
{
    bool is_there = *s->at == byte;
    s->at += is_there;
    return is_there;
}

/* ---------------------------------------------------------------- strings */

static char unescaped(char letter)
{
    static const char letters[] = "\"\\/bfnrt", bytes[] = "\"\\/\b\f\n\r\t";
    const char *place = letter ? strchr(letters, letter) : NULL;
    return place ? bytes[place - letters] : 0;
}

/* Behind its first quote; it moves down as its escapes go. */
static bool scan_string(scanner *s, const char **out)
{
    char *to = s->at;
    *out = to;
    while (*s->at != '"') {
        unsigned char byte = (unsigned char)*s->at;
        size_t count = 1;
        if (byte < 0x20) return false;
        if (byte == '\\') {
            *to = unescaped(*++s->at);
            if (!*to++) return false;
            s->at++;
            continue;
        }
        if (byte >= 0x80) count = text_character(s->at, (size_t)(s->end - s->at));
        if (!count) return false;
        while (count--) *to++ = *s->at++;
    }
    s->at++;
    *to = 0;
    return true;
}

/* ---------------------------------------------------------------- numbers */

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* Digits behind those of *value; their number, or -1 for none or too many. */
static int scan_digits(scanner *s, int64_t *value, int before)
{
    int count = 0;
    for (; is_digit(*s->at); s->at++, count++) {
        if (before + count == DIGITS_MOST) return -1;
        *value = *value * 10 + (*s->at - '0');
    }
    return count ? count : -1;
}

/* The power of ten behind an "e". */
static bool scan_power(scanner *s, int *power)
{
    int64_t value = 0;
    bool minus = *s->at == '-';
    if (minus || *s->at == '+') s->at++;
    int count = scan_digits(s, &value, 0);
    *power += (int)(minus ? -value : value);
    return count > 0 && count < 4;
}

/* A product or a quotient of two exact numbers is rounded once, as the number itself would be. */
static bool make_real(int64_t digits, int power, double *out)
{
    static const double powers[POWER_MOST + 1] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                                  1e8,  1e9,  1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
                                                  1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
    if (digits > EXACT_MOST || power > POWER_MOST || power < -POWER_MOST) return false;
    *out = power < 0 ? (double)digits / powers[-power] : (double)digits * powers[power];
    return true;
}

static bool scan_number(scanner *s, json_scalar *out)
{
    int64_t value = 0;
    int power = 0;
    bool minus = take_byte(s, '-'), zero = *s->at == '0';
    int count = scan_digits(s, &value, 0);
    if (count < 0 || (zero && count > 1)) return false;
    out->type = JSON_INTEGER;
    if (take_byte(s, '.')) {
        out->type = JSON_REAL;
        int behind = scan_digits(s, &value, count);
        if (behind < 0) return false;
        power = -behind;
    }
    if (*s->at == 'e' || *s->at == 'E') {
        out->type = JSON_REAL;
        s->at++;
        if (!scan_power(s, &power)) return false;
    }
    out->integer = minus ? -value : value;
    out->real = (double)out->integer;
    if (out->type == JSON_INTEGER) return true;
    out->integer = 0;
    bool exact = make_real(value, power, &out->real);
    if (minus) out->real = -out->real;
    return exact;
}

/* ---------------------------------------------------------------- values */

static bool scan_value(scanner *s, uint64_t hash);

static bool scan_word(scanner *s, json_scalar *out)
{
    static const char *const words[] = {"null", "true", "false"};
    static const json_type types[] = {JSON_NULL, JSON_TRUE, JSON_FALSE};
    for (int i = 0; i < 3; i++) {
        size_t length = strlen(words[i]);
        if (strncmp(s->at, words[i], length) != 0) continue;
        s->at += length;
        out->type = types[i];
        return true;
    }
    return false;
}

/* The path with a part more, for as long as what stands there is scanned. */
static bool scan_part(scanner *s, const char *before, const char *part, uint64_t hash)
{
    size_t length = s->path_length, more = strlen(before) + strlen(part);
    if (more >= PATH_BYTES - length) return false;
    memcpy(s->path + length, before, strlen(before));
    memcpy(s->path + length + strlen(before), part, strlen(part) + 1);
    s->path_length += more;
    bool is_valid = scan_value(s, hash);
    s->path_length = length;
    s->path[length] = 0;
    return is_valid;
}

/* No name stands twice in an object, whose names begin at `first`. */
static bool add_name(scanner *s, int first, const char *text, uint64_t hash)
{
    if (!*text || strpbrk(text, ".[") || s->name_count == NAMES_MOST) return false;
    for (int i = first; i < s->name_count; i++)
        if (s->names[i].hash == hash && strcmp(s->names[i].text, text) == 0) return false;
    s->names[s->name_count++] = (name){text, hash};
    return true;
}

static bool scan_object(scanner *s, uint64_t hash)
{
    int first = s->name_count;
    const char *point = s->path_length ? "." : "", *text = NULL;
    if (take_byte(s, '}')) return true;
    do {
        if (!take_byte(s, '"') || !scan_string(s, &text) || !take_byte(s, ':')) return false;
        uint64_t own = fold(fold(hash, point), text);
        if (!add_name(s, first, text, own) || !scan_part(s, point, text, own)) return false;
    } while (take_byte(s, ','));
    s->name_count = first;
    return take_byte(s, '}');
}

static bool scan_list(scanner *s, uint64_t hash)
{
    uint64_t own = fold(hash, "[]");
    if (take_byte(s, ']')) return true;
    do
        if (!scan_part(s, "[]", "", own)) return false;
    while (take_byte(s, ','));
    return take_byte(s, ']');
}

static bool scan_inside(scanner *s, json_type type, uint64_t hash)
{
    s->at++;
    if (s->depth == DEPTH_MOST) return false;
    s->depth++;
    bool is_valid = type == JSON_OBJECT ? scan_object(s, hash) : scan_list(s, hash);
    s->depth--;
    return is_valid;
}

static bool scan_value(scanner *s, uint64_t hash)
{
    const json_path path = {s->path, hash};
    json_scalar value = {.type = *s->at == '{' ? JSON_OBJECT : JSON_ARRAY};
    if (*s->at == '{' || *s->at == '[')
        return s->take(s->context, &path, &value) && scan_inside(s, value.type, hash);
    bool is_valid = false;
    if (take_byte(s, '"')) {
        value.type = JSON_STRING;
        is_valid = scan_string(s, &value.text);
    } else if (*s->at == '-' || is_digit(*s->at)) {
        is_valid = scan_number(s, &value);
    } else {
        is_valid = scan_word(s, &value);
    }
    return is_valid && s->take(s->context, &path, &value);
}

bool json_scan(char *text, size_t length, json_scan_take *take, void *context)
{
    scanner s = {.at = text, .end = text + length, .take = take, .context = context};
    bool inside = *s.at == '{' || *s.at == '[';
    return inside && scan_value(&s, HASH_START) && s.at == s.end;
}
