/* One pass over a decoded picture: every sum the measurements are made of; and fingerprints.
 *
 * Integers only, so that each machine and each instruction set gives the same bits; what is
 * computed is defined by the plain NumPy versions in sums.py and fingerprint.py, which also stand in
 * where this file was not compiled. The tests hold the two together.
 *
 * The picture is walked in panels of PANEL columns and strips of STRIP rows, so that all scratch
 * memory is fixed and stays in the processor's caches. Indices are Py_ssize_t everywhere: Python's
 * own flags (-fwrapv) keep the compiler from vectorising over an int, three times as slow.
 */
#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030B0000
#include <Python.h>
#include <stdint.h>
#include <string.h>

enum {
    PANEL = 1024,  /* columns; a multiple of TILE */
    TILE = 32,     /* px, side of a tile that may be blank; also the rows of a strip */
    CELL = 8,      /* px, side of the averages that fingerprints compare */
    BLOCK = 4,     /* px, side of the averages that saturation is taken of */
    BLACK = 2,     /* highest luminance that counts as black */
    WHITE = 253,   /* lowest luminance that counts as white */
    SIDE = 32,     /* cells along a tile that is fingerprinted */
    BITS = 256,    /* of a fingerprint */
    SCALE = 4095   /* of a saturation; small enough for a float quotient to round down right */
};

/* The compiler makes one version of a function for each of these and picks when loading. */
#if defined(__x86_64__) && defined(__GLIBC__) && !defined(__clang__) && __GNUC__ >= 12
#define FAST __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define FAST
#endif

/* Pixels and sums are loaded as one word each, which compilers vectorise better than bytes. */
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
#define BYTE_OF(word, i) ((word) >> (24 - 8 * (i)) & 0xff)
#define LANE_OF(word, i) ((int)((word) >> (48 - 16 * (i)) & 0xffff))
#else
#define BYTE_OF(word, i) ((word) >> (8 * (i)) & 0xff)
#define LANE_OF(word, i) ((int)((word) >> (16 * (i)) & 0xffff))
#endif

typedef struct {
    uint64_t sum, square;                 /* of the luminance */
    int64_t laplacian;                    /* sum and sum of squares over the inner pixels */
    uint64_t laplacian_square;
    uint64_t saturation;                  /* of the blocks, in units of 1/SCALE */
    uint32_t black, white;                /* tiles that are entirely so */
    /* Of red, green and blue; even and odd pixels apart: neighbours are alike, and an addition
     * would wait for the one before it. */
    uint32_t histogram[2][3][256];
} Sums;

typedef struct {
    uint8_t rgbx[TILE][4 * (PANEL + 2)];  /* only for pictures of 3 bytes a pixel */
    uint8_t grey[TILE + 2][PANEL + 64];   /* two rows of the strip above, then the strip */
    uint16_t colour[4 * PANEL];
    uint16_t block[PANEL];
    uint16_t column[PANEL];
    uint8_t low[PANEL], high[PANEL];
} Scratch;

/* ITU-R 601 luma in 16-bit fixed point, as Pillow's convert("L") computes it. */
FAST static void to_grey(const uint8_t *restrict rgbx, uint8_t *restrict grey, Py_ssize_t n)
{
    for (Py_ssize_t x = 0; x < n; x++) {
        uint32_t pixel;
        memcpy(&pixel, rgbx + 4 * x, 4);
        grey[x] = (uint8_t)((BYTE_OF(pixel, 0) * 19595u + BYTE_OF(pixel, 1) * 38470u +
                             BYTE_OF(pixel, 2) * 7471u + 0x8000u) >> 16);
    }
}

static void add_histogram(const uint8_t *rgbx, Py_ssize_t n, Sums *sums)
{
    Py_ssize_t x = 0;
    for (; x + 2 <= n; x += 2, rgbx += 8) {
        uint32_t even, odd;
        memcpy(&even, rgbx, 4);
        memcpy(&odd, rgbx + 4, 4);
        for (int c = 0; c < 3; c++) {
            sums->histogram[0][c][BYTE_OF(even, c)]++;
            sums->histogram[1][c][BYTE_OF(odd, c)]++;
        }
    }
    for (int c = 0; c < 3 && x < n; c++)
        sums->histogram[0][c][rgbx[c]]++;
}

