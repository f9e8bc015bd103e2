/* Preloaded before jansson: the second time that "learning_rate" is put into an object there is no
 * memory for it, as in the record of a training's second epoch. */
#include <dlfcn.h>
#include <jansson.h>
#include <string.h>

int json_object_set_new(json_t *object, const char *name, json_t *value)
{
    static int (*really)(json_t *, const char *, json_t *);
    static int times;
    if (!really) *(void **)&really = dlsym(RTLD_NEXT, "json_object_set_new");
    if (strcmp(name, "learning_rate") != 0 || ++times != 2) return really(object, name, value);
    json_decref(value);
    return -1;
}
