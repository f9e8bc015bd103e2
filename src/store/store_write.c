/* Runs, records and notes on their way into a store. */
#include <inttypes.h>
#include <nettle/sha2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/json.h"
#include "core/text.h"
#include "store/store.h"
#include "store/store_own.h"

/* As its command prints it: the losses of a training to the bit, measurements with nine digits. */
static be_status line_of(const json_t *record, char **out, be_error *err)
{
    bool epoch = strcmp(json_text_at(record, "kind"), "epoch") == 0;
    return json_print(out, record, JSON_COMPACT | (epoch ? 0 : JSON_REAL_PRECISION(9)), "a record",
                      err);
}

be_status store_add_run(store *s, const store_run *run, int64_t *id, be_error *err)
{
    store_query q = store_ask(s, "write",
                              "INSERT INTO run (began, command, source, machine, commit_id) "
                              "VALUES (?, ?, ?, ?, ?)");
    store_bind_known(&q, run->began_s);
    store_bind_text(&q, run->command);
    store_bind_text(&q, run->source);
    store_bind_text(&q, run->machine);
    store_bind_text(&q, run->commit);
    TRY(store_do(&q, err));
    *id = sqlite3_last_insert_rowid(s->db);
    return BE_OK;
}

/* ---------------------------------------------------------------- records */

static void digest_of(const char *line, size_t length, uint8_t out[SHA256_DIGEST_SIZE])
{
    struct sha256_ctx state;
    sha256_init(&state);
    sha256_update(&state, length, (const uint8_t *)line);
    sha256_digest(&state, SHA256_DIGEST_SIZE, out);
}

static int bind_record(sqlite3_stmt *statement, const store_record *r,
                       const uint8_t digest[SHA256_DIGEST_SIZE])
{
    const char *const texts[] = {r->kind, r->workload, r->engine, r->device};
    int code = SQLITE_OK;
    for (int i = 0; i < 4 && code == SQLITE_OK; i++)
        code = sqlite3_bind_text(statement, i + 2, texts[i], -1, SQLITE_STATIC);
    if (code == SQLITE_OK)
        code = sqlite3_bind_blob(statement, 6, digest, SHA256_DIGEST_SIZE, SQLITE_STATIC);
    if (code == SQLITE_OK)
        code = sqlite3_bind_text64(statement, 7, r->line, r->length, SQLITE_STATIC, SQLITE_UTF8);
    return code;
}

be_status store_add_line(store *s, int64_t run, const store_record *record, int64_t *id,
                         be_error *err)
{
    uint8_t digest[SHA256_DIGEST_SIZE];
    int code = SQLITE_OK;
    digest_of(record->line, record->length, digest);
    if (!s->insert)
        code = sqlite3_prepare_v2(s->db,
                                  "INSERT OR IGNORE INTO record (run, kind, workload, engine, "
                                  "device, digest, line) VALUES (?, ?, ?, ?, ?, ?, ?)",
                                  -1, &s->insert, NULL);
    if (code == SQLITE_OK) code = sqlite3_bind_int64(s->insert, 1, run);
    if (code == SQLITE_OK) code = bind_record(s->insert, record, digest);
    if (code == SQLITE_OK) code = sqlite3_step(s->insert);
    sqlite3_reset(s->insert);
    if (s->insert) sqlite3_clear_bindings(s->insert); /* which takes no NULL */
    if (code != SQLITE_DONE) return store_fault(s->db, code, "write", s->path, err);
    *id = sqlite3_changes(s->db) ? sqlite3_last_insert_rowid(s->db) : 0;
    return BE_OK;
}

store_record store_record_of(const json_t *record, const char *line, size_t length)
{
    const char *kind = json_string_value(json_object_get(record, "kind"));
    return (store_record){.line = line,
                          .length = length,
                          .kind = kind ? kind : "",
                          .workload = json_string_value(json_object_get(record, "workload")),
                          .engine = json_string_value(json_object_get(record, "engine")),
                          .device = json_string_value(json_object_get(record, "device"))};
}

be_status store_add_record(store *s, int64_t run, const json_t *record, int64_t *id, be_error *err)
{
    char *line = NULL;
    TRY(line_of(record, &line, err));
    store_record whole = store_record_of(record, line, strlen(line));
    be_status status = store_add_line(s, run, &whole, id, err);
    free(line);
    return status;
}

be_status store_complete_record(store *s, int64_t id, const json_t *record, be_error *err)
{
    uint8_t digest[SHA256_DIGEST_SIZE];
    char *line = NULL;
    TRY(line_of(record, &line, err));
    digest_of(line, strlen(line), digest);
    store_query q = store_ask(s, "write", "UPDATE record SET line = ?, digest = ? WHERE id = ?");
    store_bind_text(&q, line);
    free(line);
    if (q.code == SQLITE_OK)
        q.code = sqlite3_bind_blob(q.statement, ++q.bound, digest, sizeof digest, SQLITE_TRANSIENT);
    store_bind_number(&q, id);
    return store_do(&q, err);
}

/* ---------------------------------------------------------------- notes, removal */

be_status store_add_note(store *s, int64_t run, const char *text, int64_t unix_s, be_error *err)
{
    TRY(store_check_run(s, run, err));
    store_query q = store_ask(s, "write", "INSERT INTO note (run, at, text) VALUES (?, ?, ?)");
    store_bind_number(&q, run);
    store_bind_number(&q, unix_s);
    store_bind_text(&q, text);
    return store_do(&q, err);
}

be_status store_remove_run(store *s, int64_t run, be_error *err)
{
    TRY(store_check_run(s, run, err));
    store_query q = store_ask(s, "write", "DELETE FROM run WHERE id = ?");
    store_bind_number(&q, run);
    return store_do(&q, err);
}

be_status store_drop_empty(store *s, int64_t run, bool *was_empty, be_error *err)
{
    store_query q = store_ask(s, "write",
                              "DELETE FROM run WHERE id = ?1 AND NOT EXISTS "
                              "(SELECT 1 FROM record WHERE run = ?1)");
    store_bind_number(&q, run);
    TRY(store_do(&q, err));
    *was_empty = sqlite3_changes(s->db) > 0;
    return BE_OK;
}

/* ---------------------------------------------------------------- whose they are */

const char *store_machine_text(const char *model, double threads, double bytes, char out[160])
{
    char clean[100];
    text_buffer b = text_begin(out, 160);
    if (!*model) return out;
    text_add(&b, "%s", text_clean(model, strlen(model), false, clean, sizeof clean));
    if (threads > 0) text_add(&b, ", %.0f thread%s", threads, threads == 1 ? "" : "s");
    if (bytes > 0) text_add(&b, ", %.1f GiB", bytes / (1 << 30));
    return out;
}

const char *store_machine_of(const json_t *environment, char out[160])
{
    return store_machine_text(json_text_at(environment, "cpu.model"),
                              json_real_at(environment, "cpu.threads"),
                              json_real_at(environment, "memory_bytes"), out);
}

const char *store_commit_of(const json_t *environment)
{
    return json_text_at(environment, "build.commit");
}
