/* Fuzzes what the page reads of a request: settings, headers, paths.  Whatever comes in, a command
 * line is made of the program's own words alone. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "core/json.h"
#include "core/text.h"
#include "serve/door.h"
#include "serve/settings.h"
#include "serve/view.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_command(const settings *s)
{
    command c;
    char address[2000];
    settings again = settings_usual();
    be_error err = {0};
    settings_address(s, address, sizeof address);
    MUST(!strpbrk(address, "\"'<> \n%#") && strlen(address) < sizeof address - 1);
    settings_command(s, "program", "train", ~0u, NULL, &c);
    for (int i = 2; i < c.count; i++)
        MUST(!strpbrk(c.word[i], "/\\ \n;|&$`") && strspn(c.word[i], "-") <= 2);
    /* What was taken is taken again as it stands. */
    for (int i = 0; i < SETTING_COUNT; i++) {
        if (i == SETTING_DEVICE) continue;
        MUST(settings_take(&again, NULL, setting_names[i], s->value[i], &err) == BE_OK);
        MUST(strcmp(again.value[i], s->value[i]) == 0 || !s->value[i][0]);
    }
}

static void fuzz_settings(const char *text, size_t length)
{
    static const char *const others[] = {"study", NULL};
    json_t *devices = json_pack("[{s:s,s:b},{s:s,s:b}]", "device", "cpu", "usable", 1, "device",
                                "opencl:0", "usable", 1);
    json_t *value = NULL;
    settings s = settings_usual();
    be_error err = {0};
    char pair[400], clean[sizeof err.text];
    json_source source = {"the request", "an object", "look"};
    be_status status = json_parse(&value, text, length, &source, &err);
    if (status == BE_OK) status = settings_read(&s, devices, value, others, &err);
    text_clean(err.text, strlen(err.text), true, clean, sizeof clean);
    MUST(status == BE_OK || !strcmp(clean, err.text));
    json_decref(value);
    snprintf(pair, sizeof pair, "%s", text);
    char *newline = strchr(pair, '\n');
    if (newline) {
        *newline = 0;
        status = settings_take(&s, devices, pair, newline + 1, &err);
        MUST(status == BE_OK || status == BE_USAGE);
    }
    check_command(&s);
    json_decref(devices);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static door d;
    const char *why;
    be_error err = {0};
    if (!d.port) {
        MUST(door_make(&d, NULL, NULL, &err) == BE_OK);
        d.port = 7077;
    }
    char *text = malloc(size + 1);
    MUST(text);
    memcpy(text, data, size);
    text[size] = 0;
    door_headers headers = {.host = text, .origin = text, .content_type = text};
    MUST(!door_has_cookie(&d, text) && !door_has_bearer(&d, text));
    MUST(!door_takes_token(&d, text));
    MUST(!door_is_from_here(&d, &headers, true, &why) && why);
    MUST(address_number(text) >= 0 && address_part(text, "/runs/", "/note") >= 0);
    fuzz_settings(text, size);
    free(text);
    return 0;
}
