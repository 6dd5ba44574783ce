/* The coded data of a JPEG, walked block by block. */
#include "jpeg_planes.h"
#include "jpeg_scan.h"

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
    Scan scan;
    Steps steps[3];
    Planes planes;
    int halved; /* chroma is stored at half the size both ways: 2 x 2 values of a block */
} Walk;

/* Walk a block of which only the mean is wanted. 0: not clean. */
INLINE int walk_mean(Walk *walk, int c, Bits *bits, uint8_t *to)
{
    refill(bits);
    return read_dc(bits, walk->scan.dc[c], &walk->scan.last_dc[c]) &&
           put_value((walk->scan.last_dc[c] * walk->steps[c].step[0] + 4) >> 3, to) &&
           skip_ac(bits, walk->scan.ac[c]);
}

/* Walk a block of which 2 x 2 values are wanted. 0: not clean. */
INLINE int walk_quarters(Walk *walk, int c, Bits *bits, uint8_t *to, size_t stride)
{
    refill(bits);
    if (!read_dc(bits, walk->scan.dc[c], &walk->scan.last_dc[c]))
        return 0;
    int mean = walk->scan.last_dc[c] * walk->steps[c].step[0];
    uint64_t code = next_code(bits, walk->scan.ac[c]);
    if (code && code >> SYMBOL == 0) { /* half of the blocks are of one colour */
        drop(bits, code);
        if (!put_value((mean + 4) >> 3, to))
            return 0;
        to[1] = to[stride] = to[stride + 1] = to[0];
        return 1;
    }
    int kept[KEPT_PLACES] = {mean};
    return read_ac(bits, walk->scan.ac[c], &walk->steps[c], kept) && put_quarters(kept, to, stride);
}

/* Walk the MCUs of an interval. 0: not clean. */
FAST static int walk_mcus(Walk *walk)
{
    const JpegHeader *header = walk->scan.header;
    size_t wide = walk->scan.across, x = walk->scan.from % wide, y = walk->scan.from / wide;
    size_t across = (size_t)header->across, down = (size_t)header->down;
    Planes planes = walk->planes;
    Bits bits = walk->scan.bits;
    for (size_t mcu = walk->scan.from; mcu < walk->scan.to; mcu++) {
        for (size_t row = 0; row < down; row++) {
            uint8_t *at = planes.values[0] + (y * down + row) * planes.stride[0] + x * across;
            for (size_t column = 0; column < across; column++)
                if (!walk_mean(walk, 0, &bits, at + column))
                    return 0;
        }
        for (int c = 1; c < header->components; c++) {
            size_t stride = planes.stride[c], side = walk->halved ? 2 : 1;
            uint8_t *at = planes.values[c] + side * (y * stride + x);
            if (!(walk->halved ? walk_quarters(walk, c, &bits, at, stride)
                               : walk_mean(walk, c, &bits, at)))
                return 0;
        }
        if (beyond(&bits, walk->scan.end))
            return 0;
        if (++x == wide) {
            x = 0;
            y++;
        }
    }
    walk->scan.bits = bits;
    return end_interval(&walk->scan);
}

int walk_jpeg(const uint8_t *data, size_t size, const JpegHeader *header, const Codes *const dc[3],
              const Codes *const ac[3], uint8_t *planes)
{
    Walk walk = {.halved = header->across == 2 && header->down == 2};
    for (int c = 0; c < header->components; c++)
        set_steps(header->quant[c], &walk.steps[c]);
    int clean = open_scan(&walk.scan, data, size, header, dc, ac) &&
                open_planes(&walk.planes, header, walk.scan.across,
                            walk.scan.mcus / walk.scan.across);
    while (clean && walk.scan.to < walk.scan.mcus)
        clean = begin_interval(&walk.scan) && walk_mcus(&walk);
    if (clean)
        put_colours(&walk.planes, header, planes);
    close_planes(&walk.planes);
    close_scan(&walk.scan);
    return clean;
}
