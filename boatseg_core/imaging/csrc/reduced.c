/* Sums over a picture at 1/8; reduced.py defines them. */
#include "fast.h"
#include "picture.h"

#include <string.h>

enum { CELLS = TILE / CELL }; /* along a tile that may be blank */

/* Luminance as Pillow's convert("L") computes it, its moments, and the HSV saturation. */
FAST static void sum_row(const uint8_t *restrict red, const uint8_t *restrict green,
                         const uint8_t *restrict blue, ptrdiff_t n, uint8_t *restrict grey,
                         Sums *sums)
{
    uint32_t sum = 0, saturation = 0;
    uint64_t square = 0;
    for (ptrdiff_t x = 0; x < n; x++) {
        uint32_t v = (red[x] * 19595u + green[x] * 38470u + blue[x] * 7471u + 0x8000u) >> 16;
        grey[x] = (uint8_t)v;
        sum += v;
        square += v * v;
    }
    for (ptrdiff_t x = 0; x < n; x++) {
        int high = red[x] > green[x] ? red[x] : green[x];
        int low = red[x] < green[x] ? red[x] : green[x];
        high = blue[x] > high ? blue[x] : high;
        low = blue[x] < low ? blue[x] : low;
        int most = high > 1 ? high : 1;
        saturation += (uint32_t)((float)((high - low) * SCALE + most / 2) / (float)most);
    }
    sums->sum += sum;
    sums->square += square;
    sums->saturation += saturation;
}

/* Tiles of which every cell is black or white; n rows of cells, at most CELLS. */
static void add_tiles(const uint8_t *cells, ptrdiff_t n, ptrdiff_t columns, Sums *sums)
{
    for (ptrdiff_t x = 0; x < columns; x += CELLS) {
        ptrdiff_t end = x + CELLS < columns ? x + CELLS : columns;
        uint8_t low = 255, high = 0;
        for (ptrdiff_t y = 0; y < n; y++)
            for (ptrdiff_t i = x; i < end; i++) {
                uint8_t v = cells[y * columns + i];
                low = v < low ? v : low;
                high = v > high ? v : high;
            }
        sums->black += high <= BLACK;
        sums->white += low >= WHITE;
    }
}

void reduced_sums(const uint8_t *planes, ptrdiff_t rows, ptrdiff_t columns, Sums *sums,
                  uint8_t *cells, uint32_t *histogram)
{
    ptrdiff_t size = rows * columns;
    memset(sums, 0, sizeof *sums);
    memset(histogram, 0, 3 * 256 * sizeof *histogram);
    for (ptrdiff_t y = 0; y < rows; y++) {
        const uint8_t *row = planes + y * columns;
        sum_row(row, row + size, row + 2 * size, columns, cells + y * columns, sums);
    }
    for (ptrdiff_t x = 0; x < size; x++)
        for (int c = 0; c < 3; c++)
            histogram[256 * c + planes[size * c + x]]++;
    for (ptrdiff_t y = 0; y < rows; y += CELLS)
        add_tiles(cells + y * columns, rows - y < CELLS ? rows - y : CELLS, columns, sums);
}
