/* What Python calls for pixels. */
#include "module.h"

PyObject *call_measure(PyObject *module, PyObject *args)
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

PyObject *call_reduced(PyObject *module, PyObject *args)
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

PyObject *call_fingerprints(PyObject *module, PyObject *args)
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
