/* Runs, records and notes on their way out of a store. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "core/json.h"
#include "store/store.h"
#include "store/store_own.h"

/* What a filter asks of a run; the parameters of bind_filter stand in this order. */
#define TAKEN                                                                          \
    " WHERE (?1 = 0 OR run.id = ?1)"                                                   \
    " AND (?2 IS NULL OR run.began >= ?2) AND (?3 IS NULL OR run.began < ?3)"          \
    " AND (?4 IS NULL OR instr(lower(run.machine), lower(?4)) > 0)"                    \
    " AND (?5 IS NULL OR substr(run.commit_id, 1, length(?5)) = ?5)"                   \
    " AND ((?6 IS NULL AND ?7 IS NULL AND ?8 IS NULL) OR EXISTS (SELECT 1 FROM record" \
    "   WHERE record.run = run.id AND (?6 IS NULL OR record.workload = ?6)"            \
    "   AND (?7 IS NULL OR record.engine = ?7)"                                        \
    "   AND (?8 IS NULL OR record.device = ?8 OR record.device LIKE ?8 || ':%')))"

static void bind_filter(store_query *q, const store_filter *f)
{
    store_bind_number(q, f->run);
    store_bind_known(q, f->since_s);
    store_bind_known(q, f->until_s);
    store_bind_text(q, f->machine);
    store_bind_text(q, f->commit);
    store_bind_text(q, f->workload);
    store_bind_text(q, f->engine);
    store_bind_text(q, f->device);
}

static json_t *text_of(store_query *q, int column)
{
    return json_of_text((const char *)sqlite3_column_text(q->statement, column));
}

static json_t *time_of(store_query *q, int column)
{
    char text[32];
    struct tm utc;
    time_t seconds = (time_t)sqlite3_column_int64(q->statement, column);
    if (sqlite3_column_type(q->statement, column) == SQLITE_NULL || !gmtime_r(&seconds, &utc))
        return json_null();
    strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &utc);
    return json_string(text);
}

bool store_day(const char *text, int64_t *unix_s)
{
    struct tm utc = {0};
    const char *end = strptime(text, "%Y-%m-%d", &utc);
    *unix_s = end && !*end ? (int64_t)timegm(&utc) : -1;
    return end && !*end;
}

/* ---------------------------------------------------------------- runs */

static void add_run(store_query *q, json_t *runs)
{
    static const char *const texts[] = {"command",   "source",  "machine", "commit",
                                        "workloads", "engines", "devices", "note"};
    json_t *run = json_object();
    json_put(&run, "run", json_integer(sqlite3_column_int64(q->statement, 0)));
    json_put(&run, "time", time_of(q, 1));
    for (int i = 0; i < 8; i++) json_put(&run, texts[i], text_of(q, i + 2));
    json_put(&run, "records", json_integer(sqlite3_column_int64(q->statement, 10)));
    json_array_append_new(runs, run);
}

static be_status count_runs(store *s, const store_filter *filter, int64_t *out, be_error *err)
{
    bool row = false;
    store_query q = store_ask(s, "read", "SELECT count(*) FROM run" TAKEN);
    bind_filter(&q, filter);
    be_status status = store_step(&q, &row, err);
    *out = row ? sqlite3_column_int64(q.statement, 0) : 0;
    store_finish(&q);
    return status;
}

be_status store_list(store *s, const store_filter *filter, json_t *runs, int64_t *rest,
                     be_error *err)
{
    bool row = true;
    size_t before = json_array_size(runs);
    TRY(count_runs(s, filter, rest, err));
    store_query q =
        store_ask(s, "read",
                  "SELECT run.id, began, command, source, machine, commit_id,"
                  " (SELECT group_concat(w, ', ') FROM"
                  "   (SELECT DISTINCT workload AS w FROM record WHERE run = run.id)),"
                  " (SELECT group_concat(e, ', ') FROM"
                  "   (SELECT DISTINCT engine AS e FROM record WHERE run = run.id)),"
                  " (SELECT group_concat(d, ', ') FROM"
                  "   (SELECT DISTINCT device AS d FROM record WHERE run = run.id)),"
                  " (SELECT text FROM note WHERE run = run.id ORDER BY id DESC LIMIT 1),"
                  " (SELECT count(*) FROM record WHERE run = run.id)"
                  " FROM run" TAKEN " ORDER BY run.id DESC LIMIT ?9");
    bind_filter(&q, filter);
    store_bind_number(&q, filter->limit ? filter->limit : -1);
    be_status status = store_step(&q, &row, err);
    for (; status == BE_OK && row; status = store_step(&q, &row, err)) add_run(&q, runs);
    store_finish(&q);
    *rest -= (int64_t)(json_array_size(runs) - before);
    return status;
}

be_status store_check_run(store *s, int64_t run, be_error *err)
{
    store_filter filter = {.run = run, .since_s = -1, .until_s = -1};
    int64_t count = 0;
    TRY(count_runs(s, &filter, &count, err));
    if (!count)
        FAIL(err, BE_USAGE,
             "expected a run of %s, found none of number %" PRId64 "; 'breakeven runs' lists them",
             s->path, run);
    return BE_OK;
}

/* ---------------------------------------------------------------- records and notes */

be_status store_read(store *s, const store_filter *filter, store_take_line *take, void *context,
                     be_error *err)
{
    bool row = true;
    store_query q =
        store_ask(s, "read",
                  "SELECT line, record.run FROM record JOIN run ON run.id = record.run" TAKEN
                  " ORDER BY record.id");
    bind_filter(&q, filter);
    be_status status = store_step(&q, &row, err);
    while (status == BE_OK && row) {
        /* None is NULL in a sound one; or there was no memory for it. */
        const char *line = (const char *)sqlite3_column_text(q.statement, 0);
        int64_t run = sqlite3_column_int64(q.statement, 1);
        int code = sqlite3_errcode(s->db) == SQLITE_NOMEM ? SQLITE_NOMEM : SQLITE_CORRUPT;
        status =
            line ? take(context, line, run, err) : store_fault(s->db, code, "read", s->path, err);
        if (status == BE_OK) status = store_step(&q, &row, err);
    }
    store_finish(&q);
    return status;
}

be_status store_notes(store *s, int64_t run, json_t *notes, be_error *err)
{
    bool row = true;
    store_query q = store_ask(s, "read", "SELECT at, text FROM note WHERE run = ? ORDER BY id");
    store_bind_number(&q, run);
    be_status status = store_step(&q, &row, err);
    for (; status == BE_OK && row; status = store_step(&q, &row, err))
        json_array_append_new(
            notes, json_pack("{s:o, s:o}", "time", time_of(&q, 0), "text", text_of(&q, 1)));
    store_finish(&q);
    return status;
}
