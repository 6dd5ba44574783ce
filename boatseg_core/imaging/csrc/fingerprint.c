/* Fingerprints of tiles; fingerprint.py defines them. */
#include "picture.h"

#include <string.h>

void put_fingerprint(const uint8_t *cells, ptrdiff_t stride, const uint16_t *pairs, uint64_t least,
                     uint8_t *bits)
{
    int16_t detail[SIDE * SIDE]; /* 16 times each cell's difference from its 4 x 4 cells' mean */
    uint64_t energy = 0;
    for (int y = 0; y < SIDE; y += 4)
        for (int x = 0; x < SIDE; x += 4) {
            int sum = 0;
            for (int i = 0; i < 16; i++)
                sum += cells[(y + i / 4) * stride + x + i % 4];
            for (int i = 0; i < 16; i++) {
                int d = 16 * cells[(y + i / 4) * stride + x + i % 4] - sum;
                detail[(y + i / 4) * SIDE + x + i % 4] = (int16_t)d;
                energy += (uint64_t)(d * d);
            }
        }
    memset(bits, 0, BITS / 8);
    for (int i = 0; i < BITS && energy >= least; i++)
        if (detail[pairs[i]] > detail[pairs[BITS + i]])
            bits[i / 8] |= (uint8_t)(0x80 >> i % 8);
}

