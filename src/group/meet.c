/* See meet.h. */
#include "group/meet.h"

#ifdef __linux__
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "core/clock.h"
#include "group/board.h"

#define LOOK_NS INT64_C(20000000) /* between two looks at the clock, and for rank 0 */

/* What a rank says when it comes, and what it hears: with the board, or with why not. */
typedef struct hello {
    int rank, size;
} hello;

typedef struct answer {
    be_status status; /* BE_OK: the board comes with it */
    char why[sizeof((be_error *)0)->text];
} answer;

static answer answer_of(be_status status, const be_error *err)
{
    answer a = {.status = status};
    if (status != BE_OK) snprintf(a.why, sizeof a.why, "%s", err->text);
    return a;
}

static be_status address_of(const meeting *m, struct sockaddr_un *out, socklen_t *bytes,
                            be_error *err)
{
    *out = (struct sockaddr_un){.sun_family = AF_UNIX};
    /* A name that begins with 0 is of no file. */
    int length = snprintf(out->sun_path + 1, sizeof out->sun_path - 1, "breakeven/%u/%s",
                          (unsigned)getuid(), m->name);
    if (length < 0 || (size_t)length >= sizeof out->sun_path - 1)
        FAIL(err, BE_USAGE, "the variables of %s are too long for the name of a meeting: \"%s\"",
             m->launcher, m->name);
    *bytes = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)length);
    return BE_OK;
}

static be_status fail(const meeting *m, const char *what, be_error *err)
{
    FAIL(err, BE_FAILED, "rank %d of %d could not meet the others that %s started: %s: %s", m->rank,
         m->size, m->launcher, what, strerror(errno));
}

/* Until there is something to read, or the time is over: *there says which. */
static be_status wait_to_read(int fd, int64_t until_ns, bool *there, be_error *err)
{
    struct pollfd one = {.fd = fd, .events = POLLIN};
    int ready = 0;
    while (!ready && clock_now_ns() < until_ns) ready = clock_wait_ready(&one, 1, LOOK_NS);
    if (ready < 0) FAIL(err, BE_INTERRUPTED, "stopped by a signal before all ranks had met");
    *there = ready > 0;
    return BE_OK;
}

static bool is_of_this_user(int fd, pid_t *pid)
{
    struct ucred who = {0};
    socklen_t bytes = sizeof who;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &bytes) != 0) return false;
    *pid = who.pid;
    return who.uid == getuid();
}

/* ---------------------------------------------------------------- rank 0 */

typedef struct host {
    const meeting *m;
    board *b;
    int board_fd, listening;
    int rank_fd[GROUP_MOST]; /* of those that have come; else −1 */
} host;

static be_status check_guest(const host *h, const hello *greeting, be_error *err)
{
    const meeting *m = h->m;
    if (greeting->size != m->size)
        FAIL(err, BE_USAGE,
             "rank %d was told of %d ranks, and rank 0 of %d: expected one number for all; start "
             "them by one %s",
             greeting->rank, greeting->size, m->size, m->launcher);
    if (greeting->rank < 1 || greeting->rank >= m->size)
        FAIL(err, BE_USAGE, "expected ranks from 0 to %d, found rank %d; give each its own",
             m->size - 1, greeting->rank);
    if (h->rank_fd[greeting->rank] >= 0)
        FAIL(err, BE_USAGE,
             "rank %d of %d is there twice: expected one process with this number; give each rank "
             "its own",
             greeting->rank, m->size);
    return BE_OK;
}

static void tell(int fd, const answer *a, int board_fd)
{
    union {
        struct cmsghdr head;
        char room[CMSG_SPACE(sizeof(int))];
    } control = {0};
    struct iovec part = {(void *)(uintptr_t)a, sizeof *a};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    if (a->status == BE_OK) {
        message.msg_control = control.room;
        message.msg_controllen = sizeof control.room;
        struct cmsghdr *head = CMSG_FIRSTHDR(&message);
        *head = (struct cmsghdr){
            .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(sizeof(int))};
        memcpy(CMSG_DATA(head), &board_fd, sizeof board_fd);
    }
    (void)!sendmsg(fd, &message, MSG_NOSIGNAL); /* one that is gone is missed on the board */
}

/* One more, or BE_OK with none where it was none of ours. */
static be_status let_in(host *h, int64_t until_ns, int *come, be_error *err)
{
    hello reply = {0};
    bool there = false;
    pid_t pid = 0;
    int fd = accept(h->listening, NULL, NULL);
    if (fd < 0) return errno == EINTR || errno == ECONNABORTED ? BE_OK : fail(h->m, "accept", err);
    be_status status = is_of_this_user(fd, &pid) ? wait_to_read(fd, until_ns, &there, err) : BE_OK;
    if (status == BE_OK && there && recv(fd, &reply, sizeof reply, 0) == sizeof reply) {
        status = check_guest(h, &reply, err);
        if (status == BE_OK) {
            board_expect(h->b, reply.rank, pid);
            h->rank_fd[reply.rank] = fd;
            (*come)++;
            return BE_OK;
        }
        answer a = answer_of(status, err);
        tell(fd, &a, -1);
    }
    close(fd);
    return status;
}

static be_status wait_for_all(host *h, be_error *err)
{
    int64_t until_ns = clock_now_ns() + MEET_LIMIT_NS;
    bool there = true;
    for (int come = 1; come < h->m->size;) {
        TRY(wait_to_read(h->listening, until_ns, &there, err));
        if (there) {
            TRY(let_in(h, until_ns, &come, err));
            continue;
        }
        int missing = 1;
        while (h->rank_fd[missing] >= 0) missing++;
        FAIL(err, BE_FAILED,
             "rank %d of %d did not come within %.0f s: expected all ranks that %s has started to "
             "run breakeven on this machine; look at what rank %d said",
             missing, h->m->size, (double)MEET_LIMIT_NS * 1e-9, h->m->launcher, missing);
    }
    return BE_OK;
}

