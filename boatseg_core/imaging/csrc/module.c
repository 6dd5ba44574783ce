/* The Python side: buffers are checked here, once, and nothing behind it touches Python. */
#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030B0000
#include <Python.h>

#include <stdlib.h>
#include <string.h>

#include "jpeg.h"
#include "picture.h"

static PyObject *refuse(void)
{
    PyErr_SetString(PyExc_ValueError, "the buffers do not have the size of the picture");
    return NULL;
}

/* Whether a picture of these sides exists, with so many bytes a pixel. */
static int fits(Py_ssize_t width, Py_ssize_t height, Py_ssize_t bytes, Py_ssize_t size)
{
    return width >= 1 && height >= 1 && width <= PY_SSIZE_T_MAX / height / bytes &&
           size == width * height * bytes;
}

enum { HISTOGRAM = 3 * 256 * sizeof(uint32_t) };

static PyObject *sums_of(const Sums *s)
{
    return Py_BuildValue("(KKLKKkk)", s->sum, s->square, s->laplacian, s->laplacian_square,
                         s->saturation, (unsigned long)s->black, (unsigned long)s->white);
}

static PyObject *measure(PyObject *module, PyObject *args)
{
    Py_buffer pixels, cells, histogram;
    Py_ssize_t width, height;
    int bytes, done = 0;
    (void)module;
    if (!PyArg_ParseTuple(args, "y*nniw*w*", &pixels, &width, &height, &bytes, &cells, &histogram))
        return NULL;
    PyObject *result = NULL;
    Sums s;
    if ((bytes != 3 && bytes != 4) || !fits(width, height, bytes, pixels.len) ||
        cells.len != (width / CELL) * (height / CELL) || histogram.len != HISTOGRAM) {
        refuse();
    } else {
        Py_BEGIN_ALLOW_THREADS
        done = picture_sums(pixels.buf, width, height, bytes, &s, cells.buf, histogram.buf);
        Py_END_ALLOW_THREADS
        result = done ? sums_of(&s) : PyErr_NoMemory();
    }
    PyBuffer_Release(&pixels);
    PyBuffer_Release(&cells);
    PyBuffer_Release(&histogram);
    return result;
}

static PyObject *reduced(PyObject *module, PyObject *args)
{
    Py_buffer planes, cells, histogram;
    Py_ssize_t rows, columns;
    (void)module;
    if (!PyArg_ParseTuple(args, "y*nnw*w*", &planes, &rows, &columns, &cells, &histogram))
        return NULL;
    PyObject *result = NULL;
    Sums s;
    if (!fits(columns, rows, 3, planes.len) || cells.len != rows * columns ||
        histogram.len != HISTOGRAM) {
        refuse();
    } else {
        Py_BEGIN_ALLOW_THREADS
        reduced_sums(planes.buf, rows, columns, &s, cells.buf, histogram.buf);
        Py_END_ALLOW_THREADS
        result = Py_BuildValue("(KKKkk)", s.sum, s.square, s.saturation, (unsigned long)s.black,
                               (unsigned long)s.white);
    }
    PyBuffer_Release(&planes);
    PyBuffer_Release(&cells);
    PyBuffer_Release(&histogram);
    return result;
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
        refuse();
    }
    PyBuffer_Release(&cells);
    PyBuffer_Release(&pairs);
    PyBuffer_Release(&prints);
    return result;
}

typedef struct {
    const Codes *dc[3], *ac[3];
} Tables;

static int take_tables(const JpegHeader *header, Tables *tables)
{
    int all = 1;
    memset(tables, 0, sizeof *tables);
    for (int c = 0; all && c < header->components; c++) {
        tables->dc[c] = take_codes(&header->dc[c]);
        tables->ac[c] = take_codes(&header->ac[c]);
        all = tables->dc[c] && tables->ac[c];
    }
    return all;
}

