/* Memory of the picture at 1/8, and its colours. */
#include "jpeg_planes.h"

#include <stdlib.h>
#include <string.h>

void set_steps(const uint8_t quant[COEFFICIENTS], Steps *steps)
{
    for (int k = 0; k < COEFFICIENTS; k++) {
        int row = zigzag[k] / BLOCK_SIDE, column = zigzag[k] % BLOCK_SIDE;
        int used = (row == 0 || row % 2) && (column == 0 || column % 2);
        steps->step[k] = quant[k];
        steps->place[k] = (uint8_t)(used ? (row + 1) / 2 * LANES + (column + 1) / 2
                                         : ODD_SIDE * LANES);
    }
}

int open_planes(Planes *planes, const JpegHeader *header, size_t across, size_t down)
{
    for (int c = 0; c < header->components; c++) {
        int halved = header->across == 2 && header->down == 2;
        int wide = c == 0 ? header->across : halved ? 2 : 1;
        int tall = c == 0 ? header->down : halved ? 2 : 1;
        planes->stride[c] = across * (size_t)wide;
        planes->values[c] = malloc(planes->stride[c] * down * (size_t)tall);
        if (!planes->values[c])
            return 0;
    }
    return 1;
}

void close_planes(Planes *planes)
{
    for (int c = 0; c < 3; c++)
        free(planes->values[c]);
}

INLINE uint8_t in_range(int value)
{
    return (uint8_t)(value < 0 ? 0 : value > 255 ? 255 : value);
}

/* ycc_rgb_convert of jdcolor.c; factors in units of 2^-16. */
FAST static void to_rgb(const uint8_t *restrict luma, const uint8_t *restrict blueness,
                        const uint8_t *restrict redness, ptrdiff_t n, uint8_t *restrict red,
                        uint8_t *restrict green, uint8_t *restrict blue)
{
    for (ptrdiff_t x = 0; x < n; x++) {
        int cb = blueness[x] - 128, cr = redness[x] - 128;
        red[x] = in_range(luma[x] + ((91881 * cr + 32768) >> 16));
        green[x] = in_range(luma[x] + ((-22554 * cb - 46802 * cr + 32768) >> 16));
        blue[x] = in_range(luma[x] + ((116130 * cb + 32768) >> 16));
    }
}

/* A row of chroma at the size of luma. */
static const uint8_t *widened(const uint8_t *row, ptrdiff_t n, uint8_t *wide)
{
    for (ptrdiff_t x = 0; x < n; x++)
        wide[x] = row[x / 2];
    return wide;
}

void put_colours(const Planes *planes, const JpegHeader *header, uint8_t *out)
{
    ptrdiff_t width = (header->width + BLOCK_SIDE - 1) / BLOCK_SIDE;
    ptrdiff_t height = (header->height + BLOCK_SIDE - 1) / BLOCK_SIDE, size = width * height;
    int wide = header->across == 2 && header->down == 1;
    int tall = header->across == 1 && header->down == 2;
    uint8_t rows[2][MOST_SIDE / BLOCK_SIDE + 1];
    for (ptrdiff_t y = 0; y < height; y++, out += width) {
        const uint8_t *from[3];
        for (int c = 0; c < header->components; c++) {
            from[c] = planes->values[c] + (size_t)(c && tall ? y / 2 : y) * planes->stride[c];
            if (c && wide)
                from[c] = widened(from[c], width, rows[c - 1]);
        }
        if (header->components == 3)
            to_rgb(from[0], from[1], from[2], width, out, out + size, out + 2 * size);
        else
            for (int c = 0; c < 3; c++)
                memcpy(out + c * size, from[0], (size_t)width);
    }
}
