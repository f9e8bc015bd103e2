/* The quick verdict: one workload explained within the time of a page, and the advice. */
#include "core/memory.h"
#include "report/sheet.h"
#include "study/advise.h"
#include "study/explain.h"
#include "study/study.h"

#define PAGE_S 40 /* in all, however many contenders there are */

/* What is not usable here, of the engines that are: devices with their reasons. */
static void add_unusable(const bench_plan *plan, json_t *missing)
{
    size_t i;
    json_t *device;
    for (int e = 0; e < ENGINE_COUNT; e++)
        json_array_foreach(report_member(plan->hello[e], hello, unusable_devices), i, device)
            json_array_append_new(missing,
                                  json_pack("{s:s++, s:O}", "name", engine_title(engine_names[e]),
                                            " on ", report_string(device, device, id), "reason",
                                            report_member(device, device, reason)));
}

static void complete_page(const measurement *m, study_page *page)
{
    if (!json_array_size(page->records)) return;
    int64_t batch = (int64_t)report_real(json_array_get(page->records, 0), bench, batch);
    page->advice = advise_from(m->request, m->watch, m->workload, batch, page->records);
    page->missing = json_deep_copy(m->plan.missing);
    add_unusable(&m->plan, page->missing);
}

be_status study_quick(const study_request *request, const study_watch *watch, study_page *page,
                      be_error *err)
{
    void *memory = NULL;
    study_request short_request = *request;
    short_request.tells_missing = true;
    *page = (study_page){.records = json_array()};
    TRY(memory_alloc(&memory, sizeof(measurement), "a measurement", err));
    measurement *m = memory;
    be_status status = measurement_open(m, &short_request, watch, err);
    m->conducting.budget.whole_s = PAGE_S;
    if (status == BE_OK) status = explain_measure(m, request->workloads[0], page->records, err);
    complete_page(m, page);
    if (status == BE_OK) status = measurement_check(page->records, err);
    measurement_close(m);
    memory_free(memory);
    return status;
}
