/* One pass over a decoded picture; sums.py defines what is computed.
 *
 * The picture is walked in strips of TILE rows and panels of PANEL columns, so that scratch memory
 * stays in the processor's caches, and a decoder need never hold all of the picture.
 */
#include "picture.h"

#include "fast.h"
#include "picture_rows.h"

#include <stdlib.h>
#include <string.h>

enum {
    PANEL = 1024, /* columns; a multiple of TILE, which is also the rows of a strip */
    CHUNK = 32    /* px worked on at a time */
};

/* Of red, green and blue; even and odd pixels apart: neighbours are alike, and an addition would
 * wait for the one before it. */
typedef uint32_t Histograms[2][3][256];

typedef struct {
    uint8_t rgbx[TILE][4 * (PANEL + 2)];  /* only for pictures of 3 bytes a pixel */
    uint8_t grey[TILE + 2][PANEL + 64];   /* two rows of the strip above, then the strip */
    uint16_t colour[4 * PANEL];
    uint16_t block[PANEL];
    uint16_t column[PANEL];
    uint8_t low[PANEL], high[PANEL];
    Histograms histogram;
} Scratch;

struct Picture {
    Scratch scratch;
    Sums sums;
    ptrdiff_t width, height, y;
    uint8_t *cells;
    uint8_t last[][2][PANEL + 64]; /* of each panel: luminance of the last two rows */
};

/* ITU-R 601 luma in 16-bit fixed point, as Pillow's convert("L") computes it. */
INLINE uint32_t luminance(uint32_t pixel)
{
    return (BYTE_OF(pixel, 0) * 19595u + BYTE_OF(pixel, 1) * 38470u + BYTE_OF(pixel, 2) * 7471u +
            0x8000u) >> 16;
}

INLINE void to_grey(const uint8_t *restrict rgbx, uint8_t *restrict grey, ptrdiff_t n)
{
    for (ptrdiff_t x = 0; x < n; x++) {
        uint32_t pixel;
        memcpy(&pixel, rgbx + 4 * x, 4);
        grey[x] = (uint8_t)luminance(pixel);
    }
}

INLINE void add_histogram(const uint8_t *rgbx, ptrdiff_t n, Histograms histogram)
{
    ptrdiff_t x = 0;
    for (; x + 2 <= n; x += 2, rgbx += 8) {
        uint32_t even, odd;
        memcpy(&even, rgbx, 4);
        memcpy(&odd, rgbx + 4, 4);
        for (int c = 0; c < 3; c++) {
            histogram[0][c][BYTE_OF(even, c)]++;
            histogram[1][c][BYTE_OF(odd, c)]++;
        }
    }
    for (int c = 0; c < 3 && x < n; c++)
        histogram[0][c][rgbx[c]]++;
}

FAST static void add_laplacian(const uint8_t *restrict above, const uint8_t *restrict row,
                               const uint8_t *restrict below, ptrdiff_t n, Sums *sums)
{
    int32_t sum = 0, square = 0; /* at most 1024 * 1020 * 1020 */
    for (ptrdiff_t x = 0; x < n; x++) {
        int16_t v = (int16_t)(above[x] + below[x] + row[x - 1] + row[x + 1] - 4 * row[x]);
        sum += v;
        square += v * v;
    }
    sums->laplacian += sum;
    sums->laplacian_square += (uint64_t)square;
}

/* A row's histogram, luminance and moments.
 *
 * Counting waits for the memory of the counts, one addition a cycle; the rest is vectors. Taken in
 * turns, a few pixels each, the one is done while the other waits.
 */
FAST static void add_row(const uint8_t *restrict rgbx, uint8_t *restrict grey, ptrdiff_t n,
                         Histograms histogram, Sums *sums)
{
    uint32_t sum[CHUNK] = {0}, square[CHUNK] = {0}; /* a lane sees PANEL / CHUNK pixels at most */
    ptrdiff_t x = 0;
    for (; x + CHUNK <= n; x += CHUNK) {
        for (ptrdiff_t i = 0; i < CHUNK; i++) {
            uint32_t pixel;
            memcpy(&pixel, rgbx + 4 * (x + i), 4);
            uint32_t v = luminance(pixel);
            grey[x + i] = (uint8_t)v;
            sum[i] += v;
            square[i] += v * v;
        }
        add_histogram(rgbx + 4 * x, CHUNK, histogram);
    }
    for (ptrdiff_t i = 0; i < CHUNK; i++) {
        sums->sum += sum[i];
        sums->square += square[i];
    }
    add_histogram(rgbx + 4 * x, n - x, histogram);
    for (; x < n; x++) {
        to_grey(rgbx + 4 * x, grey + x, 1);
        sums->sum += grey[x];
        sums->square += (uint64_t)grey[x] * grey[x];
    }
}

FAST static void extremes(const uint8_t *restrict row, uint8_t *restrict low,
                          uint8_t *restrict high, ptrdiff_t n)
{
    for (ptrdiff_t x = 0; x < n; x++) {
        low[x] = row[x] < low[x] ? row[x] : low[x];
        high[x] = row[x] > high[x] ? row[x] : high[x];
    }
}

