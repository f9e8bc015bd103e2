/* See keeper.h. */
#include "store/keeper.h"

#include "core/clock.h"
#include "core/memory.h"
#include "core/status.h"

static be_status begin(keeper *k, const json_t *environment, be_error *err)
{
    char machine[160];
    const char *commit = store_commit_of(environment);
    TRY(store_open(&k->store, NULL, err));
    store_machine_of(environment, machine);
    store_run run = {.command = k->command,
                     .machine = *machine ? machine : NULL,
                     .commit = *commit ? commit : NULL,
                     .began_s = clock_unix_s()};
    k->kept = json_array();
    return store_add_run(k->store, &run, &k->run, err);
}

static be_status add(keeper *k, json_t *record, const json_t *environment, be_error *err)
{
    size_t count = json_array_size(k->kept);
    void *ids = k->ids;
    if (!environment) environment = json_object_get(record, "environment");
    if (!k->store) TRY(begin(k, environment, err));
    be_status status = memory_grow(&ids, &k->room, count + 1, sizeof *k->ids, err);
    k->ids = ids;
    TRY(status);
    TRY(store_add_record(k->store, k->run, record, &k->ids[count], err));
    if (json_array_append(k->kept, record) != 0)
        FAIL(err, BE_NO_MEMORY, "no memory left for the records that are kept; free some");
    return BE_OK;
}

static const char *give_up(keeper *k)
{
    status_prefix(&k->reason, "the results are not kept (--no-store leaves this out)");
    k->command = NULL;
    return k->reason.text;
}

const char *keeper_add(keeper *k, json_t *record, const json_t *environment)
{
    if (!k->command) return NULL;
    return add(k, record, environment, &k->reason) == BE_OK ? NULL : give_up(k);
}

const char *keeper_end(keeper *k)
{
    be_status status = BE_OK;
    for (size_t i = 0; status == BE_OK && k->command && i < json_array_size(k->kept); i++)
        if (k->ids[i])
            status =
                store_complete_record(k->store, k->ids[i], json_array_get(k->kept, i), &k->reason);
    const char *reason = status == BE_OK ? NULL : give_up(k);
    store_close(k->store);
    json_decref(k->kept);
    memory_free_array(k->ids);
    k->store = NULL;
    k->kept = NULL;
    k->ids = NULL;
    return reason;
}
