/* What ops use while they prepare and record: sizes, units, launches. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "backend/gpu/gpu.h"
#include "backend/gpu/gpu_recorder.h"
#include "core/text.h"
#include "graph/precision.h"

int gpu_group(const gpu_call *call, int wanted)
{
    if (call->forced_group) return call->forced_group;
    return wanted < call->facts->group_max ? wanted : call->facts->group_max;
}

int gpu_choose(gpu_call *call, int ways, uint64_t hash)
{
    MUST(call->choice_count < GPU_MAX_CHOICES && ways > 0);
    int k = call->choice_count++;
    call->choices[k] = (gpu_choice){ways, hash};
    return call->wanted[k] % ways;
}

int gpu_groups(const gpu_call *call, int64_t items, int64_t each, int most)
{
    int64_t groups = (items + each - 1) / each, limit = (int64_t)call->facts->units * most;
    if (groups > limit) groups = limit;
    return groups < 1 ? 1 : (int)groups;
}

typedef struct type_words {
    const char *type, *word; /* in C, and as the ends of LOAD_ and STORE_ */
} type_words;

static type_words words_of(be_dtype dtype)
{
    switch (dtype) {
    case BE_F32:
        return (type_words){"float", "F32"};
    case BE_I32:
        return (type_words){"int", "I32"};
    case BE_U8:
        return (type_words){"u8", "U8"};
    case BE_F16:
        return (type_words){"f16", "F16"};
    case BE_BF16:
        return (type_words){"bf16", "BF16"};
    }
    MUST(!"a type that kernels know");
    return (type_words){0};
}

/* Of an operand of a product. */
static type_words operand_words_of(const gpu_call *call, be_dtype dtype)
{
    type_words words = words_of(dtype);
    if (call->rounds && dtype == BE_F32)
        words.word = call->precision == BE_PRECISION_TF32 ? "TF32" : "F32_TO_BF16";
    return words;
}

static const char *print_words(const char *name, type_words words, char text[64])
{
    int length = snprintf(text, 64, "%s_T=%s %s_TYPE=%s", name, words.type, name, words.word);
    MUST(length > 0 && length < 64);
    return text;
}

const char *gpu_type_words(const char *name, be_dtype dtype, char text[64])
{
    return print_words(name, words_of(dtype), text);
}

const char *gpu_operand_words(const gpu_call *call, const char *name, be_dtype dtype, char text[64])
{
    return print_words(name, operand_words_of(call, dtype), text);
}

/* "#define IN0_T float", "#define IN0_TYPE F32" of an operand, if a source asks for it: more lines
 * than that would make texts differ that are the same. */
static be_status add_operand(gpu_call *call, gpu_unit *unit, const char *name, int place,
                             const be_shape *shape, be_error *err)
{
    char mention[16];
    bool wanted = false;
    int length = snprintf(mention, sizeof mention, "%s%d", name, place);
    MUST(length > 0 && (size_t)length < sizeof mention);
    for (int s = 0; s < GPU_MAX_SOURCES && unit->sources[s]; s++)
        wanted |= strstr(unit->sources[s]->text, mention) != NULL;
    if (!wanted || shape->rank < 0) return BE_OK;
    bool is_operand = name[0] == 'I' && call->node->op->narrow >> place & 1;
    type_words words = is_operand ? operand_words_of(call, shape->dtype) : words_of(shape->dtype);
    return arena_printf(call->memory, &unit->defines, err,
                        "%s#define %s_T %s\n#define %s_TYPE %s\n", unit->defines, mention,
                        words.type, mention, words.word);
}

/* The names that a kernel file asks its host side for: "NAME NAME)", or "". */
static const char *parameters_of(const gpu_source *source)
{
    static const char word[] = "\nPARAMETERS(";
    const char *at = strstr(source->text, word);
    return at ? at + sizeof word - 1 : "";
}

/* The next of these names, and its length; 0: there is none. */
static size_t next_name(const char **at)
{
    *at += strspn(*at, " \n");
    return strcspn(*at, " \n)");
}