static void give_back_tables(const JpegHeader *header, const Tables *tables)
{
    for (int c = 0; c < header->components; c++) {
        give_back_codes(tables->dc[c]);
        give_back_codes(tables->ac[c]);
    }
}

/* Read the header of a picture that has to have these sides. 0: not the kind that is read here. */
static int read_header(const Py_buffer *data, Py_ssize_t width, Py_ssize_t height,
                       JpegHeader *header)
{
    return read_jpeg_header(data->buf, (size_t)data->len, header) && header->width == width &&
           header->height == height;
}

/* Walk a JPEG whose header was read. A new reference to the planes; None if it is not clean. */
static PyObject *walk_scan(const Py_buffer *data, const JpegHeader *header)
{
    Py_ssize_t columns = (header->width + BLOCK_SIDE - 1) / BLOCK_SIDE;
    Py_ssize_t rows = (header->height + BLOCK_SIDE - 1) / BLOCK_SIDE;
    Tables tables;
    PyObject *planes = PyBytes_FromStringAndSize(NULL, 3 * rows * columns);
    if (!planes)
        return NULL;
    int clean = take_tables(header, &tables);
    if (clean) {
        uint8_t *to = (uint8_t *)PyBytes_AsString(planes);
        Py_BEGIN_ALLOW_THREADS
        clean = walk_jpeg(data->buf, (size_t)data->len, header, tables.dc, tables.ac, to);
        Py_END_ALLOW_THREADS
    }
    give_back_tables(header, &tables);
    if (!clean) {
        Py_DECREF(planes);
        planes = Py_NewRef(Py_None);
    }
    return planes;
}

static PyObject *walk(PyObject *module, PyObject *args)
{
    Py_buffer data;
    Py_ssize_t width, height;
    JpegHeader header;
    PyObject *result;
    (void)module;
    if (!PyArg_ParseTuple(args, "y*nn", &data, &width, &height))
        return NULL;
    if (read_header(&data, width, height, &header))
        result = walk_scan(&data, &header);
    else
        result = Py_NewRef(Py_None);
    PyBuffer_Release(&data);
    return result;
}

/* Whether a box lies within a picture. */
static int lies_within(Box box, Py_ssize_t width, Py_ssize_t height)
{
    return box.left >= 0 && box.top >= 0 && box.width >= 1 && box.height >= 1 &&
           box.width <= width - box.left && box.height <= height - box.top;
}

static PyObject *decode(PyObject *module, PyObject *args)
{
    Py_buffer data, pixels;
    Py_ssize_t width, height;
    Box box;
    int halved, clean = 0, kind = decoders() - 1;
    JpegHeader header;
    Tables tables;
    (void)module;
    if (!PyArg_ParseTuple(args, "y*nniiiipw*|i", &data, &width, &height, &box.left, &box.top,
                          &box.width, &box.height, &halved, &pixels, &kind))
        return NULL;
    PyObject *result = NULL;
    Py_ssize_t across = halved ? (width + 1) / 2 : width, down = halved ? (height + 1) / 2 : height;
    if (kind < 0 || kind >= decoders()) {
        PyErr_SetString(PyExc_ValueError, "this processor does not have that kind of decoder");
    } else if (!lies_within(box, across, down) || !fits(box.width, box.height, 3, pixels.len)) {
        refuse();
    } else {
        if (read_header(&data, width, height, &header)) {
            Sink sink = {.pixels = pixels.buf, .stride = 3 * (ptrdiff_t)box.width, .bytes = 3};
            clean = take_tables(&header, &tables);
            if (clean) {
                Py_BEGIN_ALLOW_THREADS
                clean = decode_jpeg(kind, data.buf, (size_t)data.len, &header, tables.dc, tables.ac,
                                    box, halved, &sink);
                Py_END_ALLOW_THREADS
            }
            give_back_tables(&header, &tables);
        }
        result = PyBool_FromLong(clean);
    }
    PyBuffer_Release(&data);
    PyBuffer_Release(&pixels);
    return result;
}

