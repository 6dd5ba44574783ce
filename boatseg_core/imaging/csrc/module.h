/* The Python side: buffers are checked here, once, and nothing behind it touches Python. */
#ifndef BOATSEG_MODULE_H
#define BOATSEG_MODULE_H

#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030B0000
#include <Python.h>

#include "picture.h"

/* What Python calls; the table of methods says what each is for. */
PyObject *call_decode(PyObject *module, PyObject *args);
PyObject *call_fingerprints(PyObject *module, PyObject *args);
PyObject *call_measure(PyObject *module, PyObject *args);
PyObject *call_measure_jpeg(PyObject *module, PyObject *args);
PyObject *call_reduced(PyObject *module, PyObject *args);
PyObject *call_walk(PyObject *module, PyObject *args);

enum { HISTOGRAM = 3 * 256 * sizeof(uint32_t) };

/* Say that buffers are of another size than their picture; NULL. */
PyObject *refuse(void);

/* Whether a picture of these sides exists, with so many bytes a pixel. */
int fits(Py_ssize_t width, Py_ssize_t height, Py_ssize_t bytes, Py_ssize_t size);

/* Sums as a tuple. */
PyObject *sums_of(const Sums *sums);

#endif