/* Does a file of the unit ask for this name?  NAME_T stands for NAME_TYPE too. */
static bool is_asked_for(const gpu_unit *unit, const char *name, size_t length)
{
    static const char type[] = "_TYPE";
    size_t end = sizeof type - 1;
    if (length > end && strncmp(name + length - end, type, end) == 0) length -= strlen("YPE");
    for (int s = 0; s < GPU_MAX_SOURCES && unit->sources[s]; s++) {
        const char *at = parameters_of(unit->sources[s]);
        for (size_t l; (l = next_name(&at)) > 0; at += l)
            if (l == length && strncmp(at, name, l) == 0) return true;
    }
    return false;
}

/* "A=1 B=2" -> "#define A 1\n#define B 2\n", of those that a file of the unit asks for: a host side
 * has the same words for all its files, and texts that need not differ are compiled once. */
static be_status write_defines(gpu_call *call, const gpu_unit *unit, const char *list,
                               const char **out, be_error *err)
{
    size_t length = strlen(list), words = 1;
    void *memory = NULL;
    for (const char *p = list; *p; p++) words += *p == ' ';
    size_t room = length + (words + 1) * 16 + 64;
    TRY(arena_alloc(call->memory, &memory, room, err));
    text_buffer b = text_begin(memory, room);
    for (const char *p = list; *p;) {
        size_t word = strcspn(p, " "), name = strcspn(p, "=");
        MUST(name < word);
        if (is_asked_for(unit, p, strcspn(p, "=(")))
            text_add(&b, "#define %.*s %.*s\n", (int)name, p, (int)(word - name - 1), p + name + 1);
        p += word + strspn(p + word, " ");
    }
    text_add(&b, "%s#define GROUP %d\n", call->is_in_place ? "#undef APART\n#define APART\n" : "",
             unit->group);
    *out = b.text;
    return BE_OK;
}

static bool is_defined(const char *text, const char *name, size_t length)
{
    static const char word[] = "#define ";
    while ((text = strstr(text, word))) {
        text += sizeof word - 1;
        if (strncmp(text, name, length) == 0 && strchr(" (\n", text[length])) return true;
    }
    return false;
}

/* What a file asks for and is not given: it would not compile, or not do what it says. */
static be_status check_parameters(const gpu_unit *unit, be_error *err)
{
    for (int s = 0; s < GPU_MAX_SOURCES && unit->sources[s]; s++) {
        const char *at = parameters_of(unit->sources[s]);
        for (size_t length; (length = next_name(&at)) > 0; at += length)
            if (!is_defined(unit->defines, at, length))
                FAIL(err, BE_FAILED,
                     "kernel file %s: expected a value for each of its PARAMETERS from its host "
                     "side, found none for %.*s; give it in the call of gpu_use",
                     unit->sources[s]->file, (int)length, at);
    }
    return BE_OK;
}

/* The names in the rest of a line of #if. */
static be_status check_condition(const gpu_unit *unit, const char *file, const char *line,
                                 be_error *err)
{
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_";
    const char *end = line + strcspn(line, "\n");
    for (const char *p = line; (p += strcspn(p, letters)) < end;) {
        size_t length = strspn(p, letters);
        length += strspn(p + length, "0123456789");
        bool known = is_defined(unit->defines, p, length);
        for (int s = 0; s < GPU_MAX_SOURCES && unit->sources[s]; s++)
            known |= is_defined(unit->sources[s]->text, p, length);
        if (!known)
            FAIL(err, BE_FAILED,
                 "kernel file %s: expected each name behind #if among the PARAMETERS or defined by "
                 "a file of its unit, found %.*s; add it to them, or correct it",
                 file, (int)length, p);
        p += length;
    }
    return BE_OK;
}

/* A name that a file tests by #if and nobody defines is 0 to every compiler, and would leave out
 * code in silence.  Elsewhere it does not compile. */
static be_status check_conditions(const gpu_unit *unit, be_error *err)
{
    for (int s = 0; s < GPU_MAX_SOURCES && unit->sources[s]; s++) {
        const gpu_source *source = unit->sources[s];
        for (const char *at = source->text; (at = strchr(at, '#')); at++) {
            size_t word = strncmp(at, "#if ", 4) == 0 ? 4 : strncmp(at, "#elif ", 6) == 0 ? 6 : 0;
            if (word) TRY(check_condition(unit, source->file, at + word, err));
        }
    }
    return BE_OK;
}

