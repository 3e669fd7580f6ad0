#include <Python.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "scan.h"

/* What `scan` takes and returns; whoever uses it looks at this number first. */
#define PROTOCOL 1
/* Bytes: a shorter text is read in less time than it takes to get the lock back. */
#define WITHOUT_LOCK 32768
#define MARK_SIZE 32

/* Return the text with " 0 ", " 1 ", ... in the places of its arrays. */
static PyObject *make_rest(const char *text, size_t length, const struct found *found)
{
    char mark[MARK_SIZE], *to;
    size_t size = length, from = 0, number;
    PyObject *rest;

    for (number = 0; number < found->array_count; number++) {
        size += (size_t)snprintf(mark, sizeof mark, " %zu ", number);
        size -= found->arrays[number].end - found->arrays[number].start;
    }
    rest = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)size);
    if (rest == NULL)
        return NULL;
    to = PyBytes_AsString(rest);
    for (number = 0; number < found->array_count; number++) {
        const struct span *array = &found->arrays[number];
        size_t marked = (size_t)snprintf(mark, sizeof mark, " %zu ", number);

        memcpy(to, text + from, array->start - from);
        to += array->start - from;
        memcpy(to, mark, marked);
        to += marked;
        from = array->end;
    }
    memcpy(to, text + from, length - from);
    return rest;
}

static PyObject *make_rows(const struct found *found)
{
    PyObject *rows = PyList_New((Py_ssize_t)found->array_count);
    size_t number;

    for (number = 0; rows != NULL && number < found->array_count; number++) {
        const char *row = (const char *)(found->numbers + number * found->dimension);
        Py_ssize_t size = (Py_ssize_t)(found->dimension * sizeof(uint32_t));
        PyObject *packed = PyBytes_FromStringAndSize(row, size);

        if (packed == NULL || PyList_SetItem(rows, (Py_ssize_t)number, packed) < 0)
            Py_CLEAR(rows);
    }
    return rows;
}

PyDoc_STRVAR(scan_doc,
"scan(text, /)\n--\n\n"
"Take the arrays at vectors[i].data.float32 out of a JSON text.\n\n"
"Return the text with a number in the place of each array, and a list of their packed float32, in\n"
"the machine's order, which those numbers count; or None where any of it is not certainly plain.\n"
"Whether the text is JSON is not judged: read what is returned.");

static PyObject *scan(PyObject *module, PyObject *text)
{
    char *bytes;
    Py_ssize_t length;
    struct found found;
    int is_plain;
    PyObject *rest, *rows, *result = NULL;

    (void)module;
    if (!PyBytes_Check(text)) { /* nothing else stays as it is without the lock */
        PyErr_SetString(PyExc_TypeError, "the text must be bytes");
        return NULL;
    }
    if (PyBytes_AsStringAndSize(text, &bytes, &length) < 0)
        return NULL;
    if (length >= WITHOUT_LOCK) {
        Py_BEGIN_ALLOW_THREADS
        is_plain = scan_text((const unsigned char *)bytes, (size_t)length, &found);
        Py_END_ALLOW_THREADS
    } else {
        is_plain = scan_text((const unsigned char *)bytes, (size_t)length, &found);
    }
    if (found.no_memory) {
        free_found(&found);
        return PyErr_NoMemory();
    }
    if (!is_plain) {
        free_found(&found);
        Py_RETURN_NONE;
    }
    rows = make_rows(&found);
    /* The numbers make room for the rest: what stands at once stays under twice the text, beyond which
       glibc gives memory back to the system each time. */
    free(found.numbers);
    found.numbers = NULL;
    rest = rows == NULL ? NULL : make_rest(bytes, (size_t)length, &found);
    free_found(&found);
    if (rest != NULL)
        result = PyTuple_Pack(2, rest, rows);
    Py_XDECREF(rest);
    Py_XDECREF(rows);
    return result;
}

static PyMethodDef methods[] = {
    {"scan", scan, METH_O, scan_doc},
    {NULL, NULL, 0, NULL},
};

static int prepare(PyObject *module)
{
    return PyModule_AddIntConstant(module, "PROTOCOL", PROTOCOL);
}

static PyModuleDef_Slot slots[] = {
    {Py_mod_exec, (void *)prepare},
    {0, NULL},
};

static struct PyModuleDef definition = {
    .m_base = PyModuleDef_HEAD_INIT,
    .m_name = "oss_vector_scan",
    .m_doc = "The compiled scan of oss-vector-retriever.",
    .m_methods = methods,
    .m_slots = slots,
};

PyMODINIT_FUNC PyInit_oss_vector_scan(void)
{
    return PyModuleDef_Init(&definition);
}
