/* The bits of a JPEG's coded data, and the Huffman codes in them (ITU-T T.81, annex F.2). */
#ifndef BOATSEG_JPEG_BITS_H
#define BOATSEG_JPEG_BITS_H

#include <string.h>

#include "fast.h"
#include "jpeg.h"

/* Bits not yet read, the next one on top; at least 56 are there after a refill. Of `have` only the
 * lowest 6 bits count, which lets an entry of a table be subtracted as it is. */
typedef struct {
    uint64_t ahead, have;
    const uint8_t *at;
} Bits;

INLINE void refill(Bits *bits)
{
    uint64_t next;
#if !BIG_ENDIAN_HOST && (defined(__GNUC__) || defined(__clang__))
    memcpy(&next, bits->at, 8);
    next = __builtin_bswap64(next);
#else
    next = 0;
    for (int i = 0; i < 8; i++)
        next = next << 8 | bits->at[i];
#endif
    bits->ahead |= next >> (bits->have & 63);
    bits->at += (~bits->have & 63) >> 3;
    bits->have |= 56;
}

/* Drop what a table's entry says, in its lowest 6 bits. */
INLINE void drop(Bits *bits, uint64_t entry)
{
    bits->ahead <<= entry & 63;
    bits->have -= entry;
}

/* A code too long for the table, in the table's form; 0: there is no such code. */
NOINLINE unsigned long_code(uint64_t ahead, const Codes *codes)
{
    uint32_t top = (uint32_t)(ahead >> (64 - LONGEST_CODE));
    for (int length = LOOKUP + 1; length <= LONGEST_CODE; length++)
        if (top < codes->limit[length]) {
            int at = (int)(top >> (LONGEST_CODE - length)) + codes->offset[length];
            unsigned symbol = codes->from.symbols[at & 255];
            unsigned extra = codes->from.is_ac ? symbol & 15 : symbol;
            return symbol << SYMBOL | ((unsigned)length + extra);
        }
    return 0;
}

INLINE uint64_t next_code(const Bits *bits, const Codes *codes)
{
    uint64_t one = codes->one[bits->ahead >> (64 - LOOKUP)];
    return one ? one : long_code(bits->ahead, codes);
}

/* The value that the extra bits at the end of a code stand for. */
INLINE int value_of(const Bits *bits, uint64_t code, unsigned extra)
{
    int all = 1 << extra, value = (int)(bits->ahead >> (-code & 63)) & (all - 1);
    return value < all >> 1 ? value - all + 1 : value;
}

/* Add the block's DC difference. 0: not clean. */
INLINE int read_dc(Bits *bits, const Codes *codes, int *dc)
{
    uint64_t code = next_code(bits, codes);
    if (!code)
        return 0;
    *dc += value_of(bits, code, (unsigned)(code >> SYMBOL));
    drop(bits, code);
    return 1;
}

/* Read one AC code the plain way: where a table's entry led beyond the block, or held nothing.
 * Returns where the block goes on, COEFFICIENTS at its end, 0 if not clean. */
INLINE uint64_t skip_one(Bits *bits, const Codes *codes, uint64_t k)
{
    uint64_t code = next_code(bits, codes), symbol = code >> SYMBOL;
    if (!code)
        return 0;
    drop(bits, code);
    if (symbol == 0)
        return COEFFICIENTS;
    k += (symbol >> 4) + 1;
    /* The last place takes a coefficient, no run of zeros. */
    return k < COEFFICIENTS || (k == COEFFICIENTS && (symbol & 15)) ? k : 0;
}

/* Skip the AC coefficients of a block. 0: not clean. Since the last refill at most a DC code was
 * taken, or what one entry holds: 56 bits are enough for that and the next. */
INLINE int skip_ac(Bits *bits, const Codes *codes)
{
    uint64_t k = 1;
    for (;;) {
        uint64_t before = bits->ahead, entry = codes->skip[before >> (64 - LOOKUP)];
        drop(bits, entry);
        k += entry >> ADVANCE;
        if (k < COEFFICIENTS) {
            refill(bits);
            before = bits->ahead;
            entry = codes->skip[before >> (64 - LOOKUP)];
            drop(bits, entry);
            k += entry >> ADVANCE;
            if (k < COEFFICIENTS)
                continue;
        }
        if (k - END_OF_BLOCK < COEFFICIENTS)
            return 1;
        bits->ahead = before;
        bits->have += entry;
        refill(bits);
        k = skip_one(bits, codes, k - (entry >> ADVANCE));
        refill(bits);
        if (k == 0 || k == COEFFICIENTS)
            return k != 0;
    }
}

#endif
