/* What Python calls for files: JPEGs, not yet decoded. */
#include "module.h"

#include <stdlib.h>
#include <string.h>

#include "jpeg.h"

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

PyObject *call_walk(PyObject *module, PyObject *args)
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

PyObject *call_decode(PyObject *module, PyObject *args)
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

PyObject *call_measure_jpeg(PyObject *module, PyObject *args)
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
