/* Names of weights in files, against those of the models. */
#include "train/weight_names.h"

#include <string.h>

#define BERT "bert.embeddings.word_embeddings.weight"
#define GPT2 "transformer.wte.weight"
#define CLIP "logit_scale"

/* In patterns # stands for digits and * for anything. */
static const struct surplus {
    const char *pattern, *network, *told; /* network NULL: any */
} surplus_table[WEIGHT_SURPLUS] = {
    /* Batch norm's number of steps, which has no meaning where it has a momentum. */
    {"*.num_batches_tracked", NULL, "num_batches_tracked"},
    /* Constants that old versions saved: 0, 1, 2 …, and causal masks. */
    {"embeddings.position_ids", BERT, "position_ids"},
    {"*_model.embeddings.position_ids", CLIP, "position_ids"},
    {"h.#.attn.bias", GPT2, "attn.bias"},
    {"h.#.attn.masked_bias", GPT2, "attn.masked_bias"},
    /* The heads of BERT's first training. */
    {"cls.*", BERT, "cls.*"},
    {"lm_head.weight", GPT2, "lm_head.weight"},
};

static bool fits(const char *pattern, const char *name)
{
    for (; *pattern && *pattern != '*'; pattern++) {
        size_t digits = *pattern == '#' ? strspn(name, "0123456789") : *pattern == *name;
        if (digits == 0) return false;
        name += digits;
    }
    if (!*pattern) return !*name;
    /* One * a pattern: what is behind it is plain. */
    size_t tail = strlen(pattern + 1), length = strlen(name);
    return length > tail && strcmp(name + length - tail, pattern + 1) == 0;
}

static bool begins(const char *text, const char *with)
{
    return strncmp(text, with, strlen(with)) == 0;
}

static bool ends(const char *text, const char *with)
{
    size_t length = strlen(text), tail = strlen(with);
    return length >= tail && strcmp(text + length - tail, with) == 0;
}

/* What begins the names of a model's body, but not where the body alone was saved. */
static const char *body_of(const char *parameter)
{
    return begins(parameter, "bert.")          ? "bert."
           : begins(parameter, "transformer.") ? "transformer."
                                               : "";
}

weight_names weight_names_of(const safetensors *file, const char *first)
{
    static const char *const wrappers[] = {"", "module.", "_orig_mod.", "module._orig_mod.",
                                           "_orig_mod.module."};
    weight_names names = {.wrapper = "", .dropped = "", .network = first};
    for (int i = 0; i < safetensors_count(file); i++)
        names.gamma |= ends(safetensors_at(file, i)->name, ".LayerNorm.gamma");
    for (int drop = 0; drop < 2; drop++)
        for (size_t w = 0; w < sizeof wrappers / sizeof *wrappers; w++) {
            weight_names attempt = names;
            attempt.wrapper = wrappers[w];
            attempt.dropped = drop ? body_of(first) : "";
            if (weight_names_find(&attempt, file, first)) return attempt;
        }
    return names;
}

/* "x.LayerNorm.weight" and "x.LayerNorm.gamma" */
static bool is_renamed(const char *parameter, const char *in_file, const char *now, const char *old)
{
    size_t stem = strlen(parameter) - strlen(now);
    return ends(parameter, now) && ends(in_file, old) && strlen(in_file) == stem + strlen(old) &&
           strncmp(parameter, in_file, stem) == 0;
}

bool weight_names_match(const weight_names *names, const char *parameter, const char *in_file)
{
    if (!begins(in_file, names->wrapper)) return false;
    in_file += strlen(names->wrapper);
    if (begins(parameter, names->dropped)) parameter += strlen(names->dropped);
    if (!names->gamma ||
        !(ends(parameter, ".LayerNorm.weight") || ends(parameter, ".LayerNorm.bias")))
        return strcmp(parameter, in_file) == 0;
    return is_renamed(parameter, in_file, ".LayerNorm.weight", ".LayerNorm.gamma") ||
           is_renamed(parameter, in_file, ".LayerNorm.bias", ".LayerNorm.beta");
}

const safetensors_tensor *weight_names_find(const weight_names *names, const safetensors *file,
                                            const char *parameter)
{
    for (int i = 0; i < safetensors_count(file); i++)
        if (weight_names_match(names, parameter, safetensors_at(file, i)->name))
            return safetensors_at(file, i);
    return NULL;
}

int weight_names_surplus(const weight_names *names, const char *in_file)
{
    const char *body = body_of(names->network);
    if (!begins(in_file, names->wrapper)) return -1;
    in_file += strlen(names->wrapper);
    if (begins(in_file, body)) in_file += strlen(body);
    for (int i = 0; i < WEIGHT_SURPLUS; i++) {
        const struct surplus *entry = &surplus_table[i];
        if (entry->network && strcmp(entry->network, names->network) != 0) continue;
        if (fits(entry->pattern, in_file)) return i;
    }
    return -1;
}

const char *weight_names_surplus_told(int surplus)
{
    MUST(surplus >= 0 && surplus < WEIGHT_SURPLUS);
    return surplus_table[surplus].told;
}

bool weight_names_is_tied_head(int surplus)
{
    return surplus == WEIGHT_SURPLUS - 1;
}

const char *weight_names_head(const char *parameter)
{
    static const char *const heads[] = {"classifier", "fc", "head"};
    for (size_t i = 0; i < sizeof heads / sizeof *heads; i++)
        if (begins(parameter, heads[i]) && parameter[strlen(heads[i])] == '.') return heads[i];
    return NULL;
}

bool weight_names_is_scalar(const char *parameter)
{
    return strcmp(parameter, CLIP) == 0;
}
