"""The extension, of the limited API: one wheel a platform serves CPython 3.11 and later."""

from setuptools import Extension, setup

LIMITED = "0x030B0000"  # CPython 3.11

setup(
    packages=[],
    ext_modules=[
        Extension(
            "oss_vector_scan",
            sources=["src/module.c", "src/scan.c"],
            depends=["src/powers.h", "src/scan.h"],
            define_macros=[("Py_LIMITED_API", LIMITED)],
            py_limited_api=True,
        )
    ],
    options={"bdist_wheel": {"py_limited_api": "cp311"}},
)