be_status gpu_use(gpu_call *call, const gpu_source *const *sources, int group, be_error *err,
                  const char *defines, ...)
{
    char list[1024];
    va_list arguments;
    MUST(call->unit_count < GPU_MAX_UNITS);
    gpu_unit *unit = &call->units[call->unit_count++];
    va_start(arguments, defines);
    int length = vsnprintf(list, sizeof list, defines, arguments);
    va_end(arguments);
    MUST(length >= 0 && (size_t)length < sizeof list);
    for (int s = 0; sources[s]; s++) {
        MUST(s < GPU_MAX_SOURCES);
        unit->sources[s] = sources[s];
    }
    unit->group = gpu_group(call, group);
    TRY(write_defines(call, unit, list, &unit->defines, err));
    TRY(check_parameters(unit, err));
    for (int i = 0; i < OP_MAX_IN; i++)
        TRY(add_operand(call, unit, "IN", i, &call->in_shape[i], err));
    for (int o = 0; o < OP_MAX_OUT; o++)
        TRY(add_operand(call, unit, "OUT", o, &call->out_shape[o], err));
    return check_conditions(unit, err);
}

be_status gpu_unit_text(const gpu_unit *unit, arena *memory, const char **out, be_error *err)
{
    *out = unit->defines;
    for (int s = 0; s < GPU_MAX_SOURCES && unit->sources[s]; s++)
        TRY(arena_printf(memory, out, err, "%s#line 1 \"%s\"\n%s\n", *out, unit->sources[s]->file,
                         unit->sources[s]->text));
    return BE_OK;
}

static be_status add_launch(gpu_recorder *recorder, int argument_count,
                            const gpu_argument *arguments, gpu_launch **out, be_error *err)
{
    void *array = recorder->launches;
    MUST(argument_count <= GPU_MAX_ARGUMENTS);
    TRY(memory_grow(&array, &recorder->capacity, recorder->count + 1, sizeof(gpu_launch), err));
    recorder->launches = array;
    *out = &recorder->launches[recorder->count];
    **out = (gpu_launch){.argument_count = argument_count};
    memcpy((*out)->arguments, arguments, (size_t)argument_count * sizeof *arguments);
    return BE_OK;
}

be_status gpu_record(gpu_recorder *recorder, const gpu_call *call, const gpu_unit_launch *what,
                     be_error *err)
{
    gpu_launch *launch = NULL;
    MUST(what->unit < call->unit_count && what->groups > 0);
    TRY(add_launch(recorder, what->argument_count, what->arguments, &launch, err));
    launch->groups = what->groups;
    launch->group = call->units[what->unit].group;
    if (recorder->modules)
        TRY(recorder->driver->vtable->function(recorder->driver, recorder->modules[what->unit],
                                               what->kernel, &launch->function, err));
    recorder->count++;
    return BE_OK;
}

be_status gpu_record_task(gpu_recorder *recorder, const gpu_task *task, int argument_count,
                          const gpu_argument *arguments, be_error *err)
{
    gpu_launch *launch = NULL;
    MUST((task == NULL) == gpu_is_dry(recorder));
    TRY(add_launch(recorder, argument_count, arguments, &launch, err));
    launch->task = task;
    recorder->count++;
    return BE_OK;
}

bool gpu_is_dry(const gpu_recorder *recorder)
{
    return !recorder->modules;
}

be_status gpu_check_precision(const gpu_call *call, const gpu_kernel *kernel, be_error *err)
{
    be_precision precision = call->precision;
    if (precision == BE_PRECISION_FP32 && kernel->no_fp32)
        FAIL(err, BE_UNAVAILABLE, "%s multiplies bf16 operands alone here, not in fp32",
             kernel->implementation);
    bool rounds =
        kernel->rounds >> precision & 1 && (precision != BE_PRECISION_TF32 || call->has_library);
    bool is_known = !call->node->op->narrow || precision == BE_PRECISION_FP32 || rounds;
    if (!is_known && !(kernel->precisions >> precision & 1))
        FAIL(err, BE_UNAVAILABLE, "%s multiplies in fp32%s, not in %s; use --precision fp32",
             kernel->implementation, kernel->precisions ? " or of bf16 operands" : " alone",
             precision_name(precision));
    return BE_OK;
}