FAST static void add_moments(const uint8_t *restrict grey, Py_ssize_t n, Sums *sums)
{
    uint32_t sum = 0;
    int32_t square = 0; /* at most 1024 * 255 * 255 */
    for (Py_ssize_t x = 0; x < n; x++) {
        int16_t v = grey[x];
        sum += grey[x];
        square += v * v;
    }
    sums->sum += sum;
    sums->square += (uint64_t)square;
}

FAST static void add_laplacian(const uint8_t *restrict above, const uint8_t *restrict row,
                               const uint8_t *restrict below, Py_ssize_t n, Sums *sums)
{
    int32_t sum = 0, square = 0; /* at most 1024 * 1020 * 1020 */
    for (Py_ssize_t x = 0; x < n; x++) {
        int16_t v = (int16_t)(above[x] + below[x] + row[x - 1] + row[x + 1] - 4 * row[x]);
        sum += v;
        square += v * v;
    }
    sums->laplacian += sum;
    sums->laplacian_square += (uint64_t)square;
}

FAST static void extremes(const uint8_t *restrict row, uint8_t *restrict low,
                          uint8_t *restrict high, Py_ssize_t n)
{
    for (Py_ssize_t x = 0; x < n; x++) {
        low[x] = row[x] < low[x] ? row[x] : low[x];
        high[x] = row[x] > high[x] ? row[x] : high[x];
    }
}

/* Start or add to a sum of rows, four rows at a time. */
FAST static void add_four(const uint8_t *restrict a, const uint8_t *restrict b,
                          const uint8_t *restrict c, const uint8_t *restrict d,
                          uint16_t *restrict total, Py_ssize_t n, int start)
{
    if (start)
        for (Py_ssize_t x = 0; x < n; x++)
            total[x] = (uint16_t)(a[x] + b[x] + c[x] + d[x]);
    else
        for (Py_ssize_t x = 0; x < n; x++)
            total[x] = (uint16_t)(total[x] + a[x] + b[x] + c[x] + d[x]);
}

static void add_one(const uint8_t *restrict row, uint16_t *restrict total, Py_ssize_t n)
{
    for (Py_ssize_t x = 0; x < n; x++)
        total[x] = (uint16_t)(total[x] + row[x]);
}

/* Sums of whole blocks: 4 pixels, each a word of 4 channels that never carry (16 * 255 < 2^16). */
FAST static void add_columns(const uint16_t *restrict colour, uint16_t *restrict block,
                             Py_ssize_t n)
{
    for (Py_ssize_t k = 0; k < n; k++) {
        uint64_t pixels[4], total;
        memcpy(pixels, colour + 16 * k, sizeof pixels);
        total = pixels[0] + pixels[1] + pixels[2] + pixels[3];
        memcpy(block + 4 * k, &total, sizeof total);
    }
}

