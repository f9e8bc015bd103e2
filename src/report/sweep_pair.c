/* See sweep_pair.h. */
#include "report/sweep_pair.h"

#include <math.h>

#include "core/json.h"

json_t *sweep_place_json(const crossing_place *place)
{
    json_t *point =
        json_pack("{s:f, s:o, s:o, s:o, s:s}", "x", place->x, "ratio",
                  json_of_real(place->ratio.point), "low", json_of_real(place->ratio.low), "high",
                  json_of_real(place->ratio.high), "verdict", stats_verdict_name(place->verdict));
    if (place->runs == 0) return point;
    json_object_set_new(point, "runs", json_integer(place->runs));
    json_object_set_new(point, "runs_agreeing", json_integer(place->agreeing));
    return point;
}

static json_t *crossing_json(const json_t *pair, const crossing *at)
{
    const char *first = report_string(pair, pair, first);
    const char *second = report_string(pair, pair, second);
    const char *below = at->below < 0 ? first : second;
    const char *above = at->below < 0 ? second : first;
    return json_pack("{s:f, s:f, s:f, s:s, s:s}", "x", at->x, "low", at->low, "high", at->high,
                     "faster_below", below, "faster_above", above);
}

void sweep_add_findings(json_t *pair, const crossing_result *crossing)
{
    json_t *crossings = json_array(), *undecided = json_array();
    bool one_wins = !crossing->count && crossing->sign;
    for (int c = 0; c < crossing->count; c++)
        json_array_append_new(crossings, crossing_json(pair, &crossing->crossings[c]));
    for (int u = 0; u < crossing->undecided_count; u++) {
        const crossing_stretch *at = &crossing->undecided[u];
        json_array_append_new(undecided, json_pack("{s:f, s:f, s:o, s:o}", "from", at->from, "to",
                                                   at->to, "ratio_low", json_of_real(exp(at->low)),
                                                   "ratio_high", json_of_real(exp(at->high))));
    }
    json_object_set_new(pair, "crossings", crossings);
    json_object_set_new(pair, "undecided", undecided);
    if (one_wins)
        json_object_set(pair, "winner",
                        crossing->sign < 0 ? report_member(pair, pair, first)
                                           : report_member(pair, pair, second));
    else
        json_object_set_new(pair, "winner", json_null());
    json_object_set_new(pair, "least_ratio",
                        json_of_real(one_wins ? exp(crossing->least) : (double)NAN));
    json_object_set_new(pair, "least_at", json_of_real(one_wins ? crossing->at : (double)NAN));
}