static int add_rows(void *picture, const uint8_t *pixels, ptrdiff_t stride)
{
    add_strip(picture, pixels, stride, 4);
    return 1;
}

/* Decode a JPEG strip by strip and measure each while it is in the caches. 0: not clean, or no
 * memory. */
static int decode_and_measure(const Py_buffer *data, const JpegHeader *header, const Tables *tables,
                              uint8_t *cells, uint32_t *histogram, Sums *sums)
{
    Box all = {0, 0, header->width, header->height};
    Sink sink = {.stride = 4 * (ptrdiff_t)header->width, .bytes = 4, .rows = TILE, .full = add_rows};
    uint8_t *strip = malloc((size_t)sink.stride * TILE);
    Picture *picture = open_picture(header->width, header->height, cells);
    int clean = 0;
    if (strip && picture) {
        sink.pixels = strip;
        sink.self = picture;
        clean = decode_jpeg(decoders() - 1, data->buf, (size_t)data->len, header, tables->dc,
                            tables->ac, all, 0, &sink);
    }
    free(strip);
    if (picture)
        close_picture(picture, sums, histogram);
    return clean;
}

static PyObject *measure_jpeg(PyObject *module, PyObject *args)
{
    Py_buffer data, cells, histogram;
    Py_ssize_t width, height;
    int clean = 0;
    JpegHeader header;
    Tables tables;
    Sums sums;
    (void)module;
    if (!PyArg_ParseTuple(args, "y*nnw*w*", &data, &width, &height, &cells, &histogram))
        return NULL;
    PyObject *result = NULL;
    if (width < 1 || height < 1 || width > MOST_SIDE || height > MOST_SIDE ||
        cells.len != (width / CELL) * (height / CELL) || histogram.len != HISTOGRAM) {
        refuse();
    } else {
        if (read_header(&data, width, height, &header)) {
            clean = take_tables(&header, &tables);
            if (clean) {
                Py_BEGIN_ALLOW_THREADS
                clean = decode_and_measure(&data, &header, &tables, cells.buf, histogram.buf, &sums);
                Py_END_ALLOW_THREADS
            }
            give_back_tables(&header, &tables);
        }
        result = clean ? sums_of(&sums) : Py_NewRef(Py_None);
    }
    PyBuffer_Release(&data);
    PyBuffer_Release(&cells);
    PyBuffer_Release(&histogram);
    return result;
}

static PyMethodDef methods[] = {
    {"decode", decode, METH_VARARGS, "Pixels of a box; see boatseg_core.imaging.jpeg."},
    {"fingerprints", fingerprints, METH_VARARGS, "See boatseg_core.imaging.fingerprint."},
    {"measure", measure, METH_VARARGS, "Sums over a picture; see boatseg_core.imaging.sums."},
    {"measure_jpeg", measure_jpeg, METH_VARARGS, "The same of a JPEG; see boatseg_core.imaging.sums."},
    {"reduced", reduced, METH_VARARGS, "Sums at 1/8; see boatseg_core.imaging.reduced."},
    {"walk", walk, METH_VARARGS, "A JPEG's picture at 1/8; see boatseg_core.imaging.walk."},
    {NULL, NULL, 0, NULL},
};

/* Raised with every change of what Python calls or is given: a module of another build of the
 * package, left by an update that did not compile, is then passed over (native.py). */
#define INTERFACE 3

static int add_constants(PyObject *self)
{
    return PyModule_AddIntConstant(self, "DECODERS", decoders()) ||
           PyModule_AddIntConstant(self, "INTERFACE", INTERFACE);
}

static struct PyModuleDef_Slot slots[] = {{Py_mod_exec, add_constants}, {0, NULL}};

static struct PyModuleDef module = {
    PyModuleDef_HEAD_INIT, "_pixels", NULL, 0, methods, slots, NULL, NULL, NULL,
};

PyMODINIT_FUNC PyInit__pixels(void)
{
    return PyModuleDef_Init(&module);
}
