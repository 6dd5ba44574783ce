/* The Python side: buffers are checked here, once, and nothing behind it touches Python. */
#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030B0000
#include <Python.h>

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
        result = done ? Py_BuildValue("(KKLKKkk)", s.sum, s.square, s.laplacian, s.laplacian_square,
                                      s.saturation, (unsigned long)s.black, (unsigned long)s.white)
                      : PyErr_NoMemory();
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

/* Walk a JPEG whose header was read. A new reference to the planes; None if it is not clean. */
static PyObject *walk_scan(const Py_buffer *data, const JpegHeader *header)
{
    Py_ssize_t columns = (header->width + BLOCK_SIDE - 1) / BLOCK_SIDE;
    Py_ssize_t rows = (header->height + BLOCK_SIDE - 1) / BLOCK_SIDE;
    const Codes *dc[3] = {NULL}, *ac[3] = {NULL};
    PyObject *planes = PyBytes_FromStringAndSize(NULL, 3 * rows * columns);
    int clean = planes != NULL;
    for (int c = 0; clean && c < header->components; c++) {
        dc[c] = take_codes(&header->dc[c]);
        ac[c] = take_codes(&header->ac[c]);
        clean = dc[c] && ac[c];
    }
    if (clean) {
        uint8_t *to = (uint8_t *)PyBytes_AsString(planes);
        Py_BEGIN_ALLOW_THREADS
        clean = walk_jpeg(data->buf, (size_t)data->len, header, dc, ac, to);
        Py_END_ALLOW_THREADS
    }
    for (int c = 0; c < header->components; c++) {
        give_back_codes(dc[c]);
        give_back_codes(ac[c]);
    }
    if (planes && !clean) {
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
    if (read_jpeg_header(data.buf, (size_t)data.len, &header) &&
        header.width == width && header.height == height)
        result = walk_scan(&data, &header);
    else
        result = Py_NewRef(Py_None);
    PyBuffer_Release(&data);
    return result;
}

static PyMethodDef methods[] = {
    {"fingerprints", fingerprints, METH_VARARGS, "See boatseg_core.imaging.fingerprint."},
    {"measure", measure, METH_VARARGS, "Sums over a picture; see boatseg_core.imaging.sums."},
    {"reduced", reduced, METH_VARARGS, "Sums at 1/8; see boatseg_core.imaging.reduced."},
    {"walk", walk, METH_VARARGS, "A JPEG's picture at 1/8; see boatseg_core.imaging.walk."},
    {NULL, NULL, 0, NULL},
};

/* Raised with every change of what Python calls or is given: a module of another build of the
 * package, left by an update that did not compile, is then passed over (native.py). */
#define INTERFACE 2

static int add_constants(PyObject *self)
{
    return PyModule_AddIntConstant(self, "INTERFACE", INTERFACE);
}

static struct PyModuleDef_Slot slots[] = {{Py_mod_exec, add_constants}, {0, NULL}};

static struct PyModuleDef module = {
    PyModuleDef_HEAD_INIT, "_pixels", NULL, 0, methods, slots, NULL, NULL, NULL,
};

PyMODINIT_FUNC PyInit__pixels(void)
{
    return PyModuleDef_Init(&module);
}
