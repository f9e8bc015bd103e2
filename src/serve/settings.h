/* What a study is asked for, as the page and its address say it: names and values as texts, each
 * checked against the program's own lists and ranges before it is kept.
 *
 * What passes here is all that a command line is made of: no path, no program and no variable of
 * the environment can be named.  Knows no HTTP. */
#ifndef SERVE_SETTINGS_H
#define SERVE_SETTINGS_H

#include <jansson.h>
#include <stdbool.h>

#include "core/status.h"

/* id, kind, least, most, what it is where nobody says (""; nothing), the command's option (NULL:
 * made by settings_command itself), what it is called on the page */
#define SETTING_LIST(X)                                                             \
    X(WORKLOAD, workload, WORKLOAD, 0, 0, "cnn-fashion", NULL, "workload")          \
    X(BATCH, batch, COUNT, 1, 65536, "100", "--batch", "batch")                     \
    X(EPOCHS, epochs, COUNT, 1, 1000, "3", "--epochs", "epochs")                    \
    X(RATE, rate, REAL, 1e-6, 10, "", "--lr", "learning rate")                      \
    X(PRECISION, precision, PRECISION, 0, 0, "fp32", "--precision", "precision")    \
    X(DEVICE, device, DEVICES, 0, 0, "", "--device", "devices")                     \
    X(ENGINE, engine, ENGINES, 0, 0, "", "--engine", "engines")                     \
    X(AXIS, axis, AXIS, 0, 0, "batch", NULL, "over")                                \
    X(FROM, from, COUNT, 1, 1e12, "8", NULL, "from")                                \
    X(TO, to, COUNT, 1, 1e12, "1024", NULL, "to")                                   \
    X(SECONDS, seconds, REAL, 0.05, 3600, "", "--max-time", "seconds of measuring") \
    X(LIMIT, limit, COUNT, 1, 1e9, "", "--limit", "samples of each set")            \
    X(SYNTHETIC, synthetic, FLAG, 0, 0, "", "--synthetic", "generated data")

typedef enum setting_id {
#define X(id, ...) SETTING_##id,
    SETTING_LIST(X)
#undef X
        SETTING_COUNT
} setting_id;

extern const char *const setting_names[SETTING_COUNT];
extern const char *const setting_titles[SETTING_COUNT];
extern const double setting_least[SETTING_COUNT], setting_most[SETTING_COUNT];

#define SETTING_BYTES 160

typedef struct settings {
    char value[SETTING_COUNT][SETTING_BYTES]; /* lists with commas between; "": not given */
} settings;

/* `devices`: records of the machine (report/members.h, device); NULL while they are not known, then
 * no device can be named. */
settings settings_usual(void);

/* Take one.  A list takes several names, in one text or one after the other.  BE_USAGE with what
 * was expected and what was found. */
BE_CHECKED be_status settings_take(settings *s, const json_t *devices, const char *name,
                                   const char *value, be_error *err);

/* Those of a JSON object: texts, numbers, true, and lists of texts.  Members that are in `others`
 * (NULL at the end) are left to the caller. */
BE_CHECKED be_status settings_read(settings *s, const json_t *devices, const json_t *object,
                                   const char *const *others, be_error *err);

/* Whether a list has the name. */
bool settings_has(const settings *s, setting_id id, const char *name);

/* "workload=cnn-fashion&batch=100&…": what differs from the usual, as an address has it. */
void settings_address(const settings *s, char *out, size_t size);

/* A command line being made: its words lie in `text`. */
#define COMMAND_WORDS 40
typedef struct command {
    const char *word[COMMAND_WORDS + 1]; /* NULL at the end */
    int count;
    char text[1600];
    size_t used;
} command;

void command_add(command *c, const char *word);

/* "PROGRAM bench WORKLOAD --batch=100 … --events": of the settings those in `with` (bit:
 * setting_id) that are given; the devices are `device` alone if it is not NULL. */
void settings_command(const settings *s, const char *program, const char *verb, unsigned with,
                      const char *device, command *out);

#endif
