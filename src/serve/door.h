/* Who may come in: the token, the cookie, and the headers that tell a page of ours from another's.
 *
 * A page of another site can make a browser ask here.  It cannot read the cookie, and the browser
 * does not send it along (SameSite=Strict); its Host is its own where it has its name point here;
 * and Origin and Sec-Fetch-Site say whose page asks.  Texts in, answers out: knows no HTTP library.
 */
#ifndef SERVE_DOOR_H
#define SERVE_DOOR_H

#include <stdbool.h>

#include "core/status.h"

#define DOOR_SECRET_BYTES 33 /* 128 bits in hexadecimal, and the end */
#define DOOR_TOKEN_BYTES 129
#define DOOR_TOKEN_LEAST 16 /* characters of a token of the user's own */

typedef struct door {
    char token[DOOR_TOKEN_BYTES];    /* in the address */
    char once[DOOR_SECRET_BYTES];    /* one more, good for one time; "" once it was used */
    char session[DOOR_SECRET_BYTES]; /* in the cookie */
    char listen[64];                 /* the address; "" for loopback */
    int port;
} door;

/* Draw the secrets.  `listen` and `token` are the user's own (NULL: loopback, and one that is
 * drawn).  BE_USAGE for a token that is too short or has other characters than letters, digits, -
 * and _; BE_IO where the system gives no random bytes. */
BE_CHECKED be_status door_make(door *d, const char *listen, const char *token, be_error *err);

/* As long for a wrong text as for the right one. */
bool door_is_same(const char *secret, const char *text);

/* Of the address; the one for one time is used up. */
bool door_takes_token(door *d, const char *token);

/* "breakeven-8080": cookies do not tell ports apart. */
void door_cookie_name(const door *d, char out[32]);

/* Of a Cookie header (NULL: none), and of "Authorization: Bearer TOKEN". */
bool door_has_cookie(const door *d, const char *header);
bool door_has_bearer(const door *d, const char *header);

/* "localhost", a loopback address or the one that is listened to, each with our port; where all
 * addresses are listened to, any address, but no name, for a name can be made to point here. */
bool door_is_our_host(const door *d, const char *host);

/* The headers of one request; NULL: it has none. */
typedef struct door_headers {
    const char *host, *origin, *fetch_site, *cookie, *authorization, *content_type;
} door_headers;

/* Whether it comes from a page of ours, or from a program; what is wrong with it goes to `why`. */
bool door_is_from_here(const door *d, const door_headers *headers, bool changes, const char **why);

#endif
