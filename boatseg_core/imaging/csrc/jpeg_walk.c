/* The coded data of a JPEG, walked block by block (ITU-T T.81, annex F.2). */
#include "fast.h"
#include "jpeg.h"

#include <stdlib.h>
#include <string.h>

#include "jpeg_planes.h"

enum {
    MOST_BLOCKS = 6, /* of an MCU */
    /* What the largest MCU can read beyond the data before that is noticed: zeros stand there. */
    SLACK = MOST_BLOCKS * (COEFFICIENTS * 26 + 27) / 8 + 64
};

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

/* Read the AC coefficients that a 2 x 2 picture of the block is made of, dequantised, of which
 * there is at least one in the block. 0: not clean. The bits were just refilled, then at most a DC
 * code was taken. */
INLINE int read_ac(Bits *bits, const Codes *codes, const Steps *steps, int *kept)
{
    for (uint64_t k = 1; k < COEFFICIENTS; k++) {
        uint64_t code = next_code(bits, codes), symbol = code >> SYMBOL;
        if (!code)
            return 0;
        if (symbol == 0) {
            drop(bits, code);
            return 1;
        }
        k += symbol >> 4;
        if (k > COEFFICIENTS - 1 || (k == COEFFICIENTS - 1 && !(symbol & 15)))
            return 0;
        kept[steps->place[k]] = value_of(bits, code, symbol & 15) * steps->step[k];
        drop(bits, code);
        refill(bits);
    }
    return 1;
}

typedef struct {
    const JpegHeader *header;
    const Codes *const *dc, *const *ac;
    Steps steps[3];
    Planes planes;
    int mcus_across, mcus_down;
    int halved;           /* chroma is stored at half the size both ways: 2 x 2 values of a block */
    int last_dc[3];
    uint8_t *bytes;       /* data without stuffing */
    const uint8_t *data;  /* what is left of it */
    size_t size;
} Walk;

/* Copy the data up to the next marker without the zeros stuffed into it. Returns the marker, 0 if
 * there is none. */
static int unstuff(Walk *walk, size_t *length)
{
    uint8_t *to = walk->bytes;
    for (;;) {
        const uint8_t *found = walk->size ? memchr(walk->data, 0xff, walk->size) : NULL;
        size_t whole = found ? (size_t)(found - walk->data) : 0;
        if (!found || walk->size - whole < 2)
            return 0;
        int after = found[1];
        memcpy(to, walk->data, whole);
        to += whole;
        walk->data += whole + 2;
        walk->size -= whole + 2;
        if (after == 0) {
            *to++ = 0xff;
            continue;
        }
        memset(to, 0, SLACK);
        *length = (size_t)(to - walk->bytes);
        return after;
    }
}

/* Walk a block of which only the mean is wanted. 0: not clean. */
INLINE int walk_mean(Walk *walk, int c, Bits *bits, uint8_t *to)
{
    refill(bits);
    return read_dc(bits, walk->dc[c], &walk->last_dc[c]) &&
           put_value((walk->last_dc[c] * walk->steps[c].step[0] + 4) >> 3, to) &&
           skip_ac(bits, walk->ac[c]);
}

/* Walk a block of which 2 x 2 values are wanted. 0: not clean. */
INLINE int walk_quarters(Walk *walk, int c, Bits *bits, uint8_t *to, size_t stride)
{
    refill(bits);
    if (!read_dc(bits, walk->dc[c], &walk->last_dc[c]))
        return 0;
    int mean = walk->last_dc[c] * walk->steps[c].step[0];
    uint64_t code = next_code(bits, walk->ac[c]);
    if (code && code >> SYMBOL == 0) { /* half of the blocks are of one colour */
        drop(bits, code);
        if (!put_value((mean + 4) >> 3, to))
            return 0;
        to[1] = to[stride] = to[stride + 1] = to[0];
        return 1;
    }
    int kept[KEPT_PLACES] = {mean};
    return read_ac(bits, walk->ac[c], &walk->steps[c], kept) && put_quarters(kept, to, stride);
}

/* Walk MCUs in rows, from one to before another. 0: not clean. */
FAST static int walk_mcus(Walk *walk, size_t from, size_t to, Bits *start, const uint8_t *end)
{
    size_t wide = (size_t)walk->mcus_across, x = from % wide, y = from / wide;
    size_t across = (size_t)walk->header->across, down = (size_t)walk->header->down;
    Planes planes = walk->planes;
    Bits bits = *start;
    for (size_t mcu = from; mcu < to; mcu++) {
        for (size_t row = 0; row < down; row++) {
            uint8_t *at = planes.values[0] + (y * down + row) * planes.stride[0] + x * across;
            for (size_t column = 0; column < across; column++)
                if (!walk_mean(walk, 0, &bits, at + column))
                    return 0;
        }
        for (int c = 1; c < walk->header->components; c++) {
            size_t stride = planes.stride[c], side = walk->halved ? 2 : 1;
            uint8_t *at = planes.values[c] + side * (y * stride + x);
            if (!(walk->halved ? walk_quarters(walk, c, &bits, at, stride)
                               : walk_mean(walk, c, &bits, at)))
                return 0;
        }
        if (bits.at - (bits.have & 63) / 8 > end)
            return 0;
        if (++x == wide) {
            x = 0;
            y++;
        }
    }
    *start = bits;
    return 1;
}

static int walk_scan(Walk *walk)
{
    size_t mcus = (size_t)walk->mcus_across * (size_t)walk->mcus_down;
    size_t interval = (size_t)walk->header->restart_interval;
    for (size_t from = 0, restarts = 0; from < mcus; restarts++) {
        size_t to = interval && mcus - from > interval ? from + interval : mcus, length = 0;
        int marker = unstuff(walk, &length);
        if (marker != (to == mcus ? 0xd9 : 0xd0 + (int)(restarts & 7)))
            return 0;
        Bits bits = {0, 0, walk->bytes};
        memset(walk->last_dc, 0, sizeof walk->last_dc);
        if (!walk_mcus(walk, from, to, &bits, walk->bytes + length))
            return 0;
        /* Nothing may be left but what fills the last byte. */
        ptrdiff_t left = 8 * (walk->bytes + length - bits.at) + (ptrdiff_t)(bits.have & 63);
        if (left < 0 || left >= 8)
            return 0;
        from = to;
    }
    return 1;
}

int walk_jpeg(const uint8_t *data, size_t size, const JpegHeader *header, const Codes *const dc[3],
              const Codes *const ac[3], uint8_t *planes)
{
    Walk walk = {.header = header, .dc = dc, .ac = ac};
    int width = BLOCK_SIDE * header->across, height = BLOCK_SIDE * header->down;
    walk.mcus_across = (header->width + width - 1) / width;
    walk.mcus_down = (header->height + height - 1) / height;
    walk.halved = header->across == 2 && header->down == 2;
    walk.data = data + header->scan;
    walk.size = size - header->scan;
    for (int c = 0; c < header->components; c++)
        set_steps(header->quant[c], &walk.steps[c]);
    walk.bytes = malloc(walk.size + SLACK);
    int clean = walk.bytes && open_planes(&walk.planes, header, walk.mcus_across, walk.mcus_down) &&
                walk_scan(&walk);
    if (clean)
        put_colours(&walk.planes, header, planes);
    close_planes(&walk.planes);
    free(walk.bytes);
    return clean;
}
