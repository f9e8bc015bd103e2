/* See socket.h. */
#include "serve/socket.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define WAITING 64 /* connections that wait to be taken */

typedef struct place {
    struct sockaddr_storage address;
    socklen_t size;
} place;

static be_status find_place(const char *address, int port, place *out, be_error *err)
{
    struct sockaddr_in *four = (struct sockaddr_in *)&out->address;
    struct sockaddr_in6 *six = (struct sockaddr_in6 *)&out->address;
    const char *text = address ? address : "127.0.0.1";
    *out = (place){0};
    if (inet_pton(AF_INET, text, &four->sin_addr) == 1) {
        four->sin_family = AF_INET;
        four->sin_port = htons((uint16_t)port);
        out->size = sizeof *four;
        return BE_OK;
    }
    if (inet_pton(AF_INET6, text, &six->sin6_addr) == 1) {
        six->sin6_family = AF_INET6;
        six->sin6_port = htons((uint16_t)port);
        out->size = sizeof *six;
        return BE_OK;
    }
    FAIL(err, BE_USAGE, "--listen: expected an address as 192.168.1.20 or ::1, found \"%.60s\"",
         text);
}

/* The port that the system chose. */
static int port_of(int fd)
{
    place at = {.size = sizeof at.address};
    if (getsockname(fd, (struct sockaddr *)&at.address, &at.size) != 0) return -1;
    return ntohs(at.address.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&at.address)->sin6_port
                                                  : ((struct sockaddr_in *)&at.address)->sin_port);
}

be_status socket_listen(const char *address, int *port, int *fd, be_error *err)
{
    place at;
    TRY(find_place(address, *port, &at, err));
    *fd = socket(at.address.ss_family, SOCK_STREAM, 0);
    bool good =
        *fd >= 0 && fcntl(*fd, F_SETFD, FD_CLOEXEC) == 0 && fcntl(*fd, F_SETFL, O_NONBLOCK) == 0 &&
        setsockopt(*fd, SOL_SOCKET, SO_REUSEADDR, &(int){1}, sizeof(int)) == 0 &&
        bind(*fd, (struct sockaddr *)&at.address, at.size) == 0 && listen(*fd, WAITING) == 0;
    int problem = errno;
    if (good) {
        *port = port_of(*fd);
        return BE_OK;
    }
    if (*fd >= 0) close(*fd);
    *fd = -1;
    if (problem == EADDRINUSE)
        FAIL(err, BE_UNAVAILABLE,
             "serve: expected port %d to be free, found another program on it (another "
             "'breakeven serve'?); give another by --port, 0 takes a free one",
             *port);
    FAIL(err, BE_UNAVAILABLE, "serve: expected to listen on %s, port %d, found '%s'; %s",
         address ? address : "127.0.0.1", *port, strerror(problem),
         problem == EACCES ? "ports below 1024 are root's: give another by --port"
                           : "give an address of this machine by --listen");
}
