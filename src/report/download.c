/* See download.h. */
#include "report/download.h"

#include <string.h>
#include <zlib.h>

#include "report/members.h"
#include "report/text.h"

#define PIECE_BYTES 16384
#define GZIP_WINDOW (15 + 16) /* the largest, and a frame of gzip (RFC 1952) around it */
#define MEMORY_LEVEL 8        /* zlib's own */

/* Base64 (RFC 4648) of a stream of bytes. */
typedef struct encoder {
    FILE *out;
    unsigned bits;
    int count; /* bytes in it */
} encoder;

static void flush_bytes(encoder *e)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    if (!e->count) return;
    unsigned bits = e->bits << 8 * (3 - e->count);
    for (int d = 0; d < 4; d++)
        fputc(d <= e->count ? digits[bits >> (18 - 6 * d) & 63] : '=', e->out);
    *e = (encoder){.out = e->out};
}

static void encode(encoder *e, const unsigned char *bytes, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        e->bits = e->bits << 8 | bytes[i];
        if (++e->count == 3) flush_bytes(e);
    }
}

/* Compress a text and encode what comes of it; Z_FINISH for the last. */
static void compress_text(z_stream *z, encoder *e, const char *text, int flush)
{
    unsigned char piece[PIECE_BYTES];
    z->next_in = (unsigned char *)text;
    z->avail_in = (unsigned)strlen(text);
    do {
        z->next_out = piece;
        z->avail_out = sizeof piece;
        MUST(deflate(z, flush) != Z_STREAM_ERROR);
        encode(e, piece, sizeof piece - z->avail_out);
    } while (!z->avail_out);
}

static size_t write_lines(z_stream *z, const json_t *runs, FILE *out)
{
    encoder e = {.out = out};
    size_t i, l, count = 0;
    json_t *each, *line;
    json_array_foreach(runs, i, each)
    {
        json_array_foreach(report_member(each, collected, lines), l, line)
        {
            compress_text(z, &e, json_string_value(line), Z_NO_FLUSH);
            compress_text(z, &e, "\n", Z_NO_FLUSH);
            count++;
        }
    }
    compress_text(z, &e, "", Z_FINISH);
    flush_bytes(&e);
    return count;
}

be_status download_write(const json_t *runs, FILE *out, be_error *err)
{
    z_stream z = {0};
    char text[REPORT_TEXT_BYTES];
    if (deflateInit2(&z, Z_DEFAULT_COMPRESSION, Z_DEFLATED, GZIP_WINDOW, MEMORY_LEVEL,
                     Z_DEFAULT_STRATEGY) != Z_OK)
        FAIL(err, BE_NO_MEMORY, "the records of a report: no memory left for it; free some");
    fprintf(out, "<p class=screen><a download=\"breakeven.jsonl.gz\" "
                 "href=\"data:application/gzip;base64,");
    size_t count = write_lines(&z, runs, out);
    deflateEnd(&z);
    fprintf(out,
            "\">Save the %s record%s</a> as they are kept, in JSON, one per line, compressed: "
            "<code>breakeven runs import</code> takes them.</p>\n",
            report_count((double)count, text), count == 1 ? "" : "s");
    return BE_OK;
}
