"""What the page is made of is in the wheel, and htmx is the file that its makers published."""

import hashlib
from pathlib import Path

from hatchling.builders.wheel import WheelBuilder

from oss_vector_retriever import studio

FOLDER = Path(studio.__file__).parent
ROOT = FOLDER.parents[1]
# dist/htmx.min.js of the npm package htmx.org, 2.0.11
HTMX = "d6fdc75f204e6bdefa99b69bf1e6d4ac69b8a364f77929f45c13476b4000f717"


def test_templates_and_static_files_are_in_the_wheel():
    builder = WheelBuilder(str(ROOT))
    found = {one.distribution_path for one in builder.recurse_included_files()}
    ours = {
        path.relative_to(ROOT).as_posix()
        for name in ("templates", "static")
        for path in (FOLDER / name).iterdir()
    }
    assert len(ours) >= 13
    assert ours <= found


def test_htmx_is_unchanged_and_has_its_licence_beside_it():
    assert hashlib.sha256((FOLDER / "static/htmx.min.js").read_bytes()).hexdigest() == HTMX
    assert "Zero-Clause BSD" in (FOLDER / "static/htmx.LICENSE.txt").read_text("utf-8")


def test_no_file_of_the_page_names_another_machine():
    for path in (*(FOLDER / "templates").iterdir(), FOLDER / "static/studio.js"):
        assert "//" not in path.read_text("utf-8").replace("// ", ""), path
    style = (FOLDER / "static/studio.css").read_text("utf-8")
    assert "url(" not in style
    assert "@import" not in style