static be_status listen_at(const meeting *m, int *out, be_error *err)
{
    struct sockaddr_un address;
    socklen_t bytes = 0;
    TRY(address_of(m, &address, &bytes, err));
    *out = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    if (*out < 0) return fail(m, "socket", err);
    if (bind(*out, (struct sockaddr *)&address, bytes) == 0 && listen(*out, GROUP_MOST) == 0)
        return BE_OK;
    if (errno != EADDRINUSE) return fail(m, "bind", err);
    FAIL(err, BE_USAGE,
         "rank 0 of %d is there twice: expected one process with this number; give each rank its "
         "own",
         m->size);
}

static be_status meet_as_host(host *h, be_group **out, be_error *err)
{
    be_error local;
    if (!err) err = &local;
    TRY(listen_at(h->m, &h->listening, err));
    be_status status = board_file_new(h->m->size, &h->board_fd, &h->b, err);
    if (status == BE_OK) status = wait_for_all(h, err);
    if (status == BE_OK) status = board_file_join(h->board_fd, h->m->rank, h->m->size, out, err);
    answer a = answer_of(status, err);
    for (int r = 1; r < h->m->size; r++)
        if (h->rank_fd[r] >= 0) tell(h->rank_fd[r], &a, h->board_fd);
    return status;
}

/* ---------------------------------------------------------------- the others */

static be_status find_host(const meeting *m, int fd, int64_t until_ns, be_error *err)
{
    struct sockaddr_un address;
    socklen_t bytes = 0;
    pid_t pid;
    TRY(address_of(m, &address, &bytes, err));
    while (connect(fd, (struct sockaddr *)&address, bytes) != 0) {
        if (errno != ECONNREFUSED && errno != EAGAIN) return fail(m, "connect", err);
        if (clock_now_ns() > until_ns)
            FAIL(err, BE_UNAVAILABLE,
                 "rank 0 of %d did not come within %.0f s: expected all ranks that %s has started "
                 "to run breakeven on this machine; look at what rank 0 said",
                 m->size, (double)MEET_LIMIT_NS * 1e-9, m->launcher);
        if (clock_wait_ready(NULL, 0, LOOK_NS) < 0)
            FAIL(err, BE_INTERRUPTED, "stopped by a signal before all ranks had met");
    }
    if (is_of_this_user(fd, &pid)) return BE_OK;
    FAIL(err, BE_USAGE, "another user's process holds the place where rank 0 is met");
}

static be_status hear(const meeting *m, int fd, int64_t until_ns, int *board_fd, be_error *err)
{
    union {
        struct cmsghdr head;
        char room[CMSG_SPACE(sizeof(int))];
    } control = {0};
    answer a = {0};
    struct iovec part = {&a, sizeof a};
    struct msghdr message = {.msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = control.room,
                             .msg_controllen = sizeof control.room};
    bool there = false;
    /* Rank 0 waits for the last one at most the limit from when it came itself. */
    TRY(wait_to_read(fd, until_ns + MEET_LIMIT_NS, &there, err));
    if (!there || recvmsg(fd, &message, MSG_CMSG_CLOEXEC) != (ssize_t)sizeof a)
        FAIL(err, BE_UNAVAILABLE, "rank 0 of %d ended before all ranks had met", m->size);
    if (a.status != BE_OK) FAIL(err, a.status, "%s", a.why);
    struct cmsghdr *head = CMSG_FIRSTHDR(&message);
    if (!head || head->cmsg_type != SCM_RIGHTS) return fail(m, "no board came", err);
    memcpy(board_fd, CMSG_DATA(head), sizeof *board_fd);
    return BE_OK;
}

static be_status meet_as_guest(const meeting *m, int fd, be_group **out, be_error *err)
{
    int board_fd = -1;
    int64_t until_ns = clock_now_ns() + MEET_LIMIT_NS;
    hello greeting = {m->rank, m->size};
    TRY(find_host(m, fd, until_ns, err));
    if (send(fd, &greeting, sizeof greeting, MSG_NOSIGNAL) != sizeof greeting)
        return fail(m, "send", err);
    TRY(hear(m, fd, until_ns, &board_fd, err));
    be_status status = board_file_join(board_fd, m->rank, m->size, out, err);
    close(board_fd);
    return status;
}

be_status meet_join(const meeting *m, be_group **out, be_error *err)
{
    *out = NULL;
    if (m->rank) {
        int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
        if (fd < 0) return fail(m, "socket", err);
        be_status status = meet_as_guest(m, fd, out, err);
        close(fd);
        return status;
    }
    host h = {.m = m, .board_fd = -1, .listening = -1};
    for (int r = 0; r < GROUP_MOST; r++) h.rank_fd[r] = -1;
    be_status status = meet_as_host(&h, out, err);
    for (int r = 0; r < m->size; r++)
        if (h.rank_fd[r] >= 0) close(h.rank_fd[r]);
    if (h.listening >= 0) close(h.listening);
    board_file_free(h.board_fd, h.b, m->size);
    return status;
}

#else

be_status meet_join(const meeting *m, be_group **out, be_error *err)
{
    *out = NULL;
    FAIL(err, BE_USAGE,
         "%s started %d ranks, which meet by a socket that Linux alone has; start them by mpirun, "
         "or by --workers %d",
         m->launcher, m->size, m->size);
}

#endif