FAST static uint32_t saturations(const uint16_t *restrict block, Py_ssize_t n, int pixels)
{
    uint32_t total = 0;
    for (Py_ssize_t k = 0; k < n; k++) {
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

FAST static uint32_t saturations_of_16(const uint16_t *restrict block, Py_ssize_t n)
{
    uint32_t sum = 0;
    for (Py_ssize_t k = 0; k < n; k++) {
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

static void add_saturation(const uint8_t *rows[TILE], Py_ssize_t n, Py_ssize_t w, Scratch *s,
                           Sums *sums)
{
    for (Py_ssize_t y = 0; y < n; y += BLOCK) {
        Py_ssize_t height = n - y < BLOCK ? n - y : BLOCK, whole = w / BLOCK, rest = w % BLOCK;
        if (height == BLOCK) {
            add_four(rows[y], rows[y + 1], rows[y + 2], rows[y + 3], s->colour, 4 * w, 1);
        } else {
            memset(s->colour, 0, sizeof(uint16_t) * 4 * (size_t)w);
            for (Py_ssize_t i = 0; i < height; i++)
                add_one(rows[y + i], s->colour, 4 * w);
        }
        add_columns(s->colour, s->block, whole);
        if (height == BLOCK)
            sums->saturation += saturations_of_16(s->block, whole);
        else
            sums->saturation += saturations(s->block, whole, (int)(BLOCK * height));
        if (rest) { /* at the picture's right edge */
            memset(s->block, 0, sizeof(uint16_t) * 4);
            for (Py_ssize_t x = whole * BLOCK; x < w; x++)
                for (Py_ssize_t c = 0; c < 4; c++)
                    s->block[c] = (uint16_t)(s->block[c] + s->colour[4 * x + c]);
            sums->saturation += saturations(s->block, 1, (int)(rest * height));
        }
    }
}

static void add_tiles(const uint8_t *grey[TILE], Py_ssize_t n, Py_ssize_t w, Scratch *s, Sums *sums)
{
    memcpy(s->low, grey[0], (size_t)w);
    memcpy(s->high, grey[0], (size_t)w);
    for (Py_ssize_t y = 1; y < n; y++)
        extremes(grey[y], s->low, s->high, w);
    for (Py_ssize_t x = 0; x < w; x += TILE) {
        Py_ssize_t end = x + TILE < w ? x + TILE : w;
        uint8_t low = 255, high = 0;
        for (Py_ssize_t i = x; i < end; i++) {
            low = s->low[i] < low ? s->low[i] : low;
            high = s->high[i] > high ? s->high[i] : high;
        }
        sums->black += high <= BLACK;
        sums->white += low >= WHITE;
    }
}

static void put_cells(const uint8_t *grey[TILE], Py_ssize_t n, Py_ssize_t w, Scratch *s,
                      uint8_t *cells, Py_ssize_t stride)
{
    for (Py_ssize_t y = 0; y + CELL <= n; y += CELL, cells += stride) {
        for (Py_ssize_t i = 0; i < CELL; i += 4)
            add_four(grey[y + i], grey[y + i + 1], grey[y + i + 2], grey[y + i + 3], s->column, w,
                     i == 0);
        for (Py_ssize_t k = 0; k < w / CELL; k++) {
            int total = CELL * CELL / 2;
            for (Py_ssize_t i = 0; i < CELL; i++)
                total += s->column[CELL * k + i];
            cells[k] = (uint8_t)(total / (CELL * CELL));
        }
    }
}

static void walk_panel(const uint8_t *pixels, Py_ssize_t width, Py_ssize_t height, int bytes,
                       Py_ssize_t x0, Scratch *s, Sums *sums, uint8_t *cells)
{
    Py_ssize_t w = width - x0 < PANEL ? width - x0 : PANEL;
    Py_ssize_t before = x0 > 0, after = x0 + w < width; /* neighbours the Laplacian needs */
    for (Py_ssize_t y0 = 0; y0 < height; y0 += TILE) {
        Py_ssize_t n = height - y0 < TILE ? height - y0 : TILE, all = before + w + after;
        const uint8_t *rows[TILE], *grey[TILE];
        for (Py_ssize_t i = 0; i < n; i++) {
            const uint8_t *from = pixels + ((y0 + i) * width + x0 - before) * bytes;
            if (bytes == 3) {
                for (Py_ssize_t x = 0; x < all; x++)
                    memcpy(s->rgbx[i] + 4 * x, from + 3 * x, 3);
                from = s->rgbx[i];
            }
            rows[i] = from + 4 * before;
            add_histogram(rows[i], w, sums);
            to_grey(from, s->grey[i + 2] + 1 - before, all);
            grey[i] = s->grey[i + 2] + 1;
            add_moments(grey[i], w, sums);
        }
        Py_ssize_t first = x0 == 0, inner = w - first - !after;
        for (Py_ssize_t i = y0 ? -1 : 1; i < n - 1 && inner > 0; i++) {
            const uint8_t *row = s->grey[i + 2] + 1 + first;
            add_laplacian(s->grey[i + 1] + 1 + first, row, s->grey[i + 3] + 1 + first, inner, sums);
        }
        add_tiles(grey, n, w, s, sums);
        put_cells(grey, n, w, s, cells + y0 / CELL * (width / CELL) + x0 / CELL, width / CELL);
        add_saturation(rows, n, w, s, sums);
        if (n == TILE)
            memcpy(s->grey[0], s->grey[TILE], 2 * sizeof s->grey[0]);
    }
}

static PyObject *measure(PyObject *module, PyObject *args)
{
    Py_buffer pixels, cells, histogram;
    Py_ssize_t width, height;
    int bytes;
    (void)module;
    if (!PyArg_ParseTuple(args, "y*nniw*w*", &pixels, &width, &height, &bytes, &cells, &histogram))
        return NULL;
    PyObject *result = NULL;
    Scratch *scratch = NULL;
    Sums *s = NULL;
    if (width < 1 || height < 1 || (bytes != 3 && bytes != 4) ||
        width > PY_SSIZE_T_MAX / height / 4 || pixels.len != width * height * bytes ||
        cells.len != (width / CELL) * (height / CELL) ||
        histogram.len != sizeof s->histogram / 2) {
        PyErr_SetString(PyExc_ValueError, "the buffers do not have the size of the picture");
    } else if (!(scratch = PyMem_Calloc(1, sizeof *scratch)) || !(s = PyMem_Calloc(1, sizeof *s))) {
        PyErr_NoMemory();
    } else {
        uint32_t *counts = histogram.buf;
        Py_BEGIN_ALLOW_THREADS
        for (Py_ssize_t x0 = 0; x0 < width; x0 += PANEL)
            walk_panel(pixels.buf, width, height, bytes, x0, scratch, s, cells.buf);
        for (int i = 0; i < 3 * 256; i++)
            counts[i] = s->histogram[0][i / 256][i % 256] + s->histogram[1][i / 256][i % 256];
        Py_END_ALLOW_THREADS
        result = Py_BuildValue("(KKLKKkk)", s->sum, s->square, s->laplacian, s->laplacian_square,
                               s->saturation, (unsigned long)s->black, (unsigned long)s->white);
    }
    PyMem_Free(scratch);
    PyMem_Free(s);
    PyBuffer_Release(&pixels);
    PyBuffer_Release(&cells);
    PyBuffer_Release(&histogram);
    return result;
}

/* Fingerprint of one tile; fingerprint.py says what it is and why. */
static void put_fingerprint(const uint8_t *cells, Py_ssize_t stride, const uint16_t *pairs,
                            uint64_t least, uint8_t *bits)
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

static PyObject *fingerprints(PyObject *module, PyObject *args)
{
    Py_buffer cells, pairs, prints;
    Py_ssize_t rows, columns;
    unsigned long long least;
    (void)module;
    if (!PyArg_ParseTuple(args, "y*nny*Kw*", &cells, &rows, &columns, &pairs, &least, &prints))
        return NULL;
    PyObject *result = NULL;
    Py_ssize_t down = rows / SIDE, across = columns / SIDE;
    const uint16_t *pair = pairs.buf;
    int whole = rows >= 0 && columns >= 0 && (!columns || rows <= PY_SSIZE_T_MAX / columns) &&
                cells.len == rows * columns && prints.len == down * across * (BITS / 8) &&
                pairs.len == 2 * BITS * (Py_ssize_t)sizeof *pair;
    for (int i = 0; whole && i < 2 * BITS; i++)
        whole = pair[i] < SIDE * SIDE;
    if (whole) { /* some 10 microseconds: not worth letting go of the interpreter */
        uint8_t *to = prints.buf;
        for (Py_ssize_t tile = 0; tile < down * across; tile++, to += BITS / 8) {
            Py_ssize_t at = tile / across * SIDE * columns + tile % across * SIDE;
            put_fingerprint((const uint8_t *)cells.buf + at, columns, pair, least, to);
        }
        result = Py_NewRef(Py_None);
    } else {
        PyErr_SetString(PyExc_ValueError, "the buffers do not have the size of the picture");
    }
    PyBuffer_Release(&cells);
    PyBuffer_Release(&pairs);
    PyBuffer_Release(&prints);
    return result;
}

static PyMethodDef methods[] = {
    {"fingerprints", fingerprints, METH_VARARGS, "See boatseg_core.imaging.fingerprint."},
    {"measure", measure, METH_VARARGS, "Sums over a picture; see boatseg_core.imaging.sums."},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef_Slot slots[] = {{0, NULL}};

static struct PyModuleDef module = {
    PyModuleDef_HEAD_INIT, "_pixels", NULL, 0, methods, slots, NULL, NULL, NULL,
};

PyMODINIT_FUNC PyInit__pixels(void)
{
    return PyModuleDef_Init(&module);
}
