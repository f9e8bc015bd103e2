/* What stands around every view: the head of the page, the way to the other views, and its end. */
#include <string.h>

#include "serve/markup.h"
#include "serve/view.h"

static const struct {
    const char *path, *title;
} views[] = {{"/", "Machine"},
             {"/try", "Try"},
             {"/breakeven", "Break-even"},
             {"/explain", "Explain"},
             {"/runs", "Runs"}};

static void begin(const char *path, const char *title, FILE *out)
{
    markup_put(out,
               "<!doctype html>\n<html lang=en><head><meta charset=utf-8>"
               "<meta name=viewport content=\"width=device-width,initial-scale=1\">"
               "<title>%s - breakeven</title><link rel=icon href=/icon.svg>"
               "<link rel=stylesheet href=/style.css><script src=/page.js defer></script></head>\n"
               "<body><a class=skip href=#main>to the content</a>\n<header><nav aria-label=views>"
               "<b>breakeven</b>",
               title);
    for (size_t i = 0; i < sizeof views / sizeof *views; i++)
        markup_put(out,
                   strcmp(views[i].path, path) == 0 ? "<a href=\"%s\" aria-current=page>%s</a>"
                                                    : "<a href=\"%s\">%s</a>",
                   views[i].path, views[i].title);
    markup_put(out, "</nav></header>\n<main id=main>\n<h1>%s</h1>\n", title);
}

void view_begin(const view *p, const char *title, FILE *out)
{
    begin(p->address->path, title, out);
}

void view_end(FILE *out)
{
    fputs("</main></body></html>\n", out);
}

void view_write_fault(const char *title, const char *text, FILE *out)
{
    begin("", title, out);
    markup_put(out, "<p class=fault role=alert>%s</p>\n", text);
    view_end(out);
}
