/* The module and its methods. */
#include "module.h"

#include "jpeg.h"

PyObject *refuse(void)
{
    PyErr_SetString(PyExc_ValueError, "the buffers do not have the size of the picture");
    return NULL;
}

int fits(Py_ssize_t width, Py_ssize_t height, Py_ssize_t bytes, Py_ssize_t size)
{
    return width >= 1 && height >= 1 && width <= PY_SSIZE_T_MAX / height / bytes &&
           size == width * height * bytes;
}

PyObject *sums_of(const Sums *s)
{
    return Py_BuildValue("(KKLKKkk)", s->sum, s->square, s->laplacian, s->laplacian_square,
                         s->saturation, (unsigned long)s->black, (unsigned long)s->white);
}

static PyMethodDef methods[] = {
    {"decode", call_decode, METH_VARARGS, "Pixels of a box; see boatseg_core.imaging.jpeg."},
    {"fingerprints", call_fingerprints, METH_VARARGS, "See boatseg_core.imaging.fingerprint."},
    {"measure", call_measure, METH_VARARGS, "Sums over a picture; see boatseg_core.imaging.sums."},
    {"measure_jpeg", call_measure_jpeg, METH_VARARGS, "The same of a JPEG; see boatseg_core.imaging.sums."},
    {"reduced", call_reduced, METH_VARARGS, "Sums at 1/8; see boatseg_core.imaging.reduced."},
    {"walk", call_walk, METH_VARARGS, "A JPEG's picture at 1/8; see boatseg_core.imaging.walk."},
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