static void add_tiles(const uint8_t *grey[TILE], ptrdiff_t n, ptrdiff_t w, Scratch *s, Sums *sums)
{
    memcpy(s->low, grey[0], (size_t)w);
    memcpy(s->high, grey[0], (size_t)w);
    for (ptrdiff_t y = 1; y < n; y++)
        extremes(grey[y], s->low, s->high, w);
    for (ptrdiff_t x = 0; x < w; x += TILE) {
        ptrdiff_t end = x + TILE < w ? x + TILE : w;
        uint8_t low = 255, high = 0;
        for (ptrdiff_t i = x; i < end; i++) {
            low = s->low[i] < low ? s->low[i] : low;
            high = s->high[i] > high ? s->high[i] : high;
        }
        sums->black += high <= BLACK;
        sums->white += low >= WHITE;
    }
}

static void put_cells(const uint8_t *grey[TILE], ptrdiff_t n, ptrdiff_t w, Scratch *s,
                      uint8_t *cells, ptrdiff_t stride)
{
    for (ptrdiff_t y = 0; y + CELL <= n; y += CELL, cells += stride) {
        for (ptrdiff_t i = 0; i < CELL; i += 4)
            add_four(grey[y + i], grey[y + i + 1], grey[y + i + 2], grey[y + i + 3], s->column, w,
                     i == 0);
        for (ptrdiff_t k = 0; k < w / CELL; k++) {
            int total = CELL * CELL / 2;
            for (ptrdiff_t i = 0; i < CELL; i++)
                total += s->column[CELL * k + i];
            cells[k] = (uint8_t)(total / (CELL * CELL));
        }
    }
}

/* Add a panel of a strip; x0 is its first column. */
static void add_panel(Picture *picture, const uint8_t *pixels, ptrdiff_t stride, int bytes,
                      ptrdiff_t x0)
{
    Scratch *s = &picture->scratch;
    Sums *sums = &picture->sums;
    const ptrdiff_t width = picture->width, y0 = picture->y, left = picture->height - y0;
    const ptrdiff_t n = left < TILE ? left : TILE, w = width - x0 < PANEL ? width - x0 : PANEL;
    const ptrdiff_t before = x0 > 0, after = x0 + w < width; /* neighbours the Laplacian needs */
    const ptrdiff_t first = x0 == 0, inner = w - first - !after, all = before + w + after;
    const uint8_t *rows[TILE], *grey[TILE];
    memcpy(s->grey, picture->last[x0 / PANEL], sizeof picture->last[0]);
    for (ptrdiff_t i = 0; i < n; i++) {
        const uint8_t *from = pixels + i * stride + (x0 - before) * bytes;
        if (bytes == 3) {
            for (ptrdiff_t x = 0; x < all; x++)
                memcpy(s->rgbx[i] + 4 * x, from + 3 * x, 3);
            from = s->rgbx[i];
        }
        rows[i] = from + 4 * before;
        uint8_t *own = s->grey[i + 2] + 1;
        grey[i] = own;
        to_grey(from, own - before, before);
        to_grey(rows[i] + 4 * w, own + w, after);
        add_row(rows[i], own, w, s->histogram, sums);
    }
    for (ptrdiff_t i = y0 ? -1 : 1; i < n - 1 && inner > 0; i++) {
        const uint8_t *row = s->grey[i + 2] + 1 + first;
        add_laplacian(s->grey[i + 1] + 1 + first, row, s->grey[i + 3] + 1 + first, inner, sums);
    }
    add_tiles(grey, n, w, s, sums);
    put_cells(grey, n, w, s, picture->cells + y0 / CELL * (width / CELL) + x0 / CELL, width / CELL);
    add_saturation(rows, n, w, s->colour, s->block, sums);
    memcpy(picture->last[x0 / PANEL], s->grey[n], sizeof picture->last[0]);
}

Picture *open_picture(ptrdiff_t width, ptrdiff_t height, uint8_t *cells)
{
    size_t panels = (size_t)((width + PANEL - 1) / PANEL);
    Picture *picture = malloc(sizeof *picture + panels * sizeof picture->last[0]);
    if (!picture)
        return NULL;
    memset(picture, 0, sizeof *picture + panels * sizeof picture->last[0]);
    picture->width = width;
    picture->height = height;
    picture->cells = cells;
    return picture;
}

void add_strip(Picture *picture, const uint8_t *pixels, ptrdiff_t stride, int bytes)
{
    for (ptrdiff_t x0 = 0; x0 < picture->width; x0 += PANEL)
        add_panel(picture, pixels, stride, bytes, x0);
    picture->y += TILE;
}

void close_picture(Picture *picture, Sums *sums, uint32_t *histogram)
{
    uint32_t(*counts)[3][256] = picture->scratch.histogram;
    *sums = picture->sums;
    for (int i = 0; i < 3 * 256; i++)
        histogram[i] = counts[0][i / 256][i % 256] + counts[1][i / 256][i % 256];
    free(picture);
}

int picture_sums(const uint8_t *pixels, ptrdiff_t width, ptrdiff_t height, int bytes, Sums *sums,
                 uint8_t *cells, uint32_t *histogram)
{
    Picture *picture = open_picture(width, height, cells);
    if (!picture)
        return 0;
    for (ptrdiff_t y = 0; y < height; y += TILE)
        add_strip(picture, pixels + y * width * bytes, width * bytes, bytes);
    close_picture(picture, sums, histogram);
    return 1;
}
