/* See team.h. */
#include "core/team.h"

#include <omp.h>
#include <pthread.h>
#include <string.h>
#include <unistd.h>

#include "core/rounding.h"

/* The pool that OpenMP keeps for the calling thread: how many there were in its last team, and in
 * which process. */
static _Thread_local int pool_threads = 1;
static _Thread_local pid_t pool_process;

/* ------------------------------------------------------- what can be had */

int team_most(void)
{
    if (omp_in_parallel() || omp_get_max_active_levels() < 1) return 1;
    int limit = omp_get_thread_limit();
    return limit < 1 ? 1 : limit > TEAM_MOST ? TEAM_MOST : limit;
}

static void *wait_at_gate(void *gate)
{
    (void)pthread_mutex_lock(gate);
    (void)pthread_mutex_unlock(gate);
    return NULL;
}

/* Starts `count` threads side by side, and ends them: how many the system gave, and its reason
 * where they are fewer.  OpenMP's library ends the program where it is refused one. */
static int threads_given(int count, int *reason)
{
    pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;
    pthread_t threads[TEAM_MOST];
    int running = 0;
    *reason = 0;
    (void)pthread_mutex_lock(&gate);
    while (running < count && *reason == 0) {
        *reason = pthread_create(&threads[running], NULL, wait_at_gate, &gate);
        if (*reason == 0) running++;
    }
    (void)pthread_mutex_unlock(&gate);
    for (int i = 0; i < running; i++) (void)pthread_join(threads[i], NULL);
    return running;
}

static int threads_to_start(int threads)
{
    return threads > pool_threads ? threads - pool_threads : 0;
}

/* Threads do not come with a process that is forked; OpenMP's library would wait for them. */
static bool pool_is_lost(void)
{
    return pool_threads > 1 && pool_process != getpid();
}

static void pool_remember(int threads)
{
    pool_threads = threads;
    pool_process = getpid();
}

int team_possible(int count)
{
    int reason, limit = team_most();
    if (count > limit) count = limit;
    if (count < 1 || pool_is_lost()) return 1;
    int missing = threads_to_start(count);
    int possible = count - missing + threads_given(missing, &reason);
    if (possible > 1) pool_remember(possible);
    return possible;
}

/* ------------------------------------------------------------------ a team */

static be_status check_settings(int threads, be_error *err)
{
    int limit = omp_get_thread_limit();
    if (omp_in_parallel())
        FAIL(err, BE_UNAVAILABLE,
             "expected %d threads, but the call comes from inside an OpenMP parallel region, where "
             "there is 1; call from outside of it, or open the device there with 1 thread",
             threads);
    if (omp_get_max_active_levels() < 1)
        FAIL(err, BE_UNAVAILABLE,
             "expected %d threads, but OMP_MAX_ACTIVE_LEVELS is 0, and so there is 1; unset it, or "
             "ask for 1 thread",
             threads);
    if (threads > limit)
        FAIL(err, BE_UNAVAILABLE,
             "expected %d threads, but OpenMP's limit is %d (OMP_THREAD_LIMIT); raise or unset it, "
             "or ask for %d thread%s",
             threads, limit, limit, limit == 1 ? "" : "s");
    if (pool_is_lost())
        FAIL(err, BE_UNAVAILABLE,
             "expected %d threads, but this process was forked when they had started, and threads "
             "do not come along; open devices after the fork only, or ask for 1 thread",
             threads);
    return BE_OK;
}

static be_status check_system(int threads, be_error *err)
{
    int reason, missing = threads_to_start(threads), running = threads_given(missing, &reason);
    int possible = threads - missing + running;
    if (running < missing)
        FAIL(err, BE_UNAVAILABLE,
             "expected %d threads, but the system gives %d (%s); ask for %d thread%s, or raise the "
             "limit: ulimit -u, or pids.max of the control group (docker --pids-limit), or the "
             "memory that is allowed",
             threads, possible, strerror(reason), possible, possible == 1 ? "" : "s");
    return BE_OK;
}

/* One region: how many came, and by which rules each computes. */
static int team_gather(team *t)
{
    int running = 1, odd = 0;
#pragma omp parallel num_threads(t->threads) reduction(| : odd)
    {
        rounding before = rounding_usual();
        t->before[omp_get_thread_num()] = before;
        odd = rounding_is_odd(before);
#pragma omp master
        running = omp_get_num_threads();
    }
    t->odd = odd;
    return running;
}

void team_end(const team *t)
{
    if (t->odd) {
#pragma omp parallel num_threads(t->threads) if (t->threads > 1)
        rounding_restore(t->before[omp_get_thread_num()]);
    }
    if (t->threads > 1 && t->dynamic) omp_set_dynamic(t->dynamic);
}

be_status team_begin(team *t, int threads, be_error *err)
{
    MUST(threads >= 1 && threads <= TEAM_MOST);
    t->threads = threads;
    t->dynamic = 0;
    if (threads == 1) {
        t->before[0] = rounding_usual();
        t->odd = rounding_is_odd(t->before[0]);
        return BE_OK;
    }
    TRY(check_settings(threads, err));
    TRY(check_system(threads, err));
    t->dynamic = omp_get_dynamic();
    if (t->dynamic) omp_set_dynamic(0);
    int running = team_gather(t);
    pool_remember(running);
    if (running == threads) return BE_OK;
    t->threads = running;
    team_end(t);
    FAIL(
        err, BE_UNAVAILABLE,
        "expected %d threads, but OpenMP gives %d; unset the variables that begin with OMP_, GOMP_ "
        "and KMP_, or ask for %d thread%s",
        threads, running, running, running == 1 ? "" : "s");
}
