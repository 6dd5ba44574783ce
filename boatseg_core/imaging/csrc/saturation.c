/* The saturation of a strip, of averages of BLOCK x BLOCK pixels; sums.py defines it. */
#include "picture_rows.h"

#include <string.h>

static void add_one(const uint8_t *restrict row, uint16_t *restrict total, ptrdiff_t n)
{
    for (ptrdiff_t x = 0; x < n; x++)
        total[x] = (uint16_t)(total[x] + row[x]);
}

/* Sums of whole blocks: 4 pixels, each a word of 4 channels that never carry (16 * 255 < 2^16). */
FAST static void add_columns(const uint16_t *restrict colour, uint16_t *restrict block,
                             ptrdiff_t n)
{
    for (ptrdiff_t k = 0; k < n; k++) {
        uint64_t pixels[4], total;
        memcpy(pixels, colour + 16 * k, sizeof pixels);
        total = pixels[0] + pixels[1] + pixels[2] + pixels[3];
        memcpy(block + 4 * k, &total, sizeof total);
    }
}

FAST static uint32_t saturations(const uint16_t *restrict block, ptrdiff_t n, int pixels)
{
    uint32_t total = 0;
    for (ptrdiff_t k = 0; k < n; k++) {
        int red = (block[4 * k] + pixels / 2) / pixels;
        int green = (block[4 * k + 1] + pixels / 2) / pixels;
        int blue = (block[4 * k + 2] + pixels / 2) / pixels;
        int high = red > green ? red : green, low = red < green ? red : green;
        high = blue > high ? blue : high;
        low = blue < low ? blue : low;
        int most = high > 1 ? high : 1;
        total += (uint32_t)((float)((high - low) * SCALE + most / 2) / (float)most);
    }
    return total;
}

FAST static uint32_t saturations_of_16(const uint16_t *restrict block, ptrdiff_t n)
{
    uint32_t sum = 0;
    for (ptrdiff_t k = 0; k < n; k++) {
        uint64_t total;
        memcpy(&total, block + 4 * k, sizeof total);
        int red = (LANE_OF(total, 0) + 8) >> 4;
        int green = (LANE_OF(total, 1) + 8) >> 4;
        int blue = (LANE_OF(total, 2) + 8) >> 4;
        int high = red > green ? red : green, low = red < green ? red : green;
        high = blue > high ? blue : high;
        low = blue < low ? blue : low;
        int most = high > 1 ? high : 1;
        sum += (uint32_t)((float)((high - low) * SCALE + most / 2) / (float)most);
    }
    return sum;
}

void add_saturation(const uint8_t *const rows[TILE], ptrdiff_t n, ptrdiff_t w, uint16_t *colour,
                    uint16_t *block, Sums *sums)
{
    for (ptrdiff_t y = 0; y < n; y += BLOCK) {
        ptrdiff_t height = n - y < BLOCK ? n - y : BLOCK, whole = w / BLOCK, rest = w % BLOCK;
        if (height == BLOCK) {
            add_four(rows[y], rows[y + 1], rows[y + 2], rows[y + 3], colour, 4 * w, 1);
        } else {
            memset(colour, 0, sizeof(uint16_t) * 4 * (size_t)w);
            for (ptrdiff_t i = 0; i < height; i++)
                add_one(rows[y + i], colour, 4 * w);
        }
        add_columns(colour, block, whole);
        if (height == BLOCK)
            sums->saturation += saturations_of_16(block, whole);
        else
            sums->saturation += saturations(block, whole, (int)(BLOCK * height));
        if (rest) { /* at the picture's right edge */
            memset(block, 0, sizeof(uint16_t) * 4);
            for (ptrdiff_t x = whole * BLOCK; x < w; x++)
                for (ptrdiff_t c = 0; c < 4; c++)
                    block[c] = (uint16_t)(block[c] + colour[4 * x + c]);
            sums->saturation += saturations(block, 1, (int)(rest * height));
        }
    }
}
