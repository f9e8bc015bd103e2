/* See door.h. */
#include "serve/door.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/random.h>

static be_status draw(char out[DOOR_SECRET_BYTES], be_error *err)
{
    uint8_t bytes[16];
    if (getentropy(bytes, sizeof bytes) != 0)
        FAIL(err, BE_IO, "expected random bytes for a token from the system, found '%s'",
             strerror(errno));
    for (size_t i = 0; i < sizeof bytes; i++) snprintf(out + 2 * i, 3, "%02x", bytes[i]);
    return BE_OK;
}

static be_status check_token(const char *token, be_error *err)
{
    size_t length = strlen(token);
    for (size_t i = 0; i < length; i++)
        if (!isalnum((unsigned char)token[i]) && !strchr("-_", token[i]))
            FAIL(err, BE_USAGE, "--token: expected letters, digits, - and _, found '%c' in it",
                 isprint((unsigned char)token[i]) ? token[i] : '?');
    if (length < DOOR_TOKEN_LEAST || length >= DOOR_TOKEN_BYTES)
        FAIL(err, BE_USAGE, "--token: expected %d to %d characters, found %zu", DOOR_TOKEN_LEAST,
             DOOR_TOKEN_BYTES - 1, length);
    return BE_OK;
}

be_status door_make(door *d, const char *listen, const char *token, be_error *err)
{
    *d = (door){0};
    if (token) TRY(check_token(token, err));
    TRY(draw(d->once, err));
    TRY(draw(d->session, err));
    TRY(draw(d->token, err));
    if (token) snprintf(d->token, sizeof d->token, "%s", token);
    if (listen) snprintf(d->listen, sizeof d->listen, "%s", listen);
    return BE_OK;
}

bool door_is_same(const char *secret, const char *text)
{
    size_t length = strlen(secret), text_length = strlen(text);
    unsigned differs = length != text_length || !length;
    for (size_t i = 0; i < length; i++)
        differs |= (unsigned)((unsigned char)secret[i] ^
                              (unsigned char)text[text_length ? i % text_length : 0]);
    return !differs;
}

bool door_takes_token(door *d, const char *token)
{
    if (door_is_same(d->token, token)) return true;
    bool once = door_is_same(d->once, token);
    if (once) d->once[0] = 0;
    return once;
}

void door_cookie_name(const door *d, char out[32])
{
    snprintf(out, 32, "breakeven-%d", d->port);
}

bool door_has_cookie(const door *d, const char *header)
{
    char name[32], value[DOOR_SECRET_BYTES];
    door_cookie_name(d, name);
    size_t length = strlen(name);
    for (const char *at = header; at && *at; at += strspn(at, "; \t")) {
        size_t whole = strcspn(at, ";");
        bool ours = whole > length && strncmp(at, name, length) == 0 && at[length] == '=';
        if (ours && whole - length - 1 < sizeof value) {
            snprintf(value, sizeof value, "%.*s", (int)(whole - length - 1), at + length + 1);
            if (door_is_same(d->session, value)) return true;
        }
        at += whole;
    }
    return false;
}

bool door_has_bearer(const door *d, const char *header)
{
    static const char start[] = "Bearer ";
    size_t length = sizeof start - 1;
    return header && strncasecmp(header, start, length) == 0 &&
           door_is_same(d->token, header + length);
}

static bool is_address(const char *name)
{
    uint8_t room[16];
    char inner[64];
    size_t length = strlen(name);
    if (inet_pton(AF_INET, name, room) == 1) return true;
    if (length < 4 || length >= sizeof inner || name[0] != '[' || name[length - 1] != ']')
        return false;
    snprintf(inner, sizeof inner, "%.*s", (int)length - 2, name + 1);
    return inet_pton(AF_INET6, inner, room) == 1;
}

bool door_is_our_host(const door *d, const char *host)
{
    char name[80], port[16], ours[72];
    const char *colon = host ? strrchr(host, ':') : NULL;
    snprintf(port, sizeof port, ":%d", d->port);
    if (!colon || strcmp(colon, port) != 0 || (size_t)(colon - host) >= sizeof name) return false;
    snprintf(name, sizeof name, "%.*s", (int)(colon - host), host);
    if (strcasecmp(name, "localhost") == 0 || strcmp(name, "127.0.0.1") == 0 ||
        strcmp(name, "[::1]") == 0)
        return true;
    if (strcmp(d->listen, "0.0.0.0") == 0 || strcmp(d->listen, "::") == 0) return is_address(name);
    snprintf(ours, sizeof ours, strchr(d->listen, ':') ? "[%s]" : "%s", d->listen);
    return d->listen[0] && strcasecmp(name, ours) == 0;
}

/* Parameters such as a character set may follow. */
static bool is_json(const char *type)
{
    static const char json[] = "application/json";
    size_t length = sizeof json - 1;
    return type && strncasecmp(type, json, length) == 0 &&
           (!type[length] || strchr("; \t", type[length]));
}

bool door_is_from_here(const door *d, const door_headers *h, bool changes, const char **why)
{
    static const char http[] = "http://";
    *why = NULL;
    if (!door_is_our_host(d, h->host))
        *why = "expected the Host of the address that 'breakeven serve' printed, found another";
    else if (h->origin && (strncmp(h->origin, http, sizeof http - 1) != 0 ||
                           strcasecmp(h->origin + sizeof http - 1, h->host) != 0))
        *why = "expected a request of this page, found one of another site (Origin)";
    else if (h->fetch_site && strcmp(h->fetch_site, "same-origin") != 0 &&
             (changes || strcmp(h->fetch_site, "none") != 0))
        *why = "expected a request of this page, found one of another site (Sec-Fetch-Site)";
    else if (changes && !is_json(h->content_type))
        *why = "expected Content-Type: application/json of a change, found another";
    return !*why;
}
